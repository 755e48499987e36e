//! Browsers: what is in the datastores of a datastore, a host or a virtual machine.

use std::collections::HashSet;
use std::time::Duration;

use vsphere_model::managed;
use vsphere_model::types::{
    Any, FileInfo, FileQuery, FileQueryFlags, FloppyImageFileInfo, FolderFileInfo, HostDatastoreBrowserSearchResults,
    HostDatastoreBrowserSearchSpec, IsoImageFileInfo, Poly, TemplateConfigFileInfo, VmConfigFileInfo, VmDiskFileInfo,
    VmDiskFileQuery, VmLogFileInfo, VmNvramFileInfo, VmSnapshotFileInfo,
};
use vsphere_soap::object::{Array, Extends, ManagedInfo, ManagedType as _};

use super::disk::{Disk, Format};
use super::files::File;
use super::path::{self, DatastorePath};
use super::{Datastore, require};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World, escaped};

pub(crate) const METHODS: Methods = &[
    ("HostDatastoreBrowser", "SearchDatastore_Task", Handler::Write(search)),
    ("HostDatastoreBrowser", "SearchDatastoreSubFolders_Task", Handler::Write(search_below)),
    ("HostDatastoreBrowser", "DeleteFile", Handler::Write(delete)),
];

/// The managed object `HostDatastoreBrowser`.
pub(crate) struct Browser {
    /// The datastore, the host or the machine whose datastores it looks into.
    of: Moref,
}

impl Managed for Browser {
    fn info(&self) -> &'static ManagedInfo {
        managed::HostDatastoreBrowser::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "datastore" => match look.world.find(&self.of) {
                Some(of) if of.info().is_named("Datastore") => Prop::made_list(vec![self.of.clone()]),
                Some(of) => of.read(&Look { me: &self.of, ..*look }, "datastore"),
                None => Prop::UNSET,
            },
            "supportedType" => Prop::made_list(supported()),
            _ => Prop::UNSET,
        }
    }

    fn belongs_to(&self) -> Option<&Moref> {
        Some(&self.of)
    }
}

/// Adds the browser of a datastore, a host or a machine.
pub(crate) fn add_browser(world: &mut World, of: &Moref) -> Moref {
    world.add_as(&format!("datastoreBrowser-{}", of.value), Browser { of: of.clone() })
}

/// The kinds of files that can be asked for.
fn supported() -> Vec<Poly<FileQuery>> {
    use vsphere_model::types::{
        FloppyImageFileQuery, FolderFileQuery, IsoImageFileQuery, TemplateConfigFileQuery, VmConfigFileQuery,
        VmLogFileQuery, VmNvramFileQuery, VmSnapshotFileQuery,
    };
    vec![
        Poly::new(FloppyImageFileQuery::default()),
        Poly::new(FolderFileQuery::default()),
        Poly::new(IsoImageFileQuery::default()),
        Poly::new(TemplateConfigFileQuery::default()),
        Poly::new(VmConfigFileQuery::default()),
        Poly::new(VmDiskFileQuery::default()),
        Poly::new(VmLogFileQuery::default()),
        Poly::new(VmNvramFileQuery::default()),
        Poly::new(VmSnapshotFileQuery::default()),
    ]
}

fn search(world: &mut World, call: &Call) -> Outcome<Reply> {
    start(world, call, |search, datastore, folder| search.folder(datastore, folder).map(Any::from))
}

fn search_below(world: &mut World, call: &Call) -> Outcome<Reply> {
    start(world, call, |search, datastore, folder| {
        let below = datastore.files().below(folder).filter(|(_, file)| file.is_folder());
        let folders = std::iter::once(folder.to_owned()).chain(below.map(|(below, _)| path::join(folder, below)));
        let items: Vec<Any> =
            folders.map(|folder| search.folder(datastore, &folder).map(Any::from)).collect::<Outcome<_>>()?;
        Ok(Any::Array(Array { item: "HostDatastoreBrowserSearchResults".to_owned(), items }))
    })
}

/// Starts the task of a search.
fn start(
    world: &mut World,
    call: &Call,
    look: impl FnOnce(&Search, &Datastore, &str) -> Outcome<Any> + Send + 'static,
) -> Outcome<Reply> {
    let (datastore, folder) = place(world, call)?;
    let spec: Option<HostDatastoreBrowserSearchSpec> = call.opt("searchSpec")?;
    require(world, call, &datastore, "Datastore.Browse")?;
    let search = Search::new(spec.unwrap_or_default(), &datastore)?;
    call.task()
        .about(&datastore)
        .takes(Duration::from_millis(200))
        .cancelable()
        .start(world, move |world| look(&search, world.get(&datastore)?, &folder))
}

/// The datastore of the browser, and the path in it, that the argument `datastorePath` names.
fn place(world: &World, call: &Call) -> Outcome<(Moref, String)> {
    let text: String = call.arg("datastorePath")?;
    let browser = world.get::<Browser>(&call.target)?;
    let wanted = DatastorePath::parse(&text)?;
    let look = Look { world, me: &call.target, session: call.session.as_deref() };
    let mut offered = Vec::new();
    let property = browser.read(&look, "datastore");
    if let vsphere_soap::object::Value::List(list) = property.value() {
        for index in 0..list.count() {
            if let vsphere_soap::object::Value::Ref(datastore) = list.at(index) {
                offered.push(datastore.clone());
            }
        }
    }
    let name = escaped(&wanted.datastore);
    let found = offered.into_iter().find(|datastore| world.entity(datastore).is_ok_and(|entity| entity.name == name));
    Ok((found.ok_or_else(|| path::invalid(&text))?, wanted.path))
}

fn delete(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (datastore, file) = place(world, call)?;
    require(world, call, &datastore, "Datastore.DeleteFile")?;
    super::file_manager::check_unlocked(world, &datastore, &file)?;
    world.edit::<Datastore>(&datastore)?.remove_tree(&file)?;
    Ok(Reply::NONE)
}

/// What is looked for, and what is told of it.
struct Search {
    datastore: Moref,
    patterns: Vec<String>,
    insensitive: bool,
    queries: Vec<Poly<FileQuery>>,
    details: FileQueryFlags,
    folders_first: bool,
}

impl Search {
    fn new(spec: HostDatastoreBrowserSearchSpec, datastore: &Moref) -> Outcome<Self> {
        if spec.match_pattern.iter().any(|pattern| pattern.contains('/')) {
            return Err(Fault::invalid_argument("searchSpec.matchPattern"));
        }
        Ok(Self {
            datastore: datastore.clone(),
            patterns: spec.match_pattern,
            insensitive: spec.search_case_insensitive == Some(true),
            queries: spec.query,
            details: spec.details.map(|flags| *flags).unwrap_or_default(),
            folders_first: spec.sort_folders_first == Some(true),
        })
    }

    /// What a folder has, but not what is below it.
    fn folder(&self, datastore: &Datastore, folder: &str) -> Outcome<HostDatastoreBrowserSearchResults> {
        if !datastore.files().is_folder(folder) {
            return Err(datastore.not_found(folder));
        }
        // The extents of a disk do not show where its descriptor does.
        let extents: HashSet<String> = datastore
            .files()
            .children(folder)
            .filter_map(|(name, file)| file.disk().and_then(|disk| disk.extent(name)))
            .collect();
        let mut found: Vec<(&str, &File)> = datastore
            .files()
            .children(folder)
            .filter(|(name, file)| !extents.contains(*name) && self.matches(name) && self.is_asked_for(name, file))
            .collect();
        if self.folders_first {
            found.sort_by_key(|(_, file)| !file.is_folder());
        }
        let file = found.into_iter().map(|(name, file)| self.describe(datastore, folder, name, file)).collect();
        let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(HostDatastoreBrowserSearchResults {
            datastore: Some(self.datastore.clone()),
            folder_path: Some(datastore.path(&below)),
            file,
        })
    }

    fn matches(&self, name: &str) -> bool {
        if self.patterns.is_empty() {
            return true;
        }
        let fold = |text: &str| if self.insensitive { text.to_lowercase() } else { text.to_owned() };
        let name = fold(name);
        self.patterns.iter().any(|pattern| glob(fold(pattern).as_bytes(), name.as_bytes()))
    }

    fn is_asked_for(&self, name: &str, file: &File) -> bool {
        self.queries.is_empty()
            || self.queries.iter().any(|query| {
                let kind = query.type_name();
                kind == "FileQuery" || kind == Kind::of(name, file).query() && fits(query, file)
            })
    }

    fn describe(&self, datastore: &Datastore, folder: &str, name: &str, file: &File) -> Poly<FileInfo> {
        let flags = &self.details;
        let full = path::join(folder, name);
        let size = if file.disk().is_some() { datastore.written(&full) } else { file.size };
        let base = FileInfo {
            path: name.to_owned(),
            friendly_name: None,
            file_size: flags.file_size.then_some(size),
            modification: flags.modification.then(|| file.modification()),
            owner: (flags.file_owner == Some(true)).then(|| file.owner().to_owned()),
        };
        let kind = Kind::of(name, file);
        if !(flags.file_type || !self.queries.is_empty() || kind == Kind::Folder) {
            return Poly::new(base);
        }
        match kind {
            Kind::Folder => typed(base, |base| FolderFileInfo { base }),
            Kind::Iso => typed(base, |base| IsoImageFileInfo { base }),
            Kind::Floppy => typed(base, |base| FloppyImageFileInfo { base }),
            Kind::Log => typed(base, |base| VmLogFileInfo { base }),
            Kind::Nvram => typed(base, |base| VmNvramFileInfo { base }),
            Kind::Snapshot => typed(base, |base| VmSnapshotFileInfo { base }),
            Kind::Config | Kind::Template => {
                let mut config = VmConfigFileInfo { base, ..Default::default() };
                let wanted = self.queries.iter().filter_map(|query| {
                    query.downcast_ref::<vsphere_model::types::VmConfigFileQuery>()?.details.as_ref()
                });
                if wanted.into_iter().any(|details| details.config_version) {
                    config.config_version = Some(8);
                }
                if kind == Kind::Config {
                    Poly::new(config)
                } else {
                    Poly::new(TemplateConfigFileInfo { base: config })
                }
            }
            Kind::Disk => Poly::new(self.describe_disk(base, file.disk(), &full)),
            Kind::Other => Poly::new(base),
        }
    }

    fn describe_disk(&self, base: FileInfo, disk: Option<&Disk>, full: &str) -> VmDiskFileInfo {
        let mut info = VmDiskFileInfo { base, ..Default::default() };
        let flags = self.queries.iter().filter_map(|query| query.downcast_ref::<VmDiskFileQuery>()?.details.as_ref());
        let (Some(disk), Some(flags)) = (disk, flags.into_iter().next()) else { return info };
        info.disk_type = flags.disk_type.then(|| "VirtualDiskFlatVer2BackingInfo".to_owned());
        info.capacity_kb = flags.capacity_kb.then_some(disk.capacity >> 10);
        info.hardware_version = flags.hardware_version.then_some(21);
        info.controller_type = (flags.controller_type == Some(true)).then(|| disk.adapter.controller().to_owned());
        info.thin = (flags.thin == Some(true)).then_some(is_thin(disk));
        if flags.disk_extents == Some(true) {
            info.disk_extents = vec![disk.extent(full).unwrap_or_else(|| full.to_owned())];
        }
        info
    }
}

fn typed<T: Extends<FileInfo>>(base: FileInfo, make: impl FnOnce(FileInfo) -> T) -> Poly<FileInfo> {
    Poly::new(make(base))
}

fn is_thin(disk: &Disk) -> bool {
    !matches!(disk.format, Format::LazyZeroed | Format::EagerZeroed)
}

/// Whether a disk is one that a query for disks takes.
fn fits(query: &Poly<FileQuery>, file: &File) -> bool {
    let Some(filter) = query.downcast_ref::<VmDiskFileQuery>().and_then(|query| query.filter.as_ref()) else {
        return true;
    };
    let Some(disk) = file.disk() else { return false };
    let flat = "VirtualDiskFlatVer2BackingInfo";
    (filter.disk_type.is_empty() || filter.disk_type.iter().any(|kind| kind == flat))
        && (filter.controller_type.is_empty()
            || filter.controller_type.iter().any(|kind| kind == disk.adapter.controller()))
        && filter.thin.is_none_or(|thin| thin == is_thin(disk))
        && filter.encrypted != Some(true)
}

/// What a file is, going by its name as the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    Iso,
    Floppy,
    Config,
    Template,
    Disk,
    Log,
    Nvram,
    Snapshot,
    Other,
}

impl Kind {
    fn of(name: &str, file: &File) -> Self {
        if file.is_folder() {
            return Self::Folder;
        }
        let (_, extension) = name.rsplit_once('.').unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "iso" => Self::Iso,
            "flp" | "img" => Self::Floppy,
            "vmx" => Self::Config,
            "vmtx" => Self::Template,
            "vmdk" => Self::Disk,
            "log" => Self::Log,
            "nvram" => Self::Nvram,
            "vmsn" => Self::Snapshot,
            _ => Self::Other,
        }
    }

    /// The type of the query that asks for it.
    fn query(self) -> &'static str {
        match self {
            Self::Folder => "FolderFileQuery",
            Self::Iso => "IsoImageFileQuery",
            Self::Floppy => "FloppyImageFileQuery",
            Self::Config => "VmConfigFileQuery",
            Self::Template => "TemplateConfigFileQuery",
            Self::Disk => "VmDiskFileQuery",
            Self::Log => "VmLogFileQuery",
            Self::Nvram => "VmNvramFileQuery",
            Self::Snapshot => "VmSnapshotFileQuery",
            Self::Other => "",
        }
    }
}

/// Whether a name matches a pattern: `*` stands for any characters, `?` for one byte.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: one further than it was tried.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(wanted) if *wanted == b'?' || name.get(n) == Some(wanted) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, tried)) = star else { return false };
                star = Some((at, tried + 1));
                p = at + 1;
                n = tried + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_and_question_marks() {
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("a*c", "abbc"), ("*.vmdk", "a.b.vmdk"), ("a?c", "abc"), ("*a*b", "aab")]
        {
            assert!(glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", ""), ("*.vmdk", "vmdk"), ("a?c", "ac"), ("*a", "ab"), ("A", "a")] {
            assert!(!glob(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }
}
