//! A provider of identities that misbehaves as it is told to.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, StatusCode};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use super::super::login::known_as;

/// How the provider fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Status(u16),
    NoJson,
    /// It answers after this many milliseconds.
    Slow(u64),
}

/// What the provider does.
pub(super) struct Knobs {
    pub(super) trouble: Option<Trouble>,
    /// Where the trouble is; everywhere if this is empty.
    pub(super) trouble_at: &'static str,
    pub(super) subject: String,
    pub(super) name: String,
    /// The claims about groups, and in which token or answer they are: id, access or user.
    pub(super) groups: Value,
    pub(super) groups_in: &'static str,
    /// What its tokens and answers say in place of what is right.
    pub(super) issuer_in_tokens: Option<String>,
    pub(super) issuer_in_answers: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) audience: Option<Value>,
    pub(super) shared_secret: bool,
    pub(super) gives_refresh_tokens: bool,
    pub(super) id_token_at_refresh: bool,
    pub(super) refresh_expires_in: Option<u64>,
    pub(super) disabled: bool,
    pub(super) user_info_subject: Option<String>,
    /// What it says of tokens that only it can read.
    pub(super) introspected: Value,
}

pub(super) struct Idp {
    pub(super) issuer: String,
    clock: Arc<AtomicU64>,
    knobs: Mutex<Knobs>,
    keys: Mutex<Vec<(String, EcdsaKeyPair)>>,
    /// The logins by their code, and the refresh tokens that are good once.
    codes: Mutex<HashMap<String, (String, String)>>,
    refresh_tokens: Mutex<HashSet<String>>,
    pub(super) revoked: Mutex<Vec<String>>,
    next: AtomicU64,
    pub(super) reads_of_keys: AtomicU64,
    pub(super) refreshes: AtomicU64,
    pub(super) introspections: AtomicU64,
}

fn key() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
}

impl Idp {
    pub(super) const CLIENT: &str = "mcvsphere";
    pub(super) const SECRET: &str = "a client secret~of 32 characters";

    /// A provider that serves on a port of this computer.
    pub(super) async fn start(clock: Arc<AtomicU64>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let knobs = Knobs {
            trouble: None,
            trouble_at: "",
            subject: "248289761001".to_owned(),
            name: "jane".to_owned(),
            groups: json!({ "groups": ["staff", "vsphere-operators"] }),
            groups_in: "id",
            issuer_in_tokens: None,
            issuer_in_answers: None,
            nonce: None,
            audience: None,
            shared_secret: false,
            gives_refresh_tokens: true,
            id_token_at_refresh: true,
            refresh_expires_in: None,
            disabled: false,
            user_info_subject: None,
            introspected: json!({ "active": false }),
        };
        let idp = Arc::new(Self {
            issuer,
            clock,
            knobs: Mutex::new(knobs),
            keys: Mutex::new(vec![("k1".to_owned(), key())]),
            codes: Mutex::default(),
            refresh_tokens: Mutex::default(),
            revoked: Mutex::default(),
            next: AtomicU64::new(1),
            reads_of_keys: AtomicU64::new(0),
            refreshes: AtomicU64::new(0),
            introspections: AtomicU64::new(0),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/userinfo", get(user))
            .route("/revoke", post(revoke))
            .route("/introspect", post(introspect))
            .with_state(Arc::clone(&idp));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        idp
    }

    pub(super) fn set(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap()
    }

    /// Signs with another key from now on, and forgets the one before.
    pub(super) fn rotate(&self, id: &str) {
        *self.keys.lock().unwrap() = vec![(id.to_owned(), key())];
    }

    /// What the provider answers to a browser that was sent there: the address that it sends the browser to.
    pub(super) fn log_in(&self, address: &str) -> String {
        let url = Url::parse(address).unwrap();
        assert!(address.starts_with(&format!("{}/authorize?", self.issuer)), "{address}");
        let query: HashMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!((query["client_id"].as_str(), query["response_type"].as_str()), (Self::CLIENT, "code"));
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(!query.contains_key("resource"));
        let code = format!("upstream-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.codes.lock().unwrap().insert(code.clone(), (query["nonce"].clone(), query["code_challenge"].clone()));
        let mut back = Url::parse(&query["redirect_uri"]).unwrap();
        let issuer = self.set().issuer_in_answers.clone().unwrap_or_else(|| self.issuer.clone());
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &query["state"])
            .append_pair("iss", &issuer);
        back.into()
    }

    /// A token with these claims, those of time and issuer included.
    pub(super) fn signed(&self, header: Value, claims: Value) -> String {
        let now = self.clock.load(Ordering::Relaxed);
        let issuer = self.set().issuer_in_tokens.clone().unwrap_or_else(|| self.issuer.clone());
        let mut all = json!({ "iss": issuer, "iat": now, "exp": now + 300 });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let keys = self.keys.lock().unwrap();
        let (id, key) = &keys[0];
        let shared = self.set().shared_secret;
        let mut head = json!({ "alg": if shared { "HS256" } else { "ES256" }, "kid": id, "typ": "JWT" });
        head.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&all));
        let signature = match shared {
            true => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, Self::SECRET.as_bytes());
                hmac::sign(&secret, signed.as_bytes()).as_ref().to_vec()
            }
            false => key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The public key as it is published.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.keys.lock().unwrap()[0].1.public_key().as_ref().to_vec()
    }

    async fn trouble(&self, at: &str) -> Option<Response> {
        let trouble = {
            let knobs = self.set();
            knobs.trouble.filter(|_| knobs.trouble_at.is_empty() || knobs.trouble_at == at)
        };
        match trouble? {
            Trouble::Status(status) => {
                Some((StatusCode::from_u16(status).unwrap(), Json(json!({ "error": "oops" }))).into_response())
            }
            Trouble::NoJson => Some("<html>".into_response()),
            Trouble::Slow(ms) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                None
            }
        }
    }

    fn tokens(&self, nonce: Option<&str>) -> Value {
        let (subject, name, groups, place, audience, given_nonce) = {
            let knobs = self.set();
            let audience = knobs.audience.clone().unwrap_or_else(|| json!(Self::CLIENT));
            (
                knobs.subject.clone(),
                knobs.name.clone(),
                knobs.groups.clone(),
                knobs.groups_in,
                audience,
                knobs.nonce.clone(),
            )
        };
        let with_groups = |mut claims: Value, here: bool| {
            if here {
                claims.as_object_mut().unwrap().extend(groups.as_object().unwrap().clone());
            }
            claims
        };
        let id = json!({ "sub": subject, "aud": audience, "preferred_username": name, "nonce": given_nonce.as_deref().or(nonce) });
        let id_token = self.signed(json!({}), with_groups(id, place == "id"));
        let access = json!({ "sub": subject, "aud": "something", "preferred_username": name });
        let access_token = match place {
            "access" => self.signed(json!({ "typ": "at+jwt" }), with_groups(access, true)),
            _ => "opaque".to_owned(),
        };
        let mut answer = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300 });
        if nonce.is_some() || self.set().id_token_at_refresh {
            answer["id_token"] = id_token.into();
        }
        if self.set().gives_refresh_tokens {
            let token = format!("refresh-{}", self.next.fetch_add(1, Ordering::Relaxed));
            self.refresh_tokens.lock().unwrap().insert(token.clone());
            answer["refresh_token"] = token.into();
        }
        if let Some(ends) = self.set().refresh_expires_in {
            answer["refresh_expires_in"] = ends.into();
        }
        answer
    }
}

async fn discovery(State(idp): State<Arc<Idp>>) -> Response {
    if let Some(trouble) = idp.trouble("discovery").await {
        return trouble;
    }
    let at = |path: &str| format!("{}{path}", idp.issuer);
    Json(json!({
        "issuer": idp.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "userinfo_endpoint": at("/userinfo"),
        "revocation_endpoint": at("/revoke"),
        "introspection_endpoint": at("/introspect"),
        "scopes_supported": ["openid", "profile", "groups", "offline_access"],
        "authorization_response_iss_parameter_supported": true,
    }))
    .into_response()
}

async fn jwks(State(idp): State<Arc<Idp>>) -> Response {
    idp.reads_of_keys.fetch_add(1, Ordering::Relaxed);
    if let Some(trouble) = idp.trouble("jwks").await {
        return trouble;
    }
    let odd = json!({ "kty": "RSA", "use": "enc", "kid": "enc", "n": "AQAB", "e": "AQAB" });
    let mut all = vec![json!(null), json!({ "kty": "?" }), odd];
    for (id, key) in &*idp.keys.lock().unwrap() {
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        all.push(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": x, "y": y }));
    }
    Json(json!({ "keys": all })).into_response()
}

fn check_client(headers: &HeaderMap) {
    // Encoded as a form is, but for what providers that do not decode it could be sent as it is.
    let pair = BASE64_STANDARD.encode("mcvsphere:a+client+secret~of+32+characters");
    assert_eq!(headers["authorization"], format!("Basic {pair}"));
}

async fn introspect(State(idp): State<Arc<Idp>>, headers: HeaderMap, body: Bytes) -> Response {
    idp.introspections.fetch_add(1, Ordering::Relaxed);
    check_client(&headers);
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    assert_eq!((form["token"].as_str(), form["token_type_hint"].as_str()), ("opaque-1", "access_token"));
    match idp.trouble("introspect").await {
        Some(trouble) => trouble,
        None => Json(idp.set().introspected.clone()).into_response(),
    }
}

async fn token(State(idp): State<Arc<Idp>>, headers: HeaderMap, body: Bytes) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let refused = || (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    check_client(&headers);
    if form["grant_type"] == "refresh_token" {
        idp.refreshes.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(trouble) = idp.trouble("token").await {
        return trouble;
    }
    if idp.set().disabled {
        return refused();
    }
    match form["grant_type"].as_str() {
        "authorization_code" => {
            let Some((nonce, challenge)) = idp.codes.lock().unwrap().remove(&form["code"]) else { return refused() };
            assert_eq!(known_as(&form["code_verifier"]), challenge);
            Json(idp.tokens(Some(&nonce))).into_response()
        }
        _ => {
            let is_good = idp.refresh_tokens.lock().unwrap().remove(&form["refresh_token"]);
            if is_good { Json(idp.tokens(None)).into_response() } else { refused() }
        }
    }
}

async fn user(State(idp): State<Arc<Idp>>) -> Response {
    if let Some(trouble) = idp.trouble("userinfo").await {
        return trouble;
    }
    let knobs = idp.set();
    let mut user =
        json!({ "sub": knobs.user_info_subject.as_ref().unwrap_or(&knobs.subject), "preferred_username": knobs.name });
    if knobs.groups_in == "user" {
        user.as_object_mut().unwrap().extend(knobs.groups.as_object().unwrap().clone());
    }
    Json(user).into_response()
}

async fn revoke(State(idp): State<Arc<Idp>>, body: Bytes) -> StatusCode {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    idp.refresh_tokens.lock().unwrap().remove(&form["token"]);
    idp.revoked.lock().unwrap().push(form["token"].clone());
    StatusCode::OK
}
