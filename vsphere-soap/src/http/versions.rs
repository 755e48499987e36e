//! Which version of the API to speak with a server.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::transport::Transport;
use crate::error::{ErrorKind, Result};

/// The versions of the vim25 API that a server speaks, as it says in `vimServiceVersions.xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceVersions {
    version: String,
    prior: Vec<String>,
}

impl ServiceVersions {
    /// Reads the document; nothing, if it is no XML or does not speak of `urn:vim25`.
    ///
    /// A document that is cut off counts as far as it goes.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(document);
        let mut reader = Reader::from_str(&text);
        let mut open: Vec<String> = Vec::new();
        let mut name = String::new();
        let mut found = Vec::new();
        loop {
            match reader.read_event() {
                Ok(Event::Start(tag)) => {
                    if tag.local_name().as_ref() == "namespace" {
                        name.clear();
                    }
                    // Deeper than the document ever is: not what it claims to be.
                    if open.len() == MAX_DEPTH {
                        break;
                    }
                    open.push(tag.local_name().as_ref().to_owned());
                }
                Ok(Event::End(_)) => {
                    open.pop();
                }
                Ok(Event::Text(text)) => {
                    let text = text.trim();
                    let mut up = open.iter().rev().map(String::as_str);
                    match (up.next(), up.next()) {
                        (Some("name"), Some("namespace")) => name = text.to_owned(),
                        (Some("version"), Some("namespace" | "priorVersions"))
                            if name == NAMESPACE && !text.is_empty() =>
                        {
                            found.push(text.to_owned());
                        }
                        _ => {}
                    }
                }
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
        let mut versions = found.into_iter();
        let version = versions.next()?;
        Some(Self { version, prior: versions.collect() })
    }

    /// The newest version that the server speaks.
    pub fn newest(&self) -> &str {
        &self.version
    }

    /// Whether the server speaks a version.
    pub fn speaks(&self, version: &str) -> bool {
        self.version == version || self.prior.iter().any(|prior| prior == version)
    }
}

/// The newest version that both sides speak; `known` is ours, from the oldest to the newest.
///
/// A server newer than us lists ours among its prior versions; an older one lists some of our older ones.
///
/// ```
/// use vsphere_soap::http::{ServiceVersions, negotiate};
///
/// let server = b"<namespaces><namespace><name>urn:vim25</name><version>8.0.3.0</version>
///     <priorVersions><version>8.0.2.0</version><version>7.0</version></priorVersions></namespace></namespaces>";
/// let server = ServiceVersions::parse(server).expect("a document about vim25");
/// assert_eq!(negotiate(&server, &["6.7", "7.0", "8.0.2.0"]), Some("8.0.2.0"));
/// ```
pub fn negotiate<'k>(server: &ServiceVersions, known: &[&'k str]) -> Option<&'k str> {
    known.iter().rev().find(|version| server.speaks(version)).copied()
}

impl Transport {
    /// Asks the server which versions it speaks; nothing, if it is reachable but does not say.
    ///
    /// # Errors
    /// What kept the question from being answered and may pass, or is a matter of trust: no connection, a timeout,
    /// TLS, HTTP 429, 502, 503 and 504.
    pub async fn service_versions(&self) -> Result<Option<ServiceVersions>> {
        match self.get_up_to("negotiate the API version", DOCUMENT, "text/xml, application/xml", MAX_DOCUMENT).await {
            Ok(answer) => Ok(ServiceVersions::parse(&answer.body)),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => match error.kind() {
                ErrorKind::Http { .. } | ErrorKind::TooLarge { .. } => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The version to speak with the server: see [`negotiate`].
    ///
    /// `fallback` is for servers that do not say or have none in common with `known`: proxies in between that let
    /// only `/sdk` through, and servers older than the document.
    ///
    /// # Errors
    /// As [`service_versions`](Self::service_versions).
    pub async fn negotiate_version(&self, known: &[&str], fallback: &str) -> Result<String> {
        let server = self.service_versions().await?;
        let common = server.as_ref().and_then(|server| negotiate(server, known));
        if common.is_none() {
            let newest = server.as_ref().map(ServiceVersions::newest);
            tracing::debug!(server = newest, fallback, "no common API version");
        }
        Ok(common.unwrap_or(fallback).to_owned())
    }
}

const NAMESPACE: &str = "urn:vim25";
const DOCUMENT: &str = "/sdk/vimServiceVersions.xml";
const MAX_DOCUMENT: u64 = 1 << 20;
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const VCENTER: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<!-- Copyright -->
<namespaces version="1.0">
 <namespace><name>urn:sms</name><version>99.0</version></namespace>
 <namespace>
  <name> urn:vim25 </name>
  <version>8.0.3.0</version>
  <priorVersions>
   <version>8.0.2.0</version><version>7.0.3.0</version><version>6.7</version><version>2.0</version>
  </priorVersions>
 </namespace>
 <namespace><name>urn:vim</name><version>98.0</version><priorVersions><version>97</version></priorVersions></namespace>
</namespaces>"#;

    #[test]
    fn the_newest_that_both_speak() {
        let server = ServiceVersions::parse(VCENTER.as_bytes()).unwrap();
        assert_eq!(server.newest(), "8.0.3.0");
        for (known, expected) in [
            (&["6.7", "7.0.3.0", "8.0.3.0"][..], Some("8.0.3.0")),
            // The server is newer than us.
            (&["6.5", "6.7", "7.0.3.0"], Some("7.0.3.0")),
            // The server is older than us.
            (&["8.0.2.0", "8.0.3.0", "9.0.0.0", "9.1.1.0"], Some("8.0.3.0")),
            // A version of ours that this server's line never had.
            (&["7.0.3.0", "8.0.1.5"], Some("7.0.3.0")),
            (&["9.0.0.0", "9.1.1.0"], None),
            (&["99.0", "98.0", "97"], None),
            (&[], None),
        ] {
            assert_eq!(negotiate(&server, known), expected, "{known:?}");
        }
    }

    #[test]
    fn documents_in_other_shapes() {
        let only = "<namespaces><namespace><name>urn:vim25</name><version>5.0</version></namespace></namespaces>";
        assert!(ServiceVersions::parse(only.as_bytes()).unwrap().speaks("5.0"));
        let prefixed = r#"<n:namespaces xmlns:n="x"><n:namespace><n:name>urn:vim25</n:name><n:version>5.1</n:version></n:namespace></n:namespaces>"#;
        assert_eq!(ServiceVersions::parse(prefixed.as_bytes()).unwrap().newest(), "5.1");
        let cut = &VCENTER[..VCENTER.find("7.0.3.0").unwrap()];
        assert!(ServiceVersions::parse(cut.as_bytes()).unwrap().speaks("8.0.2.0"));
    }

    #[test]
    fn what_says_nothing() {
        for document in [
            "",
            "not found",
            "<html><body>Log in<br></body></html>",
            "<namespaces/>",
            "<namespaces><namespace><name>urn:vim25</name><version> </version></namespace></namespaces>",
            "<namespaces><namespace><name>urn:pbm</name><version>1.0</version></namespace></namespaces>",
            "\0\u{1}<<<>>>",
        ] {
            assert_eq!(ServiceVersions::parse(document.as_bytes()), None, "{document}");
        }
        assert_eq!(ServiceVersions::parse("<a>".repeat(1_000_000).as_bytes()), None);
    }
}
