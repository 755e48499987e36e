//! Images for containers, written without a daemon: the program alone, as a user without rights, and twice: to serve MCP, and to
//! simulate a vCenter.
//!
//! A file is an OCI layout, which registries take, with the `manifest.json` of `docker save` beside it, which every
//! `docker load` knows.

use std::fs;

use chrono::DateTime;
use serde_json::{Value, json};

use super::{
    NAME, Release, SUMMARY,
    archive::{Tar, gzip},
    papers::Papers,
    platform::Platform,
    sha256,
    tools::Tools,
};

/// Where the program is in an image.
const PROGRAM: &str = "/usr/local/bin/mcvsphere";

/// Who runs it: nobody whom the host knows.
const USER: u32 = 65532;

/// The kind of what lists images.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What an image does.
struct Kind {
    name: &'static str,
    summary: &'static str,
    /// After the program.
    command: &'static [&'static str],
    arguments: &'static [&'static str],
    environment: &'static [&'static str],
    port: u16,
    /// What tells whether it lives.
    health: Option<&'static str>,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: NAME,
        summary: SUMMARY,
        command: &[],
        arguments: &[],
        environment: &["MCP_TRANSPORT=streamable-http", "MCP_HOST=0.0.0.0", "MCP_PORT=8000", "MCP_MAKE_TOKEN=true"],
        port: 8000,
        health: Some("health"),
    },
    Kind {
        name: "vsphere-sim",
        summary: "A simulated VMware vCenter and ESXi for any vSphere client",
        command: &["sim"],
        arguments: &["--listen", "0.0.0.0:8989"],
        environment: &[],
        port: 8989,
        health: None,
    },
];

/// What has a digest in an image.
#[derive(Clone)]
struct Blob {
    kind: &'static str,
    bytes: Vec<u8>,
}

impl Blob {
    fn json(kind: &'static str, value: &Value) -> Self {
        Self { kind, bytes: value.to_string().into_bytes() }
    }

    fn digest(&self) -> String {
        sha256(&self.bytes)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest())
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.kind, "digest": format!("sha256:{}", self.digest()), "size": self.bytes.len() })
    }
}

/// An image for one processor.
struct Image {
    platform: &'static Platform,
    manifest: Blob,
    config: Blob,
    layer: Blob,
}

/// Writes each image for each processor, and one file for all processors of each.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn write(release: &Release, tools: &Tools, papers: &Papers) -> anyhow::Result<()> {
    let authorities = tools.authorities()?;
    let mut layers: Vec<(&'static Platform, String, Blob)> = Vec::new();
    for binary in &release.binaries {
        let tar = files(release, &fs::read(&binary.path)?, &authorities, papers)?;
        let zipped = Blob { kind: "application/vnd.oci.image.layer.v1.tar+gzip", bytes: gzip(&tar)? };
        layers.push((binary.platform, sha256(&tar), zipped));
    }
    for kind in &KINDS {
        let made = layers.iter().map(|(platform, diff, layer)| image(release, kind, platform, diff, layer.clone()));
        let images: Vec<Image> = made.collect();
        for image in &images {
            let path = release.file(kind.name, &format!("linux-{}", image.platform.image), ".oci.tar");
            fs::write(path, layout(release, kind, &[image])?)?;
        }
        if images.len() > 1 {
            let all: Vec<&Image> = images.iter().collect();
            fs::write(release.file(kind.name, "linux", ".oci.tar"), layout(release, kind, &all)?)?;
        }
    }
    Ok(())
}

/// The root of the file system.
fn files(release: &Release, program: &[u8], authorities: &[u8], papers: &Papers) -> anyhow::Result<Vec<u8>> {
    let mut tar = Tar::new(release.epoch);
    for (folder, mode) in [
        ("dev", 0o755),
        ("etc", 0o755),
        ("etc/ssl", 0o755),
        ("etc/ssl/certs", 0o755),
        ("proc", 0o755),
        ("sys", 0o755),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("usr/local", 0o755),
        ("usr/local/bin", 0o755),
        ("usr/share", 0o755),
        ("usr/share/doc", 0o755),
        ("usr/share/doc/mcvsphere", 0o755),
    ] {
        tar.folder(folder, mode)?;
    }
    tar.file("etc/passwd", 0o644, format!("nonroot:x:{USER}:{USER}:nonroot:/tmp:/sbin/nologin\n").as_bytes())?;
    tar.file("etc/group", 0o644, format!("nonroot:x:{USER}:\n").as_bytes())?;
    tar.file("etc/ssl/certs/ca-certificates.crt", 0o644, authorities)?;
    tar.file("usr/share/doc/mcvsphere/LICENSE", 0o644, &fs::read(release.root.join("LICENSE"))?)?;
    tar.file("usr/share/doc/mcvsphere/THIRD-PARTY-LICENSES.txt", 0o644, papers.licences.as_bytes())?;
    tar.file(PROGRAM.trim_start_matches('/'), 0o755, program)?;
    tar.end()
}

fn image(release: &Release, kind: &Kind, platform: &'static Platform, diff: &str, layer: Blob) -> Image {
    let mut labels = json!({
        "org.opencontainers.image.title": kind.name,
        "org.opencontainers.image.description": kind.summary,
        "org.opencontainers.image.version": release.version,
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.created": time(release.epoch),
    });
    if let Some(url) = &release.repository {
        labels["org.opencontainers.image.source"] = json!(url);
    }
    if let Some(owner) = release.owner() {
        labels["io.modelcontextprotocol.server.name"] = json!(owner.server());
    }
    let environment: Vec<&str> =
        ["PATH=/usr/local/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "HOME=/tmp"]
            .into_iter()
            .chain(kind.environment.iter().copied())
            .collect();
    let entry = [&[PROGRAM][..], kind.command].concat();
    let mut settings = json!({
        "User": format!("{USER}:{USER}"),
        "ExposedPorts": { (format!("{}/tcp", kind.port)): {} },
        "Env": environment,
        "Entrypoint": entry,
        "WorkingDir": "/tmp",
        "Labels": labels,
        "StopSignal": "SIGTERM",
    });
    if !kind.arguments.is_empty() {
        settings["Cmd"] = json!(kind.arguments);
    }
    if let Some(command) = kind.health {
        // Docker's own field, which the specification leaves to it. In nanoseconds.
        settings["Healthcheck"] = json!({
            "Test": ["CMD", PROGRAM, command],
            "Interval": 30_000_000_000_u64,
            "Timeout": 5_000_000_000_u64,
            "StartPeriod": 5_000_000_000_u64,
            "Retries": 3,
        });
    }
    let config = json!({
        "created": time(release.epoch),
        "architecture": platform.image,
        "os": "linux",
        "config": settings,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff}")] },
        "history": [{ "created": time(release.epoch), "created_by": "cargo xtask dist" }],
    });
    let config = Blob::json("application/vnd.oci.image.config.v1+json", &config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let manifest = Blob::json("application/vnd.oci.image.manifest.v1+json", &manifest);
    Image { platform, manifest, config, layer }
}

/// The file with these images: for one processor, or an index of several.
fn layout(release: &Release, kind: &Kind, images: &[&Image]) -> anyhow::Result<Vec<u8>> {
    let of_all;
    let mut blobs: Vec<&Blob> = images.iter().flat_map(|it| [&it.manifest, &it.config, &it.layer]).collect();
    let name = format!("{}:{}", kind.name, release.version);
    let mut tar = Tar::new(release.epoch);
    tar.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut whole = match images {
        [image] => {
            let saved = json!([{ "Config": image.config.path(), "RepoTags": [name], "Layers": [image.layer.path()] }]);
            tar.file("manifest.json", 0o644, saved.to_string().as_bytes())?;
            image.manifest.descriptor()
        }
        _ => {
            let described = images.iter().map(|image| {
                let mut descriptor = image.manifest.descriptor();
                descriptor["platform"] = json!({ "architecture": image.platform.image, "os": "linux" });
                descriptor
            });
            of_all = Blob::json(INDEX, &index(described.collect()));
            blobs.push(&of_all);
            of_all.descriptor()
        }
    };
    whole["annotations"] =
        json!({ "org.opencontainers.image.ref.name": release.version, "io.containerd.image.name": name });
    tar.file("index.json", 0o644, index(json!([whole])).to_string().as_bytes())?;
    for blob in blobs {
        tar.file(&blob.path(), 0o644, &blob.bytes)?;
    }
    tar.end()
}

fn index(manifests: Value) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

/// A time, as these files write it.
pub(super) fn time(epoch: u64) -> String {
    let time = i64::try_from(epoch).ok().and_then(|epoch| DateTime::from_timestamp(epoch, 0)).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    /// The files of a tape archive.
    fn unpacked(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_string_lossy().into_owned(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn digests_lead_from_the_index_to_every_file_and_two_runs_are_the_same() {
        let release = Release {
            root: crate::workspace(""),
            dist: std::path::PathBuf::new(),
            version: "1.2.3".to_owned(),
            repository: Some("https://github.com/some-body/mcvsphere".to_owned()),
            epoch: 1_700_000_000,
            binaries: Vec::new(),
        };
        let papers = Papers { files: Vec::new(), licences: "all of them".to_owned() };
        let made = || {
            let layers = files(&release, b"a program", b"authorities", &papers).unwrap();
            let platforms = super::super::platform::chosen(&[]).unwrap();
            let images: Vec<Image> = platforms
                .into_iter()
                .map(|platform| {
                    let layer =
                        Blob { kind: "application/vnd.oci.image.layer.v1.tar+gzip", bytes: gzip(&layers).unwrap() };
                    image(&release, &KINDS[0], platform, &sha256(&layers), layer)
                })
                .collect();
            layout(&release, &KINDS[0], &images.iter().collect::<Vec<_>>()).unwrap()
        };
        let whole = made();
        assert!(whole == made());
        let files = unpacked(&whole);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &files[&format!("blobs/sha256/{digest}")];
            assert_eq!((sha256(bytes).as_str(), json!(bytes.len())), (digest, descriptor["size"].clone()));
            bytes.clone()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&blob(&json(&files["index.json"])["manifests"][0]));
        let architectures =
            index["manifests"].as_array().unwrap().iter().map(|it| it["platform"]["architecture"].clone());
        assert_eq!(architectures.collect::<Vec<_>>(), ["amd64", "arm64"]);
        let manifest = json(&blob(&index["manifests"][1]));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["architecture"], "arm64");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Healthcheck"]["Test"], json!(["CMD", PROGRAM, "health"]));
        assert_eq!(config["config"]["Labels"]["io.modelcontextprotocol.server.name"], "io.github.some-body/mcvsphere");
        let mut layer = Vec::new();
        flate2::read::GzDecoder::new(&blob(&manifest["layers"][0])[..]).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([format!("sha256:{}", sha256(&layer))]));
        assert_eq!(unpacked(&layer)["usr/local/bin/mcvsphere"], b"a program");
    }

    #[test]
    fn a_time_is_in_utc() {
        assert_eq!(time(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
