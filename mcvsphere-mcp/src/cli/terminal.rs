//! The person before the terminal, as an MCP client that can ask him.

use std::io::{self, BufRead, IsTerminal, Write};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction, Implementation},
    service::RequestContext,
};
use serde_json::json;

/// The client of the command line.
pub(super) struct Terminal {
    /// Whether there is somebody to ask.
    asks: bool,
}

impl Terminal {
    /// The terminal of this process, where it has one.
    pub(super) fn here() -> Self {
        Self { asks: io::stdin().is_terminal() && io::stderr().is_terminal() }
    }
}

impl ClientHandler for Terminal {
    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("mcvsphere-tools", env!("CARGO_PKG_VERSION"));
        let capabilities = match self.asks {
            true => ClientCapabilities::builder().enable_elicitation().build(),
            false => ClientCapabilities::default(),
        };
        ClientConfig::new(capabilities, name)
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        let answer = tokio::task::spawn_blocking(move || ask_here(&message));
        let agreed = answer.await.is_ok_and(|agreed| agreed.unwrap_or(false));
        Ok(match agreed {
            true => ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "confirm": true })),
            false => ElicitResult::new(ElicitationAction::Decline),
        })
    }
}

/// Puts a question to the person before the terminal, to which all but a yes is a no.
pub(crate) fn ask_here(message: &str) -> io::Result<bool> {
    ask(message, &mut io::stdin().lock(), &mut io::stderr())
}

/// Puts a question, to which all but a yes is a no.
fn ask(message: &str, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    write!(output, "{message}\n\nDo it? [y/N] ")?;
    output.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::ask;

    #[test]
    fn all_but_a_yes_is_a_no() {
        for (answer, agreed) in
            [("y\n", true), ("YES\n", true), ("\n", false), ("n\n", false), ("", false), ("yep\n", false)]
        {
            let mut output = Vec::new();
            assert_eq!(ask("Power off web-1?", &mut answer.as_bytes(), &mut output).unwrap(), agreed, "{answer:?}");
            assert_eq!(String::from_utf8(output).unwrap(), "Power off web-1?\n\nDo it? [y/N] ");
        }
    }
}
