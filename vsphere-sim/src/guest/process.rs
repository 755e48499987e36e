//! The process table, and programs that run: each in a task of its own, which looks at the world for a moment at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use vsphere_model::types::DateTime;

use super::files::{Content, Done, Errno, User};
use super::{System, cmd, sh};
use crate::core::Core;
use crate::objects::vm::Vm;
use crate::world::{Moref, World};

/// A process, or one that has ended a while ago.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i64,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) command: String,
    pub(crate) started: DateTime,
    pub(crate) ended: Option<Ended>,
    /// Whether VMware Tools have started it: only of such a process they remember the end.
    pub(crate) by_tools: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) at: DateTime,
    pub(crate) exit_code: i32,
    /// VMware Tools have noticed.
    pub(crate) noticed: bool,
}

/// How often VMware Tools look after the programs that they have started, and how long they remember one that has ended.
const LOOK: Duration = Duration::from_secs(1);
const MEMORY: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// The exit code of a program that was killed.
const KILLED: i32 = 137;

impl System {
    /// The processes as VMware Tools tell of them at this time.
    pub(crate) fn processes_at(&self, now: DateTime) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| match process.ended {
            Some(ended) => process.by_tools && now - ended.at < MEMORY,
            None => true,
        })
    }

    /// Whether the process runs.
    fn runs(&self, pid: i64) -> bool {
        self.processes.iter().any(|process| process.pid == pid && process.ended.is_none())
    }

    fn end(&mut self, pid: i64, exit_code: i32, at: DateTime, noticed: bool) {
        self.processes.retain(|process| process.ended.is_none_or(|ended| at - ended.at < MEMORY));
        let running = self.processes.iter_mut().find(|process| process.pid == pid && process.ended.is_none());
        if let Some(process) = running {
            process.ended = Some(Ended { at, exit_code, noticed });
        }
    }
}

/// Starts a program: its process id. The command line is one of the system's own shell.
pub(crate) fn start(world: &mut World, core: &Arc<Core>, vm: &Moref, program: Program) -> Option<i64> {
    let now = world.now();
    let machine = world.quietly_edit::<Vm>(vm).ok()?;
    let turn = machine.life.turn();
    let system = machine.guest_system.as_mut()?;
    let pid = system.new_pid();
    let windows = system.windows;
    system.processes.push(Process {
        pid,
        name: program.name.clone(),
        owner: program.user.name.clone(),
        command: program.command.clone(),
        started: now,
        ended: None,
        by_tools: true,
    });
    let job = Job { core: Arc::downgrade(core), vm: vm.clone(), turn, pid, user: program.user };
    tokio::spawn(async move {
        let context = Context {
            environment: program.environment,
            directory: program.directory,
            input: Arc::default(),
            output: Sink::Nowhere,
            errors: Sink::Nowhere,
            last: 0,
            depth: 0,
        };
        let code = match windows {
            true => cmd::start(&job, context, &program.command).await,
            false => sh::run(&job, context, &program.command).await,
        };
        job.end(code);
    });
    Some(pid)
}

/// A program that is to be started.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) command: String,
    pub(crate) user: User,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: String,
}

/// Ends a process by force. Whether there was one.
pub(crate) fn kill(world: &mut World, vm: &Moref, pid: i64) -> bool {
    let now = world.now();
    let Ok(machine) = world.quietly_edit::<Vm>(vm) else { return false };
    let Some(system) = &mut machine.guest_system else { return false };
    let there = system.runs(pid);
    system.end(pid, KILLED, now, true);
    there
}

/// A program that runs.
pub(super) struct Job {
    core: Weak<Core>,
    vm: Moref,
    turn: u32,
    pid: i64,
    pub(super) user: User,
}

/// The program was ended from outside, or its machine was.
pub(super) struct Gone;

impl Job {
    pub(super) fn pid(&self) -> i64 {
        self.pid
    }

    /// Does something in the system, if the program still runs.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut System, DateTime) -> T) -> Result<T, Gone> {
        let core = self.core.upgrade().ok_or(Gone)?;
        let mut world = core.write();
        let now = world.now();
        let machine = world.quietly_edit::<Vm>(&self.vm).map_err(|_| Gone)?;
        if machine.life.turn() != self.turn || !machine.is_on() {
            return Err(Gone);
        }
        let system = machine.guest_system.as_mut().filter(|system| system.runs(self.pid)).ok_or(Gone)?;
        Ok(work(system, now))
    }

    /// Waits, and looks now and then whether the program still runs.
    pub(super) async fn sleep(&self, time: Duration) -> Result<(), Gone> {
        let ends = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < ends {
            tokio::time::sleep_until(ends.min(tokio::time::Instant::now() + Duration::from_millis(50))).await;
            self.with(|_, _| ())?;
        }
        Ok(())
    }

    fn end(&self, exit_code: i32) {
        let Some(core) = self.core.upgrade() else { return };
        let mut world = core.write();
        let (vm, pid, now) = (self.vm.clone(), self.pid, world.now());
        let Ok(machine) = world.quietly_edit::<Vm>(&vm) else { return };
        if machine.life.turn() != self.turn {
            return;
        }
        let Some(system) = &mut machine.guest_system else { return };
        system.end(pid, exit_code, now, false);
        world.later(LOOK, move |world| {
            let Ok(machine) = world.quietly_edit::<Vm>(&vm) else { return };
            let Some(system) = &mut machine.guest_system else { return };
            for process in system.processes.iter_mut().filter(|process| process.pid == pid) {
                if let Some(ended) = &mut process.ended {
                    ended.noticed = true;
                }
            }
        });
    }
}

/// What a command runs with.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) environment: BTreeMap<String, String>,
    /// The key of the working directory.
    pub(super) directory: String,
    pub(super) input: Arc<Vec<u8>>,
    pub(super) output: Sink,
    pub(super) errors: Sink,
    /// The exit code of the last command.
    pub(super) last: i32,
    /// How many shells it is in: one that starts itself must end.
    pub(super) depth: u8,
}

/// How many shells may be in each other.
pub(super) const DEEPEST: u8 = 8;

/// Where output goes.
#[derive(Clone)]
pub(super) enum Sink {
    Nowhere,
    /// To the next program of a pipe.
    Buffer(Arc<Mutex<Vec<u8>>>),
    File(Content, String),
}

/// How much a pipe holds at most.
const LARGEST: usize = 80 << 20;

impl Sink {
    pub(super) fn buffer() -> Self {
        Self::Buffer(Arc::default())
    }

    /// What has gone there, where it is a pipe.
    pub(super) fn taken(&self) -> Vec<u8> {
        match self {
            Self::Buffer(bytes) => std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner)),
            _ => Vec::new(),
        }
    }

    /// Writes, as far as there is room.
    pub(super) fn write(&self, job: &Job, bytes: &[u8]) -> Result<Done<()>, Gone> {
        match self {
            Self::Nowhere => job.with(|_, _| Ok(())),
            Self::Buffer(buffer) => {
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                if buffer.len().saturating_add(bytes.len()) > LARGEST {
                    return Ok(Err(Errno::Full));
                }
                buffer.extend_from_slice(bytes);
                Ok(Ok(()))
            }
            Self::File(content, key) => job.with(|system, _| {
                system.files.room(key, bytes.len() as u64)?;
                content.append(bytes);
                Ok(())
            }),
        }
    }
}
