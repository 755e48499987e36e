//! A client that writes its requests by hand: what a well-behaved one would not send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vsphere_sim::{Model, Sim};

pub(crate) struct Raw {
    pub(crate) sim: Sim,
    /// The header that carries the session; empty where nobody is logged in.
    session: String,
}

impl Raw {
    /// A client of a new server, over plain HTTP, that has not logged in.
    pub(crate) async fn stranger(model: Model) -> Self {
        let sim = Sim::listen_plain(model, ([127, 0, 0, 1], 0).into()).await.unwrap();
        Self { sim, session: String::new() }
    }

    /// A client that is logged in.
    pub(crate) async fn new(model: Model) -> Self {
        let mut raw = Self::stranger(model).await;
        let login = format!("<userName>{}</userName><password>{}</password>", Model::USER, Model::PASSWORD);
        let answer = raw.call("Login", "SessionManager", &login).await;
        let (_, cookie) = answer.split_once("vmware_soap_session=").unwrap();
        let (key, _) = cookie.split_once(';').unwrap();
        raw.session = format!("Cookie: vmware_soap_session={key}\r\n");
        raw
    }

    /// Calls a method of an object whose type is its id: the answer, with its head.
    pub(crate) async fn call(&self, method: &str, object: &str, arguments: &str) -> String {
        self.call_of(method, (object, object), arguments).await
    }

    /// Calls a method of an object of this type and id.
    pub(crate) async fn call_of(&self, method: &str, (type_, id): (&str, &str), arguments: &str) -> String {
        let document = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body><{method} xmlns=\"urn:vim25\">\
             <_this type=\"{type_}\">{id}</_this>{arguments}</{method}></e:Body></e:Envelope>"
        );
        self.ask("POST", "/sdk", &self.session, document.as_bytes()).await
    }

    /// An answer, with its head.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.sim.address()).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}
