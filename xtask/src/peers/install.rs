//! Installing the peers, each at a pinned version, below `.peers`.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

use super::say;

/// The newest govmomi whose commands `go install` can resolve: later releases moved vcsim and govc into nested modules
/// with replace directives, which cannot be installed by version.
const GOVMOMI: &str = "v0.46.3";

/// What checks workflows; `.github/workflows/ci.yml` runs the same.
const ACTIONLINT: &str = "v1.7.12";

/// The oldest Go that builds it (the `go` line of its go.mod).
const OLDEST_GO: (u32, u32) = (1, 22);

/// Keycloak, as Maven names it.
const KEYCLOAK: &str = "26.7.3";

/// The oldest Java that runs it.
const OLDEST_JAVA: (u32, u32) = (17, 0);

/// Installs everything that is missing, also what is large where that is wanted. Answers the environment variables that the
/// tests read.
pub(super) fn all(root: &Path, large: bool) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let peers = root.join(".peers");
    let vcsim = govmomi(&peers, "vcsim")?;
    let govc = govmomi(&peers, "govc")?;
    let mcp_client = mcp_client(root)?;
    let node = node(&mcp_client)?;
    let (pyvmomi, pyvmomi_modules) = pyvmomi(root)?;
    let (mcp_client_py, mcp_client_py_modules) =
        from_pypi(root, "mcp-client-py", "the official MCP client for Python")?;
    let (automation_sdk, automation_sdk_modules) =
        from_pypi(root, "automation-sdk", "the vSphere Automation SDK for Python")?;
    let (canaille, canaille_modules) = from_pypi(root, "canaille", "canaille, a provider of identities")?;
    let (monitoring, monitoring_modules) = from_pypi(root, "monitoring", "check_vsphere, vmware_exporter and pytest")?;
    let ruby = need("ruby", "ruby", "Ruby")?;
    rbvmomi(&ruby)?;
    let redis = need("redis-server", "redis-server", "Redis")?;
    let (manifests, manifests_modules) = from_pypi(root, "manifests", "the schemas of Kubernetes")?;
    let nginx = need("nginx", "nginx-light", "nginx")?;
    let caddy = need("caddy", "caddy", "Caddy")?;
    let systemd_analyze = need("systemd-analyze", "systemd", "systemd")?;
    let xmllint = need("xmllint", "libxml2-utils", "xmllint")?;
    let mut found = vec![
        ("PEERS_VCSIM", vcsim),
        ("PEERS_GOVC", govc),
        ("PEERS_NODE", node),
        ("PEERS_MCP_CLIENT", mcp_client),
        ("PEERS_MCP_CLIENT_PY", mcp_client_py),
        ("PEERS_MCP_CLIENT_PY_MODULES", mcp_client_py_modules),
        ("PEERS_PYVMOMI", pyvmomi),
        ("PEERS_PYVMOMI_MODULES", pyvmomi_modules),
        ("PEERS_AUTOMATION_SDK", automation_sdk),
        ("PEERS_AUTOMATION_SDK_MODULES", automation_sdk_modules),
        ("PEERS_CANAILLE", canaille),
        ("PEERS_CANAILLE_MODULES", canaille_modules),
        ("PEERS_MCVSPHERE", mcvsphere()?),
        ("PEERS_GO_INVENTORY", root.join("peers/go-inventory")),
        ("PEERS_MONITORING", monitoring),
        ("PEERS_MONITORING_MODULES", monitoring_modules),
        ("PEERS_RBVMOMI", root.join("peers/rbvmomi")),
        ("PEERS_PLAYBOOKS", root.join("peers/ansible")),
        ("PEERS_REDIS", redis),
        ("PEERS_MANIFESTS", manifests),
        ("PEERS_MANIFESTS_MODULES", manifests_modules),
        ("PEERS_NGINX", nginx),
        ("PEERS_CADDY", caddy),
        ("PEERS_SYSTEMD_ANALYZE", systemd_analyze),
        ("PEERS_XMLLINT", xmllint),
    ];
    if large {
        found.push(("PEERS_KEYCLOAK", keycloak(&peers)?));
        let ansible = environment(root, "ansible", "Ansible with its collections")?;
        found.push(("PEERS_ANSIBLE", ansible.join("bin/ansible-playbook")));
        found.push(("PEERS_CHROMIUM", need("chromium", "chromium", "Chromium")?));
    }
    Ok(found)
}

/// The program of this workspace, for the examples of its pages.
fn mcvsphere() -> anyhow::Result<PathBuf> {
    let said = crate::cargo()
        .args([
            "build",
            "--package",
            "mcvsphere-mcp",
            "--bin",
            "mcvsphere",
            "--message-format",
            "json-render-diagnostics",
        ])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(said.status.success(), "mcvsphere does not build");
    let text = String::from_utf8(said.stdout)?;
    let mut built = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let program = built.find_map(|it| it["executable"].as_str().map(PathBuf::from));
    program.context("cargo does not say where mcvsphere is")
}

/// rbvmomi, which Ruby finds by itself.
fn rbvmomi(ruby: &Path) -> anyhow::Result<()> {
    let found = |ruby: &Path| output(ruby, &["-e", "require 'rbvmomi'"]).is_ok();
    if !found(ruby) {
        install("ruby-rbvmomi", "rbvmomi")?;
        ensure!(found(ruby), "ruby-rbvmomi is installed, but {} does not find it", ruby.display());
    }
    Ok(())
}

/// vcsim alone.
pub(super) fn vcsim(root: &Path) -> anyhow::Result<PathBuf> {
    govmomi(&root.join(".peers"), "vcsim")
}

/// One of govmomi's commands, built by Go.
fn govmomi(peers: &Path, command: &str) -> anyhow::Result<PathBuf> {
    let bin = peers.join("bin");
    let path = bin.join(command);
    if path.exists() {
        // A binary without a version, or none that go can read, is simply built anew.
        let facts = output("go", &[OsStr::new("version"), OsStr::new("-m"), path.as_os_str()]);
        let pinned = format!("github.com/vmware/govmomi\t{GOVMOMI}\t");
        if facts.is_ok_and(|facts| facts.contains(&pinned)) {
            return Ok(path);
        }
    }
    let go = need("go", "golang-go", "Go")?;
    at_least(&go, &["version"], OLDEST_GO, "Go")?;
    say(&format!("installing {command} {GOVMOMI}"));
    fs::create_dir_all(&bin)?;
    run(Command::new(go)
        .args(["install", &format!("github.com/vmware/govmomi/{command}@{GOVMOMI}")])
        .env("GOBIN", &bin))?;
    Ok(path)
}

/// What checks the workflows of GitHub, built by Go.
pub(super) fn actionlint(root: &Path) -> anyhow::Result<PathBuf> {
    let bin = root.join(".peers/bin");
    let path = bin.join("actionlint");
    let facts = output("go", &[OsStr::new("version"), OsStr::new("-m"), path.as_os_str()]);
    let pinned = format!("github.com/rhysd/actionlint\t{ACTIONLINT}\t");
    if !path.exists() || !facts.is_ok_and(|facts| facts.contains(&pinned)) {
        let go = need("go", "golang-go", "Go")?;
        say(&format!("installing actionlint {ACTIONLINT}"));
        fs::create_dir_all(&bin)?;
        run(Command::new(go)
            .args(["install", &format!("github.com/rhysd/actionlint/cmd/actionlint@{ACTIONLINT}")])
            .env("GOBIN", &bin))?;
    }
    Ok(path)
}

/// The program on govmomi in `peers/go-inventory`; Go itself knows whether it is up to date.
pub(super) fn go_inventory(root: &Path) -> anyhow::Result<PathBuf> {
    let go = need("go", "golang-go", "Go")?;
    at_least(&go, &["version"], OLDEST_GO, "Go")?;
    let path = root.join(".peers/bin/go-inventory");
    run(Command::new(go).args(["build", "-o"]).arg(&path).arg(".").current_dir(root.join("peers/go-inventory")))?;
    Ok(path)
}

/// The folder with the scripts on pyVmomi, and the one that its modules are installed in.
pub(super) fn pyvmomi(root: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    from_pypi(root, "pyvmomi", "pyVmomi")
}

/// The Python of an environment with FastMCP, and the script of a server on it.
pub(super) fn fastmcp(root: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let environment = environment(root, "fastmcp", "FastMCP")?;
    Ok((environment.join("bin/python"), root.join("peers/fastmcp/server.py")))
}

/// An environment of Python with the programs that a folder of `peers` requires.
pub(crate) fn environment(root: &Path, name: &str, title: &str) -> anyhow::Result<PathBuf> {
    let environment = root.join(".peers").join(name);
    let requirements = root.join("peers").join(name).join("requirements.txt");
    // Copied last, as with the MCP clients.
    let installed = environment.join("installed.txt");
    if !fs::read(&installed).is_ok_and(|copy| fs::read(&requirements).is_ok_and(|text| text == copy)) {
        let python = need("python3", "python3-venv", "Python")?;
        say(&format!("installing {title}"));
        run(Command::new(python).args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&requirements))?;
        fs::copy(&requirements, &installed)?;
    }
    Ok(environment)
}

/// A folder of Python scripts, and the one that the modules which it requires are installed in.
fn from_pypi(root: &Path, name: &str, title: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let source = root.join("peers").join(name);
    let modules = root.join(".peers").join(name);
    let requirements = source.join("requirements.txt");
    // Copied last, as with the MCP clients.
    let installed = modules.join("installed.txt");
    if !fs::read(&installed).is_ok_and(|copy| fs::read(&requirements).is_ok_and(|text| text == copy)) {
        let python = need("python3", "python3-pip", "Python")?;
        say(&format!("installing {title}"));
        run(Command::new(python)
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--upgrade", "--target"])
            .arg(&modules)
            .arg("-r")
            .arg(&requirements))?;
        fs::copy(&requirements, &installed)?;
    }
    Ok((source, modules))
}

/// The folder with the official MCP clients, the conformance suite, a provider of identities and the scripts that drive these.
pub(crate) fn mcp_client(root: &Path) -> anyhow::Result<PathBuf> {
    from_npm(root, "mcp-client", "the official MCP clients, the conformance suite and a provider of identities")
}

/// A copy of a folder of `peers` with the modules of npm that it requires.
pub(crate) fn from_npm(root: &Path, name: &str, title: &str) -> anyhow::Result<PathBuf> {
    let source = root.join("peers").join(name);
    let target = root.join(".peers").join(name);
    let lock = fs::read(source.join("package-lock.json"))?;
    // The lock file is copied last, so that its equality says that the whole installation went well.
    let installed = fs::read(target.join("installed.json")).is_ok_and(|copy| copy == lock);
    fs::create_dir_all(&target)?;
    for entry in fs::read_dir(&source)? {
        let file = entry?.file_name();
        fs::copy(source.join(&file), target.join(&file)).with_context(|| format!("copy {}", file.display()))?;
    }
    if !installed {
        let npm = need("npm", "npm", "npm")?;
        say(&format!("installing {title}"));
        run(Command::new(npm).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&target))?;
        fs::write(target.join("installed.json"), lock)?;
    }
    Ok(target)
}

/// The Node.js that was installed with the clients: the system's is often older than what the suite runs on.
pub(crate) fn node(mcp_client: &Path) -> anyhow::Result<PathBuf> {
    let named = |architecture| mcp_client.join(format!("node_modules/node-linux-{architecture}/bin/node"));
    let found = ["x64", "arm64"].map(named).into_iter().find(|path| path.exists());
    found.context("npm has no Node.js for this machine: peers run on Linux, x64 or arm64")
}

/// The command of Keycloak, which is built once for a database in memory, as each start would do it again.
fn keycloak(peers: &Path) -> anyhow::Result<PathBuf> {
    let home = peers.join(format!("keycloak-{KEYCLOAK}"));
    let command = home.join("bin/kc.sh");
    let built = home.join("built");
    if !built.exists() {
        let java = need("java", "openjdk-17-jre-headless", "Java")?;
        at_least(&java, &["--version"], OLDEST_JAVA, "Java")?;
        let maven = need("mvn", "maven", "Maven")?;
        let unzip = need("unzip", "unzip", "unzip")?;
        say(&format!("installing Keycloak {KEYCLOAK}"));
        run(Command::new(maven)
            .args(["-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"])
            .arg(format!("-Dartifact=org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"))
            .arg(format!("-DoutputDirectory={}", peers.display())))?;
        let archive = peers.join(format!("keycloak-quarkus-dist-{KEYCLOAK}.zip"));
        run(Command::new(unzip).args(["-q", "-o"]).arg(&archive).arg("-d").arg(peers))?;
        fs::remove_file(archive)?;
        run(Command::new(&command).args(["build", "--db=dev-mem", "--cache=local"]))?;
        fs::write(built, "")?;
    }
    Ok(command)
}

/// A program on the search path; where it is missing, Debian's package is installed if this user may.
pub(crate) fn need(program: &str, package: &str, title: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = find(program) {
        return Ok(path);
    }
    install(package, title)?;
    find(program).with_context(|| format!("{package} is installed but has no {program}"))
}

/// Installs a package of Debian's if this user may.
fn install(package: &str, title: &str) -> anyhow::Result<()> {
    match find("apt-get") {
        Some(apt) if nix::unistd::geteuid().is_root() => {
            say(&format!("installing {package}"));
            run(Command::new(&apt).args(["-qq", "update"]))?;
            run(Command::new(&apt)
                .args(["-qq", "-y", "--no-install-recommends", "install", package])
                .env("DEBIAN_FRONTEND", "noninteractive"))
        }
        _ => bail!("{title} is missing: install it (on Debian: `apt-get install {package}`) and run this again"),
    }
}

/// Fails when a program is older than what the peers need.
fn at_least(program: &Path, ask: &[&str], oldest: (u32, u32), title: &str) -> anyhow::Result<()> {
    let answer = output(program, ask)?;
    let version = version(&answer).with_context(|| format!("{title} says no version: {answer}"))?;
    ensure!(
        version >= oldest,
        "{title} {}.{} at {} is too old: {}.{} or newer is needed",
        version.0,
        version.1,
        program.display(),
        oldest.0,
        oldest.1
    );
    Ok(())
}

/// The first `major.minor` in `go version go1.26.8 linux/amd64` or `v20.20.2`.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches(|c: char| c.is_ascii_alphabetic()).split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

fn find(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

pub(crate) fn output(program: impl AsRef<OsStr>, args: &[impl AsRef<OsStr>]) -> anyhow::Result<String> {
    let output = Command::new(&program).args(args).output()?;
    ensure!(output.status.success(), "{}: {}", program.as_ref().display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        assert_eq!(version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert_eq!(version("go version devel"), None);
    }
}
