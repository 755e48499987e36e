//! The certificate that a server presents, before anything is trusted.

use vsphere_model::types::DateTime;
use vsphere_soap::http::{Thumbprint, peer_certificate};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};

/// The content of a server's certificate. The server states all of it about itself, or whatever is between it and the client.
///
/// ```no_run
/// # async fn run(config: vsphere_ops::Config) -> vsphere_ops::Result<()> {
/// use vsphere_ops::Certificate;
///
/// let certificate = Certificate::of(&config).await?;
/// println!("{} until {}, {}", certificate.subject, certificate.not_after, certificate.thumbprint);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The subject that it identifies.
    pub subject: String,
    /// The authority that signed it.
    pub issuer: String,
    /// The names and addresses that it is valid for.
    pub names: Vec<String>,
    /// The beginning of its validity.
    pub not_before: DateTime,
    /// The end of its validity.
    pub not_after: DateTime,
    /// Its SHA-256 thumbprint, as vSphere shows it.
    pub thumbprint: String,
}

impl Certificate {
    /// Reads the certificate of the server in these settings, whether it is trusted or not. No password is sent.
    ///
    /// # Errors
    /// `connection` if the server can't be reached, `config` for plain HTTP, `corrupt` if it presents no certificate.
    pub async fn of(config: &Config) -> Result<Self> {
        let der = peer_certificate(&config.endpoint()?, &config.transport_options()?).await?;
        Self::parse(&der)
    }

    fn parse(der: &[u8]) -> Result<Self> {
        let corrupt = |text: String| Error::new("read the certificate", ErrorKind::Corrupt(text));
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| corrupt(format!("it is no X.509 certificate: {error}")))?;
        let time = |time: ASN1Time| {
            let time = chrono::DateTime::from_timestamp(time.timestamp(), 0);
            time.map(|time| time.fixed_offset()).ok_or_else(|| corrupt("its dates are beyond all time".to_owned()))
        };
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let names = alternative.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
            thumbprint: Thumbprint::sha256_of(der).to_string(),
        })
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(bytes), _) => Some(std::net::Ipv4Addr::from(bytes).to_string()),
            (_, Ok(bytes)) => Some(std::net::Ipv6Addr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn a_certificate_is_read_and_what_is_none_is_said_to_be_none() {
        let names = ["vc.example".to_owned(), "192.0.2.7".to_owned()];
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        let read = Certificate::parse(made.cert.der()).unwrap();
        assert_eq!((read.names.as_slice(), &read.subject), (names.as_slice(), &read.issuer));
        assert!(read.subject.starts_with("CN="), "{}", read.subject);
        assert!(read.not_before < read.not_after);
        assert_eq!(read.thumbprint, Thumbprint::sha256_of(made.cert.der()).to_string());
        assert_eq!(Certificate::parse(b"nothing").unwrap_err().code(), "corrupt");
    }
}
