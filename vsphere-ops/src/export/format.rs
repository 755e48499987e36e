//! Sheets as files.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{OPERATION, Row, Sheet};
use crate::columns::Cell;
use crate::error::{Error, ErrorKind, Result};

/// How the file of a sheet is written.
///
/// ```
/// use vsphere_ops::export::Format;
///
/// assert_eq!(Format::default().extension(), "csv");
/// assert_eq!(Format::Json.extension(), "json");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As RVTools writes it: a line of names, `True` and `False`, times as `2026/01/31 12:00:00` in UTC. What a spreadsheet
    /// would take for a formula has an apostrophe before it.
    #[default]
    Csv,
    /// An array of objects, whose fields have the names of the columns. An empty cell is left out, and texts are as they are.
    Json,
}

impl Format {
    /// The ending of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

/// Writes the rows of one sheet, and gives away what is written as often as one likes.
///
/// ```
/// use vsphere_ops::columns::Cell;
/// use vsphere_ops::export::{Format, Row, Sheet, SheetWriter};
///
/// let mut snapshots = SheetWriter::new(Sheet::VSnapshot, Format::Csv);
/// let mut cells = vec![Cell::Nothing; Sheet::VSnapshot.columns().len()];
/// cells[2] = Cell::Text("=1+1".into());
/// snapshots.write(&Row { sheet: Sheet::VSnapshot, cells })?;
/// let text = String::from_utf8_lossy(&snapshots.take()?).into_owned();
/// assert!(text.starts_with("\"VM\",\"Powerstate\",\"Name\",") && text.contains("\r\n\"\",\"\",\"'=1+1\","));
/// assert_eq!((snapshots.rows(), snapshots.finish()?.len()), (1, 0)); // nothing is left to write
/// # Ok::<(), vsphere_ops::Error>(())
/// ```
#[derive(Debug)]
pub struct SheetWriter {
    sheet: Sheet,
    columns: Vec<&'static str>,
    rows: usize,
    is_begun: bool,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Csv(Box<csv::Writer<Vec<u8>>>),
    Json(Vec<u8>),
}

impl SheetWriter {
    /// A writer of this sheet.
    pub fn new(sheet: Sheet, format: Format) -> Self {
        let out = match format {
            Format::Csv => Out::Csv(Box::new(csv_writer())),
            Format::Json => Out::Json(Vec::new()),
        };
        Self { sheet, columns: sheet.columns(), rows: 0, is_begun: false, out }
    }

    /// Writes a row. One of another sheet is left to the writer of that.
    ///
    /// # Errors
    /// `protocol` where the row can't be written, which no row of an export causes.
    pub fn write(&mut self, row: &Row) -> Result<()> {
        if row.sheet != self.sheet {
            return Ok(());
        }
        self.begin()?;
        match &mut self.out {
            Out::Csv(csv) => csv.write_record(row.cells.iter().map(plain).map(Field)).map_err(failed)?,
            Out::Json(written) => {
                written.extend_from_slice(if self.rows == 0 { b"\n" } else { b",\n" });
                let fields = self.columns.iter().zip(&row.cells).filter(|(_, cell)| **cell != Cell::Nothing);
                let object: Map<String, Value> = fields.map(|(name, cell)| ((*name).to_owned(), value(cell))).collect();
                serde_json::to_writer(written, &object).map_err(failed)?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows were written.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What was written since it was asked for the last time.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn take(&mut self) -> Result<Vec<u8>> {
        self.begin()?;
        match &mut self.out {
            Out::Csv(csv) => std::mem::replace(&mut **csv, csv_writer()).into_inner().map_err(failed),
            Out::Json(written) => Ok(std::mem::take(written)),
        }
    }

    /// The rest of the file.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<Vec<u8>> {
        let mut rest = self.take()?;
        if matches!(self.out, Out::Json(_)) {
            rest.extend_from_slice(b"\n]\n");
        }
        Ok(rest)
    }

    /// Writes what stands before the first row, once. A sheet without rows has its columns all the same.
    fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_begun, true) {
            return Ok(());
        }
        match &mut self.out {
            Out::Csv(csv) => csv.write_record(&self.columns).map_err(failed),
            Out::Json(written) => {
                written.push(b'[');
                Ok(())
            }
        }
    }
}

fn csv_writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new())
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::new(OPERATION, ErrorKind::Protocol(format!("a row can't be written: {error}")))
}

/// A cell as JSON. The file is for programs, so that texts have no marks.
fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Untrusted(text) => Value::String(text.as_str().to_owned()),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// A cell as RVTools writes it.
fn plain(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Nothing => Cow::Borrowed(""),
        Cell::Text(text) => harmless(text),
        Cell::Untrusted(text) => harmless(text.as_str()),
        Cell::Number(number) => number.to_string().into(),
        Cell::Flag(flag) => Cow::Borrowed(if *flag { "True" } else { "False" }),
        Cell::Time(time) => time.format("%Y/%m/%d %H:%M:%S").to_string().into(),
        Cell::Texts(texts) => harmless(&texts.join(", ")).into_owned().into(),
        Cell::Pairs(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect();
            harmless(&pairs.join(", ")).into_owned().into()
        }
    }
}

/// A field for the writer, which wants its bytes.
struct Field<'c>(Cow<'c, str>);

impl AsRef<[u8]> for Field<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A text that no spreadsheet takes for a formula: an apostrophe stands before each character that would begin one, at the
/// beginning of the cell, and where a spreadsheet with other separators would begin another cell. The characters are those of
/// OWASP's page on CSV injection (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn harmless(text: &str) -> Cow<'_, str> {
    let mut safe = String::new();
    // How much of the text is in the safe one.
    let mut copied = 0;
    let mut begins = true;
    for (at, c) in text.char_indices() {
        if begins && matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\0' | '＝' | '＋' | '－' | '＠') {
            safe.push_str(text.get(copied..at).unwrap_or_default());
            safe.push('\'');
            copied = at;
        }
        // Of what stands between a separator and a formula, spaces and quotes are not seen.
        begins = matches!(c, ';' | '\t' | '\r' | '\n') || (begins && matches!(c, ' ' | '"'));
    }
    if copied == 0 && safe.is_empty() {
        return Cow::Borrowed(text);
    }
    safe.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    #[test]
    fn no_text_begins_a_formula() {
        for (text, expected) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            (" =1", " '=1"),
            ("＝1", "'＝1"),
            ("web;=1", "web;'=1"),
            ("web; \"@x", "web; \"'@x"),
            ("a\n- b\n- c", "a\n'- b\n'- c"),
            ("web-1", "web-1"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), expected, "{text:?}");
        }
        // What is a number is one, also below zero.
        assert_eq!(plain(&Cell::Number(-1)), "-1");
    }

    #[test]
    fn a_sheet_without_rows_is_a_whole_file() {
        let empty = |format| SheetWriter::new(Sheet::VDisk, format).finish().unwrap();
        assert_eq!(empty(Format::Json), b"[\n]\n");
        let csv = String::from_utf8(empty(Format::Csv)).unwrap();
        assert_eq!(csv.matches("\r\n").count(), 1);
        assert!(csv.ends_with("\"VI SDK UUID\"\r\n"), "{csv}");
    }
}
