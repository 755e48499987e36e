//! The TLS of a connection: [`Trust`] put into practice.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InvalidMessage, OtherError, RootCertStore,
    SignatureScheme,
};

use super::trust::{Thumbprint, Trust};
use crate::cause::Cause;
use crate::error::{Error, ErrorKind, Result, TlsFailure};

/// Whose certificates a connection accepts.
#[derive(Debug)]
pub(super) enum Policy {
    /// Those that lead to a root, and those that are `listed` themselves.
    Roots { roots: Arc<dyn ServerCertVerifier>, listed: Vec<CertificateDer<'static>> },
    /// The one with this thumbprint.
    Pinned(Thumbprint),
    /// Everybody's.
    Anyone,
    /// Nobody's, for this reason.
    Nobody(Cow<'static, str>),
    /// Nobody's: the one that is presented is kept here, to be looked at.
    Show(Arc<Mutex<Option<Vec<u8>>>>),
}

impl Policy {
    /// The policy that a user's choice means on this machine.
    pub(super) fn of(trust: &Trust) -> Result<Self> {
        match trust {
            Trust::System => Ok(Self::system()),
            Trust::CaFile(path) => {
                let shown = format!("CA file {:?}", path.display().to_string());
                let pem =
                    std::fs::read(path).map_err(|cause| config(format!("the {shown} cannot be read: {cause}")))?;
                Self::listed(&pem, &shown)
            }
            Trust::CaPem(pem) => Self::listed(pem, "CA text"),
            Trust::Thumbprint(thumbprint) => Ok(Self::Pinned(*thumbprint)),
            Trust::Insecure => Ok(Self::Anyone),
        }
    }

    fn system() -> Self {
        match rustls_platform_verifier::Verifier::new(provider()) {
            Ok(roots) => Self::Roots { roots: Arc::new(roots), listed: Vec::new() },
            // Not an error yet: plain http needs no roots, and the handshake's own error names the thumbprint to pin.
            Err(cause) => Self::Nobody(format!("this system's trusted certificates cannot be read ({cause})").into()),
        }
    }

    fn listed(pem: &[u8], shown: &str) -> Result<Self> {
        let listed = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| config(format!("the {shown} is not valid PEM: {cause}")))?;
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(listed.iter().cloned());
        if added == 0 {
            return Err(config(format!("the {shown} holds no PEM certificate")));
        }
        let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|cause| config(format!("the {shown} cannot be used: {cause}")))?;
        Ok(Self::Roots { roots, listed })
    }
}

/// The TLS side of an HTTP client.
pub(super) fn client_config(policy: Policy) -> Result<ClientConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| config(format!("TLS cannot be set up: {cause}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { policy, algorithms }))
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(client)
}

/// Says of a failed handshake with `to` what the user needs to know.
pub(super) fn failure(to: String, error: &rustls::Error) -> TlsFailure {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error
        && let Some(refused) = other.downcast_ref::<Refused>()
    {
        let Refused { presented, reason, cause } = refused.clone();
        return TlsFailure { to, cause, reason, presented: Some(presented), source: None };
    }
    let (reason, cause) = match error {
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            (Cause::NotTls, "the port does not speak TLS")
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            (Cause::OldTls, "the server has no TLS version or cipher that is still safe")
        }
        rustls::Error::AlertReceived(_) => (Cause::Handshake, "the server refused the handshake"),
        _ => (Cause::Handshake, "the handshake failed"),
    };
    let source = Some(io::Error::other(error.to_string()));
    TlsFailure { to, cause: cause.into(), reason, presented: None, source }
}

/// A verifier that says which certificate it refuses, and why.
#[derive(Debug)]
struct Verifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate was refused. It travels through rustls and reqwest inside their errors.
#[derive(Debug, Clone)]
struct Refused {
    presented: Thumbprint,
    reason: Cause,
    cause: Cow<'static, str>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Refused {}

impl Verifier {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), (Cause, Cow<'static, str>)> {
        match &self.policy {
            Policy::Roots { roots, listed } => {
                let result = match roots.verify_server_cert(leaf, intermediates, name, ocsp, now) {
                    // Dates are checked before the issuer is looked for; the name is not.
                    Err(rustls::Error::InvalidCertificate(
                        CertificateError::UnknownIssuer | CertificateError::BadSignature | CertificateError::Other(_),
                    )) if listed.contains(leaf) => ParsedCertificate::try_from(leaf)
                        .and_then(|parsed| rustls::client::verify_server_name(&parsed, name)),
                    other => other.map(|_| ()),
                };
                result.map_err(|error| in_words(&error))
            }
            Policy::Pinned(pin) if pin.matches(leaf) => Ok(()),
            Policy::Pinned(_) => Err((Cause::OtherPin, "its thumbprint is not the pinned one".into())),
            Policy::Anyone => Ok(()),
            Policy::Nobody(why) => Err((Cause::Untrusted, why.clone())),
            Policy::Show(shown) => {
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.to_vec());
                Err((Cause::Untrusted, "no certificate is accepted where one is only looked at".into()))
            }
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(leaf, intermediates, name, ocsp, now).map(|()| ServerCertVerified::assertion()).map_err(
            |(reason, cause)| {
                let refused = Refused { presented: Thumbprint::sha256_of(leaf), reason, cause };
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
            },
        )
    }

    // A certificate is public: only these signatures show that the server has its key. A pin relies on them.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.policy {
            Policy::Anyone => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls12_signature(message, leaf, signature, &self.algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.policy {
            Policy::Anyone => Ok(HandshakeSignatureValid::assertion()),
            _ => verify_tls13_signature(message, leaf, signature, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Why a certificate was refused, for somebody who is no expert in TLS.
fn in_words(error: &rustls::Error) -> (Cause, Cow<'static, str>) {
    let rustls::Error::InvalidCertificate(cause) = error else {
        return (Cause::Handshake, error.to_string().into());
    };
    match cause {
        CertificateError::UnknownIssuer => (Cause::Untrusted, "it is signed by itself or by an unknown CA".into()),
        // As after a vCenter was set up again: its CA has the old name and a new key.
        CertificateError::BadSignature => {
            (Cause::Untrusted, "it is signed by another CA, of the same name as the trusted one".into())
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (Cause::Expired, "it has expired".into())
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (Cause::NotYetValid, "it is not valid yet (is the clock of this machine right?)".into())
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented: Vec<_> = presented.iter().take(5).map(String::as_str).collect();
            let made_for = if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") };
            (Cause::OtherName, format!("it is not made for {} but for {made_for}", expected.to_str()).into())
        }
        CertificateError::NotValidForName => (Cause::OtherName, "it is made for another name".into()),
        CertificateError::Other(OtherError(other)) => (Cause::Untrusted, other.to_string().into()),
        other => (Cause::Untrusted, other.to_string().into()),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(message: String) -> Error {
    Error::new("connect", ErrorKind::Config(message))
}
