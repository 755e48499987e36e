//! The entry in the registry of MCP servers (`server.json`), which names the packages of the other registries, and the marks by which it
//! knows that these belong to the same owner.

use std::fs;

use serde_json::{Value, json};

use super::{NAME, Release, SUMMARY, say, sha256};

const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";

/// Who owns the sources, where they are on GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner(String);

impl Owner {
    /// The owner of a repository.
    pub(super) fn of(repository: &str) -> Option<Self> {
        let (owner, _) = repository.strip_prefix("https://github.com/")?.split_once('/')?;
        (!owner.is_empty()).then(|| Self(owner.to_owned()))
    }

    /// The server's name in the registry.
    pub(super) fn server(&self) -> String {
        format!("io.github.{}/{NAME}", self.0)
    }

    /// The image.
    fn image(&self, version: &str) -> String {
        format!("ghcr.io/{}/{NAME}:{version}", self.0.to_lowercase())
    }
}

/// Writes the entry, once Cargo.toml names the repository.
///
/// # Errors
/// A bundle cannot be read.
pub(super) fn write(release: &Release) -> anyhow::Result<()> {
    let (Some(repository), Some(owner)) = (&release.repository, release.owner()) else {
        say("no server.json: Cargo.toml names no repository on GitHub, from which its name follows");
        return Ok(());
    };
    let mut bundles = Vec::new();
    for binary in &release.binaries {
        let path = release.bundle(binary);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        bundles.push((name, sha256(&fs::read(&path)?)));
    }
    let entry = entry(&release.version, repository, &owner, &bundles);
    fs::write(release.dist.join("server.json"), format!("{entry:#}\n"))?;
    Ok(())
}

fn entry(version: &str, repository: &str, owner: &Owner, bundles: &[(String, String)]) -> Value {
    let variable = |name: &str, description: &str, required: bool, secret: bool| json!({ "name": name, "description": description, "isRequired": required, "isSecret": secret });
    let environment = json!([
        variable("VCENTER_HOST", "vCenter Server or ESXi host", true, false),
        variable("VCENTER_USER", "User to log in as", true, false),
        variable("VCENTER_PASSWORD", "The user's password", true, true),
        variable(
            "VCENTER_THUMBPRINT",
            "SHA-256 of the certificate, where this computer does not trust it",
            false,
            false
        ),
        variable("MCP_READ_ONLY", "true: offer only tools that change nothing", false, false),
    ]);
    let arguments = json!([{ "type": "positional", "value": "stdio" }]);
    let package = |kind: &str, identifier: &str, runtime: Option<&str>| {
        let mut package = json!({
            "registryType": kind, "identifier": identifier, "transport": { "type": "stdio" }, "environmentVariables": environment,
        });
        if let Some(runtime) = runtime {
            package["runtimeHint"] = json!(runtime);
            package["packageArguments"] = arguments.clone();
        }
        package
    };
    let mut packages = Vec::new();
    for (kind, runtime) in [("pypi", "uvx"), ("npm", "npx")] {
        let mut of_registry = package(kind, NAME, Some(runtime));
        of_registry["version"] = json!(version);
        packages.push(of_registry);
    }
    // The version of an image is its tag.
    packages.push(package("oci", &owner.image(version), Some("docker")));
    for (name, sum) in bundles {
        let mut bundle = package("mcpb", &format!("{repository}/releases/download/v{version}/{name}"), None);
        bundle["fileSha256"] = json!(sum);
        packages.push(bundle);
    }
    json!({
        "$schema": SCHEMA,
        "name": owner.server(),
        "title": "VMware vSphere",
        "description": SUMMARY,
        "version": version,
        "repository": { "url": repository, "source": "github" },
        "packages": packages,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_follow_from_the_repository() {
        let owner = Owner::of("https://github.com/Some-Body/mcvsphere").unwrap();
        let entry = entry(
            "1.2.3",
            "https://github.com/Some-Body/mcvsphere",
            &owner,
            &[("mcvsphere-1.2.3-linux-x64.mcpb".to_owned(), "ab".repeat(32))],
        );
        assert_eq!(entry["name"], "io.github.Some-Body/mcvsphere");
        let identifiers: Vec<&str> =
            entry["packages"].as_array().unwrap().iter().filter_map(|it| it["identifier"].as_str()).collect();
        assert_eq!(
            identifiers,
            [
                "mcvsphere",
                "mcvsphere",
                "ghcr.io/some-body/mcvsphere:1.2.3",
                "https://github.com/Some-Body/mcvsphere/releases/download/v1.2.3/mcvsphere-1.2.3-linux-x64.mcpb"
            ]
        );
        assert!(SUMMARY.len() <= 100, "the registry takes no longer description");
        for other in ["https://example.com/a/b", "https://github.com/", "https://github.com//b"] {
            assert_eq!(Owner::of(other), None, "{other}");
        }
    }
}
