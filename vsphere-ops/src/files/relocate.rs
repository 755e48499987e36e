//! Files that are moved and copied, within a datastore, to another, and to another datacenter.

use std::collections::BTreeMap;

use serde::Serialize;
use vsphere_model::managed::Datastore;

use super::delete::{has_changed, must_be_whole};
use super::store::{Store, is_disk};
use super::walk::Tree;
use super::{DatastoreFile, FileType, FileUser, Measure, descriptor_of, is_same_file};
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result, invalid};
use crate::gaps::Gaps;
use crate::mo::Mo;
use crate::task::start_for;

/// How many files a plan names.
const NAMED: usize = 20;

/// What is done with files that are at the destination already.
///
/// ```
/// use vsphere_ops::files::Existing;
///
/// assert_eq!(Existing::default(), Existing::Kept);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// They stay, and nothing is moved or copied.
    #[default]
    Kept,
    /// They are overwritten.
    Overwritten,
}

/// Whether the files are still at their first place afterwards.
///
/// ```
/// use vsphere_ops::files::Relocating;
///
/// assert_eq!(serde_json::to_string(&Relocating::Copy)?, "\"copy\"");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum Relocating {
    /// They are not.
    Move,
    /// They are.
    Copy,
}

/// A plan to move or copy a file, a virtual disk, or a folder.
///
/// ```
/// use vsphere_ops::files::FileRelocation;
///
/// fn question(plan: &FileRelocation) -> String {
///     format!("{} goes to {}, in place of {} files", plan.from, plan.to, plan.overwritten_files)
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[must_use = "nothing is moved or copied before it is carried out"]
pub struct FileRelocation {
    /// Whether it is moved or copied.
    pub action: Relocating,
    /// The path.
    pub from: String,
    /// The path that it would have.
    pub to: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: FileType,
    /// How many files it has.
    pub files: usize,
    /// What they have together, in bytes.
    pub size_bytes: i64,
    /// How many files would be overwritten.
    pub overwritten_files: usize,
    /// These, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overwrites: Vec<DatastoreFile>,
    /// The VMs that use what would be moved, and would no longer find it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<FileUser>,
    /// The VMs that use what would be overwritten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overwritten_used_by: Vec<FileUser>,
    /// What could not be measured, and why.
    #[serde(flatten)]
    pub gaps: Gaps,
    #[serde(skip)]
    source: Place,
    #[serde(skip)]
    target: Place,
    #[serde(skip)]
    existing: Existing,
}

/// A file or folder that was moved or copied.
///
/// ```
/// use vsphere_ops::files::RelocatedFile;
///
/// fn line(done: &RelocatedFile) -> String {
///     format!("{} is at {} ({} bytes)", done.from, done.to, done.size_bytes)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RelocatedFile {
    /// Whether it was moved or copied.
    pub action: Relocating,
    /// The path that it had.
    pub from: String,
    /// The path that it has.
    pub to: String,
    /// What it is.
    #[serde(rename = "type")]
    pub type_: FileType,
    /// How many files it has.
    pub files: usize,
    /// What they have together, in bytes.
    pub size_bytes: i64,
    /// How many files were overwritten.
    pub overwritten_files: usize,
    /// Whether anything was done: not where the two paths are the same.
    pub changed: bool,
}

/// A file or folder, as it was seen.
#[derive(Debug, Clone)]
struct Place {
    store: Store,
    path: DatastorePath,
    /// What is there.
    file: Option<DatastoreFile>,
}

impl Place {
    async fn look(store: Store, path: DatastorePath) -> Result<Self> {
        let file = store.look(&path).await?;
        Ok(Self { store, path, file })
    }

    fn is_folder(&self) -> bool {
        self.file.as_ref().is_some_and(DatastoreFile::is_folder)
    }

    /// Whether something else is there by now.
    async fn has_changed(&self) -> Result<bool> {
        Ok(!is_same_file(self.store.look(&self.path).await?.as_ref(), self.file.as_ref()))
    }
}

impl Mo<Datastore> {
    /// Plans to move a file, a virtual disk with its extents, or a folder to `path` in the datastore `to`.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::files::Existing;
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let (isos, nvme) = (client.get::<Datastore>("iso-library").await?, client.get::<Datastore>("nvme-01").await?);
    /// let plan = isos.file_move("tools/memtest86plus-7.20.iso", &nvme, "memtest.iso", Existing::Kept).await?;
    /// println!("{:?} would no longer find it", plan.used_by);
    /// println!("it is at {}", plan.carry_out().await?.to);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `not_found` if there is nothing at the path, `invalid_state` if something is at the destination that may not be
    /// overwritten, `unsupported` for a part of a virtual disk, and server errors.
    pub async fn file_move(&self, from: &str, to: &Self, path: &str, existing: Existing) -> Result<FileRelocation> {
        plan(Relocating::Move, (self, from), (to, path), existing).await
    }

    /// Plans to copy a file, a virtual disk with its extents, or a folder to `path` in the datastore `to`. A folder is copied
    /// into one that is there.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::files::Existing;
    /// use vsphere_ops::managed::Datastore;
    ///
    /// let isos = client.get::<Datastore>("iso-library").await?;
    /// let plan = isos.file_copy("tools", &isos, "copies", Existing::Kept).await?;
    /// assert_eq!(plan.carry_out().await?.to, "[iso-library] copies");
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// As [`file_move`](Self::file_move).
    pub async fn file_copy(&self, from: &str, to: &Self, path: &str, existing: Existing) -> Result<FileRelocation> {
        plan(Relocating::Copy, (self, from), (to, path), existing).await
    }
}

async fn plan(
    action: Relocating,
    (source, from): (&Mo<Datastore>, &str),
    (target, to): (&Mo<Datastore>, &str),
    existing: Existing,
) -> Result<FileRelocation> {
    let planned = async {
        let source_store = Store::open(source).await?;
        let target_store = match source.id() == target.id() {
            true => source_store.clone(),
            false => Store::open(target).await?,
        };
        let (from, to) = (source_store.path_below(from)?, target_store.path_below(to)?);
        let file = source_store.find(&from).await?;
        let source = Place { path: from, file: Some(file.clone()), store: source_store };
        let target = Place::look(target_store, to).await?;
        check(action, &source, &file, &target)?;
        let tree = match file.is_folder() {
            true => source.store.walk(&source.path).await?,
            false => Tree { files: vec![(source.path.clone(), file.clone())], ..Tree::default() },
        };
        let Measure { files, bytes, mut gaps, .. } = Measure::of(&tree);
        let same = is_same(&source, &target);
        let overwrites = if same { Vec::new() } else { overwritten(&source, &tree, &target).await? };
        if existing == Existing::Kept
            && let Some(first) = overwrites.first()
        {
            let text = match overwrites.len() {
                1 => format!("{} is there already", first.path),
                count => format!("{count} files are there already, such as {}", first.path),
            };
            return Err(Error::new(operation(action), ErrorKind::InvalidState(text)));
        }
        let mut used_by = Vec::new();
        if action == Relocating::Move && !same {
            used_by = users(&source, &mut gaps).await;
        }
        let mut overwritten_used_by = Vec::new();
        if !overwrites.is_empty() {
            overwritten_used_by = users(&target, &mut gaps).await;
        }
        Ok(FileRelocation {
            action,
            from: source.path.to_string(),
            to: target.path.to_string(),
            type_: file.type_,
            files,
            size_bytes: bytes,
            overwritten_files: overwrites.len(),
            overwrites: overwrites.into_iter().take(NAMED).collect(),
            used_by,
            overwritten_used_by,
            gaps,
            source,
            target,
            existing,
        })
    };
    planned.await.map_err(|error: Error| error.in_operation(operation(action)).on(from))
}

fn operation(action: Relocating) -> &'static str {
    match action {
        Relocating::Move => "move the file",
        Relocating::Copy => "copy the file",
    }
}

fn is_same(source: &Place, target: &Place) -> bool {
    source.store.mo.id() == target.store.mo.id() && source.path == target.path
}

/// Whether the source can go to the target at all.
fn check(action: Relocating, source: &Place, file: &DatastoreFile, target: &Place) -> Result<()> {
    let refused = |kind: ErrorKind| Err(Error::new(operation(action), kind));
    if action == Relocating::Move {
        must_be_whole(&source.path)?;
    }
    if is_same(source, target) {
        return Ok(());
    }
    let name = target.path.file_name().unwrap_or_default();
    if is_disk(file)
        && descriptor_of(&file.path).is_none()
        && (!name.ends_with(".vmdk") || descriptor_of(name).is_some())
    {
        return Err(invalid(
            operation(action),
            format!("{} is no name of a virtual disk: it ends in .vmdk", target.path),
        ));
    }
    let below = format!("{}/", source.path.path());
    if file.is_folder() && source.store.mo.id() == target.store.mo.id() && target.path.path().starts_with(&below) {
        return Err(invalid(operation(action), format!("{} is in the folder itself", target.path)));
    }
    match (file.is_folder(), target.is_folder(), target.file.is_some()) {
        (false, true, _) => Err(invalid(
            operation(action),
            format!("{} is a folder: the destination is the path of the file itself", target.path),
        )),
        (true, true, _) if action == Relocating::Copy => Ok(()),
        (true, _, true) => refused(ErrorKind::Unsupported(format!(
            "{} is there, and a folder takes the place of nothing",
            target.path
        ))),
        (false, _, true) if descriptor_of(name).is_some() => {
            refused(ErrorKind::Unsupported(format!("{} is a part of a virtual disk", target.path)))
        }
        _ => Ok(()),
    }
}

/// The files that are at the destination already.
async fn overwritten(source: &Place, tree: &Tree, target: &Place) -> Result<Vec<DatastoreFile>> {
    let Some(there) = &target.file else { return Ok(Vec::new()) };
    if !there.is_folder() {
        return Ok(vec![there.clone()]);
    }
    let below = |path: &DatastorePath, top: &DatastorePath| {
        path.path().strip_prefix(top.path()).map(|rest| rest.trim_start_matches('/').to_owned())
    };
    let there = target.store.walk(&target.path).await?;
    let mut there: BTreeMap<String, DatastoreFile> =
        there.files.into_iter().filter_map(|(path, file)| Some((below(&path, &target.path)?, file))).collect();
    let mut overwrites = Vec::new();
    for (path, file) in &tree.files {
        let same = below(path, &source.path).and_then(|path| there.remove(&path));
        overwrites.extend(same.filter(|same| !(file.is_folder() && same.is_folder())));
    }
    overwrites.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(overwrites)
}

/// The VMs that use a file or a folder; why they are not known is noted.
async fn users(place: &Place, gaps: &mut Gaps) -> Vec<FileUser> {
    let what = format!("the VMs that use {}", place.path);
    let users = gaps.part(&what, place.store.users().await);
    if let Some(why) = users.unknown() {
        gaps.lacks(&what, why);
    }
    users.of_tree(&place.path)
}

impl FileRelocation {
    /// Whether there is anything to do: not where the two paths are the same.
    ///
    /// ```
    /// use vsphere_ops::files::FileRelocation;
    ///
    /// fn is_the_same(seen: &FileRelocation, now: &FileRelocation) -> bool {
    ///     serde_json::to_value(seen.identity()).ok() == serde_json::to_value(now.identity()).ok()
    /// }
    ///
    /// fn line(plan: &FileRelocation) -> String {
    ///     if plan.moves() { format!("{} to {}", plan.from, plan.to) } else { format!("{} stays", plan.from) }
    /// }
    /// ```
    pub fn moves(&self) -> bool {
        !is_same(&self.source, &self.target)
    }

    /// What tells this from what has the same paths: the ids of the datastores, and the marks of what is there.
    pub fn identity(&self) -> impl Serialize + use<> {
        let of = |place: &Place| (place.store.mo.id().to_owned(), place.file.as_ref().map(DatastoreFile::mark));
        (of(&self.source), of(&self.target))
    }

    /// Moves or copies what was seen. Files have no ids: so both places are looked at right before.
    ///
    /// # Errors
    /// `changed` if there is something else at one of the places by now, and those of the server, such as the faults
    /// `FileLocked` of a file that is in use, and `NoDiskSpace`.
    pub async fn carry_out(self) -> Result<RelocatedFile> {
        let changed = self.moves();
        if changed {
            let named = |error: Error| error.in_operation(operation(self.action)).on(self.from.as_str());
            self.relocate().await.map_err(named)?;
        }
        Ok(RelocatedFile {
            action: self.action,
            from: self.from,
            to: self.to,
            type_: self.type_,
            files: self.files,
            size_bytes: self.size_bytes,
            overwritten_files: self.overwritten_files,
            changed,
        })
    }

    async fn relocate(&self) -> Result<()> {
        let (source, target) = (&self.source, &self.target);
        futures::try_join!(source.store.must_have_its_name(), target.store.must_have_its_name())?;
        let changed = futures::try_join!(source.has_changed(), target.has_changed())?;
        if changed.0 || changed.1 {
            return Err(has_changed());
        }
        let client = source.store.client();
        let (from, to) = (self.from.as_str(), self.to.as_str());
        let datacenters = (source.store.datacenter.as_ref(), target.store.datacenter.as_ref());
        let force = Some(self.existing == Existing::Overwritten);
        let is_disk = source.file.as_ref().is_some_and(is_disk) && descriptor_of(from).is_none();
        let request = match (self.action, is_disk) {
            (Relocating::Move, true) => {
                source.store.disks()?.move_virtual_disk_task(from, datacenters.0, to, datacenters.1, force, &[])
            }
            (Relocating::Copy, true) => {
                // vCenter does not implement another format of the copy.
                source.store.disks()?.copy_virtual_disk_task(from, datacenters.0, to, datacenters.1, None, force)
            }
            (Relocating::Move, false) => {
                source.store.files()?.move_datastore_file_task(from, datacenters.0, to, datacenters.1, force)
            }
            (Relocating::Copy, false) => {
                source.store.files()?.copy_datastore_file_task(from, datacenters.0, to, datacenters.1, force)
            }
        };
        start_for::<()>(client, operation(self.action), from, request).await?.await
    }
}
