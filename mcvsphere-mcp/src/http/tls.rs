//! HTTPS by this server itself: a certificate and its key from two files, read again when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

/// How long the files are not looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// The certificate of this server.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    now: Mutex<Loaded>,
}

struct Loaded {
    acceptor: TlsAcceptor,
    /// The files as they were when they were last read, well or not.
    seen: Stamps,
    looked: Instant,
}

/// When the two files were last written, and how large they are.
type Stamps = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be read, or are no certificate with its key.
    pub(super) fn open(certificate: &Path, key: &Path) -> Result<Self, String> {
        let seen = stamps(certificate, key);
        let acceptor = load(certificate, key)?;
        let now = Loaded { acceptor, seen, looked: Instant::now() };
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), now: Mutex::new(now) })
    }

    /// What to meet the next client with: the files as they are now, or as they last were good.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= PAUSE {
            now.looked = Instant::now();
            let seen = stamps(&self.certificate, &self.key);
            if seen != now.seen {
                now.seen = seen;
                match load(&self.certificate, &self.key) {
                    Ok(acceptor) => {
                        now.acceptor = acceptor;
                        tracing::info!(certificate = %self.certificate.display(), "the certificate was read again");
                    }
                    // One file is written before the other, so that this may be over in a moment.
                    Err(error) => {
                        tracing::error!(error, "the certificate has changed, and the one before stays in use")
                    }
                }
            }
        }
        now.acceptor.clone()
    }
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn load(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    let problem = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| problem(certificate, &error))?;
    if chain.is_empty() {
        return Err(problem(certificate, &"has no certificate in PEM form"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, &error))?;
    let config =
        ServerConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret));
    let mut config = config.map_err(|error| problem(certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    /// A new certificate with its key, as PEM.
    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    #[test]
    fn a_bad_new_pair_keeps_the_old_one_and_a_good_one_takes_its_place() {
        let directory = std::env::temp_dir().join(format!("mcvsphere-tls-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let write = |(first, second): (&str, &str)| {
            fs::write(&certificate, first).unwrap();
            fs::write(&key, second).unwrap();
        };
        let (first, second) = (pair(), pair());
        write((&first.0, &first.1));
        let tls = Tls::open(&certificate, &key).unwrap();
        let used = || Arc::as_ptr(tls.acceptor().config());
        let look = || {
            tls.now.lock().unwrap().looked = Instant::now().checked_sub(PAUSE).unwrap();
        };
        let before = used();
        for bad in [(second.0.as_str(), first.1.as_str()), ("nothing", "nothing"), (&first.0, &second.1)] {
            write(bad);
            look();
            assert_eq!(used(), before);
            assert!(Tls::open(&certificate, &key).is_err());
        }
        write((&second.0, &second.1));
        look();
        assert_ne!(used(), before);
        fs::remove_dir_all(&directory).unwrap();
        let now = used();
        look();
        assert_eq!(used(), now);
    }
}
