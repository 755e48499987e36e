//! What `doctor` says of the server's certificate.

use vsphere_ops::Certificate;

use super::{Check, Verdict};
use crate::Settings;

/// A certificate that ends so soon should be made anew now.
const SOON_DAYS: i64 = 30;

/// What stands in the server's certificate. Where it is not reached, the connection says so.
pub(super) async fn check(settings: &Settings) -> Option<Check> {
    let config = settings.vsphere().ok()?;
    let Certificate { subject, issuer, names, not_before, not_after, thumbprint } = match Certificate::of(&config).await
    {
        Ok(certificate) => certificate,
        // The connection fails for the same reason, and says it.
        Err(error) if error.cause().is_some() => return None,
        // Plain http, which has none, among others.
        Err(error) => return Some(Check::new("certificate", Verdict::Warning, error.to_string())),
    };
    let now = chrono::Utc::now().fixed_offset();
    let left = (not_after - now).num_days();
    let (verdict, validity) = if now < not_before {
        // No failure: where it is pinned its dates do not count, and where it is not the connection fails.
        (Verdict::Warning, "it is not valid yet, or this machine's clock is wrong".to_owned())
    } else if now > not_after {
        (Verdict::Warning, "it has expired: make a new one".to_owned())
    } else if left < SOON_DAYS {
        (Verdict::Warning, format!("it expires in {left} days: make a new one"))
    } else {
        (Verdict::Ok, format!("{left} days left"))
    };
    let found = format!(
        "{}, signed by {}, for {}, valid from {} to {} ({validity}), SHA-256 {thumbprint}",
        named(&subject),
        if subject == issuer { "itself" } else { named(&issuer) },
        if names.is_empty() { "no name".to_owned() } else { names.join(", ") },
        not_before.date_naive(),
        not_after.date_naive(),
    );
    Some(Check::new("certificate", verdict, found))
}

/// The name in a certificate, which may have none.
fn named(name: &str) -> &str {
    if name.trim().is_empty() { "no name" } else { name }
}
