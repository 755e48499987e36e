//! Logins from end to end, with a provider that misbehaves and a scripted browser. Names with `threat` are those of the threats that
//! the server is built against.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod deploy;
mod direct;
mod documents;
mod idp;
mod over_http;
mod proxy;
mod vcenter;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use http::{HeaderMap, Request, StatusCode, header};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use url::form_urlencoded;
use vsphere_soap::http::{Proxies, is_public};

use super::{Clock, Finding, OAuth, OAuthSettings, client::Documents, groups::Groups, login::known_as};
use crate::{
    Caller,
    audit::Audit,
    http::{
        Remote,
        authenticate::{Authenticator, Refused},
    },
};
use idp::{Idp, Trouble};

const BASE: &str = "https://mcp.example";
const RESOURCE: &str = "https://mcp.example/mcp";

/// A server, its provider and the time.
struct World {
    idp: Arc<Idp>,
    oauth: OAuth,
    now: Arc<AtomicU64>,
    /// The whole server, where its logins are looked at through it.
    whole: Option<Router>,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }

    /// The message of MCP in it, which may come as an event.
    fn message(&self) -> Value {
        let mut data = self.text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        match data.rfind(|data| !data.is_empty()) {
            Some(data) => serde_json::from_str(data).unwrap(),
            None => self.json(),
        }
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).unwrap_or_else(|| panic!("no {name}: {} {}", self.status, self.text)).to_str().unwrap()
    }

    /// The error of an answer to a program.
    fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }
}

impl World {
    async fn new(change: impl FnOnce(&mut OAuthSettings)) -> Self {
        let now = Arc::new(AtomicU64::new(1_900_000_000));
        let idp = Idp::start(Arc::clone(&now)).await;
        let mut settings = OAuthSettings {
            issuer: idp.issuer.clone(),
            base_url: BASE.to_owned(),
            mode: None,
            client_id: Some(Idp::CLIENT.to_owned()),
            client_secret: Some(Idp::SECRET.to_owned()),
            signing_key: None,
            previous_key: None,
            access_life: 1800,
            scopes: ["openid", "profile", "email"].map(str::to_owned).to_vec(),
            offline_access: true,
            groups: Groups::default(),
            introspection: false,
            audiences: Default::default(),
            proxies: Proxies::default(),
        };
        change(&mut settings);
        Self { oauth: Self::oauth(&settings, &now), idp, now, whole: None }
    }

    fn oauth(settings: &OAuthSettings, now: &Arc<AtomicU64>) -> OAuth {
        let time = Arc::clone(now);
        let clock: Clock = Arc::new(move || time.load(Ordering::Relaxed));
        OAuth::with(settings, Audit::default(), None, clock, Documents::new(is_public)).unwrap()
    }

    /// The same server after it was started again with other settings.
    fn restarted(&self, change: impl FnOnce(&mut OAuthSettings)) -> Self {
        let mut settings = self.oauth.inner.settings.clone();
        change(&mut settings);
        let oauth = Self::oauth(&settings, &self.now);
        Self { oauth, idp: Arc::clone(&self.idp), now: Arc::clone(&self.now), whole: None }
    }

    fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    fn router(&self) -> Router {
        self.whole.clone().unwrap_or_else(|| self.oauth.routes().unwrap())
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        request.headers_mut().entry(header::HOST).or_insert(http::HeaderValue::from_static("mcp.example"));
        // The whole server limits what one address may do.
        if self.whole.is_none() {
            request.extensions_mut().insert(Remote { address: [192, 0, 2, 7].into() });
        }
        let response = TowerToHyperService::new(self.router()).call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Posts a form as a program does.
    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn caller(&self, bearer: &str) -> Result<Caller, Refused> {
        let (parts, ()) = Request::get("/mcp").body(()).unwrap().into_parts();
        self.oauth.caller(bearer, &parts).await
    }

    /// What is wrong with a token that is refused.
    async fn refusal(&self, bearer: &str) -> String {
        self.caller(bearer).await.unwrap_err().reason().to_owned()
    }
}

/// A client that logs in as programs do.
struct Client {
    id: String,
    redirect: String,
    verifier: String,
}

impl Client {
    const REDIRECT: &str = "http://127.0.0.1:7777/cb";

    async fn register(world: &World, redirect: &str) -> Self {
        let body = serde_json::json!({ "client_name": "Test <b>client</b>", "redirect_uris": [redirect] });
        let answer = world.send(Request::post("/register").body(body.to_string().into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let id = answer.json()["client_id"].as_str().unwrap().to_owned();
        Self { id, redirect: redirect.to_owned(), verifier: "v".repeat(43) }
    }

    /// Where it sends the user, with these parameters in the place of its own.
    fn authorize(&self, changes: &[(&str, &str)]) -> String {
        let challenge = known_as(&self.verifier);
        let mut all = vec![
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("state", "the client's state"),
            ("scope", "openid unknown"),
            ("resource", RESOURCE),
        ];
        for (name, value) in changes {
            all.retain(|(other, _)| other != name);
            all.push((name, value));
        }
        format!("/authorize?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish())
    }

    async fn redeem(&self, world: &World, code: &str, changes: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", self.id.as_str()),
            ("redirect_uri", &self.redirect),
            ("code_verifier", &self.verifier),
            ("resource", RESOURCE),
        ];
        for (name, value) in changes {
            form.retain(|(other, _)| other != name);
            form.push((name, value));
        }
        world.post("/token", &form).await
    }

    async fn refresh(&self, world: &World, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", &self.id)];
        world.post("/token", &form).await
    }

    /// A whole login in a new browser: the tokens.
    async fn log_in(&self, world: &World) -> Value {
        let code = self.code(world).await;
        let answer = self.redeem(world, &code, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        answer.json()
    }

    async fn code(&self, world: &World) -> String {
        let mut browser = Browser::default();
        let answer = browser.log_in(world, &self.authorize(&[])).await;
        let query = query(answer.header(header::LOCATION));
        assert_eq!((query["state"].as_str(), query["iss"].as_str()), ("the client's state", BASE));
        query["code"].clone()
    }
}

/// The query of an address.
fn query(address: &str) -> HashMap<String, String> {
    url::Url::parse(address).unwrap().query_pairs().into_owned().collect()
}

/// A browser: it keeps cookies, fills in forms and follows where it is sent.
#[derive(Default, Clone)]
struct Browser {
    cookies: HashMap<String, String>,
}

impl Browser {
    async fn send(&mut self, world: &World, mut request: Request<Body>) -> Answer {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookies.join("; ").parse().unwrap());
        }
        let answer = world.send(request).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(
                cookie.starts_with("__Host-") && cookie.contains("; Path=/;") && !cookie.contains("Domain"),
                "{cookie}"
            );
            assert!(cookie.contains("HttpOnly; SameSite=Lax; Secure"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    async fn get(&mut self, world: &World, address: &str) -> Answer {
        let path = address.strip_prefix(BASE).unwrap_or(address);
        self.send(world, Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The page that asks for consent: the sealed request in its form.
    async fn ask(&mut self, world: &World, authorize: &str) -> String {
        let page = self.get(world, authorize).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let (_, rest) = page.text.split_once("name=\"request\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    async fn decide(&mut self, world: &World, request: &str, decision: &str, headers: &[(&str, &str)]) -> Answer {
        let pairs = [("request", request), ("decision", decision)];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut post = Request::post("/consent").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            post = post.header(*name, *value);
        }
        self.send(world, post.body(body.into()).unwrap()).await
    }

    /// Agrees, and is sent to the provider: the address there.
    async fn agree(&mut self, world: &World, authorize: &str) -> String {
        let request = self.ask(world, authorize).await;
        let answer =
            self.decide(world, &request, "allow", &[("origin", BASE), ("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        answer.header(header::LOCATION).to_owned()
    }

    /// All the way: what the server answers to the provider's answer.
    async fn log_in(&mut self, world: &World, authorize: &str) -> Answer {
        let provider = self.agree(world, authorize).await;
        let back = world.idp.log_in(&provider);
        self.get(world, &back).await
    }
}
