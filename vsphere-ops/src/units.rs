//! Amounts, kept as exactly as the server tells them, and shown as reports show them.

use std::fmt;

use serde::{Serialize, Serializer};

/// An amount of storage, exact to the byte. A report shows it in GiB with two digits.
///
/// ```
/// use vsphere_ops::Size;
///
/// let size = Size::of_bytes(1_610_612_736);
/// assert_eq!((size.bytes(), size.as_gib(), size.to_string().as_str()), (1_610_612_736, 1.5, "1.5 GiB"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(i64);

impl Size {
    /// So many bytes.
    pub const fn of_bytes(bytes: i64) -> Self {
        Self(bytes)
    }

    /// How many bytes it is.
    pub const fn bytes(self) -> i64 {
        self.0
    }

    /// How many GiB it is.
    #[allow(clippy::cast_precision_loss, reason = "no datastore is so large that the digits do not suffice")]
    pub fn as_gib(self) -> f64 {
        self.0 as f64 / f64::from(1 << 30)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} GiB", rounded(self.as_gib()))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(rounded(self.as_gib()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        f64::json_schema(generator)
    }
}

/// Writes a figure with two digits: more of them say nothing, and cost whatever reads them.
pub(crate) fn two_digits<S: Serializer>(figure: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(rounded(*figure))
}

/// The same of a figure that may be unknown.
pub(crate) fn two_digits_if_known<S: Serializer>(figure: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    figure.map(rounded).serialize(to)
}

fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// How much of a whole a part is, in per cent; `None` of nothing.
pub(crate) fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole * 100.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_size_is_exact_and_shown_with_two_digits() {
        for (bytes, shown) in [(1_610_612_736, 1.5), (10_000_000, 0.01), (0, 0.0)] {
            let size = Size::of_bytes(bytes);
            assert_eq!((size.bytes(), json!(size)), (bytes, json!(shown)));
        }
        assert_eq!(Size::of_bytes(10_000_000).as_gib(), 0.009_313_225_746_154_785);
    }

    #[test]
    fn figures_are_written_with_two_digits() {
        #[derive(Serialize)]
        struct Report {
            #[serde(serialize_with = "two_digits")]
            figure: f64,
            #[serde(serialize_with = "two_digits_if_known")]
            share: Option<f64>,
        }
        let report = Report { figure: 2.0 / 3.0, share: percent(1.0, 3.0) };
        assert_eq!(json!(report), json!({ "figure": 0.67, "share": 33.33 }));
        assert_eq!(percent(1.0, 0.0), None);
    }
}
