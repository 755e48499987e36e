//! MCP bundles (`.mcpb`), which clients with a window install by a click and set up in a form.

use std::{fs, process::Command};

use serde_json::json;

use super::{Binary, NAME, Release, SUMMARY, output, tools::Tools};
use crate::scratch::Scratch;

/// Writes the bundle of each platform.
///
/// # Errors
/// A file cannot be written, or the packer refuses the manifest.
pub(super) fn write(release: &Release, tools: &Tools) -> anyhow::Result<()> {
    release.binaries.iter().try_for_each(|binary| bundle(release, tools, binary))
}

fn bundle(release: &Release, tools: &Tools, binary: &Binary) -> anyhow::Result<()> {
    let folder = Scratch::new()?;
    binary.put_into(&folder.path().join("server"))?;
    fs::copy(release.root.join("LICENSE"), folder.path().join("LICENSE"))?;
    let manifest = folder.path().join("manifest.json");
    fs::write(&manifest, format!("{:#}\n", self::manifest(release, binary)))?;
    output(Command::new(&tools.mcpb).arg("validate").arg(&manifest))?;
    output(Command::new(&tools.mcpb).arg("pack").arg(folder.path()).arg(release.bundle(binary))).map(drop)
}

/// What a client asks the user for. An empty answer is as a setting that is not set.
fn manifest(release: &Release, binary: &Binary) -> serde_json::Value {
    let mut manifest = json!({
        "manifest_version": "0.3",
        "name": NAME,
        "display_name": "VMware vSphere",
        "version": release.version,
        "description": SUMMARY,
        "author": { "name": "The authors of mcvsphere" },
        "license": "MIT",
        "keywords": ["vmware", "vsphere", "vcenter", "esxi"],
        "server": {
            "type": "binary",
            "entry_point": format!("server/{NAME}"),
            "mcp_config": {
                "command": format!("${{__dirname}}/server/{NAME}"),
                "args": ["stdio"],
                "env": {
                    "VCENTER_HOST": "${user_config.host}",
                    "VCENTER_USER": "${user_config.user}",
                    "VCENTER_PASSWORD": "${user_config.password}",
                    "VCENTER_THUMBPRINT": "${user_config.thumbprint}",
                    "MCP_READ_ONLY": "${user_config.read_only}",
                },
            },
        },
        "tools_generated": true,
        "compatibility": { "platforms": [binary.platform.node.0] },
        "user_config": {
            "host": {
                "type": "string", "title": "vCenter or ESXi host", "required": true,
                "description": "Its name, such as vcenter.example.com",
            },
            "user": {
                "type": "string", "title": "User", "required": true,
                "description": "Such as administrator@vsphere.local; an account that may only look is a good start",
            },
            "password": {
                "type": "string", "title": "Password", "required": true, "sensitive": true,
                "description": "The user's password",
            },
            "thumbprint": {
                "type": "string", "title": "Fingerprint of the certificate", "default": "",
                "description": "SHA-256 or SHA-1, if this computer does not trust the certificate",
            },
            "read_only": {
                "type": "boolean", "title": "Change nothing", "default": true,
                "description": "Offer only tools that read",
            },
        },
    });
    if let Some(url) = &release.repository {
        manifest["repository"] = json!({ "type": "git", "url": url });
    }
    manifest
}
