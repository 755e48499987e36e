//! Which names a VM may be given.

use crate::error::{Result, invalid};
use crate::name;

/// The longest name that vSphere takes, in characters.
const LONGEST_NAME: usize = 80;

/// The name as it is sent to the server, where a VM can have it.
///
/// # Errors
/// `invalid_argument`.
pub(crate) fn checked_name(operation: &str, wanted: &str) -> Result<String> {
    let shown = name::decode(wanted);
    let refused = match shown.chars().count() {
        _ if shown.trim().is_empty() => "the name is empty".to_owned(),
        length if length > LONGEST_NAME => {
            format!("a name has at most {LONGEST_NAME} characters, and this has {length}")
        }
        _ if shown.contains(char::is_control) => "the name has a control character".to_owned(),
        _ => return Ok(name::encode(wanted)),
    };
    Err(invalid(operation, refused).on(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_escaped() {
        let check = |name: &str| checked_name("create", name);
        assert_eq!(check("web/1").unwrap(), "web%2f1");
        assert_eq!(check("web%2f1").unwrap(), "web%2f1");
        assert!(check(&"x".repeat(80)).is_ok());
        for refused in ["", "  ", &"x".repeat(81), "a\nb"] {
            assert_eq!(check(refused).unwrap_err().code(), "invalid_argument", "{refused:?}");
        }
    }
}
