//! Which clients get structured content beside the text of an answer.

/// Whether answers have structured content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Structured {
    /// Where the client's model does not read it.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How clients call themselves, in small letters, that show their model structured content: in place of the text, or beside it.
/// A list is about twice as long as JSON, so that text alone is less to read for all of them.
///
/// What they do is told by anthropics/claude-code#79944, openai/codex (`models.rs` prefers it), anomalyco/opencode#32074,
/// microsoft/vscode#290063, github/copilot-cli#4515 and microsoft/copilot-intellij-feedback#2058; their names by the npm package
/// `mcp-client-capabilities`.
const READERS: [&str; 7] =
    ["claude-code", "codex", "opencode", "visual studio code", "visual-studio-code", "github-copilot", "jetbrains-"];

impl Structured {
    /// Whether a client that calls itself so gets it.
    pub(crate) fn is_for(self, client: Option<&str>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let name = client.unwrap_or_default().to_lowercase();
                !READERS.iter().any(|reader| name.starts_with(reader))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_it_and_clients_whose_model_reads_it_do_not() {
        for (client, is_for) in [
            (None, true),
            (Some("claude-ai"), true),
            (Some("claude-code"), false),
            (Some("Codex"), false),
            (Some("codex-mcp-client"), false),
            (Some("Visual Studio Code - Insiders"), false),
            (Some("JetBrains-IU-copilot-intellij"), false),
        ] {
            assert_eq!(Structured::Auto.is_for(client), is_for, "{client:?}");
            assert!(Structured::Always.is_for(client) && !Structured::Never.is_for(client));
        }
    }
}
