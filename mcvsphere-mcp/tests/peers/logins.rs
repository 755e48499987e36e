//! Users log in with the official MCP client at an independent provider of identities.

use std::path::Path;

use peers::logins;
use serde_json::{Value, json};

use super::MCVSPHERE;

fn users() -> Value {
    json!({
        "viewer": ["staff", "vsphere-viewers"],
        "operator": ["vsphere-operators"],
        "admin": ["vsphere-readers", "vsphere-super-admins"],
        "stranger": ["staff"],
    })
}

fn has(user: &Value, tool: &str) -> bool {
    user["tools"].as_array().unwrap_or_else(|| panic!("no tools: {user}")).iter().any(|name| name == tool)
}

fn check(told: &Value) {
    for (user, level) in [("viewer", 0), ("operator", 1), ("admin", 2)] {
        for (tool, needed) in [("list_vms", 0), ("power_on_vm", 1), ("run_command_in_guest", 2)] {
            assert_eq!(has(&told[user], tool), level >= needed, "{user} {tool}");
        }
    }
}

#[tokio::test]
#[ignore = "needs oidc-provider: cargo xtask peers"]
async fn peers_users_log_in_through_the_login_proxy() {
    let told = logins("proxy", Path::new(MCVSPHERE), &users()).await.unwrap();
    check(&told);
    for user in ["viewer", "operator", "admin"] {
        assert_eq!(told[user]["refreshed"], true, "{user}");
    }
    assert_eq!(told["stranger"]["refused"], "access_denied");
}

#[tokio::test]
#[ignore = "needs oidc-provider: cargo xtask peers"]
async fn peers_users_log_in_at_the_provider_itself() {
    let told = logins("direct", Path::new(MCVSPHERE), &users()).await.unwrap();
    check(&told);
    assert_eq!(told["stranger"]["tools"], json!([]));
}
