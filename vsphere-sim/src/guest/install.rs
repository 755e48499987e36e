//! What is in a system that has just been installed: files, users, programs that run.

use vsphere_model::types::DateTime;

use super::files::{Content, Kind, Mount, Tree, User};
use super::process::Process;
use super::{Facts, commands};
use crate::model::Model;

/// The users: the administrator, and one who may not do everything. They have the same password.
pub(super) fn users(windows: bool) -> Vec<(User, String)> {
    let user = |id, name: &str, home: &str, privileged| {
        (User { id, name: name.to_owned(), home: home.to_owned(), privileged }, Model::GUEST_PASSWORD.to_owned())
    };
    match windows {
        true => vec![
            user(500, Model::WINDOWS_USER, "C:\\Users\\Administrator", true),
            user(1001, "operator", "C:\\Users\\operator", false),
        ],
        false => vec![user(0, Model::LINUX_USER, "/root", true), user(1000, "operator", "/home/operator", false)],
    }
}

const MIB: u64 = 1 << 20;

fn mount(at: &str, device: &'static str, read_only: bool, capacity: u64) -> Mount {
    Mount { at: at.to_owned(), device, read_only, capacity }
}

/// The file tree.
pub(super) fn files(windows: bool, facts: &Facts, now: DateTime) -> Tree {
    if windows { of_windows(facts, now) } else { of_linux(facts, now) }
}

fn of_linux(facts: &Facts, now: DateTime) -> Tree {
    let mut tree = Tree::new(
        false,
        vec![
            mount("/", "/dev/sda2", false, 512 * MIB),
            mount("/boot", "/dev/sda1", false, 256 << 10),
            mount("/mnt/cdrom", "/dev/sr0", true, MIB),
        ],
    );
    let file = |text: String| Kind::File(Content::of(text));
    for (path, mode) in [
        ("/", 0o755),
        ("/boot", 0o755),
        ("/etc", 0o755),
        ("/etc/nginx", 0o755),
        ("/home", 0o755),
        ("/mnt", 0o755),
        ("/mnt/cdrom", 0o555),
        ("/opt", 0o755),
        ("/proc", 0o555),
        ("/root", 0o700),
        ("/srv", 0o755),
        ("/tmp", 0o777),
        ("/usr", 0o755),
        ("/usr/bin", 0o755),
        ("/var", 0o755),
        ("/var/lib", 0o755),
        ("/var/log", 0o755),
        ("/var/tmp", 0o777),
    ] {
        tree.put(path, Kind::Directory, 0, mode, now);
    }
    tree.put("/home/operator", Kind::Directory, 1000, 0o755, now);
    for (path, target) in
        [("/bin", "usr/bin"), ("/sbin", "usr/bin"), ("/usr/sbin", "bin"), ("/etc/localtime", "/usr/share/zoneinfo/UTC")]
    {
        tree.put(path, Kind::Link(target.to_owned()), 0, 0o777, now);
    }
    for program in commands::PROGRAMS {
        tree.put(&format!("/usr/bin/{program}"), file("\u{7f}ELF".to_owned()), 0, 0o755, now);
    }
    let name = &facts.host_name;
    let passwd = "root:x:0:0:root:/root:/bin/bash\noperator:x:1000:1000::/home/operator:/bin/bash\n";
    for (path, text, mode) in [
        ("/etc/hostname", format!("{name}\n"), 0o644),
        ("/etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n"), 0o644),
        ("/etc/os-release", format!("NAME=\"Linux\"\nPRETTY_NAME=\"{}\"\n", facts.os), 0o644),
        ("/etc/passwd", passwd.to_owned(), 0o644),
        ("/etc/shadow", "root:*:19000:0:99999:7:::\n".to_owned(), 0o640),
        ("/etc/resolv.conf", "nameserver 10.0.0.1\n".to_owned(), 0o644),
        ("/etc/fstab", "/dev/sda2 / ext4 defaults 0 1\n/dev/sda1 /boot ext4 defaults 0 2\n".to_owned(), 0o644),
        (
            "/etc/nginx/nginx.conf",
            "worker_processes auto;\nevents {}\nhttp { server { listen 80; } }\n".to_owned(),
            0o644,
        ),
        ("/var/log/syslog", format!("{name} systemd[1]: Startup finished.\n"), 0o640),
        ("/mnt/cdrom/README", "The file system of this disc can't be written.\n".to_owned(), 0o444),
    ] {
        tree.put(path, file(text), 0, mode, now);
    }
    let cpus = (0..facts.cpus.clamp(1, 256)).map(|cpu| format!("processor\t: {cpu}\n")).collect();
    tree.put("/proc/cpuinfo", Kind::Kernel(cpus), 0, 0o444, now);
    let memory = format!("MemTotal: {} kB\n", facts.memory_mb.saturating_mul(1024));
    tree.put("/proc/meminfo", Kind::Kernel(memory), 0, 0o444, now);
    tree
}

fn of_windows(facts: &Facts, now: DateTime) -> Tree {
    let mut tree = Tree::new(
        true,
        vec![mount("c:", "C:", false, 512 * MIB), mount("d:", "D:", true, MIB), mount("e:", "E:", false, 256 << 10)],
    );
    for path in [
        "C:",
        "C:\\Windows",
        "C:\\Windows\\System32",
        "C:\\Windows\\System32\\drivers",
        "C:\\Windows\\System32\\drivers\\etc",
        "C:\\Program Files",
        "D:",
    ] {
        tree.put(path, Kind::Directory, 500, 0o755, now);
    }
    for path in ["C:\\ProgramData", "C:\\Users", "C:\\Temp", "E:"] {
        tree.put(path, Kind::Directory, 500, 0o777, now);
    }
    for (user, id) in [("Administrator", 500), ("operator", 1001)] {
        for below in ["", "\\AppData", "\\AppData\\Local", "\\AppData\\Local\\Temp", "\\Desktop"] {
            tree.put(&format!("C:\\Users\\{user}{below}"), Kind::Directory, id, 0o700, now);
        }
    }
    for program in super::cmd::PROGRAMS {
        tree.put(&format!("C:\\Windows\\System32\\{program}.exe"), Kind::File(Content::of("MZ")), 500, 0o755, now);
    }
    for (path, text) in [
        ("C:\\Windows\\System32\\drivers\\etc\\hosts", "127.0.0.1 localhost\r\n".to_owned()),
        ("C:\\Windows\\win.ini", "; for 16-bit app support\r\n[fonts]\r\n".to_owned()),
        ("C:\\Users\\Administrator\\Desktop\\notes.txt", format!("This is {}.\r\n", facts.host_name)),
        ("D:\\readme.txt", "The media is write protected.\r\n".to_owned()),
    ] {
        tree.put(path, Kind::File(Content::of(text)), 500, 0o644, now);
    }
    tree
}

/// What runs since the system was started.
pub(super) fn processes(windows: bool, since: DateTime) -> Vec<Process> {
    const LINUX: &[(i64, &str, &str, &str)] = &[
        (1, "systemd", "root", "/sbin/init"),
        (312, "systemd-journald", "root", "/usr/lib/systemd/systemd-journald"),
        (544, "cron", "root", "/usr/sbin/cron -f"),
        (571, "vmtoolsd", "root", "/usr/bin/vmtoolsd"),
        (602, "sshd", "root", "sshd: /usr/sbin/sshd -D [listener]"),
        (640, "nginx", "root", "nginx: master process /usr/sbin/nginx"),
    ];
    const WINDOWS: &[(i64, &str, &str, &str)] = &[
        (4, "System", "SYSTEM", ""),
        (388, "smss.exe", "SYSTEM", "\\SystemRoot\\System32\\smss.exe"),
        (612, "services.exe", "SYSTEM", "C:\\Windows\\system32\\services.exe"),
        (640, "lsass.exe", "SYSTEM", "C:\\Windows\\system32\\lsass.exe"),
        (724, "svchost.exe", "NETWORK SERVICE", "C:\\Windows\\system32\\svchost.exe -k netsvcs"),
        (780, "vmtoolsd.exe", "SYSTEM", "\"C:\\Program Files\\VMware\\VMware Tools\\vmtoolsd.exe\""),
    ];
    let rows = if windows { WINDOWS } else { LINUX };
    rows.iter()
        .map(|(pid, name, owner, command)| Process {
            pid: *pid,
            name: (*name).to_owned(),
            owner: (*owner).to_owned(),
            command: (*command).to_owned(),
            started: since,
            ended: None,
            by_tools: false,
        })
        .collect()
}
