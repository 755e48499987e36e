//! `docs/simulator.md`: its figure is counted here, and its programs are run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use vsphere_sim::{Model, Sim};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/simulator.md");

/// The figure stands between these lines.
const START: &str = "<!-- coverage: UPDATE_README=1 cargo test -p vsphere-sim --test wire coverage -->\n";
const END: &str = "<!-- the end of coverage -->\n";

fn page() -> String {
    fs::read_to_string(PAGE).unwrap()
}

#[test]
fn the_page_tells_the_coverage() {
    let methods = vsphere_sim::coverage();
    let simulated = methods.iter().filter(|it| it.simulated).count();
    let (set, properties) = vsphere_sim::properties_set().unwrap();
    let mut figure = String::new();
    writeln!(
        figure,
        "{simulated} of the {} methods of the API, which `mcvsphere sim --coverage` lists. In `demo`, {set} of the",
        methods.len()
    )
    .unwrap();
    writeln!(figure, "{properties} properties of managed objects have values.").unwrap();
    let page = page();
    let (before, rest) = page.split_once(START).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(PAGE, format!("{before}{START}{figure}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(committed, figure, "the page is old: UPDATE_README=1 writes it anew");
}

/// The program of a section.
fn program(section: &str, language: &str) -> String {
    let page = page();
    let (_, from) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = from.split("\n## ").next().unwrap();
    let (_, from) = section.split_once(&format!("\n```{language}\n")).unwrap();
    from.split_once("\n```").unwrap().0.to_owned()
}

/// A folder for a program of the page.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// `PATH` with mcvsphere in it.
fn path() -> String {
    let program = std::env::var("PEERS_MCVSPHERE").unwrap();
    let folder = Path::new(&program).parent().unwrap().display().to_string();
    format!("{folder}:{}", std::env::var("PATH").unwrap())
}

#[tokio::test]
#[ignore = "needs Go: cargo xtask peers"]
async fn peers_slow_the_program_in_go() {
    let folder = folder("go");
    let module = std::env::var("PEERS_GO_INVENTORY").unwrap();
    for file in ["go.mod", "go.sum"] {
        fs::copy(Path::new(&module).join(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("sim_test.go"), program("Go", "go")).unwrap();
    let said = peers::in_folder(&folder, &["go", "test", "."], &[("PATH", &path())]).await.unwrap();
    assert!(said.starts_with("ok"), "{said}");
}

#[tokio::test]
#[ignore = "needs pyVmomi and pytest: cargo xtask peers"]
async fn peers_the_fixture_for_pytest() {
    let folder = folder("python");
    fs::write(folder.join("test_sim.py"), program("Python", "python")).unwrap();
    let modules = std::env::var("PEERS_MONITORING_MODULES").unwrap();
    let environment = [("PATH", &*path()), ("PYTHONPATH", &modules)];
    let said = peers::in_folder(&folder, &["python3", "-m", "pytest", "-q"], &environment).await.unwrap();
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "needs Java: cargo xtask peers --all"]
async fn peers_slow_the_program_in_java() {
    let folder = folder("java");
    fs::write(folder.join("PowerOff.java"), program("Java", "java")).unwrap();
    let said = peers::in_folder(&folder, &["java", "PowerOff.java"], &[("PATH", &path())]).await.unwrap();
    assert!(said.contains("PowerOffVM_TaskResponse") && said.contains("type=\"Task\""), "{said}");
}

#[tokio::test]
#[ignore = "needs curl: cargo xtask peers"]
async fn peers_the_step_of_github_actions() {
    let folder = folder("actions");
    // The scripts of the steps are what is indented below `run`.
    let workflow = program("Continuous integration", "yaml");
    let (_, steps) = workflow.split_once("run: |\n").unwrap();
    let (start, rest) = steps.split_once("      - name: ").unwrap();
    let (_, test) = rest.split_once("run: ").unwrap();
    let port = peers::free_port().unwrap().to_string();
    // Each step has a shell of its own, and a runner ends what is left behind.
    let script = format!("trap 'kill $(jobs -p)' EXIT\n{start}\nset -a\n. ./env\nbash -e -c '{}'\n", test.trim());
    fs::write(folder.join("env"), "").unwrap();
    fs::write(folder.join("steps.sh"), script.replace("8989", &port)).unwrap();
    let environment = [("PATH", &*path()), ("GITHUB_ENV", "env")];
    let said = peers::in_folder(&folder, &["bash", "-e", "steps.sh"], &environment).await.unwrap();
    assert!(said.contains("urn:vim25"), "{said}");
}

#[tokio::test]
#[ignore = "needs Ansible: cargo xtask peers --all"]
async fn peers_slow_the_playbook() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let folder = folder("ansible");
    fs::write(folder.join("play.yml"), program("Ansible", "yaml")).unwrap();
    let address = sim.url().trim_end_matches("/sdk").to_owned();
    let server = [("VCENTER_HOST", &*address), ("VCENTER_USER", Model::USER), ("VCENTER_PASSWORD", Model::PASSWORD)];
    let outcomes = peers::ansible(&folder.join("play.yml"), &[], &server).await.unwrap();
    assert_eq!(outcomes, [("A VM is off".to_owned(), "changed".to_owned())]);
    assert_eq!(sim.calls("PowerOffVM_Task"), 1);
}
