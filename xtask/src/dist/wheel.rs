//! Wheels that carry the program, for `uvx`, `uv tool`, `pipx` and `pip`.

use std::fs;

use super::{Binary, NAME, Release, SUMMARY, run_command, tools::Tools};
use crate::scratch::Scratch;

/// Writes the wheel of a platform.
///
/// # Errors
/// A file cannot be written, or the packer fails.
pub(super) fn write(release: &Release, tools: &Tools, binary: &Binary) -> anyhow::Result<()> {
    let version = &release.version;
    let folder = Scratch::new()?;
    binary.put_into(&folder.path().join(format!("{NAME}-{version}.data/scripts")))?;
    let about = folder.path().join(format!("{NAME}-{version}.dist-info"));
    fs::create_dir_all(about.join("licenses"))?;
    fs::copy(release.root.join("LICENSE"), about.join("licenses/LICENSE"))?;
    let readme = fs::read_to_string(release.root.join("README.md"))?;
    let mark = release.owner().map(|owner| format!("\n<!-- mcp-name: {} -->\n", owner.server())).unwrap_or_default();
    let source = release.repository.as_ref().map(|url| format!("Project-URL: Source, {url}\n")).unwrap_or_default();
    fs::write(
        about.join("METADATA"),
        format!(
            "Metadata-Version: 2.4\nName: {NAME}\nVersion: {version}\nSummary: {SUMMARY}\nLicense-Expression: MIT\nLicense-File: LICENSE\n\
             Requires-Python: >=3.8\nKeywords: vmware,vsphere,mcp\n{source}\
             Classifier: Environment :: Console\nClassifier: Operating System :: POSIX :: Linux\n\
             Description-Content-Type: text/markdown\n\n{readme}{mark}"
        ),
    )?;
    let tags = tags(binary.platform.wheel).map(|tag| format!("Tag: {tag}\n")).collect::<String>();
    let wheel = format!("Wheel-Version: 1.0\nGenerator: {NAME} ({version})\nRoot-Is-Purelib: false\n{tags}");
    fs::write(about.join("WHEEL"), wheel)?;
    let mut pack = tools.python("wheel");
    pack.arg("pack").arg(folder.path()).arg("--dest-dir").arg(&release.dist);
    run_command(pack.env("SOURCE_DATE_EPOCH", release.epoch.to_string()))
}

/// A compressed tag, spelled out.
fn tags(platforms: &str) -> impl Iterator<Item = String> {
    platforms.split('.').map(|platform| format!("py3-none-{platform}"))
}
