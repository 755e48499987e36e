//! `GuestProcessManager`: programs that are started in a guest, and what becomes of them.

use vsphere_model::types::{
    FileNotFound, GuestPermissionDenied, GuestProcessInfo, GuestProcessNotFound, GuestProgramSpec, Poly,
};

use super::{EXECUTE, QUERY, enter, file_fault, system};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::guest::files::{Errno, Kind, last_part};
use crate::guest::process::{self, Program};
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("GuestProcessManager", "StartProgramInGuest", Handler::Write(start)),
    ("GuestProcessManager", "ListProcessesInGuest", Handler::Write(list)),
    ("GuestProcessManager", "TerminateProcessInGuest", Handler::Write(terminate)),
    ("GuestProcessManager", "ReadEnvironmentVariableInGuest", Handler::Write(environment)),
];

/// How much goes through the channel to the Tools in one message, in bytes.
const CHANNEL: usize = 64 << 10;

fn start(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, EXECUTE)?;
    let spec: Poly<GuestProgramSpec> = call.arg("spec")?;
    let path = spec.program_path.trim_matches('"').to_owned();
    let given = spec.env_variables.iter().map(String::len).sum::<usize>();
    if path.len() + spec.arguments.len() + given > CHANNEL {
        return Err(Fault::invalid_argument("spec.arguments"));
    }
    let system = system(world, &vm)?;
    let absolute = if system.windows { path.as_bytes().get(1) == Some(&b':') } else { path.starts_with('/') };
    let key = system.files.key(&path, "/").filter(|_| absolute);
    match key.as_deref().map(|key| system.files.get(key, true)) {
        Some(Ok((_, node))) => {
            if node.is_directory() || !matches!(node.kind, Kind::File(_)) || node.mode & 0o111 == 0 {
                let text = "Permission to perform this operation was denied in the guest.";
                return Err(Fault::new(GuestPermissionDenied::default(), text));
            }
        }
        _ => {
            let mut fault = FileNotFound::default();
            fault.file.clone_from(&path);
            return Err(Fault::new(fault, format!("File not found: {path}")));
        }
    }
    let directory = spec.working_directory.as_deref().filter(|path| !path.is_empty()).unwrap_or(&user.home);
    let there = system.files.key(directory, "/").ok_or(Errno::NotADirectory);
    let there = there.and_then(|key| match system.files.get(&key, true) {
        Ok((key, node)) if node.is_directory() => Ok(key),
        _ => Err(Errno::NotADirectory),
    });
    let there = there.map_err(|error| file_fault(error, directory))?;
    let environment = match spec.env_variables.is_empty() {
        true => system.environment(&user),
        false => spec
            .env_variables
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let program = Program {
        name: last_part(&path).to_owned(),
        command: format!("\"{path}\" {}", spec.arguments),
        user,
        environment,
        directory: there,
    };
    let pid = process::start(world, &call.core, &vm, program);
    pid.map(Reply::of).ok_or_else(|| Fault::not_found(&vm))
}

fn list(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, _) = enter(world, call, QUERY)?;
    let pids: Vec<i64> = call.opt("pids")?.unwrap_or_default();
    let now = world.now();
    let system = system(world, &vm)?;
    let wanted = system.processes_at(now).filter(|process| pids.is_empty() || pids.contains(&process.pid));
    let told = wanted.map(|process| {
        let ended = process.ended.filter(|ended| ended.noticed);
        GuestProcessInfo {
            name: process.name.clone(),
            pid: process.pid,
            owner: process.owner.clone(),
            cmd_line: process.command.clone(),
            start_time: process.started,
            end_time: ended.map(|ended| ended.at),
            // Servers leave out a zero.
            exit_code: ended.map(|ended| ended.exit_code).filter(|code| *code != 0),
        }
    });
    Ok(Reply::list(told.collect::<Vec<_>>()))
}

fn terminate(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, EXECUTE)?;
    let pid: i64 = call.arg("pid")?;
    let system = system(world, &vm)?;
    let found = system.processes.iter().find(|process| process.pid == pid && process.ended.is_none());
    let Some(found) = found else {
        let text = format!("Process not found: {pid}");
        return Err(Fault::new(GuestProcessNotFound { pid, ..Default::default() }, text));
    };
    if !user.privileged && found.owner != user.name {
        return Err(file_fault(Errno::Denied, ""));
    }
    process::kill(world, &vm, pid);
    Ok(Reply::NONE)
}

fn environment(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, QUERY)?;
    let names: Vec<String> = call.opt("names")?.unwrap_or_default();
    let system = system(world, &vm)?;
    let windows = system.windows;
    let is = |name: &str, wanted: &String| if windows { name.eq_ignore_ascii_case(wanted) } else { name == wanted };
    let all = system.environment(&user).into_iter();
    let told = all.filter(|(name, _)| names.is_empty() || names.iter().any(|wanted| is(name, wanted)));
    Ok(Reply::list(told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<String>>()))
}
