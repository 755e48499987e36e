//! Tokens and the metadata of clients as the fuzz targets call them, with any bytes.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{
    Access,
    client::{self, Client, from_document},
    groups::Groups,
    identity,
    jwt::{Jwt, Key, audiences},
    pages,
    redirect::{place, shown},
    seal::{Kind, Sealer},
};

pub(crate) const SECRET: &str = "a client secret of 32 characters";

/// A time that a token may name.
const NOW: u64 = 1_900_000_000;

static SEALER: LazyLock<Sealer> = LazyLock::new(|| sealer(String::new()));

fn sealer(context: String) -> Sealer {
    Sealer::new(SECRET, None, context).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The state of a login whose page asks for consent by this text.
pub(crate) fn state_of(base: &str, request: &str) -> Option<String> {
    let seal = sealer(format!("{base}\nhttp://127.0.0.1:9\nmcvsphere"));
    let pending: Value = seal.open(Kind::Request, 0, request).ok()?;
    seal.seal(Kind::State, u64::MAX, pending).ok()
}

/// Any bytes as a bearer token: nothing panics, and none is taken.
pub fn bearer(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    for kind in Kind::ALL {
        assert!(SEALER.open::<Value>(kind, NOW, token).is_err(), "{token}");
    }
    assert!(SEALER.open::<Access>(Kind::Access, NOW, token).is_err(), "{token}");
    Jwt::looks_like_one(token);
    // The public key of nobody.
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let keys: Vec<Key> = Key::of(&key).into_iter().collect();
    assert_eq!(keys.len(), 1);
    if let Ok(jwt) = Jwt::read(token) {
        jwt.has_key_in(&keys);
        assert!(jwt.check(&keys, "https://idp.example", NOW).is_err(), "{token}");
    }
}

/// Any bytes as the metadata of a client, or as the claims or a key of a provider: nothing panics; where a client is taken, its
/// addresses lead somewhere, and the page that names it has no markup but its own.
pub fn client(data: &[u8]) {
    let Ok(asked) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    audiences(&asked);
    identity::name(&asked);
    Groups::default().said(&asked);
    drop(Key::of(&Value::Object(asked.clone())));
    if let Ok(answer) = client::register(&SEALER, NOW, &asked) {
        let id = answer.get("client_id").and_then(Value::as_str).unwrap_or_default();
        match SEALER.open::<Client>(Kind::Client, NOW, id) {
            Ok(client) => check(&client),
            Err(why) => panic!("{why:?}: {answer}"),
        }
    }
    let url = asked.get("client_id").and_then(Value::as_str).unwrap_or_default();
    if let Ok(client) = from_document(url, &asked) {
        check(&client);
    }
}

fn check(client: &Client) {
    assert!(!client.name.is_empty() && !client.name.chars().any(char::is_control), "{client:?}");
    for redirect in &client.redirects {
        assert!(place(redirect).is_some() && client.allows(redirect), "{redirect}");
        assert!(!shown(redirect).is_empty(), "{redirect}");
        let page = pages::consent(client, redirect, "https://mcp.example", "sealed").html();
        let plain = Client { name: "x".to_owned(), redirects: client.redirects.clone(), host: None };
        let usual = pages::consent(&plain, REDIRECT, "https://mcp.example", "sealed").html();
        for c in ['<', '>', '"'] {
            assert_eq!(page.matches(c).count(), usual.matches(c).count(), "{page}");
        }
    }
}

const REDIRECT: &str = crate::fuzz::REDIRECT;
