//! The programs of Linux that look at files and change them.

use super::System;
use super::commands::Output;
use super::files::{Done, Errno, Kind, Node, last_part};
use super::process::{Context, Gone, Job};

/// Programs that look at files or change them.
pub(super) fn files(job: &Job, context: &Context, name: &str, flags: &str, named: &[&str]) -> Result<Output, Gone> {
    let mut output = Output::default();
    match (name, named) {
        ("ls", _) => {
            let named = if named.is_empty() { &["."] } else { named };
            for path in named {
                match job.with(|system, _| ls(system, context, &job.user, path, flags))? {
                    Ok(text) => output.text.extend_from_slice(text.as_bytes()),
                    Err(error) => output.fail("ls", &format!("cannot access '{path}'"), error),
                }
            }
        }
        ("mv" | "cp", [from, to]) => {
            let done = job.with(|system, now| {
                let path = |path: &str| system.files.key(path, &context.directory).ok_or(Errno::Missing);
                let (from, mut to) = (path(from)?, path(to)?);
                if system.files.get(&to, true).is_ok_and(|(_, node)| node.is_directory()) {
                    to = format!("{to}/{}", last_part(&from));
                }
                if name == "mv" {
                    return system.files.rename(&from, &to, true, &job.user, now);
                }
                let bytes = system.files.read(&from, &job.user)?;
                system.files.write(&to, bytes, &job.user, now)
            })?;
            if let Err(error) = done {
                output.fail(name, from, error);
            }
        }
        ("mv" | "cp", _) => return Ok(Output::failed(1, format!("{name}: missing file operand\n"))),
        _ => {
            let (mode, named) = match (name, named.split_first()) {
                ("chmod", Some((mode, rest))) => (u32::from_str_radix(mode, 8).ok(), rest),
                _ => (None, named),
            };
            for path in named {
                let done = job.with(|system, now| {
                    let key = system.files.key(path, &context.directory).ok_or(Errno::Missing)?;
                    change(system, job, name, flags, &key, mode, now)
                })?;
                match done {
                    Ok(text) => output.text.extend_from_slice(text.as_bytes()),
                    Err(Errno::Missing) if name == "rm" && flags.contains('f') => {}
                    Err(Errno::Exists) if name == "mkdir" && flags.contains('p') => {}
                    Err(error) => output.fail(name, path, error),
                }
            }
        }
    }
    Ok(output)
}

fn change(
    system: &mut System,
    job: &Job,
    name: &str,
    flags: &str,
    key: &str,
    mode: Option<u32>,
    now: vsphere_model::types::DateTime,
) -> Done<String> {
    let user = &job.user;
    match name {
        "mkdir" => {
            system.files.make_directory(key, flags.contains('p'), user, now)?;
            system.files.change(key, user, |node| {
                node.mode = 0o755;
                Ok(())
            })?;
        }
        "rm" => {
            let (_, node) = system.files.get(key, false)?;
            if node.is_directory() && !flags.contains(['r', 'R']) {
                return Err(Errno::IsADirectory);
            }
            system.files.remove(key, true, user)?;
        }
        "touch" => drop(system.files.open(key, key, user, true, now)?),
        "chmod" => {
            let mode = mode.ok_or(Errno::Invalid)?;
            system.files.change(key, user, |node| {
                node.mode = mode & 0o7777;
                Ok(())
            })?;
        }
        _ => {
            let (key, node) = system.files.get(key, false)?;
            return Ok(format!("  File: {key}\n  Size: {}\nAccess: ({:04o})\n", node.size(), node.mode));
        }
    }
    Ok(String::new())
}

fn ls(system: &System, context: &Context, user: &super::User, path: &str, flags: &str) -> Done<String> {
    let key = system.files.key(path, &context.directory).ok_or(Errno::Missing)?;
    let long = flags.contains('l');
    let (key, node) = system.files.get(&key, !long || path.ends_with('/'))?;
    if !node.is_directory() || flags.contains('d') {
        return Ok(entry(system, path, node, long));
    }
    system.files.may_list(&key, user)?;
    let children = system.files.children(&key);
    let shown = children.iter().filter(|(_, node)| flags.contains(['a', 'A']) || !node.name.starts_with('.'));
    let mut text: String = shown.map(|(_, node)| entry(system, &node.name, node, long)).collect();
    if long {
        text.insert_str(0, &format!("total {}\n", children.len() * 4));
    }
    Ok(text)
}

fn entry(system: &System, name: &str, node: &Node, long: bool) -> String {
    if !long {
        return format!("{name}\n");
    }
    let (kind, target) = match &node.kind {
        Kind::Directory => ('d', String::new()),
        Kind::Link(target) => ('l', format!(" -> {target}")),
        Kind::File(_) | Kind::Kernel(_) => ('-', String::new()),
    };
    let bits = ['r', 'w', 'x'].iter().cycle().zip((0..9).rev());
    let mode: String = bits.map(|(sign, bit)| if (node.mode >> bit) & 1 == 1 { *sign } else { '-' }).collect();
    let (owner, group) = (system.user_name(node.owner), system.user_name(node.group));
    let time = node.modified.format("%b %e %H:%M");
    format!("{kind}{mode} 1 {owner} {group} {:>8} {time} {name}{target}\n", node.size())
}
