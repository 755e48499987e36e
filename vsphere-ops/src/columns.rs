//! Columns of lists: what is shown of each object, which objects are wanted, in which order and in which groups.
//!
//! A list has a type of columns, such as [`VmColumn`](crate::vm::VmColumn). Conditions, orders and groups are the same for all.
//!
//! ```
//! use vsphere_ops::columns::{Condition, Order};
//! use vsphere_ops::vm::VmColumn;
//!
//! let large: Condition<VmColumn> = "provisioned_bytes>=500GB".parse()?;
//! let largest_first: Order<VmColumn> = "-provisioned_bytes".parse()?;
//! assert_eq!((large.column, largest_first.descending), (VmColumn::ProvisionedBytes, true));
//! # Ok::<(), vsphere_ops::Error>(())
//! ```

mod asked;
mod list;
mod others;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use memchr::memmem::Finder;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use vsphere_soap::object::format_date_time;

use crate::error::{Error, Result, invalid};
use crate::gaps::Gaps;
use crate::name::Glob;
use crate::page::Freshness;
use crate::untrusted::Untrusted;
use crate::words::moment;

pub(crate) use asked::{Asked, gathered};
pub(crate) use list::{Also, Beside, Listed, Object, groups, list};
pub(crate) use others::Others;

const OPERATION: &str = "list";

/// The columns of a list.
pub trait Column: Copy + Eq + Ord + fmt::Debug + Send + Sync + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Those that each item of the list has as fields of its own.
    const SHOWN: &'static [Self];

    /// Those in which a text is looked for.
    const SEARCHED: &'static [Self];

    /// Those whose sums are of interest, where objects are in groups.
    const SUMMED: &'static [Self];

    /// Whether people or guests write what it holds.
    ///
    /// ```
    /// use vsphere_ops::columns::Column;
    /// use vsphere_ops::vm::VmColumn;
    ///
    /// assert!(VmColumn::Annotation.is_untrusted() && !VmColumn::MemoryMb.is_untrusted());
    /// ```
    fn is_untrusted(self) -> bool;

    /// Its name.
    fn name(self) -> &'static str;

    /// What its cells hold.
    fn kind(self) -> Kind;

    /// The column with this name.
    ///
    /// ```
    /// use vsphere_ops::columns::Column;
    /// use vsphere_ops::vm::VmColumn;
    ///
    /// assert_eq!(VmColumn::named("memory_mb")?, VmColumn::MemoryMb);
    /// # Ok::<(), vsphere_ops::Error>(())
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for an unknown name, with the known ones.
    fn named(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|column| column.name() == name);
        found.copied().ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|column| column.name()).collect();
            invalid(OPERATION, format!("there is no column {name:?}: there are {}", all.join(", ")))
        })
    }
}

/// Makes a type of columns of a table: name, kind, properties, and what it is made of besides, which is `Beside` where the table stands.
macro_rules! columns {
    (
        $(#[$type_doc:meta])* $type:ident {
            $($(#[$doc:meta])+ $column:ident = $name:literal, $kind:ident, [$($path:expr),*], $beside:ident;)*
        }
        shown [$($shown:ident),*]
        searched [$($searched:ident),*]
        summed [$($summed:ident),*]
        untrusted [$($untrusted:ident),*]
    ) => {
        $(#[$type_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[$doc])+ $column,)*
        }

        impl $crate::columns::Column for $type {
            const ALL: &'static [Self] = &[$(Self::$column),*];
            const SHOWN: &'static [Self] = &[$(Self::$shown),*];
            const SEARCHED: &'static [Self] = &[$(Self::$searched),*];
            const SUMMED: &'static [Self] = &[$(Self::$summed),*];

            fn is_untrusted(self) -> bool {
                let untrusted: &[Self] = &[$(Self::$untrusted),*];
                untrusted.contains(&self)
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            fn kind(self) -> $crate::columns::Kind {
                match self {
                    $(Self::$column => $crate::columns::Kind::$kind,)*
                }
            }
        }

        impl $type {
            /// The properties of the object that it is made of.
            pub(crate) fn paths(self) -> &'static [&'static str] {
                match self {
                    $(Self::$column => const { &[$($path),*] },)*
                }
            }

            /// What else it is made of.
            pub(crate) fn beside(self) -> Beside {
                match self {
                    $(Self::$column => Beside::$beside,)*
                }
            }
        }
    };
}

pub(crate) use columns;

/// What the cells of a column hold.
///
/// ```
/// use vsphere_ops::columns::{Column, Kind};
/// use vsphere_ops::vm::VmColumn;
///
/// assert_eq!(VmColumn::BootTime.kind(), Kind::Time);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A number of bytes, which conditions may write as `10GB`; units are powers of 1024.
    Bytes,
    /// Yes or no.
    Flag,
    /// A point in time.
    Time,
    /// Several texts.
    Texts,
}

/// What a column says of an object.
///
/// ```
/// use vsphere_ops::columns::Cell;
///
/// assert_eq!(serde_json::to_string(&Cell::Number(3))?, "3");
/// assert_eq!(serde_json::to_string(&Cell::Nothing)?, "null");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// It is not set, not known, or not for this user to read.
    Nothing,
    /// A text of vSphere.
    Text(String),
    /// A text of a person or a guest.
    Untrusted(Untrusted),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// A point in time.
    Time(DateTime<Utc>),
    /// Texts of vSphere.
    Texts(Vec<String>),
    /// Texts of people, by name.
    Pairs(BTreeMap<String, Untrusted>),
}

impl Cell {
    /// A text, or nothing where it is empty.
    pub(crate) fn text(text: Option<impl Into<String>>) -> Self {
        text.map(Into::into).filter(|text| !text.is_empty()).map_or(Self::Nothing, Self::Text)
    }

    /// A text of a person or a guest, or nothing where it is empty.
    pub(crate) fn untrusted(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty()).map_or(Self::Nothing, |text| Self::Untrusted(text.into()))
    }

    pub(crate) fn number(number: Option<impl Into<i64>>) -> Self {
        number.map_or(Self::Nothing, |number| Self::Number(number.into()))
    }

    pub(crate) fn flag(flag: Option<bool>) -> Self {
        flag.map_or(Self::Nothing, Self::Flag)
    }

    /// The share of a whole, in whole per cent.
    pub(crate) fn percent(part: Option<i64>, whole: Option<i64>) -> Self {
        let whole = whole.filter(|whole| *whole > 0);
        Self::number(part.zip(whole).map(|(part, whole)| part.saturating_mul(100).saturating_add(whole / 2) / whole))
    }

    /// The text that it is.
    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_number(&self) -> Option<i64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn as_flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    /// Texts, or nothing where there are none.
    pub(crate) fn texts(texts: Vec<String>) -> Self {
        if texts.is_empty() { Self::Nothing } else { Self::Texts(texts) }
    }

    /// Each text of the cell until one is good.
    fn any_text(&self, mut is_good: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Text(text) => is_good(text),
            Self::Untrusted(text) => is_good(text),
            Self::Texts(texts) => texts.iter().any(|text| is_good(text)),
            Self::Pairs(pairs) => pairs.iter().any(|(name, value)| is_good(&format!("{name}={}", value.as_str()))),
            Self::Nothing | Self::Number(_) | Self::Flag(_) | Self::Time(_) => false,
        }
    }

    /// Whether one of its texts holds what is looked for.
    pub(crate) fn holds(&self, needle: &Needle) -> bool {
        self.any_text(|text| needle.is_in(text))
    }

    /// What can be compared of it.
    fn ordinal(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Flag(flag) => Some((*flag).into()),
            Self::Time(time) => Some(time.timestamp_millis()),
            Self::Nothing | Self::Text(_) | Self::Untrusted(_) | Self::Texts(_) | Self::Pairs(_) => None,
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_none(),
            Self::Text(text) => text.serialize(serializer),
            Self::Untrusted(text) => text.serialize(serializer),
            Self::Number(number) => number.serialize(serializer),
            Self::Flag(flag) => flag.serialize(serializer),
            Self::Time(time) => format_date_time(&time.fixed_offset()).serialize(serializer),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Pairs(pairs) => pairs.serialize(serializer),
        }
    }
}

/// The cells of an object in the columns that were asked for. It serializes as the fields of an object, without what is not set.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmColumn, VmQuery};
///
/// let columns = vec![VmColumn::Snapshots, VmColumn::UsedBytes];
/// for vm in vm::list(&client, &VmQuery { columns, ..Default::default() }).await?.items {
///     println!("{}: {:?}", vm.name, vm.columns.get(VmColumn::Snapshots));
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells<C>(Vec<(C, Cell)>);

impl<C> Default for Cells<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C: Column> Cells<C> {
    /// The cell of a column; `None` where it was not asked for.
    pub fn get(&self, column: C) -> Option<&Cell> {
        self.0.iter().find(|(other, _)| *other == column).map(|(_, cell)| cell)
    }
}

impl<C> FromIterator<(C, Cell)> for Cells<C> {
    fn from_iter<I: IntoIterator<Item = (C, Cell)>>(cells: I) -> Self {
        Self(cells.into_iter().collect())
    }
}

impl<C: Column> Serialize for Cells<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, cell) in self.0.iter().filter(|(_, cell)| *cell != Cell::Nothing) {
            map.serialize_entry(column.name(), cell)?;
        }
        map.end()
    }
}

#[cfg(feature = "schema")]
impl<C: Column> schemars::JsonSchema for Cells<C> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cells".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let asked_for = C::ALL.iter().filter(|column| !C::SHOWN.contains(column));
        let properties: serde_json::Map<String, serde_json::Value> = asked_for
            .map(|column| {
                let schema = match (column.is_untrusted(), column.kind()) {
                    (true, Kind::Texts) => generator.subschema_for::<BTreeMap<String, Untrusted>>(),
                    (true, _) => generator.subschema_for::<Untrusted>(),
                    (_, Kind::Text | Kind::Time) => generator.subschema_for::<String>(),
                    (_, Kind::Number | Kind::Bytes) => generator.subschema_for::<i64>(),
                    (_, Kind::Flag) => generator.subschema_for::<bool>(),
                    (_, Kind::Texts) => generator.subschema_for::<Vec<String>>(),
                };
                (column.name().to_owned(), schema.to_value())
            })
            .collect();
        schemars::json_schema!({ "type": "object", "properties": properties })
    }
}

/// A condition on a column, in the form `COLUMN OPERATOR VALUE`: `cpu>=8`, `guest_os=*windows*`, `annotation=` (it has
/// none), `annotation!=` (it has one), `used_bytes>1TB`, `boot_time<2026-01-01`.
///
/// `=` and `!=` take a glob for texts; of several texts one has to fit, and for `!=` none. `<`, `<=`, `>` and `>=` are for numbers,
/// bytes and times. A cell that holds nothing is neither less nor more than anything.
///
/// ```
/// use vsphere_ops::columns::{Cell, Condition};
/// use vsphere_ops::vm::VmColumn;
///
/// let on: Condition<VmColumn> = "datastores=fra1-*".parse()?;
/// assert!(on.holds(&Cell::Texts(vec!["local-3".into(), "fra1-nvme-01".into()])));
/// assert!(!on.holds(&Cell::Nothing));
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Condition<C> {
    /// The column.
    pub column: C,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// It holds nothing, or something.
    Nothing(bool),
    /// A text fits, or none does.
    Fits(Glob, bool),
    /// How it compares with a number or a time.
    Compares(&'static [Ordering], i64),
}

/// How what is another number compares with one.
const OTHER: &[Ordering] = &[Ordering::Less, Ordering::Greater];

const OPERATORS: [(&str, &[Ordering]); 6] = [
    ("!=", OTHER),
    ("<=", &[Ordering::Less, Ordering::Equal]),
    (">=", &[Ordering::Greater, Ordering::Equal]),
    ("=", &[Ordering::Equal]),
    ("<", &[Ordering::Less]),
    (">", &[Ordering::Greater]),
];

impl<C: Column> Condition<C> {
    /// Whether the condition holds for a cell of its column.
    pub fn holds(&self, cell: &Cell) -> bool {
        match &self.test {
            Test::Nothing(wanted) => (*cell == Cell::Nothing) == *wanted,
            Test::Fits(glob, wanted) => cell.any_text(|text| glob.fits(text)) == *wanted,
            Test::Compares(orderings, with) => match cell.ordinal() {
                Some(ordinal) => orderings.contains(&ordinal.cmp(with)),
                // Nothing is not the number that is not wanted.
                None => *orderings == OTHER,
            },
        }
    }
}

impl<C: Column> FromStr for Condition<C> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: String| invalid(OPERATION, format!("the condition {text:?} {why}"));
        let name_end = text.find(|c: char| "!<>=".contains(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        let column = C::named(name.trim())?;
        let operator = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator));
        let Some((operator, orderings)) = operator else {
            return Err(wrong("has no operator: write it as cpu>=8, or annotation!= for what has one".to_owned()));
        };
        let value = rest.get(operator.len()..).unwrap_or_default().trim();
        let is_equal = match *operator {
            "=" => Some(true),
            "!=" => Some(false),
            _ => None,
        };
        let test = match (value, is_equal, column.kind()) {
            ("", Some(wanted), _) => Test::Nothing(wanted),
            (value, Some(wanted), Kind::Text | Kind::Texts) => Test::Fits(Glob::new(value), wanted),
            (_, None, Kind::Text | Kind::Texts | Kind::Flag) => {
                return Err(wrong(format!("compares {name}, which can only be = or != something")));
            }
            (value, _, kind) => {
                let number =
                    operand(kind, value).ok_or_else(|| wrong(format!("needs {} after {operator}", form(kind))))?;
                Test::Compares(orderings, number)
            }
        };
        Ok(Self { column, test })
    }
}

/// What the operand of a comparison looks like.
fn form(kind: Kind) -> &'static str {
    match kind {
        Kind::Bytes => "a number of bytes such as 512MB or 2TB",
        Kind::Time => "a date such as 2026-01-31, or a time in RFC 3339",
        Kind::Flag => "true or false",
        Kind::Number | Kind::Text | Kind::Texts => "a whole number",
    }
}

fn operand(kind: Kind, text: &str) -> Option<i64> {
    match kind {
        Kind::Text | Kind::Texts => None,
        Kind::Number => text.parse().ok(),
        Kind::Bytes => bytes(text),
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" => Some(1),
            "false" | "no" => Some(0),
            _ => None,
        },
        Kind::Time => moment(text).map(|time| time.timestamp_millis()),
    }
}

/// `1.5TB`, `512 MiB`, `1024`. Units are powers of 1024, as in vSphere.
fn bytes(text: &str) -> Option<i64> {
    let unit_start = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_start);
    let power = match unit.trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok()?;
    let bytes = number * 1024_f64.powi(power);
    // The conversion would cut what is beyond.
    #[allow(clippy::cast_possible_truncation, reason = "it is a whole number in range")]
    (bytes.is_finite() && bytes.abs() < 9e18).then(|| bytes.round() as i64)
}

/// The order of a list: a column's name, with `-` before it for the largest first. Objects without a value come last.
///
/// ```
/// use vsphere_ops::columns::Order;
/// use vsphere_ops::vm::VmColumn;
///
/// let order: Order<VmColumn> = "-memory_mb".parse()?;
/// assert_eq!(order, Order { column: VmColumn::MemoryMb, descending: true });
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<C> {
    /// The column.
    pub column: C,
    /// Whether the largest comes first.
    pub descending: bool,
}

impl<C: Column> FromStr for Order<C> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (descending, name) = match text.trim().strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text.trim()),
        };
        Ok(Self { column: C::named(name)?, descending })
    }
}

impl<C: Column> Order<C> {
    /// Where an object with this cell stands.
    pub(crate) fn rank<'s>(self, cell: &Cell, name: &'s str, id: &'s str) -> Ranked<'s> {
        let value = match cell {
            Cell::Nothing => None,
            Cell::Text(text) => Some(RankedValue::Text(text.to_lowercase())),
            Cell::Untrusted(text) => Some(RankedValue::Text(text.to_lowercase())),
            Cell::Texts(texts) => texts.first().map(|text| RankedValue::Text(text.to_lowercase())),
            Cell::Pairs(pairs) => pairs.values().next().map(|text| RankedValue::Text(text.to_lowercase())),
            Cell::Number(_) | Cell::Flag(_) | Cell::Time(_) => cell.ordinal().map(RankedValue::Number),
        };
        Ranked { value, descending: self.descending, name: name.into(), id: id.into() }
    }
}

/// The key of objects that are listed by a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranked<'s> {
    value: Option<RankedValue>,
    descending: bool,
    name: Cow<'s, str>,
    id: Cow<'s, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum RankedValue {
    Number(i64),
    Text(String),
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_value = match (&self.value, &other.value) {
            (Some(one), Some(two)) if self.descending => two.cmp(one),
            (Some(one), Some(two)) => one.cmp(two),
            (one, two) => one.is_none().cmp(&two.is_none()),
        };
        by_value.then_with(|| (&self.name, &self.id).cmp(&(&other.name, &other.id)))
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A text that is looked for in several columns, whatever its case. Those of MAC addresses may be written with dashes.
#[derive(Debug, Clone)]
pub(crate) struct Needle {
    /// Built once: `str::contains` builds its searcher for every text, which takes longer than the search itself.
    text: Finder<'static>,
    /// The text as the address that it may be, where that is another one.
    address: Option<Finder<'static>>,
}

impl Needle {
    pub(crate) fn new(text: &str) -> Self {
        let text = text.trim().to_lowercase();
        let finder = |text: &str| Finder::new(text).into_owned();
        Self { text: finder(&text), address: text.contains('-').then(|| finder(&text.replace('-', ":"))) }
    }

    /// Whether it may be a part of a UUID: writing those of all objects takes longer than all else.
    pub(crate) fn may_be_of_uuid(&self) -> bool {
        self.text.needle().iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
    }

    /// Whether a text holds it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        // Most texts are small letters already.
        match text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            true => self.is_in_small(text.to_lowercase().as_bytes()),
            false => self.is_in_small(text.as_bytes()),
        }
    }

    /// Whether a text in small letters holds it.
    pub(crate) fn is_in_small(&self, text: &[u8]) -> bool {
        let is_there = |finder: &Finder<'_>| finder.find(text).is_some();
        is_there(&self.text) || self.address.as_ref().is_some_and(is_there)
    }
}

/// Objects in groups by a column.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::vm::{self, VmColumn, VmQuery};
///
/// for group in vm::groups(&client, &VmQuery::default(), VmColumn::PowerState).await?.groups {
///     println!("{:?}: {} VMs", group.value, group.count);
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Groups {
    /// The groups, those with most objects first.
    pub groups: Vec<Group>,
    /// How many objects there are. One with several values is in several groups.
    pub total: usize,
    /// The age of the answer if it comes from a cache.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// What could not be read.
    #[serde(flatten)]
    pub gaps: Gaps,
}

/// Objects with the same value in a column.
///
/// ```
/// use vsphere_ops::columns::Group;
///
/// fn largest(groups: &[Group]) -> Option<&Group> {
///     groups.iter().max_by_key(|group| group.sums.get("used_bytes"))
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Group {
    /// The value; nothing of those that have none.
    #[cfg_attr(feature = "schema", schemars(with = "serde_json::Value"))]
    pub value: Cell,
    /// How many objects have it.
    pub count: usize,
    /// The sums of other columns over them, by name.
    #[serde(flatten)]
    pub sums: BTreeMap<&'static str, i64>,
}

/// Gathers objects into groups.
pub(crate) struct Gathering {
    sums: Vec<&'static str>,
    groups: HashMap<String, Gathered>,
    total: usize,
}

/// A group while it is gathered.
struct Gathered {
    value: Cell,
    count: usize,
    /// In the order of the columns that are summed.
    sums: Vec<i64>,
}

impl Gathering {
    /// Groups with the sums of these columns.
    pub(crate) fn new(sums: &[&'static str]) -> Self {
        Self { sums: sums.to_vec(), groups: HashMap::new(), total: 0 }
    }

    /// Takes an object in: its value, and its numbers in the columns that are summed.
    pub(crate) fn add(&mut self, value: Cell, numbers: &[Option<i64>]) {
        self.total += 1;
        match value {
            Cell::Texts(texts) => texts.into_iter().for_each(|text| self.add_one(Cell::Text(text), numbers)),
            Cell::Pairs(pairs) => {
                let texts = pairs.iter().map(|(name, value)| format!("{name}={}", value.as_str()));
                texts
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|text| self.add_one(Cell::Untrusted(text.into()), numbers));
            }
            value => self.add_one(value, numbers),
        }
    }

    fn add_one(&mut self, value: Cell, numbers: &[Option<i64>]) {
        let key = match &value {
            Cell::Text(text) => text.clone(),
            Cell::Untrusted(text) => text.as_str().to_owned(),
            other => format!("\0{other:?}"),
        };
        let sums = self.sums.len();
        let group = self.groups.entry(key).or_insert_with(|| Gathered { value, count: 0, sums: vec![0; sums] });
        group.count += 1;
        for (sum, number) in group.sums.iter_mut().zip(numbers) {
            *sum = sum.saturating_add(number.unwrap_or(0));
        }
    }

    pub(crate) fn finish(self, freshness: Option<Freshness>, gaps: Gaps) -> Groups {
        let mut groups: Vec<(String, Gathered)> = self.groups.into_iter().collect();
        groups.sort_by(|(one_key, one), (two_key, two)| two.count.cmp(&one.count).then_with(|| one_key.cmp(two_key)));
        let group = |(_, Gathered { value, count, sums }): (String, Gathered)| Group {
            value,
            count,
            sums: self.sums.iter().copied().zip(sums).collect(),
        };
        Groups { groups: groups.into_iter().map(group).collect(), total: self.total, freshness, gaps }
    }
}
