//! Requests written by hand, so that they can be wrong.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A request to be sent on a connection of its own.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    address: SocketAddr,
    path: String,
    host: String,
    headers: Vec<(&'a str, String)>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// The first request of the older lifecycle.
pub(crate) fn initialize() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        },
    })
}

/// A request of the older lifecycle.
pub(crate) fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

impl<'a> Ask<'a> {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self { address, path: "/mcp".to_owned(), host: address.to_string(), headers: Vec::new() }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn path(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    pub(crate) fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// A request of the stateless lifecycle.
    pub(crate) async fn stateless(self, method: &str, mut params: Value) -> Reply {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().map(str::to_owned);
        let mut ask = self.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
        if let Some(name) = name {
            ask = ask.header("mcp-name", &name);
        }
        ask.json(&request(method, params)).await
    }

    pub(crate) async fn json(self, message: &Value) -> Reply {
        let ask = self.header("content-type", "application/json");
        ask.header("accept", "application/json, text/event-stream").send("POST", &message.to_string()).await
    }

    /// Sends it, and reads the answer to its end.
    pub(crate) async fn send(self, method: &str, body: &str) -> Reply {
        let mut head = format!("{method} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.path, self.host);
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (mut from, mut to) = stream.split();
        // A server that has refused the head does not read the body.
        let write = async {
            let _ = to.write_all(format!("{head}\r\n{body}").as_bytes()).await;
        };
        let mut bytes = Vec::new();
        let read = async {
            let _ = from.read_to_end(&mut bytes).await;
        };
        tokio::join!(write, read);
        Reply::read(&String::from_utf8(bytes).unwrap())
    }
}

impl Reply {
    pub(crate) fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut reply = Self {
            status,
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: String::new(),
        };
        let chunked = reply.header("transfer-encoding").is_some();
        reply.body = if chunked { whole(body) } else { body.to_owned() };
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The last message, of a stream or alone.
    pub(crate) fn message(&self) -> Value {
        let last = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(str::trim)
            .rfind(|line| !line.is_empty());
        match last {
            Some(line) => serde_json::from_str(line).unwrap(),
            None => self.json(),
        }
    }
}

/// A body without the marks of its chunks.
fn whole(mut chunks: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0).min(rest.len());
        if size == 0 {
            break;
        }
        body.push_str(&rest[..size]);
        chunks = rest[size..].trim_start_matches("\r\n");
    }
    body
}
