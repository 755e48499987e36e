//! Users log in with the official MCP clients, at providers of identities that others wrote.

use std::path::Path;

use mcvsphere_mcp::{Server, SettingArgs, Settings, http::HttpServer};
use peers::{IdentityProvider, Language, Lifecycle, McpClient, conformance_of_logins, free_port, look_at_logins};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use vsphere_sim::{Model, Sim};

/// The users, each with what their groups let them do: 0 is to read, 1 to operate, and 2 anything.
const USERS: [(&str, Option<u8>); 4] =
    [("viewer", Some(0)), ("operator", Some(1)), ("admin", Some(2)), ("stranger", None)];

pub(crate) fn users() -> Value {
    json!({
        "viewer": ["staff", "vsphere-viewers"],
        "operator": ["vsphere-operators"],
        "admin": ["vsphere-readers", "vsphere-super-admins"],
        "stranger": ["staff"],
    })
}

/// The URL of a server that does not listen yet.
pub(crate) fn base() -> String {
    format!("http://127.0.0.1:{}", free_port().unwrap())
}

/// A server before a simulated vCenter, where users log in.
pub(crate) struct Place {
    pub(crate) base: String,
    _serving: JoinSet<()>,
    _sim: Sim,
}

impl Place {
    pub(crate) async fn new(mode: &str, base: &str, provider: &IdentityProvider) -> Self {
        let sim = Sim::start(Model::demo()).await.unwrap();
        let (_, port) = base.rsplit_once(':').unwrap();
        let settings = Settings::new(&SettingArgs::default(), |name| {
            Some(match name {
                "MCP_TRANSPORT" => "streamable-http",
                "MCP_PORT" => port,
                "OAUTH_ENABLED" => "true",
                "OAUTH_MODE" => mode,
                "OAUTH_ISSUER_URL" => provider.issuer(),
                "OAUTH_BASE_URL" => base,
                "OAUTH_CLIENT_ID" => IdentityProvider::CLIENT,
                "OAUTH_CLIENT_SECRET" => provider.secret(),
                "OAUTH_SCOPES" => provider.scopes(),
                "OAUTH_INTROSPECTION" if mode == "direct" => "true",
                _ => return None,
            })
        });
        let settings = settings.unwrap().simulated(&sim);
        let server = HttpServer::bind(Server::new(&settings).unwrap(), &settings).await.unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(std::future::pending()));
        Self { base: base.to_owned(), _serving: serving, _sim: sim }
    }

    fn endpoint(&self) -> String {
        format!("{}/mcp", self.base)
    }

    /// Logs a user in, who then may do what their groups say.
    async fn log_in(&self, client: &McpClient, user: &str, may: u8, id: Option<&str>) -> Value {
        let told = client.log_in(&self.endpoint(), user, id).await.unwrap();
        let tools = told["tools"].as_array().unwrap_or_else(|| panic!("{user} {client:?}: {told}"));
        for (tool, needed) in [("list_vms", 0), ("power_off_vm", 1), ("run_command_in_guest", 2)] {
            assert_eq!(tools.iter().any(|name| name == tool), may >= needed, "{user} {tool} {client:?}");
        }
        assert_eq!(told["reads"]["returned"], 1, "{user} {client:?}: {}", told["reads"]);
        let code = if may >= 1 { "not_found" } else { "permission" };
        assert_eq!(told["refused_call"]["code"], code, "{user} {client:?}: {}", told["refused_call"]);
        told
    }
}

/// The official clients, in each lifecycle.
fn clients() -> Vec<McpClient> {
    let lifecycles = [Lifecycle::Older, Lifecycle::Stateless];
    let in_language = |language| lifecycles.map(|lifecycle| McpClient::new(lifecycle).written_in(language));
    [in_language(Language::JavaScript), in_language(Language::Python)].concat()
}

/// All users log in through the login proxy, with all clients.
async fn all_log_in(place: &Place) {
    for client in clients() {
        for (user, may) in USERS {
            match may {
                Some(may) => {
                    let told = place.log_in(&client, user, may, None).await;
                    assert_eq!(told["refreshed"], true, "{user} {client:?}");
                    assert_eq!(told["tools_after"], told["tools"], "{user} {client:?}");
                }
                None => {
                    let told = client.log_in(&place.endpoint(), user, None).await.unwrap();
                    assert_eq!(told, json!({ "refused": "access_denied" }), "{user} {client:?}");
                }
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs oidc-provider: cargo xtask peers"]
async fn peers_users_of_oidc_provider_log_in_through_the_login_proxy() {
    let base = base();
    let provider = IdentityProvider::oidc_provider(&base, &users()).await.unwrap();
    all_log_in(&Place::new("proxy", &base, &provider).await).await;
}

#[tokio::test]
#[ignore = "needs oidc-provider: cargo xtask peers"]
async fn peers_users_log_in_at_oidc_provider_itself() {
    let base = base();
    let provider = IdentityProvider::oidc_provider(&base, &users()).await.unwrap();
    let place = Place::new("direct", &base, &provider).await;
    let client = McpClient::new(Lifecycle::Older);
    for id in ["direct", "opaque"].map(Some) {
        for (user, may) in USERS {
            match may {
                Some(may) => drop(place.log_in(&client, user, may, id).await),
                None => {
                    let told = client.log_in(&place.endpoint(), user, id).await.unwrap();
                    assert_eq!(told["tools"], json!([]));
                    assert_eq!(told["reads"]["code"], "permission");
                }
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs canaille: cargo xtask peers"]
async fn peers_users_of_canaille_log_in_through_the_login_proxy() {
    let base = base();
    let provider = IdentityProvider::canaille(&base, &users()).await.unwrap();
    all_log_in(&Place::new("proxy", &base, &provider).await).await;
}

/// Both modes before Keycloak, whose groups have their whole path; what is changed there holds from the next refresh.
#[tokio::test]
#[ignore = "needs Keycloak: cargo xtask peers --all"]
async fn peers_slow_users_of_keycloak_log_in_both_ways() {
    let bases = [base(), base()];
    let [proxy, direct] = [0, 1].map(|at| bases[at].as_str());
    let provider = IdentityProvider::keycloak(&[proxy, direct], &users()).await.unwrap();
    let through = Place::new("proxy", proxy, &provider).await;
    let itself = Place::new("direct", direct, &provider).await;
    all_log_in(&through).await;
    let client = McpClient::new(Lifecycle::Older).setting("PEERS_SECRET", provider.secret());
    for (user, may) in USERS {
        if let Some(may) = may {
            let told = itself.log_in(&client, user, may, Some("direct")).await;
            assert_eq!(told["tools_after"], told["tools"], "{user}");
        }
    }

    let leave = provider.administration(&["leave", "admin", "vsphere-super-admins"]).unwrap();
    let told = itself.log_in(&client.clone().setting("PEERS_MEANWHILE", &leave), "admin", 2, Some("direct")).await;
    let after = told["tools_after"].as_array().unwrap();
    assert!(after.contains(&json!("list_vms")) && !after.contains(&json!("power_off_vm")), "{after:?}");

    let leave = provider.administration(&["leave", "operator", "vsphere-operators"]).unwrap();
    let told = through.log_in(&client.clone().setting("PEERS_MEANWHILE", &leave), "operator", 1, None).await;
    assert_eq!(told["refreshed"], false, "who is in no group any more is not logged in");
    let disable = provider.administration(&["disable", "viewer"]).unwrap();
    let told = through.log_in(&client.clone().setting("PEERS_MEANWHILE", &disable), "viewer", 0, None).await;
    assert_eq!(told["refreshed"], false, "who is disabled is not logged in");
}

/// The three things that the suite checks of an authorization server: two of its metadata, and a login.
#[tokio::test]
#[ignore = "needs the MCP conformance suite: cargo xtask peers"]
async fn peers_conformance_of_the_login_proxy() {
    let base = base();
    let provider = IdentityProvider::oidc_provider(&base, &users()).await.unwrap();
    let place = Place::new("proxy", &base, &provider).await;
    let results = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-authorization");
    if results.exists() {
        std::fs::remove_dir_all(&results).unwrap();
    }
    let checks = conformance_of_logins(&base, &place.endpoint(), "operator", &results).await.unwrap();
    assert!(checks >= 3, "{checks} checks");
}

/// The pages in a browser; `UPDATE_PICTURES=1` writes the pictures in `docs/pictures`.
#[tokio::test]
#[ignore = "needs Chromium: cargo xtask peers --all"]
async fn peers_slow_pages_of_logins_in_a_browser() {
    let base = base();
    let provider = IdentityProvider::oidc_provider(&base, &users()).await.unwrap();
    let place = Place::new("proxy", &base, &provider).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    let pictures = std::env::var_os("UPDATE_PICTURES").map(|_| folder.as_path());
    let seen = look_at_logins(&place.base, pictures).await.unwrap();
    assert_eq!(seen.len(), 54, "{seen:?}");
}
