//! What goes along with the program: completions, manual pages, licences, and the list of its parts.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{
    Binary, NAME, PACKAGE, Release,
    graph::{self, Crate},
    output, run_command,
    tools::Tools,
};
use crate::scratch::Scratch;

/// What goes along with the program on every platform.
pub(super) struct Papers {
    /// Completions and manual pages, by their path in an archive.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The licences of all crates.
    pub(super) licences: String,
}

/// Writes the lists of parts, and answers the rest.
///
/// # Errors
/// No binary runs on this computer, or a crate has no licence.
pub(super) fn write(release: &Release, tools: &Tools) -> anyhow::Result<Papers> {
    let mut all = BTreeMap::new();
    for binary in &release.binaries {
        let crates = graph::crates(PACKAGE, binary.platform.target)?;
        let bill = release.file(NAME, binary.platform.target, ".cdx.json");
        fs::write(&bill, format!("{:#}\n", bill_of_materials(release, binary, &crates)))?;
        check_bill(tools, &bill)?;
        all.extend(crates.into_iter().map(|it| ((it.name.clone(), it.version.clone()), it)));
    }
    let others: Vec<Crate> = all.into_values().filter(|it| it.source.is_some()).collect();
    Ok(Papers { files: told_by(&release.native()?.path)?, licences: licences(&others)? })
}

/// What the program itself tells of its command line.
fn told_by(program: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for (shell, name) in [
        ("bash", "mcvsphere.bash"),
        ("zsh", "_mcvsphere"),
        ("fish", "mcvsphere.fish"),
        ("powershell", "_mcvsphere.ps1"),
    ] {
        let script = output(Command::new(program).env_clear().args(["completions", shell]))?;
        files.push((format!("completions/{name}"), script.into_bytes()));
    }
    let folder = Scratch::new()?;
    run_command(Command::new(program).env_clear().arg("man").arg(folder.path()))?;
    let mut pages = fs::read_dir(folder.path())?.collect::<Result<Vec<_>, _>>()?;
    pages.sort_by_key(fs::DirEntry::file_name);
    for page in pages {
        files.push((format!("man/man1/{}", page.file_name().to_string_lossy()), fs::read(page.path())?));
    }
    Ok(files)
}

/// The texts of the licences of these crates, each text once.
fn licences(crates: &[Crate]) -> anyhow::Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for it in crates {
        let licence = it.license.as_deref().with_context(|| format!("{} {} names no licence", it.name, it.version))?;
        let who = format!("{} {} ({licence})", it.name, it.version);
        let own = own_texts(it)?;
        if own.is_empty() {
            texts.entry(usual_text(it, licence)?).or_default().push(who.clone());
        }
        for text in own {
            texts.entry(text).or_default().push(who.clone());
        }
    }
    let mut all = format!(
        "{NAME} is under the licence in LICENSE. In the program are the crates below, under these licences. The image also has \
         Mozilla's list of certificate authorities (MPL-2.0, https://www.mozilla.org/MPL/2.0/), as it is in certifi of PyPI.\n"
    );
    for (text, crates) in texts {
        all.push_str(&format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), crates.join("\n")));
    }
    Ok(all)
}

/// The licences and notices in the package of a crate.
fn own_texts(it: &Crate) -> anyhow::Result<Vec<String>> {
    let folder = it.manifest_path.parent().context("a manifest is in no folder")?;
    let is_licence = |name: &str| {
        let name = name.to_lowercase();
        ["license", "licence", "copying", "copyright", "notice", "unlicense"].iter().any(|it| name.starts_with(it))
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_licence(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let text = |path| Ok(String::from_utf8_lossy(&fs::read(path)?).replace("\r\n", "\n").trim().to_owned());
    paths.into_iter().map(text).collect()
}

/// The text that a crate means which names a licence and has no text of it.
fn usual_text(it: &Crate, licence: &str) -> anyhow::Result<String> {
    if !licence.split([' ', '/', '(', ')']).any(|word| word == "MIT") {
        bail!("{} {} has no text of its licence {licence}", it.name, it.version);
    }
    let own = include_str!("../../../LICENSE");
    let terms = own.split_once("Permission is hereby granted").context("LICENSE is not MIT's")?.1;
    let holders = match it.authors.as_slice() {
        [] => format!("the authors of {}", it.name),
        authors => authors.join(", "),
    };
    Ok(format!("MIT License\n\nCopyright (c) {holders}\n\nPermission is hereby granted{}", terms.trim_end()))
}

/// The list of a binary's parts in CycloneDX.
fn bill_of_materials(release: &Release, binary: &Binary, crates: &[Crate]) -> Value {
    let component = |it: &Crate, kind: &str| {
        let mut component = json!({
            "type": kind, "bom-ref": it.purl(), "name": it.name, "version": it.version, "purl": it.purl(), "scope": "required",
        });
        if let Some(text) = &it.description {
            component["description"] = text.split_whitespace().collect::<Vec<_>>().join(" ").into();
        }
        if let Some(licence) = &it.license {
            component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
        }
        if let Some(sum) = &it.checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        if let Some(url) = &it.repository {
            component["externalReferences"] = json!([{ "type": "vcs", "url": url }]);
        }
        component
    };
    let dependencies = crates.iter().map(|it| json!({ "ref": it.purl(), "dependsOn": it.needs }));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": super::image::time(release.epoch),
            "component": crates.first().map(|it| component(it, "application")),
            "properties": [{ "name": "cdx:rustc:sbom:target:triple", "value": binary.platform.target }],
        },
        "components": crates.iter().skip(1).map(|it| component(it, "library")).collect::<Value>(),
        "dependencies": dependencies.collect::<Value>(),
    })
}

/// Checks a list of parts by the schema of CycloneDX.
fn check_bill(tools: &Tools, path: &Path) -> anyhow::Result<()> {
    const CHECK: &str = "import sys\n\
        from cyclonedx.schema import SchemaVersion\n\
        from cyclonedx.validation.json import JsonStrictValidator\n\
        error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read())\n\
        sys.exit(str(error) if error else 0)\n";
    run_command(tools.python("python").args(["-c", CHECK]).arg(path))
}
