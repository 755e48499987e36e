//! The programs for which `deploy/` has configurations find these right.

use std::{
    fs,
    path::{Path, PathBuf},
};

use peers::{manifests, tool};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

/// An empty folder.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
#[ignore = "needs nginx: cargo xtask peers"]
async fn peers_nginx_takes_its_configuration() {
    let folder = folder("nginx");
    let at = |name: &str| folder.join(name).display().to_string();
    let pair = rcgen::generate_simple_self_signed(["mcp.example.com".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), pair.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    fs::copy(deploy().join("nginx-proxy.conf"), folder.join("proxy.conf")).unwrap();
    let site = fs::read_to_string(deploy().join("nginx.conf")).unwrap();
    let mut here = site.clone();
    for (there, name) in [
        ("/etc/ssl/mcp.example.com.pem", "cert.pem"),
        ("/etc/ssl/private/mcp.example.com.key", "key.pem"),
        ("/etc/nginx/mcvsphere-proxy.conf", "proxy.conf"),
    ] {
        assert!(here.contains(there), "{there}");
        here = here.replace(there, &at(name));
    }
    let whole = |site: &str| {
        format!("pid {};\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{site}\n}}\n", at("nginx.pid"))
    };
    let main = at("nginx.conf");
    fs::write(&main, whole(&here)).unwrap();
    tool("PEERS_NGINX", &["-t", "-c", &main, "-p", &at("")]).await.unwrap();
    fs::write(&main, whole(&here.replace("server_name", "server_nam"))).unwrap();
    tool("PEERS_NGINX", &["-t", "-c", &main, "-p", &at("")]).await.unwrap_err();
}

#[tokio::test]
#[ignore = "needs Caddy: cargo xtask peers"]
async fn peers_caddy_takes_its_configuration() {
    let file = deploy().join("Caddyfile").display().to_string();
    tool("PEERS_CADDY", &["validate", "--adapter", "caddyfile", "--config", &file]).await.unwrap();
}

#[tokio::test]
#[ignore = "needs systemd: cargo xtask peers"]
async fn peers_systemd_takes_the_service_and_finds_it_confined() {
    let unit = fs::read_to_string(deploy().join("mcvsphere.service")).unwrap();
    // The program has to be there.
    let unit = unit.replace("/usr/local/bin/mcvsphere", super::MCVSPHERE);
    let path = folder("systemd").join("mcvsphere.service");
    fs::write(&path, &unit).unwrap();
    let path = path.display().to_string();
    let said = tool("PEERS_SYSTEMD_ANALYZE", &["verify", "--man=no", &path]).await.unwrap();
    assert_eq!(said.trim(), "");
    // In tenths of what systemd calls its exposure, from 0 to 100.
    tool("PEERS_SYSTEMD_ANALYZE", &["security", "--offline=true", "--threshold=20", &path]).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the schemas of Kubernetes: cargo xtask peers"]
async fn peers_manifests_fit_the_schemas_of_kubernetes() {
    let folder = deploy().join("kubernetes");
    if folder.exists() {
        let found = manifests(&folder).await.unwrap();
        assert!(found["checked"]["Deployment"].as_u64() >= Some(1), "{found}");
    }
    let wrong = self::folder("kubernetes");
    let spec = "{replicaz: 1, selector: {}, template: {spec: {containers: [{name: x}]}}}";
    let deployment = format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x}}\nspec: {spec}\n");
    fs::write(wrong.join("deployment.yaml"), deployment).unwrap();
    let error = manifests(&wrong).await.unwrap_err();
    assert!(format!("{error:#}").contains("replicaz"), "{error:#}");
}
