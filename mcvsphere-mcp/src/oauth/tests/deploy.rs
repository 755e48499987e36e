//! The files of `deploy/`: they lead to all that the server serves to others, and set what it knows.

use std::{fs, path::PathBuf};

use super::*;
use crate::{SettingArgs, Settings};

/// What is served beside the endpoint of MCP, with a method that it takes.
const LOGIN: [(&str, &str); 6] = [
    ("GET", "/authorize"),
    ("POST", "/consent"),
    ("GET", "/auth/callback"),
    ("POST", "/token"),
    ("POST", "/register"),
    ("POST", "/revoke"),
];

fn deployed(file: &str) -> String {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy"));
    fs::read_to_string(root.join(file)).unwrap()
}

#[tokio::test]
async fn proxies_lead_to_all_that_a_login_needs() {
    let world = World::new(|_| {}).await;
    for (method, path) in LOGIN {
        let answer = world.send(Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await;
        assert_ne!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(deployed("nginx.conf").contains(&format!("location = {path} {{")), "{path}");
        // Logins are at one replica.
        assert!(deployed("nginx.conf").contains(&format!("{} ", &path[1..])), "{path}");
        assert!(deployed("Caddyfile").contains(&format!(" {path}")), "{path}");
        assert!(deployed("kubernetes/ingress.yaml").contains(&format!("- path: {path}\n")), "{path}");
    }
}

#[test]
fn the_settings_for_kubernetes_are_whole() {
    let secrets = deployed("kubernetes/secret.example.yaml");
    for file in ["kubernetes/deployment.yaml", "kubernetes/deployment-login.yaml"] {
        let manifest = deployed(file);
        // From the secret, under the names of the settings.
        let names: Vec<&str> = manifest
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- name: "))
            .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
            .collect();
        let secret = |name: &str| secrets.contains(&format!("\n  {name}: "));
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/settings.yaml");
        let settings = Settings::new(&SettingArgs::default(), |name| match name {
            "MCVSPHERE_CONFIG" => Some(config.to_owned()),
            "MCP_ALLOWED_HOSTS" if names.contains(&name) => Some("10.0.0.7".to_owned()),
            _ if names.contains(&name) && secret(name) => Some("a secret of more than 24 characters".to_owned()),
            _ => None,
        });
        let settings = settings.unwrap_or_else(|error| panic!("{file}: {error}"));
        settings.vsphere().unwrap_or_else(|error| panic!("{file}: {error}"));
        for name in ["VCENTER_PASSWORD", "OAUTH_CLIENT_SECRET", "MCP_SIGNING_KEY", "MCP_CLAIMS_PASSWORD"] {
            assert!(names.contains(&name) && secret(name), "{file}: {name}");
        }
    }
}
