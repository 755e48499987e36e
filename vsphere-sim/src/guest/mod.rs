//! What is inside a running machine: a small file tree, a process table, and a shell.
//!
//! | file | has |
//! |---|---|
//! | `files` | the file tree, with its owners, links and file systems |
//! | `install` | what is in a system when it has just been installed |
//! | `process` | the process table, and programs that run |
//! | `sh`, `syntax` | the shell of Linux, and its grammar |
//! | `commands`, `file_commands` | the programs of Linux |
//! | `cmd`, `cmd_syntax` | the command processor of Windows, its programs, and its grammar |
//!
//! Every system has a file system that is small (`/boot`, `E:\`) and one that can only be read (`/mnt/cdrom`, `D:\`).

mod cmd;
mod cmd_syntax;
mod commands;
mod file_commands;
pub(crate) mod files;
mod install;
pub(crate) mod process;
mod sh;
mod syntax;

use std::collections::BTreeMap;

use vsphere_model::types::DateTime;

use self::files::{Tree, User};
use self::process::Process;

/// The system that runs in a machine.
#[derive(Clone)]
pub(crate) struct System {
    pub(crate) windows: bool,
    pub(crate) facts: Facts,
    pub(crate) files: Tree,
    pub(crate) processes: Vec<Process>,
    users: Vec<Account>,
    /// The run of the machine that the processes belong to.
    turn: u32,
    last_pid: i64,
}

/// What a system tells of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) host_name: String,
    pub(crate) os: String,
    pub(crate) address: Option<String>,
    pub(crate) mac: Option<String>,
    pub(crate) memory_mb: i64,
    pub(crate) cpus: i32,
    pub(crate) booted: Option<DateTime>,
}

#[derive(Debug, Clone)]
struct Account {
    user: User,
    password: String,
}

impl System {
    /// The system as it is when it is looked at for the first time.
    pub(crate) fn installed(windows: bool, facts: Facts, now: DateTime) -> Self {
        let users = install::users(windows);
        let mut system = Self {
            windows,
            files: install::files(windows, &facts, now),
            facts,
            processes: Vec::new(),
            users: users.into_iter().map(|(user, password)| Account { user, password }).collect(),
            turn: 0,
            last_pid: 800,
        };
        system.boot(0, now);
        system
    }

    /// Makes sure that the system is in this run of its machine: nothing that ran in an earlier one runs any more.
    pub(crate) fn be_in(&mut self, turn: u32, facts: Facts, now: DateTime) {
        self.facts = facts;
        if self.turn != turn {
            self.boot(turn, now);
        }
    }

    /// The system of a clone: the same files, and nothing that runs.
    pub(crate) fn copied(&self) -> Self {
        Self { turn: u32::MAX, processes: Vec::new(), ..self.clone() }
    }

    fn boot(&mut self, turn: u32, now: DateTime) {
        self.turn = turn;
        self.processes = install::processes(self.windows, self.facts.booted.unwrap_or(now));
    }

    /// The user with this name and password. Windows does not mind the case of a name, nor its domain.
    pub(crate) fn login(&self, name: &str, password: &str) -> Option<User> {
        let account = self.users.iter().find(|account| {
            let plain = name.rsplit('\\').next().unwrap_or(name);
            match self.windows {
                true => account.user.name.eq_ignore_ascii_case(plain),
                false => account.user.name == name,
            }
        })?;
        (account.password == password).then(|| account.user.clone())
    }

    /// The user with this number.
    fn user_name(&self, id: i32) -> String {
        let known = self.users.iter().find(|account| account.user.id == id);
        known.map_or_else(|| id.to_string(), |account| account.user.name.clone())
    }

    /// The environment that a user's programs start with.
    pub(crate) fn environment(&self, user: &User) -> BTreeMap<String, String> {
        let of =
            |pairs: &[(&str, String)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let text = str::to_owned;
        if self.windows {
            return of(&[
                ("ALLUSERSPROFILE", text("C:\\ProgramData")),
                ("COMPUTERNAME", self.facts.host_name.to_uppercase()),
                ("ComSpec", text("C:\\Windows\\system32\\cmd.exe")),
                ("OS", text("Windows_NT")),
                ("Path", text("C:\\Windows\\system32;C:\\Windows")),
                ("SystemRoot", text("C:\\Windows")),
                ("TEMP", format!("C:\\Users\\{}\\AppData\\Local\\Temp", user.name)),
                ("TMP", format!("C:\\Users\\{}\\AppData\\Local\\Temp", user.name)),
                ("USERNAME", user.name.clone()),
                ("USERPROFILE", format!("C:\\Users\\{}", user.name)),
            ]);
        }
        of(&[
            ("HOME", user.home.clone()),
            ("LANG", text("C.UTF-8")),
            ("PATH", text("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
            ("SHELL", text("/bin/bash")),
            ("USER", user.name.clone()),
        ])
    }

    fn new_pid(&mut self) -> i64 {
        self.last_pid += 1 + i64::from(fastrand::u8(..7));
        self.last_pid
    }
}
