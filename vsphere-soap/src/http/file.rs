//! Files that are fetched and sent beside SOAP: where one is, and what a request for it carries.

use std::fmt;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::{Position, Url};

use super::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::secrets::Secrets;

/// Where a file is: the server that has it, and the path and query there.
///
/// Queries often hold a token: `Debug` does not show them.
///
/// ```
/// use vsphere_soap::http::{Endpoint, FileLocation};
///
/// let vcenter: Endpoint = "vc.example.com".parse()?;
/// let disk = FileLocation::parse("https://esx1.example.com/nfc/52a3/disk-0.vmdk", &vcenter)?;
/// assert_eq!((disk.endpoint.host(), disk.path.as_str()), ("esx1.example.com", "/nfc/52a3/disk-0.vmdk"));
/// # Ok::<(), vsphere_soap::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FileLocation {
    /// The server.
    pub endpoint: Endpoint,
    /// The path on the server, with its query.
    pub path: String,
}

impl FileLocation {
    /// Reads a URL that the server `connected` gave.
    ///
    /// The host `*` in such a URL stands for the server that the client is connected to. Its port stands for that
    /// server's too: the client may reach it through a forwarded one. Every other host is taken as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is no http(s) URL, or holds a user name or password.
    pub fn parse(url: &str, connected: &Endpoint) -> Result<Self> {
        // The text of a URL that is wrong is not shown, as there may be a token in it.
        let invalid = |why: String| Error::new("find the file", ErrorKind::Config(why));
        let parsed = Url::parse(url).map_err(|cause| invalid(format!("the URL of the file is not valid: {cause}")))?;
        let path = parsed[Position::BeforePath..Position::AfterQuery].to_owned();
        if parsed.host_str() == Some("*") {
            return Ok(Self { endpoint: connected.clone(), path });
        }
        let endpoint = parsed[..Position::BeforePath].parse()?;
        Ok(Self { endpoint, path })
    }
}

impl fmt::Debug for FileLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileLocation({}{})", self.endpoint, shown(&self.path))
    }
}

/// A request that fetches or sends a file.
#[derive(Clone)]
#[non_exhaustive]
pub struct FileCall<'a> {
    /// What is being done, for errors and logs: a short verb phrase such as `download`.
    pub operation: &'a str,
    /// The file, as the user knows it.
    pub target: Option<&'a str>,
    /// The path on the server, with its query.
    pub path: &'a str,
    /// The id of a ticket for this one request, sent in place of the session.
    pub ticket: Option<&'a str>,
    /// How a file that is sent is to be taken.
    pub method: SendMethod,
    /// What a file that is sent says of itself.
    pub content_type: &'a str,
    /// The part of a file that is fetched: from which byte, and how many at most. All of it by default.
    pub part: Option<(u64, u64)>,
    /// More headers of a request that fetches a file. No error shows their values.
    pub headers: &'a [(&'a str, &'a str)],
}

/// How a server is to take a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SendMethod {
    /// `PUT`: the file is there afterwards, whatever was there before. For datastores and guests.
    #[default]
    Put,
    /// `PUT` that says that it may overwrite: for the files of a lease that are no disks, such as images.
    Replace,
    /// `POST`: for the disks of a lease, which the server unpacks.
    Post,
}

impl<'a> FileCall<'a> {
    /// A request that the session allows.
    pub fn new(operation: &'a str, path: &'a str) -> Self {
        let content_type = "application/octet-stream";
        Self {
            operation,
            target: None,
            path,
            ticket: None,
            method: SendMethod::Put,
            content_type,
            part: None,
            headers: &[],
        }
    }

    /// Names the file for errors and logs.
    #[must_use]
    pub fn target(mut self, target: &'a str) -> Self {
        self.target = Some(target);
        self
    }

    /// Sends the id of a service ticket in place of the session.
    #[must_use]
    pub fn ticket(mut self, id: Option<&'a str>) -> Self {
        self.ticket = id;
        self
    }

    /// Chooses how a file that is sent is to be taken; [`SendMethod::Put`] by default.
    #[must_use]
    pub fn method(mut self, method: SendMethod) -> Self {
        self.method = method;
        self
    }

    /// Says what kind of file is sent; `application/octet-stream` by default.
    #[must_use]
    pub fn content_type(mut self, kind: &'a str) -> Self {
        self.content_type = kind;
        self
    }

    /// Fetches a part of the file: from which byte, and how many at most.
    #[must_use]
    pub fn part(mut self, part: Option<(u64, u64)>) -> Self {
        self.part = part;
        self
    }

    /// Sends these headers, too, where the file is fetched.
    #[must_use]
    pub fn headers(mut self, headers: &'a [(&'a str, &'a str)]) -> Self {
        self.headers = headers;
        self
    }

    /// The headers that are sent, too.
    pub(super) fn more_headers(&self) -> Result<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in self.headers {
            let invalid = || self.failed(ErrorKind::Config(format!("the header {name:?} is not valid")));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            map.append(name, value);
        }
        Ok(map)
    }

    pub(super) fn failed(&self, kind: ErrorKind) -> Error {
        let error = Error::new(self.operation.to_owned(), kind);
        match self.target {
            Some(target) => error.on(target),
            None => error,
        }
    }

    /// The ticket, and the tokens in the path and the query: what no error may show.
    pub(super) fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::new();
        self.ticket.iter().for_each(|ticket| secrets.add(ticket));
        self.headers.iter().for_each(|(_, value)| secrets.add(value));
        lease_ticket(self.path).iter().for_each(|ticket| secrets.add(ticket));
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            // Others, such as the name of a datacenter, are what the error is about.
            if ["token", "ticket", "password", "secret"].iter().any(|word| name.to_ascii_lowercase().contains(word)) {
                secrets.add(&value);
            }
        }
        secrets
    }

    /// The cookie of the ticket.
    pub(super) fn ticket_cookie(&self) -> Result<Option<HeaderValue>> {
        let Some(id) = self.ticket else { return Ok(None) };
        let invalid = || self.failed(ErrorKind::Config("the service ticket is not valid".into()));
        if id.contains([';', ',']) {
            return Err(invalid());
        }
        let mut value = HeaderValue::from_str(&format!("vmware_cgi_ticket={id}")).map_err(|_| invalid())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for FileCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCall")
            .field("operation", &self.operation)
            .field("target", &self.target)
            .field("path", &shown(self.path))
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The ticket in the path of a lease's file, which is all that it takes to read or write that: `/nfc/52a3…/disk-0.vmdk`.
fn lease_ticket(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/nfc/").or_else(|| path.strip_prefix("/ha-nfc/"))?;
    rest.split(['/', '?']).next().filter(|ticket| !ticket.is_empty())
}

/// A path without what nobody may see of it.
fn shown(path: &str) -> String {
    let without_query = path.split('?').next().unwrap_or_default();
    match lease_ticket(path) {
        Some(ticket) => without_query.replacen(ticket, "…", 1),
        None => without_query.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_16_only_a_star_means_the_connected_host() {
        let connected: Endpoint = "https://vc.example.com:8443".parse().unwrap();
        for (url, endpoint, path) in [
            ("https://*/guestFile?id=1&token=a%2Fb", "https://vc.example.com:8443", "/guestFile?id=1&token=a%2Fb"),
            ("https://*:443/nfc/52/disk-0.vmdk", "https://vc.example.com:8443", "/nfc/52/disk-0.vmdk"),
            ("https://esx1/nfc/52/disk-0.vmdk", "https://esx1", "/nfc/52/disk-0.vmdk"),
            ("https://esx1:902/a?b#c", "https://esx1:902", "/a?b"),
            ("https://192.0.2.7/a%20b", "https://192.0.2.7", "/a%20b"),
            ("https://[2001:db8::1]:443/a", "https://[2001:db8::1]", "/a"),
            ("https://star.*.example/a", "https://star.*.example", "/a"),
        ] {
            let location = FileLocation::parse(url, &connected).unwrap();
            assert_eq!((location.endpoint.to_string().as_str(), location.path.as_str()), (endpoint, path), "{url}");
        }
    }

    #[test]
    fn urls_that_are_refused_are_not_shown() {
        let connected: Endpoint = "vc".parse().unwrap();
        for url in ["", "guestFile?token=hunter2", "ftp://esx1/?token=hunter2", "https://a:hunter2@esx1/"] {
            let error = FileLocation::parse(url, &connected).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Config(_)), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", FileLocation::parse("https://esx1/f?token=hunter2", &connected).unwrap());
        assert_eq!(shown, "FileLocation(https://esx1/f)");
        let shown = format!("{:?}", FileLocation::parse("https://esx1/nfc/52a3-b/disk-0.vmdk", &connected).unwrap());
        assert_eq!(shown, "FileLocation(https://esx1/nfc/…/disk-0.vmdk)");
    }

    #[test]
    fn headers_are_sent_as_they_are_and_not_shown() {
        let headers = [("Cookie", "a=hunter2"), ("X-Test", "1"), ("X-Test", "2")];
        let call = FileCall::new("download", "/").headers(&headers);
        let map = call.more_headers().unwrap();
        assert_eq!((map["cookie"].to_str().unwrap(), map.get_all("x-test").iter().count()), ("a=hunter2", 2));
        assert!(!format!("{call:?} {map:?}").contains("hunter2"));
        assert!(FileCall::new("download", "/").headers(&[("X", "a\r\nY: b")]).more_headers().is_err());
        assert!(FileCall::new("download", "/").headers(&[("X Y", "a")]).more_headers().is_err());
    }

    #[test]
    fn a_ticket_cannot_smuggle_cookies() {
        assert!(FileCall::new("download", "/").ticket(Some("52a3-b")).ticket_cookie().unwrap().is_some());
        for id in ["a; vmware_soap_session=x", "a\r\nX: y"] {
            assert!(FileCall::new("download", "/").ticket(Some(id)).ticket_cookie().is_err());
        }
    }
}
