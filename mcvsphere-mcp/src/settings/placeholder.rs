//! Placeholders: a client, a shell or a template should have put a value in their place, and has not.

/// Whether a value is a placeholder.
///
/// A password may hold any character, so that it is one only as a whole; in names and addresses a part is enough.
pub(super) fn is_placeholder(value: &str, secret: bool) -> bool {
    let value = value.trim();
    let between = |start: &str, end: &str| value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
    let bracketed = [("${", "}"), ("{{", "}}"), ("$(", ")")];
    let whole = bracketed.iter().any(|(start, end)| between(start, end).is_some_and(is_reference))
        // `%VCENTER_PASSWORD%` of the Windows command line, `$env:VCENTER_PASSWORD` of PowerShell.
        || between("%", "%").is_some_and(is_name)
        || value.strip_prefix("$env:").is_some_and(is_name)
        || between("<", ">").is_some_and(is_words)
        // What 1Password's command line replaces.
        || value.starts_with("op://")
        || value.strip_prefix('$').is_some_and(|name| is_name(name) && (!secret || is_name_of_a_variable(name)));
    let part =
        || bracketed.iter().any(|(start, end)| value.split_once(start).is_some_and(|(_, rest)| rest.contains(end)));
    whole || (!secret && part())
}

/// `NAME`, `env:NAME`, `input:password`, `NAME:-default`, ` secrets.NAME `, `{ secrets.NAME }`.
fn is_reference(inner: &str) -> bool {
    let inner = inner.trim_matches([' ', '{', '}']);
    inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.')) && !inner.contains(['{', '}'])
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `<password>`, `<your password>`.
fn is_words(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ' | '.'))
}

/// Whether a name that follows a dollar sign is that of a variable, and not the rest of a password such as `$Summer24`.
fn is_name_of_a_variable(name: &str) -> bool {
    let upper = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let speaks_of_it = ["pass", "pwd", "secret", "vcenter", "vsphere"];
    (upper && name.len() > 2) || speaks_of_it.iter().any(|word| name.to_ascii_lowercase().contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_clients_shells_and_templates_are_known() {
        for text in [
            "${VCENTER_PASSWORD}",
            " ${VCENTER_PASSWORD} ",
            "${env:VCENTER_PASSWORD}",
            "${input:password}",
            "${VCENTER_PASSWORD:-}",
            "${{ secrets.VCENTER_PASSWORD }}",
            "$VCENTER_PASSWORD",
            "$password",
            "$PW_1PASS",
            "$env:VCENTER_PASSWORD",
            "%VCENTER_PASSWORD%",
            "%password%",
            "<password>",
            "<your password>",
            "<YOUR_PASSWORD>",
            "{{ vcenter_password }}",
            "{{.Values.password}}",
            "$(VCENTER_PASSWORD)",
            "$(cat password.txt)",
            "op://vault/vcenter/password",
        ] {
            assert!(is_placeholder(text, true), "{text}");
            assert!(is_placeholder(text, false), "{text}");
        }
        for text in ["$host", "https://${VCENTER_HOST}/sdk", "{{host}}:443", "${USER}@vsphere.local"] {
            assert!(is_placeholder(text, false), "{text}");
        }
    }

    #[test]
    fn real_passwords_and_names_are_taken() {
        for text in [
            "pa$$word",
            "$Summer24",
            "$UMMER2024",
            "$ecret1",
            "$3cret",
            "$",
            "$$",
            "${",
            "}{",
            "a${b}",
            "${b}a",
            "100%",
            "%",
            "%%",
            "%a%b%",
            "5%off%",
            "<3 you>",
            "<>",
            "<a",
            "a>b",
            "{{",
            "{}",
            "{a}",
            "$()",
            "$(1)",
            "VCENTER_PASSWORD",
            "p@ss/word",
        ] {
            assert!(!is_placeholder(text, true), "{text}");
        }
        for text in
            ["vc.example.com", "DOMAIN\\svc$", "root@localos", "vm_network %2f 1", "/etc/vc.pem", "C:\\vc.pem", "a$b"]
        {
            assert!(!is_placeholder(text, false), "{text}");
        }
    }
}
