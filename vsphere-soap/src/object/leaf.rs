//! Values that are text on the wire: numbers, strings, dates, bytes and references.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use chrono::{Datelike as _, FixedOffset, NaiveDateTime, TimeZone as _};

use super::{Item, Value};

/// A point in time with the offset that the server gave. Without one, the server meant UTC.
pub type DateTime = chrono::DateTime<FixedOffset>;

/// The text of an element.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    /// The text, without markup.
    pub content: Cow<'a, str>,
    /// The attribute `type` that a reference carries.
    pub reference_type: Option<Cow<'a, str>>,
}

impl<'a> Text<'a> {
    /// Plain text.
    pub fn new(content: impl Into<Cow<'a, str>>) -> Self {
        Self { content: content.into(), reference_type: None }
    }
}

/// Text that is not a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadText {
    /// The expected type.
    pub expected: &'static str,
}

/// A type whose values are text on the wire.
pub trait Leaf: Default + Item + 'static {
    /// Reads the value; `None` where the text stands for an unset value.
    ///
    /// # Errors
    /// The text is not a value of this type.
    fn parse(text: Text<'_>) -> Result<Option<Self>, BadText>;

    /// Takes a value of the same kind.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

/// Numbers: an empty element is an unset value, white space around the digits is allowed by XML Schema.
macro_rules! number {
    ($($rust:ty, $variant:ident, $name:literal, $parse:expr;)*) => {$(
        impl Leaf for $rust {
            fn parse(text: Text<'_>) -> Result<Option<Self>, BadText> {
                match text.content.trim_ascii() {
                    "" => Ok(None),
                    digits => $parse(digits).map(Some).ok_or(BadText { expected: $name }),
                }
            }

            fn from_value(value: Value<'_>) -> Option<Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
        }

        impl Item for $rust {
            fn value(&self) -> Value<'_> {
                Value::$variant(*self)
            }
        }
    )*};
}

number! {
    bool, Boolean, "boolean", parse_boolean;
    i8, Byte, "byte", |s: &str| s.parse().ok();
    i16, Short, "short", |s: &str| s.parse().ok();
    i32, Int, "int", |s: &str| s.parse().ok();
    i64, Long, "long", |s: &str| s.parse().ok();
    f32, Float, "float", parse_float;
    f64, Double, "double", parse_float;
}

fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// XML Schema writes the infinities as `INF` and `-INF`.
fn parse_float<F: std::str::FromStr>(text: &str) -> Option<F> {
    match text {
        "INF" | "+INF" => "inf".parse().ok(),
        "-INF" => "-inf".parse().ok(),
        _ => text.parse().ok(),
    }
}

impl Leaf for String {
    fn parse(text: Text<'_>) -> Result<Option<Self>, BadText> {
        Ok(Some(text.content.into_owned()))
    }

    fn from_value(value: Value<'_>) -> Option<Self> {
        if let Value::String(value) = value { Some(value.to_owned()) } else { None }
    }
}

impl Item for String {
    fn value(&self) -> Value<'_> {
        Value::String(self)
    }
}

impl Leaf for DateTime {
    fn parse(text: Text<'_>) -> Result<Option<Self>, BadText> {
        match text.content.trim_ascii() {
            "" => Ok(None),
            text => parse_date_time(text).map(Some).ok_or(BadText { expected: "dateTime" }),
        }
    }

    fn from_value(value: Value<'_>) -> Option<Self> {
        if let Value::DateTime(value) = value { Some(*value) } else { None }
    }
}

impl Item for DateTime {
    fn value(&self) -> Value<'_> {
        Value::DateTime(self)
    }
}

fn parse_date_time(text: &str) -> Option<DateTime> {
    DateTime::parse_from_rfc3339(text).ok().or_else(|| {
        let utc = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        // With more digits it could not be written with an offset.
        let utc = Some(utc).filter(|utc| (0..=9999).contains(&utc.year()))?;
        FixedOffset::east_opt(0)?.from_local_datetime(&utc).single()
    })
}

/// The text of a date: `Z` for UTC, as many fraction digits as it takes.
pub fn format_date_time(value: &DateTime) -> String {
    value.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Bytes that are base64 on the wire.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Binary(pub Vec<u8>);

/// Servers break base64 into lines and some leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl Binary {
    /// The bytes as base64.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.0)
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binary({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Leaf for Binary {
    fn parse(text: Text<'_>) -> Result<Option<Self>, BadText> {
        let mut compact = text.content.into_owned();
        compact.retain(|c| !c.is_ascii_whitespace());
        let bytes = LENIENT.decode(compact);
        bytes.map(|bytes| Some(Self(bytes))).map_err(|_| BadText { expected: "base64Binary" })
    }

    fn from_value(value: Value<'_>) -> Option<Self> {
        if let Value::Binary(value) = value { Some(value.clone()) } else { None }
    }
}

impl Item for Binary {
    fn value(&self) -> Value<'_> {
        Value::Binary(self)
    }
}

/// A reference to a managed object (a moref): its type and its id, such as `VirtualMachine` and `vm-42`.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManagedObjectReference {
    /// The type of the managed object.
    pub type_: String,
    /// The id, unique within its server.
    pub value: String,
}

impl ManagedObjectReference {
    /// A reference to an object of this type with this id.
    pub fn new(type_: impl Into<String>, value: impl Into<String>) -> Self {
        Self { type_: type_.into(), value: value.into() }
    }
}

impl fmt::Display for ManagedObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.type_, self.value)
    }
}

impl fmt::Debug for ManagedObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Leaf for ManagedObjectReference {
    fn parse(text: Text<'_>) -> Result<Option<Self>, BadText> {
        let value = text.content.trim_ascii();
        if value.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self::new(text.reference_type.unwrap_or_default(), value)))
    }

    fn from_value(value: Value<'_>) -> Option<Self> {
        if let Value::Ref(value) = value { Some(value.clone()) } else { None }
    }
}

impl Item for ManagedObjectReference {
    fn value(&self) -> Value<'_> {
        Value::Ref(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Option<String> {
        DateTime::parse(Text::new(text)).unwrap().map(|d| format_date_time(&d))
    }

    #[test]
    fn date_time_is_read_in_all_its_forms() {
        for (text, same) in [
            ("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
            ("2026-02-03T04:05:06", "2026-02-03T04:05:06Z"),
            ("2026-02-03T04:05:06.5", "2026-02-03T04:05:06.500Z"),
            ("2026-02-03T04:05:06.123456Z", "2026-02-03T04:05:06.123456Z"),
            ("2026-02-03T04:05:06.1234567891234Z", "2026-02-03T04:05:06.123456789Z"),
            ("2026-02-03T04:05:06+05:30", "2026-02-03T04:05:06+05:30"),
            (" 2026-02-03T04:05:06.000-08:00\n", "2026-02-03T04:05:06-08:00"),
        ] {
            assert_eq!(date(text).as_deref(), Some(same), "{text}");
        }
        assert_eq!(date(""), None);
        assert!(DateTime::parse(Text::new("yesterday")).is_err());
    }

    #[test]
    fn base64_is_read_with_white_space_and_without_padding() {
        for text in ["aGVsbG8=", "aGVs\n bG8=\n", "aGVsbG8"] {
            assert_eq!(Binary::parse(Text::new(text)).unwrap().unwrap().0, b"hello", "{text}");
        }
        assert!(Binary::parse(Text::new("*")).is_err());
    }

    #[test]
    fn numbers_are_read_as_xml_schema_writes_them() {
        assert_eq!(bool::parse(Text::new("1")), Ok(Some(true)));
        assert_eq!(bool::parse(Text::new(" false ")), Ok(Some(false)));
        assert!(bool::parse(Text::new("yes")).is_err());
        assert_eq!(i32::parse(Text::new("+7")), Ok(Some(7)));
        assert_eq!(i32::parse(Text::new("")), Ok(None));
        assert!(i8::parse(Text::new("200")).is_err());
        assert_eq!(f64::parse(Text::new("-INF")), Ok(Some(f64::NEG_INFINITY)));
        assert!(f32::parse(Text::new("NaN")).unwrap().unwrap().is_nan());
    }
}
