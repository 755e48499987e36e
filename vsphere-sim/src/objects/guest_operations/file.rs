//! `GuestFileManager`: the files of a guest.

use regex::Regex;
use vsphere_model::types::{
    GuestFileAttributes, GuestFileInfo, GuestListFileInfo, GuestPosixFileAttributes, GuestWindowsFileAttributes, Poly,
};

use super::transfer::{self, Way};
use super::{MODIFY, QUERY, enter, file_fault, system};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::guest::System;
use crate::guest::files::{Done, Errno, Kind, Node};
use crate::world::{Moref, World};

pub(crate) const METHODS: Methods = &[
    ("GuestFileManager", "MakeDirectoryInGuest", Handler::Write(make_directory)),
    ("GuestFileManager", "DeleteFileInGuest", Handler::Write(delete_file)),
    ("GuestFileManager", "DeleteDirectoryInGuest", Handler::Write(delete_directory)),
    ("GuestFileManager", "MoveFileInGuest", Handler::Write(move_file)),
    ("GuestFileManager", "MoveDirectoryInGuest", Handler::Write(move_directory)),
    ("GuestFileManager", "CreateTemporaryFileInGuest", Handler::Write(temporary)),
    ("GuestFileManager", "CreateTemporaryDirectoryInGuest", Handler::Write(temporary)),
    ("GuestFileManager", "ListFilesInGuest", Handler::Write(list)),
    ("GuestFileManager", "ChangeFileAttributesInGuest", Handler::Write(change_attributes)),
    ("GuestFileManager", "InitiateFileTransferFromGuest", Handler::Write(from_guest)),
    ("GuestFileManager", "InitiateFileTransferToGuest", Handler::Write(to_guest)),
];

/// How many files are listed where nothing else is said.
const PAGE: i32 = 50;

fn told<T>(done: Done<T>, path: &str) -> Outcome<T> {
    done.map_err(|error| file_fault(error, path))
}

/// The key of a path, which must be absolute.
fn key(system: &System, path: &str) -> Outcome<String> {
    let absolute = if system.windows { path.as_bytes().get(1) == Some(&b':') } else { path.starts_with('/') };
    let key = system.files.key(path, "/").filter(|_| absolute);
    key.ok_or_else(|| file_fault(Errno::Missing, path))
}

fn make_directory(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let (path, parents): (String, bool) = (call.arg("directoryPath")?, call.arg("createParentDirectories")?);
    let now = world.now();
    let system = system(world, &vm)?;
    key(system, &path)?;
    told(system.files.make_directory(&path, parents, &user, now), &path)?;
    Ok(Reply::NONE)
}

fn delete_file(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let path: String = call.arg("filePath")?;
    let system = system(world, &vm)?;
    let key = key(system, &path)?;
    let (_, node) = told(system.files.get(&key, false), &path)?;
    if node.is_directory() {
        return Err(file_fault(Errno::IsADirectory, &path));
    }
    told(system.files.remove(&key, false, &user), &path)?;
    Ok(Reply::NONE)
}

fn delete_directory(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let (path, recursive): (String, bool) = (call.arg("directoryPath")?, call.arg("recursive")?);
    let system = system(world, &vm)?;
    let key = key(system, &path)?;
    let (_, node) = told(system.files.get(&key, false), &path)?;
    if !node.is_directory() {
        return Err(file_fault(Errno::NotADirectory, &path));
    }
    told(system.files.remove(&key, recursive, &user), &path)?;
    Ok(Reply::NONE)
}

fn move_file(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to): (String, String) = (call.arg("srcFilePath")?, call.arg("dstFilePath")?);
    rename(world, call, &from, &to, call.arg("overwrite")?, false)
}

fn move_directory(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (from, to): (String, String) = (call.arg("srcDirectoryPath")?, call.arg("dstDirectoryPath")?);
    rename(world, call, &from, &to, false, true)
}

fn rename(world: &mut World, call: &Call, from: &str, to: &str, overwrite: bool, directory: bool) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let now = world.now();
    let system = system(world, &vm)?;
    let (source, _) = (key(system, from)?, key(system, to)?);
    let (_, node) = told(system.files.get(&source, false), from)?;
    match (node.is_directory(), directory) {
        (true, false) => return Err(file_fault(Errno::IsADirectory, from)),
        (false, true) => return Err(file_fault(Errno::NotADirectory, from)),
        _ => {}
    }
    told(system.files.rename(from, to, overwrite, &user, now), to)?;
    Ok(Reply::NONE)
}

/// A file or a directory with a name of its own.
fn temporary(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let (prefix, suffix): (String, String) = (call.arg("prefix")?, call.arg("suffix")?);
    let directory: Option<String> = call.opt("directoryPath")?;
    let now = world.now();
    let system = system(world, &vm)?;
    let standard = || match system.windows {
        true => system.environment(&user).remove("TEMP").unwrap_or_default(),
        false => "/tmp".to_owned(),
    };
    let directory = directory.filter(|path| !path.is_empty()).unwrap_or_else(standard);
    let separator = if system.windows { '\\' } else { '/' };
    let name = format!("{prefix}vmware{:06}{suffix}", fastrand::u32(..1_000_000));
    let path = format!("{}{separator}{name}", directory.trim_end_matches(['/', '\\']));
    key(system, &path)?;
    if call.method.name == "CreateTemporaryDirectoryInGuest" {
        told(system.files.make_directory(&path, false, &user, now), &directory)?;
    } else {
        told(system.files.write(&path, Vec::new(), &user, now), &directory)?;
        let key = key(system, &path)?;
        let private = system.files.change(&key, &user, |node| {
            node.mode = 0o600;
            Ok(())
        });
        told(private, &path)?;
    }
    Ok(Reply::of(path))
}

fn list(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, QUERY)?;
    let path: String = call.arg("filePath")?;
    let index: Option<i32> = call.opt("index")?;
    let most: Option<i32> = call.opt("maxResults")?;
    let pattern: Option<String> = call.opt("matchPattern")?;
    // The pattern is not anchored.
    let pattern = pattern.filter(|pattern| !pattern.is_empty()).map(|pattern| Regex::new(&pattern)).transpose();
    let pattern = pattern.map_err(|_| Fault::invalid_argument("matchPattern"))?;
    let system = system(world, &vm)?;
    let key = key(system, &path)?;
    let (key, node) = told(system.files.get(&key, false), &path)?;
    let mut found = Vec::new();
    if node.is_directory() {
        told(system.files.may_list(&key, &user), &path)?;
        found.extend([(".", node), ("..", node)]);
        found.extend(system.files.children(&key).into_iter().map(|(_, child)| (child.name.as_str(), child)));
    } else {
        found.push((path.as_str(), node));
    }
    found.retain(|(name, _)| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name)));
    let start = usize::try_from(index.unwrap_or(0)).map_err(|_| Fault::invalid_argument("index"))?;
    let most = usize::try_from(most.unwrap_or(PAGE)).map_err(|_| Fault::invalid_argument("maxResults"))?;
    let total = found.len();
    let page = found.into_iter().skip(start).take(most).map(|(name, node)| described(system, name, node));
    let files: Vec<GuestFileInfo> = page.collect();
    let remaining = total.saturating_sub(start.saturating_add(files.len()));
    Ok(Reply::of(GuestListFileInfo { files, remaining: i32::try_from(remaining).unwrap_or(i32::MAX) }))
}

fn described(system: &System, name: &str, node: &Node) -> GuestFileInfo {
    let kind = match node.kind {
        Kind::Directory => "directory",
        Kind::Link(_) => "symlink",
        Kind::File(_) | Kind::Kernel(_) => "file",
    };
    GuestFileInfo {
        path: name.to_owned(),
        type_: kind.to_owned(),
        size: i64::try_from(node.size()).unwrap_or(i64::MAX),
        attributes: attributes(system, node),
    }
}

fn attributes(system: &System, node: &Node) -> Poly<GuestFileAttributes> {
    let common = GuestFileAttributes {
        modification_time: Some(node.modified),
        access_time: Some(node.accessed),
        symlink_target: if let Kind::Link(target) = &node.kind { Some(target.clone()) } else { None },
    };
    match system.windows {
        true => Poly::new(GuestWindowsFileAttributes {
            base: common,
            hidden: Some(node.hidden),
            read_only: Some(node.mode & 0o200 == 0),
            create_time: Some(node.modified),
        }),
        false => Poly::new(GuestPosixFileAttributes {
            base: common,
            owner_id: Some(node.owner),
            group_id: Some(node.group),
            permissions: Some(node.mode.into()),
        }),
    }
}

/// Sets what a client says of a file. `path` is the argument, for faults that name it.
pub(super) fn apply(
    system: &mut System,
    key: &str,
    user: &super::User,
    given: &Poly<GuestFileAttributes>,
) -> Outcome<()> {
    let posix = given.downcast_ref::<GuestPosixFileAttributes>();
    let windows = given.downcast_ref::<GuestWindowsFileAttributes>();
    // Those of the other family are refused.
    if posix.is_some() && system.windows || windows.is_some() && !system.windows {
        return Err(Fault::invalid_argument("fileAttributes"));
    }
    let privileged = user.privileged;
    let done = system.files.change(key, user, |node| {
        if let Some(time) = given.modification_time {
            node.modified = time;
        }
        if let Some(posix) = posix {
            let others = |given: Option<i32>, now: i32| given.is_some_and(|given| given != now);
            if !privileged && (others(posix.owner_id, node.owner) || others(posix.group_id, node.group)) {
                return Err(Errno::Denied);
            }
            node.owner = posix.owner_id.unwrap_or(node.owner);
            node.group = posix.group_id.unwrap_or(node.group);
            if let Some(mode) = posix.permissions {
                node.mode = u32::try_from(mode).unwrap_or(0o644) & 0o7777;
            }
        }
        if let Some(windows) = windows {
            node.hidden = windows.hidden.unwrap_or(node.hidden);
        }
        Ok(())
    });
    told(done, key)
}

fn change_attributes(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let path: String = call.arg("guestFilePath")?;
    let given: Poly<GuestFileAttributes> = call.arg("fileAttributes")?;
    let system = system(world, &vm)?;
    let key = key(system, &path)?;
    told(system.files.get(&key, true).map(|_| ()), &path)?;
    apply(system, &key, &user, &given)?;
    Ok(Reply::NONE)
}

fn from_guest(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, QUERY)?;
    let path: String = call.arg("guestFilePath")?;
    let system = system(world, &vm)?;
    let key = key(system, &path)?;
    let (_, node) = told(system.files.get(&key, false), &path)?;
    match &node.kind {
        Kind::Directory => return Err(file_fault(Errno::IsADirectory, &path)),
        Kind::Link(_) => return Err(Fault::invalid_argument("guestFilePath")),
        Kind::File(_) | Kind::Kernel(_) => {}
    }
    let (size, attributes) = (node.size(), attributes(system, node));
    told(system.files.read(&key, &user).map(|_| ()), &path)?;
    let url = transfer::offer(world, call, &vm, user, Way::Down { key })?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(Reply::of(vsphere_model::types::FileTransferInformation { attributes, size, url }))
}

fn to_guest(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (vm, user) = enter(world, call, MODIFY)?;
    let path: String = call.arg("guestFilePath")?;
    let attributes: Poly<GuestFileAttributes> = call.arg("fileAttributes")?;
    let (size, overwrite): (i64, bool) = (call.arg("fileSize")?, call.arg("overwrite")?);
    let size = u64::try_from(size).map_err(|_| Fault::invalid_argument("fileSize"))?;
    let system = system(world, &vm)?;
    let posix = attributes.is::<GuestPosixFileAttributes>();
    if system.windows && posix || !system.windows && attributes.is::<GuestWindowsFileAttributes>() {
        return Err(Fault::invalid_argument("fileAttributes"));
    }
    let target = key(system, &path)?;
    check_target(system, &target, &path, overwrite)?;
    let url = transfer::offer(world, call, &vm, user, Way::Up { path, size, attributes, overwrite })?;
    Ok(Reply::of(url))
}

/// Whether a file can be put there at all.
fn check_target(system: &System, target: &str, path: &str, overwrite: bool) -> Outcome<()> {
    match system.files.get(target, false) {
        Ok((_, node)) => match &node.kind {
            Kind::Directory => return Err(file_fault(Errno::IsADirectory, path)),
            Kind::Link(_) => return Err(Fault::invalid_argument("guestFilePath")),
            _ if !overwrite => return Err(file_fault(Errno::Exists, path)),
            _ => {}
        },
        Err(Errno::Missing) => {}
        Err(error) => return Err(file_fault(error, path)),
    }
    let above = target.rsplit_once('/').map(|(above, _)| if above.is_empty() { "/" } else { above });
    match above.map(|above| system.files.get(above, true)) {
        Some(Ok((_, node))) if node.is_directory() => {}
        _ => return Err(file_fault(Errno::Missing, path)),
    }
    told(system.files.room(target, 0), path)
}

/// The file that a client sends, when it has come.
pub(super) fn receive(
    world: &mut World,
    vm: &Moref,
    user: &super::User,
    path: &str,
    bytes: Vec<u8>,
    attributes: &Poly<GuestFileAttributes>,
    overwrite: bool,
) -> Outcome<()> {
    let now = world.now();
    let system = system(world, vm)?;
    let target = key(system, path)?;
    check_target(system, &target, path, overwrite)?;
    told(system.files.room(&target, bytes.len() as u64), path)?;
    // It is a new file, with nothing of what was there.
    match system.files.remove(&target, false, user) {
        Ok(()) | Err(Errno::Missing) => {}
        Err(error) => return Err(file_fault(error, path)),
    }
    told(system.files.write(path, bytes, user, now), path)?;
    apply(system, &target, user, attributes)
}
