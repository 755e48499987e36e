//! Figures as reports show them.

/// Bytes in GiB, with two digits.
pub(crate) fn gib(bytes: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a size in GiB is shown with two digits")]
    let bytes = bytes as f64;
    two_digits(bytes / f64::from(1 << 30))
}

/// A figure with two digits: more of them say nothing, and cost whoever reads them.
pub(crate) fn two_digits(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

/// How much of a whole a part is, in per cent; `None` of nothing.
pub(crate) fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| two_digits(part / whole * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_two_digits() {
        assert_eq!(gib(1_610_612_736), 1.5);
        assert_eq!(gib(10_000_000), 0.01);
        assert_eq!(percent(1.0, 3.0), Some(33.33));
        assert_eq!(percent(1.0, 0.0), None);
    }
}
