//! What clients do inside guests: programs, files, and the URLs by which files are transferred.

use std::time::Duration;

use crate::support::{Lab, fault};
use futures::{StreamExt as _, stream};
use vsphere_model::managed::{
    GuestAuthManager, GuestFileManager, GuestOperationsManager, GuestProcessManager, VirtualMachine,
    guest_operations_manager as manager,
};
use vsphere_model::types::{
    GuestAuthentication, GuestFileAttributes, GuestPosixFileAttributes, GuestProcessInfo, GuestProgramSpec,
    GuestWindowsFileAttributes, ManagedObjectReference, NamePasswordAuthentication, Poly,
};
use vsphere_sim::{Model, Size};
use vsphere_soap::http::{FileCall, FileLocation, Transport, TransportOptions, Trust};
use vsphere_soap::request::ManagedObject as _;

/// A running machine, and what is needed to work in its guest.
struct Guest {
    lab: Lab,
    machine: VirtualMachine,
    auth: Poly<GuestAuthentication>,
    login: GuestAuthManager,
    files: GuestFileManager,
    processes: GuestProcessManager,
}

fn auth(user: &str, password: &str) -> Poly<GuestAuthentication> {
    let (username, password) = (user.to_owned(), password.to_owned());
    Poly::new(NamePasswordAuthentication { username, password, ..Default::default() })
}

impl Guest {
    async fn linux() -> Self {
        Self::of("ubuntu64Guest", Model::LINUX_USER, &[]).await
    }

    async fn windows() -> Self {
        Self::of("windows2019srvNext_64Guest", Model::WINDOWS_USER, &[]).await
    }

    async fn of(guest_id: &str, user: &str, extra: &[(&str, &str)]) -> Self {
        let lab = Lab::new(Model::sized(Size { vms: 0, ..Size::default() })).await;
        let extra = [&[("guestinfo.sim.hostname", "web-1")], extra].concat();
        let site = lab.site().await;
        let machine = lab.machine_of(&site, "web-1", &extra, |spec| spec.guest_id = Some(guest_id.to_owned())).await;
        lab.done(machine.power_on_vm_task(None)).await;
        let operations: GuestOperationsManager = lab.object(lab.content.guest_operations_manager.as_ref().unwrap());
        Self {
            login: lab.object(&lab.get(&operations, manager::AUTH_MANAGER).await.unwrap()),
            files: lab.object(&lab.get(&operations, manager::FILE_MANAGER).await.unwrap()),
            processes: lab.object(&lab.get(&operations, manager::PROCESS_MANAGER).await.unwrap()),
            auth: auth(user, Model::GUEST_PASSWORD),
            machine,
            lab,
        }
    }

    fn vm(&self) -> &ManagedObjectReference {
        self.machine.handle().reference()
    }

    async fn start(&self, program: &str, arguments: &str) -> i64 {
        let spec = GuestProgramSpec { program_path: program.into(), arguments: arguments.into(), ..Default::default() };
        self.processes.start_program_in_guest(self.vm(), &self.auth, &Poly::new(spec)).await.unwrap()
    }

    async fn process(&self, pid: i64) -> Option<GuestProcessInfo> {
        self.processes.list_processes_in_guest(self.vm(), &self.auth, &[pid]).await.unwrap().into_iter().next()
    }

    /// Runs a program to its end: its exit code.
    async fn run(&self, program: &str, arguments: &str) -> i32 {
        let pid = self.start(program, arguments).await;
        loop {
            let process = self.process(pid).await.unwrap();
            if process.end_time.is_some() {
                return process.exit_code.unwrap_or(0);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What a command writes, and its exit code.
    async fn output(&self, command: &str) -> (String, i32) {
        let windows = self.auth.downcast_ref::<NamePasswordAuthentication>().unwrap().username == Model::WINDOWS_USER;
        let code = match windows {
            true => {
                self.run("C:\\Windows\\System32\\cmd.exe", &format!("/s /c \"({command}) >C:\\Temp\\o 2>&1\"")).await
            }
            false => self.run("/bin/sh", &format!("-c '{{ {command}\n}} >/tmp/o 2>&1'")).await,
        };
        let path = if windows { "C:\\Temp\\o" } else { "/tmp/o" };
        (String::from_utf8_lossy(&self.fetch(path).await.unwrap()).into_owned(), code)
    }

    async fn url(&self, path: &str) -> String {
        self.files.initiate_file_transfer_from_guest(self.vm(), &self.auth, path).await.unwrap().url
    }

    async fn put_url(&self, path: &str, size: i64, overwrite: bool) -> String {
        let attributes = Poly::new(GuestFileAttributes::default());
        let asked =
            self.files.initiate_file_transfer_to_guest(self.vm(), &self.auth, path, &attributes, size, overwrite);
        asked.await.unwrap()
    }

    fn transport(&self) -> Transport {
        let trust = Trust::Thumbprint(self.lab.sim.thumbprint().unwrap());
        Transport::new(self.lab.sim.url().parse().unwrap(), TransportOptions::new().trust(trust)).unwrap()
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Option<u16>> {
        let transport = self.transport();
        let location = FileLocation::parse(url, transport.endpoint()).unwrap();
        assert_eq!(location.endpoint, *transport.endpoint());
        let mut pieces =
            transport.download(FileCall::new("get", &location.path)).await.map_err(|error| error.status())?;
        let mut content = Vec::new();
        while let Some(piece) = pieces.next().await {
            content.extend_from_slice(&piece.unwrap());
        }
        Ok(content)
    }

    async fn fetch(&self, path: &str) -> Result<Vec<u8>, Option<u16>> {
        self.get(&self.url(path).await).await
    }

    async fn put(&self, url: &str, content: &'static [u8]) -> Result<(), Option<u16>> {
        let transport = self.transport();
        let location = FileLocation::parse(url, transport.endpoint()).unwrap();
        let pieces = stream::iter([Ok(bytes::Bytes::from_static(content))]);
        let call = FileCall::new("put", &location.path);
        let sent = transport.upload(call, pieces, Some(content.len() as u64)).await;
        sent.map_err(|error| error.status())
    }
}

#[tokio::test]
async fn commands_of_linux_answer_as_they_do() {
    let guest = Guest::linux().await;
    for (command, output, code) in [
        ("echo a b  c", "a b c\n", 0),
        ("echo \"a  $USER\" ${HOME}x; false", "a  root /rootx\n", 1),
        ("true && echo yes || echo no", "yes\n", 0),
        ("false && echo yes || echo no", "no\n", 0),
        ("ls /nothing", "ls: cannot access '/nothing': No such file or directory\n", 2),
        ("nonsense", "sh: 1: nonsense: not found\n", 127),
        ("seq 1 20 | grep 1 | head -n 3 | wc -l", "3\n", 0),
        ("(cd /etc && pwd); pwd", "/etc\n/root\n", 0),
        ("cat /etc/hostname /missing | tail -1; exit 7", "cat: /missing: No such file or directory\nweb-1\n", 7),
        ("A=1 env | grep ^A=; echo [$A]", "A=1\n[]\n", 0),
        ("echo one >/tmp/f && echo two >>/tmp/f && cat </tmp/f && rm /tmp/f", "one\ntwo\n", 0),
        ("printf \"%s-%s\\n\" a b c d", "a-b\nc-d\n", 0),
        ("printf \"\\377x\"; echo", "\u{fffd}x\n", 0),
        ("echo $(hostname) \"$(echo a  b)\"", "web-1 a b\n", 0),
        ("hostname; uname -n; whoami", "web-1\nweb-1\nroot\n", 0),
        ("systemctl is-active nginx; systemctl status ghost", "active\nUnit ghost.service could not be found.\n", 4),
        ("touch /mnt/cdrom/x", "touch: /mnt/cdrom/x: Read-only file system\n", 1),
        ("head -c 300000 /dev/zero >/boot/x", "head: write error: No space left on device\n", 1),
        ("mkdir -p /srv/a/b && touch /srv/a/b/c && ls -a /srv/a && ls /srv/a/*", "b\nc\n", 0),
        ("echo \"\\$HOME\" \\$x", "$HOME $x\n", 0),
    ] {
        let (found, ended) = guest.output(command).await;
        assert_eq!((found.as_str(), ended), (output, code), "{command}");
    }
    for (command, part) in [
        ("uname -a", "Linux web-1 "),
        ("uptime", "load average"),
        ("df -h", "/dev/sda2"),
        ("ps aux", "nginx"),
        ("ip addr", "inet 10."),
        ("ls -l /", "bin -> usr/bin"),
        ("systemctl status nginx", "active (running)"),
        ("free -m", "Mem:"),
    ] {
        let (found, code) = guest.output(command).await;
        assert!(found.contains(part) && code == 0, "{command}: {found}");
    }
}

#[tokio::test]
async fn commands_of_windows_answer_as_they_do() {
    let guest = Guest::windows().await;
    for (command, output, code) in [
        ("echo a  \"b\"", "a  \"b\"\r\n", 0),
        ("echo %USERNAME% %none%&exit 3", "Administrator %none%\r\n", 3),
        ("type C:\\nothing", "The system cannot find the file specified.\r\n", 1),
        ("hostname&whoami", "WEB-1\r\nweb-1\\administrator\r\n", 0),
        ("dir /b c:\\users", "Administrator\r\noperator\r\n", 0),
        ("dir /b C:\\Users | find \"oper\"", "operator\r\n", 0),
        (
            "nonsense || echo failed",
            "'nonsense' is not recognized as an internal or external command,\r\noperable program or batch file.\r\nfailed\r\n",
            0,
        ),
        ("echo x>D:\\x", "The media is write protected.\r\n", 1),
        ("echo äö^&", "\u{fffd}\u{fffd}&\r\n", 0),
    ] {
        let (found, ended) = guest.output(command).await;
        assert_eq!((found.as_str(), ended), (output, code), "{command}");
    }
    assert!(guest.output("ipconfig /all").await.0.contains("IPv4 Address"));
}

#[tokio::test]
async fn a_shell_that_starts_itself_ends() {
    let guest = Guest::linux().await;
    guest.output("echo \"sh /tmp/me; exit 7\" >/tmp/me").await;
    assert_eq!(guest.output("sh /tmp/me").await.1, 7);
    let guest = Guest::windows().await;
    guest.output("echo C:\\Temp\\me.cmd^&exit /b 7>C:\\Temp\\me.cmd").await;
    assert_eq!(guest.output("C:\\Temp\\me.cmd").await.1, 7);
}

#[tokio::test]
async fn the_end_of_a_program_is_told_and_forgotten_after_five_minutes() {
    let guest = Guest::linux().await;
    let pid = guest.start("/bin/sh", "-c 'exit 3'").await;
    while guest.process(pid).await.unwrap().end_time.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(guest.process(pid).await.unwrap().exit_code, Some(3));
    guest.lab.sim.pass_time(Duration::from_secs(299));
    assert_eq!(guest.process(pid).await.unwrap().exit_code, Some(3));
    guest.lab.sim.pass_time(Duration::from_secs(2));
    assert!(guest.process(pid).await.is_none());
    // What was there before is not forgotten.
    assert_eq!(guest.process(1).await.unwrap().name, "systemd");

    let pid = guest.start("/bin/sleep", "3600").await;
    assert_eq!(guest.process(pid).await.unwrap().end_time, None);
    guest.processes.terminate_process_in_guest(guest.vm(), &guest.auth, pid).await.unwrap();
    assert_eq!(guest.process(pid).await.unwrap().exit_code, Some(137));
    let again = guest.processes.terminate_process_in_guest(guest.vm(), &guest.auth, pid);
    assert_eq!(fault(again).await, "GuestProcessNotFound");
}

#[tokio::test]
async fn a_reboot_ends_what_runs() {
    let guest = Guest::linux().await;
    let pid = guest.start("/bin/sleep", "3600").await;
    guest.machine.reboot_guest().await.unwrap();
    assert!(guest.process(pid).await.is_none());
    assert_eq!(guest.output("cat /etc/hostname").await, ("web-1\n".to_owned(), 0));
}

#[tokio::test]
async fn programs_are_checked_before_they_start() {
    let guest = Guest::linux().await;
    let start = |program: &str, directory: Option<&str>| {
        let spec = GuestProgramSpec {
            program_path: program.to_owned(),
            arguments: String::new(),
            working_directory: directory.map(str::to_owned),
            env_variables: Vec::new(),
        };
        fault(guest.processes.start_program_in_guest(guest.vm(), &guest.auth, &Poly::new(spec)))
    };
    assert_eq!(start("ls", None).await, "FileNotFound");
    assert_eq!(start("/bin/nothing", None).await, "FileNotFound");
    assert_eq!(start("/etc/hosts", None).await, "GuestPermissionDenied");
    assert_eq!(start("/bin/ls", Some("/etc/hosts")).await, "NotADirectory");
    assert_eq!(start("/bin/ls", Some("/etc")).await, "");
}

#[tokio::test]
async fn a_given_environment_replaces_that_of_the_user() {
    let guest = Guest::linux().await;
    let spec = GuestProgramSpec {
        program_path: "/bin/sh".to_owned(),
        arguments: "-c 'env >/tmp/o'".to_owned(),
        working_directory: None,
        env_variables: vec!["ONLY=1".to_owned()],
    };
    let pid = guest.processes.start_program_in_guest(guest.vm(), &guest.auth, &Poly::new(spec)).await.unwrap();
    while guest.process(pid).await.unwrap().end_time.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(guest.fetch("/tmp/o").await.unwrap(), b"ONLY=1\n");
    let names = ["HOME".to_owned(), "NONE".to_owned()];
    let told = guest.processes.read_environment_variable_in_guest(guest.vm(), &guest.auth, &names).await.unwrap();
    assert_eq!(told, ["HOME=/root"]);
}

#[tokio::test]
async fn directories_are_listed_in_pages_with_the_two_first_entries() {
    let guest = Guest::linux().await;
    guest.output("mkdir /srv/many; cd /srv/many; touch $(seq 1 120)").await;
    let list = |path: &str, index, most, pattern: Option<&str>| {
        guest.files.list_files_in_guest(guest.vm(), &guest.auth, path, index, most, pattern)
    };
    let page = list("/srv/many", None, None, None).await.unwrap();
    assert_eq!((page.files.len(), page.remaining), (50, 72));
    assert_eq!((page.files[0].path.as_str(), page.files[1].path.as_str()), (".", ".."));
    let page = list("/srv/many", Some(100), None, None).await.unwrap();
    assert_eq!((page.files.len(), page.remaining), (22, 0));
    // The pattern is a regular expression that fits anywhere.
    assert_eq!(list("/srv/many", None, Some(500), Some("2$")).await.unwrap().files.len(), 12);
    assert_eq!(fault(list("/srv/many", None, None, Some("("))).await, "InvalidArgument");
    let one = &list("/etc/hosts", None, None, None).await.unwrap().files[0];
    assert_eq!((one.path.as_str(), one.type_.as_str()), ("/etc/hosts", "file"));
    let mode = one.attributes.downcast_ref::<GuestPosixFileAttributes>().unwrap();
    assert_eq!((mode.owner_id, mode.permissions), (Some(0), Some(0o644)));
    let link = &list("/bin", None, None, None).await.unwrap().files[0];
    assert_eq!((link.type_.as_str(), link.attributes.symlink_target.as_deref()), ("symlink", Some("usr/bin")));
    assert_eq!(fault(list("/nothing", None, None, None)).await, "FileNotFound");
    assert_eq!(fault(list("/etc/hosts/x", None, None, None)).await, "NotADirectory");
}

#[tokio::test]
async fn a_url_is_good_once_and_for_ten_minutes() {
    let guest = Guest::linux().await;
    let url = guest.url("/etc/hostname").await;
    assert!(url.contains("/guestFile?id=") && url.contains("&token="), "{url}");
    assert_eq!(guest.get(&url).await.unwrap(), b"web-1\n");
    assert_eq!(guest.get(&url).await, Err(Some(404)));
    let url = guest.url("/etc/hostname").await;
    guest.lab.sim.pass_time(Duration::from_secs(601));
    assert_eq!(guest.get(&url).await, Err(Some(404)));
    let url = guest.url("/etc/hostname").await;
    assert_eq!(guest.get(&format!("{url}0")).await, Err(Some(404)), "another token");
    assert_eq!(guest.get(&url).await.unwrap(), b"web-1\n");

    let url = guest.put_url("/srv/new", 3, false).await;
    guest.put(&url, b"new").await.unwrap();
    assert_eq!(guest.put(&url, b"new").await, Err(Some(404)));
    assert_eq!(guest.fetch("/srv/new").await.unwrap(), b"new");
    // The length must be that which was announced, and not 0.
    let url = guest.put_url("/srv/new", 4, true).await;
    assert_eq!(guest.put(&url, b"new").await, Err(Some(500)));
    let url = guest.put_url("/srv/empty", 0, true).await;
    assert_eq!(guest.put(&url, b"").await, Err(Some(500)));
    let url = guest.url("/srv/new").await;
    guest.lab.done(guest.machine.reset_vm_task()).await;
    assert_eq!(guest.get(&url).await, Err(Some(404)), "the machine was reset");
}

#[tokio::test]
async fn an_esxi_host_does_not_say_its_name_in_urls() {
    let lab = Lab::new(Model::esxi()).await;
    let machine: VirtualMachine = lab.object(&lab.at("ha-datacenter/vm/nas").await);
    let manager = lab.content.guest_operations_manager.as_ref().unwrap();
    let files: ManagedObjectReference = lab.read(manager, "fileManager").await.unwrap().take().unwrap();
    assert_eq!(files.value, "ha-guest-operations-file-manager");
    let files: GuestFileManager = lab.object(&files);
    let auth = auth(Model::LINUX_USER, Model::GUEST_PASSWORD);
    let vm = machine.handle().reference();
    let url = files.initiate_file_transfer_from_guest(vm, &auth, "/etc/hostname").await.unwrap().url;
    assert!(url.starts_with("https://*/guestFile?id="), "{url}");
}

#[tokio::test]
async fn files_are_moved_made_and_deleted_with_the_faults_of_the_tools() {
    let guest = Guest::linux().await;
    let (vm, auth, files) = (guest.vm(), &guest.auth, &guest.files);
    let make = |path: &'static str, parents| fault(files.make_directory_in_guest(vm, auth, path, parents));
    assert_eq!(make("/srv/a/b", false).await, "FileNotFound");
    assert_eq!(make("/srv/a/b", true).await, "");
    assert_eq!(make("/srv/a/b", true).await, "FileAlreadyExists");
    assert_eq!(make("/mnt/cdrom/x", false).await, "CannotAccessFile");
    let file = files.create_temporary_file_in_guest(vm, auth, "pre", ".txt", Some("/srv/a")).await.unwrap();
    assert!(file.starts_with("/srv/a/prevmware") && file.ends_with(".txt"), "{file}");
    assert_eq!(fault(files.move_file_in_guest(vm, auth, &file, "/srv/a/f", false)).await, "");
    assert_eq!(fault(files.move_file_in_guest(vm, auth, &file, "/srv/a/f", false)).await, "FileNotFound");
    assert_eq!(fault(files.move_file_in_guest(vm, auth, "/etc/hosts", "/srv/a/f", false)).await, "FileAlreadyExists");
    assert_eq!(fault(files.delete_file_in_guest(vm, auth, "/srv/a")).await, "NotAFile");
    assert_eq!(fault(files.delete_directory_in_guest(vm, auth, "/srv/a/f", false)).await, "NotADirectory");
    assert_eq!(fault(files.delete_directory_in_guest(vm, auth, "/srv/a", false)).await, "DirectoryNotEmpty");
    assert_eq!(fault(files.delete_directory_in_guest(vm, auth, "/srv/a", true)).await, "");
    assert_eq!(fault(files.initiate_file_transfer_from_guest(vm, auth, "/etc/localtime")).await, "InvalidArgument");
    assert_eq!(fault(files.initiate_file_transfer_from_guest(vm, auth, "/etc")).await, "NotAFile");
    let info = files.initiate_file_transfer_from_guest(vm, auth, "/proc/cpuinfo").await.unwrap();
    assert_eq!((info.size, guest.get(&info.url).await.unwrap()), (0, Vec::new()));
    let windows = Poly::new(GuestWindowsFileAttributes::default());
    let to = files.initiate_file_transfer_to_guest(vm, auth, "/srv/x", &windows, 1, true);
    assert_eq!(fault(to).await, "InvalidArgument");
}

#[tokio::test]
async fn who_may_not_is_told_why() {
    let guest = Guest::linux().await;
    let check = |user: &str, password: &str| {
        let auth = auth(user, password);
        fault(guest.login.validate_credentials_in_guest(guest.vm(), &auth))
    };
    assert_eq!(check("root", Model::GUEST_PASSWORD).await, "");
    assert_eq!(check("root", "wrong").await, "InvalidGuestLogin");
    assert_eq!(check("Root", Model::GUEST_PASSWORD).await, "InvalidGuestLogin");
    let operator = auth("operator", Model::GUEST_PASSWORD);
    let read = guest.files.initiate_file_transfer_from_guest(guest.vm(), &operator, "/etc/shadow");
    assert_eq!(fault(read).await, "GuestPermissionDenied");
    let make = guest.files.make_directory_in_guest(guest.vm(), &operator, "/etc/x", false);
    assert_eq!(fault(make).await, "GuestPermissionDenied");
    guest.lab.done(guest.machine.power_off_vm_task()).await;
    assert_eq!(check("root", Model::GUEST_PASSWORD).await, "InvalidPowerState");
    for (trouble, expected) in [
        ("disabled", "OperationDisabledByGuest"),
        ("unsupported", "OperationNotSupportedByGuest"),
        ("old", "GuestComponentsOutOfDate"),
        ("logons", "TooManyGuestLogons"),
    ] {
        let guest = Guest::of("ubuntu64Guest", "root", &[("guestinfo.sim.guestops", trouble)]).await;
        assert_eq!(fault(guest.login.validate_credentials_in_guest(guest.vm(), &guest.auth)).await, expected);
    }
    let guest = Guest::of("ubuntu64Guest", "root", &[("guestinfo.sim.tools", "none")]).await;
    let ready = fault(guest.login.validate_credentials_in_guest(guest.vm(), &guest.auth));
    assert_eq!(ready.await, "GuestOperationsUnavailable");
}

#[tokio::test]
async fn each_method_has_its_privilege() {
    let model = Model::demo().user("viewer@vsphere.local", "secret", vsphere_sim::Role::ReadOnly);
    let lab = Lab::new(model).await;
    let machine = lab.all_of("VirtualMachine").await.remove(0);
    let viewer = lab.another("viewer@vsphere.local", "secret").await.unwrap();
    let manager = lab.content.guest_operations_manager.as_ref().unwrap();
    let processes: ManagedObjectReference = viewer.read(manager, "processManager").await.unwrap().take().unwrap();
    let processes: GuestProcessManager = viewer.object(&processes);
    let auth = auth("root", Model::GUEST_PASSWORD);
    assert_eq!(fault(processes.list_processes_in_guest(&machine, &auth, &[])).await, "NoPermission");
}

#[tokio::test]
async fn a_clone_has_the_files_and_not_the_programs() {
    let guest = Guest::linux().await;
    guest.output("echo kept >/srv/kept").await;
    let pid = guest.start("/bin/sleep", "3600").await;
    let site = guest.lab.site().await;
    let mut spec = vsphere_model::types::VirtualMachineCloneSpec { power_on: true, ..Default::default() };
    spec.location.pool = Some(site.pool.clone());
    let clone = guest.lab.run(guest.machine.clone_vm_task(site.folder.handle().reference(), "web-2", &spec)).await;
    let clone: VirtualMachine = guest.lab.object(&clone.take::<ManagedObjectReference>().unwrap());
    let guest = Guest { machine: clone, ..guest };
    assert_eq!(guest.fetch("/srv/kept").await.unwrap(), b"kept\n");
    assert!(guest.process(pid).await.is_none());
}

#[tokio::test]
async fn no_file_of_a_guest_has_a_name_that_no_answer_could_carry() {
    let guest = Guest::linux().await;
    let (said, code) = guest.output("mkdir -p /srv/x && cd /srv/x && touch ok && touch $(printf \"a\\001b\")").await;
    assert_ne!(code, 0, "{said}");
    for command in ["mkdir $(printf \"\\002\")", "mv ok $(printf \"\\037\")", "cp ok $(printf \"\\001\")"] {
        let (said, code) = guest.output(&format!("cd /srv/x && {command}")).await;
        assert_ne!(code, 0, "{command}: {said}");
    }
    let list = guest.files.list_files_in_guest(guest.vm(), &guest.auth, "/srv/x", None, None, None).await.unwrap();
    let names: Vec<&str> = list.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, [".", "..", "ok"]);
}
