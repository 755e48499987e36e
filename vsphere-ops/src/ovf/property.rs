//! The properties of a package: what type each has, and whether a value is one of it.

use serde::Serialize;
use vsphere_model::types::VAppPropertyInfo;

use crate::untrusted::Untrusted;

/// A property that is set when the package is deployed.
///
/// ```
/// use vsphere_ops::ovf::OvfProperty;
///
/// fn must_be_given(properties: &[OvfProperty]) -> Vec<&str> {
///     properties.iter().filter(|property| property.required).map(|property| property.key.as_str()).collect()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OvfProperty {
    /// The name by which it is set: `class.id.instance`, of which the first and the last may be missing.
    pub key: String,
    /// What it is called.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub label: Untrusted,
    /// What it is for.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub description: Untrusted,
    /// Under which heading it is shown.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub category: Untrusted,
    /// The type as vSphere writes it: `string(1..20)`, `password`, `int(0..10)`, `boolean`, `ip`, `string["a", "b"]`…
    #[serde(rename = "type")]
    pub type_: String,
    /// The value that it has where none is given. That of a password is not told.
    #[serde(skip_serializing_if = "Untrusted::is_empty")]
    pub default: Untrusted,
    /// Whether the author means it to be set; another one can only be set as a hidden property.
    pub user_configurable: bool,
    /// Whether a value must be given: without it the VM does not power on.
    pub required: bool,
}

impl OvfProperty {
    pub(super) fn of(info: &VAppPropertyInfo) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let type_ = text(&info.type_);
        let default = text(&info.default_value);
        let user_configurable = info.user_configurable != Some(false);
        Self {
            key: key_of(info),
            label: text(&info.label).into(),
            description: text(&info.description).into(),
            category: text(&info.category).into(),
            required: user_configurable && default.is_empty() && Type::of(&type_).check("").is_err(),
            type_,
            default: default.into(),
            user_configurable,
        }
    }

    /// The value as the server takes it.
    ///
    /// # Errors
    /// Why it is none of the type.
    pub(super) fn checked(&self, value: &str) -> Result<String, String> {
        Type::of(&self.type_).check(value)
    }
}

/// The name by which a property is set.
pub(super) fn key_of(info: &VAppPropertyInfo) -> String {
    let parts = [&info.class_id, &info.id, &info.instance_id];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).filter(|part| !part.is_empty()).collect();
    parts.join(".")
}

/// The type of a property.
#[derive(Debug, PartialEq)]
enum Type {
    /// Between so many and so many characters long.
    Text(usize, usize),
    OneOf(Vec<String>),
    Whole(i128, i128),
    Real(f64, f64),
    Truth,
    Address,
    /// One that vSphere fills in itself, or that is not known here: the server says what it takes.
    Any,
}

impl Type {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let base = text.split(['(', '[', ':']).next().unwrap_or_default().trim();
        let within = |open: char, close: char| {
            let inner = text.split_once(open)?.1;
            inner.rsplit_once(close).map(|(inner, _)| inner)
        };
        let bounds = within('(', ')').and_then(|inner| inner.split_once("..")).unwrap_or_default();
        let (low, high) = (bounds.0.trim(), bounds.1.trim());
        if let Some(choices) = within('[', ']').filter(|_| base == "string") {
            let choice = |choice: &str| choice.trim().trim_matches('"').to_owned();
            return Self::OneOf(choices.split(',').map(choice).collect());
        }
        match base {
            "string" | "password" => Self::Text(low.parse().unwrap_or(0), high.parse().unwrap_or(usize::MAX)),
            "int" => Self::Whole(low.parse().unwrap_or(i128::MIN), high.parse().unwrap_or(i128::MAX)),
            "real" => Self::Real(low.parse().unwrap_or(f64::MIN), high.parse().unwrap_or(f64::MAX)),
            "boolean" => Self::Truth,
            // With a network behind the colon vSphere takes an address of that network's pool.
            "ip" if !text.contains(':') => Self::Address,
            _ => Self::Any,
        }
    }

    fn check(&self, value: &str) -> Result<String, String> {
        let kept = || Ok(value.to_owned());
        match self {
            Self::Any => kept(),
            Self::Text(low, high) => match value.chars().count() {
                length if length < *low => Err(format!("it must have at least {low} characters")),
                length if length > *high => Err(format!("it must have at most {high} characters")),
                _ => kept(),
            },
            Self::OneOf(choices) => match choices.iter().any(|choice| choice == value) {
                true => kept(),
                false => Err(format!("it must be one of {}", choices.join(", "))),
            },
            Self::Whole(low, high) => match value.trim().parse::<i128>() {
                Ok(number) if (*low..=*high).contains(&number) => Ok(number.to_string()),
                Ok(_) if *high == i128::MAX => Err(format!("it must be {low} or more")),
                Ok(_) if *low == i128::MIN => Err(format!("it must be {high} or less")),
                Ok(_) => Err(format!("it must be between {low} and {high}")),
                Err(_) => Err("it must be a whole number".to_owned()),
            },
            Self::Real(low, high) => match value.trim().parse::<f64>() {
                Ok(number) if number >= *low && number <= *high => Ok(value.trim().to_owned()),
                Ok(_) => Err(format!("it must be between {low} and {high}")),
                Err(_) => Err("it must be a number".to_owned()),
            },
            // vSphere writes them with a capital letter.
            Self::Truth => match value.trim().to_ascii_lowercase().as_str() {
                "true" => Ok("True".to_owned()),
                "false" => Ok("False".to_owned()),
                _ => Err("it must be true or false".to_owned()),
            },
            Self::Address => match value.trim().parse::<std::net::IpAddr>() {
                Ok(address) => Ok(address.to_string()),
                Err(_) => Err("it must be an IP address".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_by_their_type() {
        for (type_, value, expected) in [
            ("string", "", Ok("")),
            ("string(2..4)", "äöü", Ok("äöü")),
            ("string(2..4)", "a", Err("at least 2")),
            ("string(..4)", "abcde", Err("at most 4")),
            ("password(8..)", "secret", Err("at least 8")),
            ("string[\"small\", \"large\"]", "large", Ok("large")),
            ("string[small, large]", "medium", Err("one of small, large")),
            ("int", "-7", Ok("-7")),
            ("int(0..10)", " 10 ", Ok("10")),
            ("int(0..10)", "11", Err("between 0 and 10")),
            ("int(0..)", "-1", Err("0 or more")),
            ("int", "1.5", Err("whole number")),
            ("real(0..1)", "0.5", Ok("0.5")),
            ("real(0..1)", "NaN", Err("between")),
            ("boolean", "TRUE", Ok("True")),
            ("boolean", "yes", Err("true or false")),
            ("ip", "192.0.2.7", Ok("192.0.2.7")),
            ("ip", "2001:db8::1", Ok("2001:db8::1")),
            ("ip", "192.0.2", Err("IP address")),
            ("ip:VM Network", "", Ok("")),
            ("expression(${x})", "anything", Ok("anything")),
        ] {
            let checked = Type::of(type_).check(value);
            match (checked, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{type_}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{type_}: {found}"),
                (checked, _) => panic!("{type_} {value:?}: {checked:?}"),
            }
        }
    }

    #[test]
    fn a_property_is_required_where_its_type_has_no_empty_value() {
        let required = |type_: &str, default: &str, user: bool| {
            let text = |text: &str| Some(text.to_owned());
            let info = VAppPropertyInfo {
                class_id: text("net"),
                id: text("host"),
                instance_id: text("1"),
                type_: text(type_),
                default_value: text(default),
                user_configurable: Some(user),
                ..Default::default()
            };
            let property = OvfProperty::of(&info);
            assert_eq!(property.key, "net.host.1");
            property.required
        };
        assert!(required("int", "", true) && required("string(1..)", "", true) && required("ip", "", true));
        assert!(!required("int", "5", true) && !required("string", "", true) && !required("int", "", false));
        assert!(!required("ip:VM Network", "", true));
    }
}
