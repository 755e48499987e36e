//! The inventory as sheets, in the columns that tools for migrations and licences read: those of RVTools.
//!
//! ```
//! use vsphere_ops::export::{Format, Sheet, SheetWriter};
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let mut disks = SheetWriter::new(Sheet::VDisk, Format::Csv);
//! let mut export = client.export(&[Sheet::VDisk]);
//! while let Some(rows) = export.next().await? {
//!     rows.iter().try_for_each(|row| disks.write(row))?;
//!     let piece = disks.take()?; // what goes to a file, page by page
//!     # assert!(piece.starts_with(b"\"VM\",\"Powerstate\""));
//! }
//! println!("{} rows, without {:?}", disks.rows(), export.gaps());
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```
//!
//! Each type of object is read once, page by page, whatever sheets are wanted, so that no inventory stands in memory twice. What
//! the server does not tell is an empty cell, and what the user may not read is one of the [gaps](Export::gaps).
//!
//! Names, order and units of the columns are those of RVTools 4; the columns that it has besides are left out. Sizes are in MiB.

mod datastore;
mod format;
mod host;
mod place;
mod vm;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vsphere_model::types::{InvalidProperty, ObjectContent};

pub use format::{Format, SheetWriter};

use crate::client::Client;
use crate::columns::Cell;
use crate::error::{Error, Result, invalid};
use crate::gaps::Gaps;
use crate::read::{Pages, Source};
use place::{Places, Tally};

const OPERATION: &str = "export the inventory";

/// A column of a sheet: its name, and its cell in the row of an object.
type Column<T> = (&'static str, fn(&T) -> Cell);

/// A sheet of an export.
///
/// ```
/// use vsphere_ops::export::Sheet;
///
/// let sheet: Sheet = "vDatastore".parse()?;
/// assert!(Sheet::ALL.contains(&sheet));
/// assert_eq!(sheet.columns().first(), Some(&"Name"));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Sheet {
    /// VMs and templates.
    #[serde(rename = "vInfo")]
    VInfo,
    /// Their CPUs.
    #[serde(rename = "vCPU")]
    VCpu,
    /// Their memory.
    #[serde(rename = "vMemory")]
    VMemory,
    /// Their disks.
    #[serde(rename = "vDisk")]
    VDisk,
    /// The file systems that their guests report.
    #[serde(rename = "vPartition")]
    VPartition,
    /// Their network adapters.
    #[serde(rename = "vNetwork")]
    VNetwork,
    /// Their snapshots.
    #[serde(rename = "vSnapshot")]
    VSnapshot,
    /// Hosts.
    #[serde(rename = "vHost")]
    VHost,
    /// Datastores.
    #[serde(rename = "vDatastore")]
    VDatastore,
}

impl Sheet {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::VInfo,
        Self::VCpu,
        Self::VMemory,
        Self::VDisk,
        Self::VPartition,
        Self::VNetwork,
        Self::VSnapshot,
        Self::VHost,
        Self::VDatastore,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::VInfo => "vInfo",
            Self::VCpu => "vCPU",
            Self::VMemory => "vMemory",
            Self::VDisk => "vDisk",
            Self::VPartition => "vPartition",
            Self::VNetwork => "vNetwork",
            Self::VSnapshot => "vSnapshot",
            Self::VHost => "vHost",
            Self::VDatastore => "vDatastore",
        }
    }

    /// The names of its columns.
    pub fn columns(self) -> Vec<&'static str> {
        match self {
            Self::VHost => names_of(host::COLUMNS),
            Self::VDatastore => names_of(datastore::COLUMNS),
            of_vms => vm::columns(of_vms),
        }
    }

    /// Whether its rows are made of the devices of VMs.
    fn is_of_devices(self) -> bool {
        matches!(self, Self::VInfo | Self::VDisk | Self::VNetwork)
    }

    /// Whether its rows are of VMs.
    fn is_of_vms(self) -> bool {
        !matches!(self, Self::VHost | Self::VDatastore)
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sheet {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|sheet| sheet.name().eq_ignore_ascii_case(text.trim())).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.into_iter().map(Self::name).collect();
            invalid(OPERATION, format!("there is no sheet {text:?}: there are {}", all.join(", ")))
        })
    }
}

fn names_of<T>(columns: &[Column<T>]) -> Vec<&'static str> {
    columns.iter().map(|(name, _)| *name).collect()
}

fn cells_of<T>(columns: &[Column<T>], of: &T) -> impl Iterator<Item = Cell> {
    columns.iter().map(move |(_, cell)| cell(of))
}

/// A row of a sheet.
///
/// ```
/// use vsphere_ops::columns::Cell;
/// use vsphere_ops::export::Row;
///
/// fn capacity_mib(disk: &Row) -> Option<i64> {
///     match disk.get("Capacity MiB")? {
///         Cell::Number(mib) => Some(*mib),
///         _ => None,
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The sheet.
    pub sheet: Sheet,
    /// The cells, in the order of its columns.
    pub cells: Vec<Cell>,
}

impl Row {
    /// The cell of the column with this name.
    pub fn get(&self, column: &str) -> Option<&Cell> {
        let at = self.sheet.columns().iter().position(|name| *name == column)?;
        self.cells.get(at)
    }
}

impl Client {
    /// An export of these sheets. Nothing is read before its [`next`](Export::next) rows are asked for.
    pub fn export(&self, sheets: &[Sheet]) -> Export {
        Export {
            client: self.clone(),
            sheets: sheets.to_vec(),
            gaps: Gaps::default(),
            places: Arc::default(),
            tally: Tally::default(),
            phase: Phase::Start,
            untold: 0,
            unplaced: 0,
        }
    }
}

/// An export in progress.
///
/// ```
/// use vsphere_ops::export::{Export, Sheet};
///
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// let mut export: Export = client.export(&[Sheet::VHost, Sheet::VDatastore]);
/// while let Some(rows) = export.next().await? {
///     for row in rows {
///         println!("{} {:?}", row.sheet, row.cells.first());
///     }
/// }
/// assert!(export.gaps().is_empty());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub struct Export {
    client: Client,
    sheets: Vec<Sheet>,
    gaps: Gaps,
    places: Arc<Places>,
    /// What hosts and datastores have of the VMs that were read.
    tally: Tally,
    phase: Phase,
    /// Of how many VMs the server does not tell the configuration, and where they run.
    untold: usize,
    unplaced: usize,
}

enum Phase {
    Start,
    Vms(Reading),
    Hosts(Reading),
    Datastores(Reading),
    Done,
}

impl Export {
    /// The next rows, those of a page of objects; `None` after the last. Rows of one sheet come in several pages, and the sheets of
    /// VMs by turns.
    ///
    /// # Errors
    /// Those of the server. The export has then ended.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        loop {
            let rows = match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Done => return Ok(None),
                Phase::Start => {
                    self.places = Arc::new(Places::read(&self.client, &self.sheets, &mut self.gaps).await?);
                    self.phase = Phase::Vms(Reading::of(&self.client, "VirtualMachine", vm::paths(&self.sheets)));
                    continue;
                }
                Phase::Vms(mut reading) => match Box::pin(reading.next(&self.client, &mut self.gaps)).await? {
                    Some(page) => {
                        self.phase = Phase::Vms(reading);
                        self.of_vms(page).await
                    }
                    None => {
                        self.tell_untold();
                        self.phase = Phase::Hosts(Reading::of(&self.client, "HostSystem", host::PATHS.to_vec()));
                        continue;
                    }
                },
                Phase::Hosts(mut reading) => match self.wanted(Sheet::VHost, &mut reading).await? {
                    Some(page) => {
                        self.phase = Phase::Hosts(reading);
                        page.into_iter().map(|host| host::row(host, &self.places, &self.tally)).collect()
                    }
                    None => {
                        let paths = datastore::PATHS.to_vec();
                        self.phase = Phase::Datastores(Reading::of(&self.client, "Datastore", paths));
                        continue;
                    }
                },
                Phase::Datastores(mut reading) => match self.wanted(Sheet::VDatastore, &mut reading).await? {
                    Some(page) => {
                        self.phase = Phase::Datastores(reading);
                        page.into_iter().map(|store| datastore::row(store, &self.places, &self.tally)).collect()
                    }
                    None => return Ok(None),
                },
            };
            // Where only hosts and datastores are wanted, VMs are counted, and have no rows.
            if !Vec::is_empty(&rows) {
                return Ok(Some(rows));
            }
        }
    }

    /// What could not be read so far.
    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// The next page for a sheet, where that is wanted.
    async fn wanted(&mut self, sheet: Sheet, reading: &mut Reading) -> Result<Option<Vec<ObjectContent>>> {
        match self.sheets.contains(&sheet) {
            true => Box::pin(reading.next(&self.client, &mut self.gaps)).await,
            false => Ok(None),
        }
    }

    async fn of_vms(&mut self, page: Vec<ObjectContent>) -> Vec<Row> {
        let mut vms: Vec<vm::Vm> =
            page.into_iter().map(|content| vm::Vm::new(content, &self.places, self.wants_devices())).collect();
        vms.iter().for_each(|vm| vm.count(&mut self.tally));
        if !self.sheets.iter().any(|sheet| sheet.is_of_vms()) {
            return Vec::new();
        }
        self.untold += vms.iter().filter(|vm| vm.is_untold()).count();
        self.unplaced += vms.iter().filter(|vm| vm.is_unplaced()).count();
        if self.sheets.contains(&Sheet::VSnapshot) {
            vm::measure(&self.client, &mut vms, &mut self.gaps).await;
        }
        vms.iter().flat_map(|vm| vm.rows(&self.sheets)).collect()
    }

    fn wants_devices(&self) -> bool {
        self.sheets.iter().any(|sheet| sheet.is_of_devices())
    }

    fn tell_untold(&mut self) {
        for (count, what, why) in [
            (self.untold, "the configuration of VMs", "the server does not tell it, as of VMs that are inaccessible"),
            (self.unplaced, "the host, cluster or pool of VMs", "this user does not see it"),
        ] {
            if count > 0 {
                self.gaps.lacks(&format!("{what} ({count})"), why);
            }
        }
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("sheets", &self.sheets).field("gaps", &self.gaps).finish_non_exhaustive()
    }
}

/// All objects of a type, page by page.
struct Reading {
    source: Source,
    pages: Pages,
}

impl Reading {
    fn of(client: &Client, type_: &'static str, paths: Vec<&'static str>) -> Self {
        let paths = paths.into_iter().map(str::to_owned).collect();
        let source = Source::View { container: None, types: vec![(type_, paths)] };
        Self { pages: Pages::new(client, source.clone(), None), source }
    }

    async fn next(&mut self, client: &Client, gaps: &mut Gaps) -> Result<Option<Vec<ObjectContent>>> {
        loop {
            match self.pages.next().await {
                // An older server refuses all for the sake of a property that it does not know.
                Err(error) => match error.fault::<InvalidProperty>().filter(|fault| self.source.leave_out(&fault.name))
                {
                    Some(fault) => {
                        gaps.lacks(&fault.name, "this server is too old to tell it");
                        self.pages = Pages::new(client, self.source.clone(), None);
                    }
                    None => return Err(error.in_operation(OPERATION)),
                },
                Ok(page) => {
                    gaps.append(Gaps::of(page.as_deref().unwrap_or_default()));
                    return Ok(page);
                }
            }
        }
    }
}

/// So many bytes in MiB.
fn mib(bytes: i64) -> Cell {
    Cell::Number(bytes >> 20)
}

/// The same of what is in use, where a MiB that has begun counts: the little that there is is not nothing.
fn mib_in_use(bytes: i64) -> Cell {
    let begun = i64::from(bytes & ((1 << 20) - 1) != 0);
    Cell::Number((bytes >> 20) + begun)
}

/// A number, or nothing.
fn number<N: TryInto<i64>>(number: Option<N>) -> Cell {
    Cell::number(number.and_then(|number| number.try_into().ok()))
}

fn time(time: Option<&vsphere_model::types::DateTime>) -> Cell {
    time.map_or(Cell::Nothing, |time| Cell::Time(time.to_utc()))
}

/// A word of the API as the server writes it.
fn word(word: Option<&impl ToString>) -> Cell {
    Cell::text(word.map(ToString::to_string))
}

/// Several texts in one cell.
fn joined(texts: impl IntoIterator<Item = String>) -> Cell {
    Cell::text(Some(texts.into_iter().collect::<Vec<_>>().join(", ")))
}
