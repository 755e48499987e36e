//! Inside guests, with the simulated vCenter: programs, files, and all that can go wrong there.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use vsphere_ops::guest::{Credentials, End, Family, FileKind, Guest, GuestTrouble, Stream};
use vsphere_ops::managed::{HostSystem, VirtualMachine};
use vsphere_ops::types::{Any, OptionValue, Poly, VirtualMachineConfigSpec};
use vsphere_ops::{Category, Client, Config, Error, ListQuery, Mo};
use vsphere_sim::{Model, Sim};

/// A simulated vCenter, and the guest of a Linux or a Windows VM in it.
struct Lab {
    sim: Sim,
    client: Client,
    vm: Mo<VirtualMachine>,
    guest: Guest,
}

impl Lab {
    async fn linux() -> Self {
        Self::of("web-01", &root()).await
    }

    async fn windows() -> Self {
        Self::of("dc-01", &Credentials::new(Model::WINDOWS_USER, Model::GUEST_PASSWORD)).await
    }

    async fn of(name: &str, login: &Credentials) -> Self {
        let sim = Sim::start(Model::demo()).await.unwrap();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
        let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
        let vm = client.get::<VirtualMachine>(name).await.unwrap();
        let guest = vm.guest(login).await.unwrap();
        Self { sim, client, vm, guest }
    }

    /// Sets a value that the simulated Tools look at.
    async fn set(&self, key: &str, value: &str) {
        let option = OptionValue { key: key.to_owned(), value: Some(Any::from(value.to_owned())) };
        let spec = VirtualMachineConfigSpec { extra_config: vec![Poly::new(option)], ..Default::default() };
        // Tasks are done at once here.
        self.vm.reconfig_vm_task(&spec).await.unwrap();
    }

    /// The temporary files that are left in the guest.
    async fn left(&self) -> Vec<String> {
        let directory = match self.guest.family() {
            Family::Windows => "C:\\Users\\Administrator\\AppData\\Local\\Temp",
            _ => "/tmp",
        };
        let page = self.guest.list_directory(directory, &all()).await.unwrap();
        page.items.into_iter().map(|file| file.name.into_string()).collect()
    }

    /// The programs that somebody has started and that still run.
    async fn running(&self) -> Vec<i64> {
        let page = self.guest.list_processes(&all()).await.unwrap();
        page.items.into_iter().filter(|it| it.pid > 800 && it.ended.is_none()).map(|it| it.pid).collect()
    }

    /// Waits until nothing of a command is left in the guest.
    async fn until_clean(&self) {
        for _ in 0..500 {
            if self.left().await.is_empty() && self.running().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("files {:?} and processes {:?} were left", self.left().await, self.running().await);
    }
}

fn root() -> Credentials {
    Credentials::new(Model::LINUX_USER, Model::GUEST_PASSWORD)
}

fn all() -> ListQuery {
    ListQuery { limit: 1000, ..Default::default() }
}

fn expect(error: &Error, trouble: GuestTrouble, category: Category, part: &str) {
    assert_eq!((error.guest_trouble(), error.category()), (Some(trouble), category), "{error}");
    assert!(error.to_string().contains(part), "{error}");
}

#[tokio::test]
async fn a_command_of_linux_gives_its_output_and_its_exit_code() {
    let lab = Lab::linux().await;
    let ran = lab
        .guest
        .shell("echo out; echo err >&2; pwd; echo $WHO $HOME; exit 3")
        .in_directory("/etc")
        .env("WHO", "it's me");
    let ran = ran.output().await.unwrap();
    assert_eq!((ran.end, ran.exit_code), (End::Exited, Some(3)));
    assert_eq!(ran.stdout.text(), "out\n/etc\nit's me /root\n");
    assert_eq!(ran.stderr.text(), "err\n");
    assert!(ran.pid > 0 && ran.started.is_some() && ran.ended.is_some() && ran.left_behind.is_empty());
    assert_eq!(lab.left().await, Vec::<String>::new());
    // What the shell does not understand is told by it.
    let ran = lab.guest.shell("echo 'open").output().await.unwrap();
    assert_eq!((ran.exit_code, ran.stdout.is_empty()), (Some(2), true));
    assert!(ran.stderr.text().contains("Unterminated quoted string"), "{}", ran.stderr.text());
}

#[tokio::test]
async fn a_command_of_windows_gives_its_output_and_its_exit_code() {
    let lab = Lab::windows().await;
    assert_eq!(lab.guest.family(), Family::Windows);
    let line = "echo :) \"a & b\" %WHO%& cd & hostname & nonsense & exit 5";
    let ran = lab.guest.shell(line).in_directory("C:\\Windows").env("WHO", "me").output().await.unwrap();
    assert_eq!((ran.end, ran.exit_code), (End::Exited, Some(5)));
    assert_eq!(ran.stdout.text(), ":) \"a & b\" me\r\nC:\\Windows\r\nDC-01.CORP.EXAMPLE\r\n");
    assert!(ran.stderr.text().starts_with("'nonsense' is not recognized"), "{}", ran.stderr.text());
    // Several lines go in a file.
    let ran = lab.guest.shell("echo one\necho two 100%%\nexit /b 4").output().await.unwrap();
    assert_eq!((ran.stdout.text(), ran.exit_code), ("one\r\ntwo 100%\r\n".into(), Some(4)));
    assert_eq!(lab.left().await, Vec::<String>::new());
    let refused = lab.guest.program("findstr", ["a\nb"]).output().await.unwrap_err();
    assert_eq!(refused.category(), Category::InvalidArgument);
}

#[tokio::test]
async fn arguments_arrive_letter_by_letter() {
    let lab = Lab::linux().await;
    let arguments = ["$HOME", "it's; `a` test", "*", "", "\"q\"", "a\\b", "#", "\u{7}bell"];
    let format = "%s|%s|%s|%s|%s|%s|%s|%s";
    let ran = lab.guest.program("/usr/bin/printf", std::iter::once(format).chain(arguments)).output().await.unwrap();
    // `printf` of the simulator reads backslashes in the whole text.
    assert_eq!(ran.stdout.text().replace('\u{8}', "\\b"), arguments.join("|"));
    let lab = Lab::windows().await;
    lab.guest.write("C:\\Temp\\a (b) & c.txt", "found it\r\n").send().await.unwrap();
    let ran = lab.guest.program("findstr", ["found", "C:\\Temp\\a (b) & c.txt"]).output().await.unwrap();
    assert_eq!((ran.stdout.text(), ran.exit_code), ("found it\r\n".into(), Some(0)));
}

#[tokio::test]
async fn a_command_longer_than_the_channel_goes_in_a_file() {
    let lab = Lab::linux().await;
    let line = format!("echo {} | wc -c; exit 6", "x".repeat(200_000));
    let ran = lab.guest.shell(line).output().await.unwrap();
    assert_eq!((ran.stdout.text(), ran.exit_code), ("200001\n".into(), Some(6)));
    assert_eq!(lab.left().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_command_whose_time_is_up_runs_on_under_its_number() {
    let lab = Lab::linux().await;
    let ran = lab.guest.shell("echo begun; sleep 600").timeout(Duration::from_millis(100)).output().await.unwrap();
    assert_eq!((ran.end, ran.exit_code, ran.stdout.text()), (End::TimedOut, None, "begun\n".into()));
    assert_eq!(lab.running().await, [ran.pid]);
    assert_eq!(lab.left().await, Vec::<String>::new(), "its files are gone though it has them open");
    assert!(lab.guest.terminate(ran.pid).await.unwrap());
    assert!(!lab.guest.terminate(ran.pid).await.unwrap(), "it is gone already");
    // On Windows its files stay as long as it has them open.
    let lab = Lab::windows().await;
    let ran = lab.guest.shell("echo begun& timeout 600").timeout(Duration::from_millis(100)).output().await.unwrap();
    assert_eq!((ran.end, ran.stdout.text()), (End::TimedOut, "begun\r\n".into()));
    assert_eq!(ran.left_behind.len(), 2);
}

#[tokio::test]
async fn a_command_that_is_given_up_leaves_nothing_behind() {
    let lab = Lab::linux().await;
    for wait in [0, 1, 3, 10, 30, 100, 300, 1200] {
        let run = lab.guest.shell("echo begun; sleep 600").output();
        let given_up = tokio::time::timeout(Duration::from_millis(wait), run).await;
        assert!(given_up.is_err(), "after {wait} ms");
        lab.until_clean().await;
    }
}

#[tokio::test]
async fn output_is_told_while_the_command_runs() {
    let lab = Lab::linux().await;
    let told: Arc<Mutex<Vec<(Stream, String)>>> = Arc::default();
    let kept = Arc::clone(&told);
    let run = lab.guest.shell("echo one; sleep 3; echo two; echo three >&2").on_output(move |chunk| {
        kept.lock().unwrap().push((chunk.stream, String::from_utf8_lossy(&chunk.bytes).into_owned()));
    });
    let ran = run.output().await.unwrap();
    assert_eq!(ran.stdout.text(), "one\ntwo\n");
    let told = told.lock().unwrap().clone();
    let expected = [(Stream::Stdout, "one\n"), (Stream::Stdout, "two\n"), (Stream::Stderr, "three\n")];
    assert_eq!(told, expected.map(|(stream, text)| (stream, text.to_owned())));
}

#[tokio::test]
async fn fifty_megabytes_of_output_are_cut() {
    let lab = Lab::linux().await;
    let ran = lab.guest.shell("head -c 52428800 /dev/zero").output_limit(1000).output().await.unwrap();
    assert_eq!((ran.stdout.bytes.len(), ran.stdout.size, ran.stdout.is_cut()), (1000, 52_428_800, true));
    assert_eq!(lab.left().await, Vec::<String>::new());
}

#[tokio::test]
async fn output_that_is_no_text_is_kept_byte_for_byte() {
    let lab = Lab::linux().await;
    let ran = lab.guest.shell("printf 'gr\\374n'").output().await.unwrap();
    assert_eq!((&*ran.stdout.bytes, ran.stdout.text()), (b"gr\xfcn".as_slice(), "gr\u{fffd}n".into()));
}

#[tokio::test]
async fn an_exit_code_that_the_tools_have_forgotten_is_not_zero() {
    let lab = Lab::linux().await;
    let guest = lab.guest.clone();
    let run = tokio::spawn(async move { guest.shell("exit 3").output().await });
    while lab.sim.calls("StartProgramInGuest") == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // It ends at once, and is asked about a second later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    lab.sim.pass_time(Duration::from_secs(301));
    let ran = run.await.unwrap().unwrap();
    assert_eq!((ran.end, ran.exit_code), (End::Forgotten, None));
    assert_eq!(lab.left().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_guest_that_restarts_meanwhile_has_forgotten_the_command() {
    let lab = Lab::linux().await;
    let guest = lab.guest.clone();
    let run = tokio::spawn(async move { guest.shell("echo begun; sleep 600").output().await });
    while lab.running().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lab.vm.restart_guest().await.unwrap();
    let ran = run.await.unwrap().unwrap();
    assert_eq!((ran.end, ran.exit_code, ran.stdout.text()), (End::Forgotten, None, "begun\n".into()));
    assert_eq!(lab.left().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_vm_that_is_powered_off_meanwhile_is_told() {
    let lab = Lab::linux().await;
    let guest = lab.guest.clone();
    let run = tokio::spawn(async move { guest.shell("sleep 600").output().await });
    while lab.running().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lab.vm.power_off().await.unwrap().await.unwrap();
    let error = run.await.unwrap().unwrap_err();
    expect(&error, GuestTrouble::NotRunning, Category::InvalidState, "\"web-01\"");
    let error = lab.vm.guest(&root()).await.unwrap_err();
    expect(&error, GuestTrouble::NotRunning, Category::InvalidState, "it is powered_off");
}

#[tokio::test]
async fn each_fault_of_the_tools_is_told_with_its_meaning() {
    let lab = Lab::linux().await;
    for (value, trouble, category, part) in [
        ("disabled", GuestTrouble::Disabled, Category::Unsupported, "the configuration of VMware Tools"),
        ("unsupported", GuestTrouble::Unsupported, Category::Unsupported, "not supported on this guest"),
        ("old", GuestTrouble::OldTools, Category::Unsupported, "too old"),
        ("logons", GuestTrouble::TooManyLogons, Category::InvalidState, "too many logons"),
    ] {
        lab.set("guestinfo.sim.guestops", value).await;
        expect(&lab.guest.check().await.unwrap_err(), trouble, category, part);
        expect(&lab.guest.shell("true").output().await.unwrap_err(), trouble, category, part);
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let lab = Lab::linux().await;
    let login = Credentials::new("root", "hunter2-is-wrong");
    let guest = lab.vm.guest(&login).await.unwrap();
    let error = guest.shell("true").output().await.unwrap_err();
    expect(&error, GuestTrouble::Login, Category::Auth, "run a command in the guest of \"web-01\"");
    for shown in [format!("{error} {error:?}"), format!("{login:?} {guest:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn tools_that_are_off_or_starting_are_waited_for_only_where_that_is_wanted() {
    let sim = Sim::start(Model::demo().pace(0.02)).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    let vm = client.get::<VirtualMachine>("web-01").await.unwrap();
    vm.power_off().await.unwrap().await.unwrap();
    vm.power_on().await.unwrap().await.unwrap();
    match vm.guest(&root()).await {
        Err(error) => expect(&error, GuestTrouble::NotReady, Category::InvalidState, "VMware Tools take no operations"),
        Ok(guest) => guest.check().await.unwrap(),
    }
    let guest = vm.wait_for_guest(&root(), Duration::from_secs(20)).await.unwrap();
    guest.check().await.unwrap();
    let off = client.get::<VirtualMachine>("legacy-crm").await.unwrap();
    if let Ok(task) = off.power_off().await {
        task.await.unwrap();
    }
    let error = off.wait_for_guest(&root(), Duration::from_secs(20)).await.unwrap_err();
    expect(&error, GuestTrouble::NotRunning, Category::InvalidState, "no guest runs in it");
}

#[tokio::test]
async fn what_can_not_be_started_is_told_before() {
    let lab = Lab::linux().await;
    let directory = lab.guest.shell("pwd").in_directory("/etc/hosts").output().await.unwrap_err();
    expect(&directory, GuestTrouble::NotADirectory, Category::InvalidArgument, "/etc/hosts");
    for refused in [lab.guest.shell(" "), lab.guest.shell("a\0b"), lab.guest.shell("a").env("A=B", "c")] {
        assert_eq!(refused.output().await.unwrap_err().category(), Category::InvalidArgument);
    }
    assert_eq!(lab.left().await, Vec::<String>::new());
    let ran = lab.guest.program("/nothing", [""; 0]).output().await.unwrap();
    assert_eq!(ran.exit_code, Some(127));
}

#[tokio::test]
async fn files_are_written_with_what_they_had_and_read_again() {
    let lab = Lab::linux().await;
    let written = lab.guest.write("/srv/a.sh", "one").permissions(0o750).send().await.unwrap();
    assert_eq!((written.replaced, written.permissions.as_deref(), written.owner_kept), (false, Some("0750"), None));
    lab.guest.shell("chmod 640 /srv/a.sh").output().await.unwrap();
    let written = lab.guest.write("/srv/a.sh", "two").send().await.unwrap();
    assert_eq!(
        (written.replaced, written.permissions.as_deref(), written.owner_kept),
        (true, Some("0640"), Some(true))
    );
    let file = lab.guest.file("/srv/a.sh").await.unwrap().unwrap();
    assert_eq!((file.permissions.as_deref(), file.size, file.owner), (Some("0640"), 3, Some(0)));
    let content = lab.guest.read("/srv/a.sh", 100).await.unwrap();
    assert_eq!((&*content.bytes, content.size, content.is_cut()), (b"two".as_slice(), 3, false));
    assert!(content.modified.is_some());
    // Another user's file keeps its owner where an administrator replaces it.
    let operator = lab.vm.guest(&Credentials::new("operator", Model::GUEST_PASSWORD)).await.unwrap();
    operator.write("/home/operator/note", "mine").send().await.unwrap();
    lab.guest.write("/home/operator/note", "changed").send().await.unwrap();
    let file = lab.guest.file("/home/operator/note").await.unwrap().unwrap();
    assert_eq!((file.owner, file.permissions.as_deref()), (Some(1000), Some("0644")));
    // Empty files, which can't be sent.
    let written = lab.guest.write("/srv/a.sh", "").send().await.unwrap();
    assert_eq!((written.size, written.replaced), (0, true));
    let file = lab.guest.file("/srv/a.sh").await.unwrap().unwrap();
    assert_eq!((file.size, file.permissions.as_deref()), (0, Some("0640")));
    let error = lab.guest.write("/srv/a.sh", "x").new_only().send().await.unwrap_err();
    expect(&error, GuestTrouble::Exists, Category::InvalidState, "/srv/a.sh");
    let error = lab.guest.write("/srv/a.sh", "").new_only().send().await.unwrap_err();
    expect(&error, GuestTrouble::Exists, Category::InvalidState, "/srv/a.sh");
    let names = lab.guest.list_directory("/srv", &all()).await.unwrap().items;
    assert_eq!(names.into_iter().map(|file| file.name.into_string()).collect::<Vec<_>>(), ["a.sh"]);
    let windows = Lab::windows().await;
    let error = windows.guest.write("C:\\Temp\\x", "x").permissions(0o600).send().await.unwrap_err();
    assert_eq!(error.category(), Category::InvalidArgument);
    let written = windows.guest.write("C:\\Temp\\x", "x").send().await.unwrap();
    assert_eq!((written.permissions, written.owner_kept), (None, None));
    windows.guest.write("C:\\Temp\\x", "").send().await.unwrap();
    assert_eq!(windows.guest.read("c:\\temp\\X", 10).await.unwrap().size, 0);
}

#[tokio::test]
async fn what_can_not_be_read_or_written_is_told_with_the_reason() {
    let lab = Lab::linux().await;
    let read = async |path: &str| lab.guest.read(path, 100).await.unwrap_err();
    expect(&read("/nothing").await, GuestTrouble::Missing, Category::NotFound, "/nothing");
    expect(&read("/etc").await, GuestTrouble::NotAFile, Category::InvalidArgument, "/etc");
    let link = read("/etc/localtime").await;
    expect(&link, GuestTrouble::Link, Category::InvalidArgument, "a symbolic link to \"/usr/share/zoneinfo/UTC\"");
    let kernel = read("/proc/cpuinfo").await;
    assert_eq!(kernel.category(), Category::Unsupported, "{kernel}");
    let write = async |path: &str, content: &'static [u8]| lab.guest.write(path, content).send().await.unwrap_err();
    expect(&write("/mnt/cdrom/x", b"x").await, GuestTrouble::Inaccessible, Category::InvalidState, "read-only");
    expect(&write("/etc/localtime", b"x").await, GuestTrouble::Link, Category::InvalidArgument, "symbolic link");
    expect(&write("/etc", b"x").await, GuestTrouble::NotAFile, Category::InvalidArgument, "/etc");
    expect(&write("/nothing/x", b"x").await, GuestTrouble::Missing, Category::NotFound, "/nothing/x");
    // A full file system shows only when the file has come.
    let full = lab.guest.write("/boot/image", vec![7; 300_000]).send().await.unwrap_err();
    assert!(full.to_string().contains("not enough space"), "{full}");
    let operator = lab.vm.guest(&Credentials::new("operator", Model::GUEST_PASSWORD)).await.unwrap();
    let denied = operator.read("/etc/shadow", 10).await.unwrap_err();
    expect(&denied, GuestTrouble::Denied, Category::Permission, "this user of the guest may not");
    let denied = operator.delete("/etc/hosts", false).await.unwrap_err();
    expect(&denied, GuestTrouble::Denied, Category::Permission, "may not");
}

#[tokio::test]
async fn directories_are_listed_whole_made_and_deleted() {
    let lab = Lab::linux().await;
    let guest = &lab.guest;
    assert!(guest.make_directory("/srv/many", true).await.unwrap().changed);
    guest.shell("cd /srv/many && touch $(seq 1 1200) 'a+b.log' && mkdir sub").output().await.unwrap();
    let page = guest.list_directory("/srv/many", &ListQuery { limit: 500, ..Default::default() }).await.unwrap();
    assert_eq!((page.returned, page.total, page.truncated), (500, 1202, true));
    let glob = |filter: &str| ListQuery { filter: Some(filter.to_owned()), limit: 2000, ..Default::default() };
    assert_eq!(guest.list_directory("/srv/many", &glob("1[01]?")).await.unwrap().total, 20);
    assert_eq!(guest.list_directory("/srv/many", &glob("a+b.*")).await.unwrap().total, 1);
    let link = guest.list_directory("/bin", &all()).await.unwrap().items.remove(0);
    assert_eq!((link.kind, link.target.as_deref()), (FileKind::Symlink, Some("usr/bin")));
    assert!(!guest.make_directory("/srv/many", true).await.unwrap().changed);
    let error = guest.make_directory("/etc/hosts", true).await.unwrap_err();
    expect(&error, GuestTrouble::Exists, Category::InvalidState, "/etc/hosts");
    let error = guest.delete("/srv/many", false).await.unwrap_err();
    expect(&error, GuestTrouble::NotEmpty, Category::InvalidState, "/srv/many");
    let gone = guest.delete("/srv/many", true).await.unwrap();
    assert_eq!((gone.changed, gone.kind), (true, Some(FileKind::Directory)));
    assert!(!guest.delete("/srv/many", true).await.unwrap().changed);
    for root in ["/", "/srv/..", "//"] {
        assert_eq!(guest.delete(root, true).await.unwrap_err().category(), Category::InvalidArgument);
    }
}

#[tokio::test]
async fn a_host_that_is_not_reached_is_named_with_its_port() {
    let lab = Lab::linux().await;
    // A port that nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    lab.set("guestinfo.sim.transfer_host", &free.to_string()).await;
    let error = lab.guest.read("/etc/hostname", 100).await.unwrap_err();
    assert_eq!(error.category(), Category::Connection, "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    let error = lab.guest.write("/srv/x", "x").send().await.unwrap_err();
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    // The files of a command whose output can't be fetched are deleted all the same.
    let error = lab.guest.shell("echo hello").output().await.unwrap_err();
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    lab.until_clean().await;
    assert!(!format!("{error} {error:?}").contains("token="), "{error:?}");
}

#[tokio::test]
async fn a_host_with_another_certificate_than_the_server_knows_is_not_trusted() {
    let lab = Lab::linux().await;
    let other = Sim::start(Model::empty()).await.unwrap();
    lab.set("guestinfo.sim.transfer_host", &other.address().to_string()).await;
    let error = lab.guest.read("/etc/hostname", 100).await.unwrap_err();
    assert_eq!(error.category(), Category::Connection, "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(error.to_string().contains(&other.address().to_string()), "{error}");
}

#[tokio::test]
async fn a_host_whose_name_leads_nowhere_is_reached_by_its_management_address() {
    let lab = Lab::linux().await;
    lab.set("guestinfo.sim.transfer_host", "no-such-host.invalid").await;
    let error = lab.guest.read("/etc/hostname", 100).await.unwrap_err();
    // The simulated address is nobody's: what counts is that it was tried.
    let host = lab.vm.read(vsphere_ops::managed::virtual_machine::HOST).await.unwrap().unwrap();
    let host = lab.client.get::<HostSystem>(&host.value).await.unwrap();
    const INFO: vsphere_ops::Property<HostSystem, Option<vsphere_ops::types::HostVirtualNicManagerInfo>> =
        vsphere_ops::Property::new("config.virtualNicManagerInfo");
    let info = host.read(INFO).await.unwrap().unwrap();
    let config = info.net_config.iter().find(|config| config.nic_type == "management").unwrap();
    let address = config.candidate_vnic[0].spec.ip.as_ref().unwrap().ip_address.clone().unwrap();
    assert!(error.to_string().contains(&address) || error.to_string().contains("no-such-host"), "{error}");
}

#[tokio::test]
async fn a_url_that_has_ended_says_so() {
    let lab = Lab::linux().await;
    let scheme = lab.sim.url().replace("/sdk", "/guestFile?id=1&token=0");
    let error = lab.vm.download_guest_file(scheme).to_writer(&mut Vec::new()).await.unwrap_err();
    expect(&error, GuestTrouble::UrlEnded, Category::InvalidState, "ask for a new one");
    assert!(!format!("{error} {error:?}").contains("token="), "{error:?}");
}

#[tokio::test]
async fn an_esxi_host_is_asked_for_its_own_files() {
    let sim = Sim::start(Model::esxi()).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD);
    let client = Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap();
    let guest = client.get::<VirtualMachine>("nas").await.unwrap().guest(&root()).await.unwrap();
    assert_eq!(guest.read("/etc/hostname", 100).await.unwrap().bytes, b"nas\n");
    // A FreeBSD is no Windows.
    let bsd = client.get::<VirtualMachine>("pfsense").await.unwrap().guest(&root()).await.unwrap();
    assert_eq!(bsd.family(), Family::Posix);
}
