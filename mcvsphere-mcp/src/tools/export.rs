//! The inventory as sheets for other tools.

use serde::Serialize;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use vsphere_ops::{
    Gaps, Untrusted,
    export::{Format, Row, Sheet, SheetWriter},
};

use super::prelude::*;
use crate::{
    files::{Existing, NewFile},
    permission::Effect,
};

/// How much of an export an answer holds, in bytes of JSON: beside it there is the same as text.
const MOST_INLINE: usize = 40 << 10;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::adds("export_inventory", Vcenter, ReadOnly, "Export the inventory", export_inventory)
            .about("Export the inventory in RVTools' sheets and columns, for migration and licence tools.")
            .long()
            .effect(Effect::LocalFile)
            .by_call(|args| match args.contains_key("path") {
                true => (VmLifecycle, Effect::LocalFile),
                false => (ReadOnly, Effect::Reads),
            }),
    ]
}

async fn export_inventory(args: ExportInventory, cx: Cx) -> Result<Object<Exported>> {
    let mut sheets = args.sheets.filter(|sheets| !sheets.is_empty()).unwrap_or_else(|| Sheet::ALL.to_vec());
    sheets.sort();
    sheets.dedup();
    let format = args.format.unwrap_or_default();
    let mut outputs = match &args.path {
        Some(path) => {
            cx.agreed(async || {
                let preview = Preview::new(format!("Export the inventory to {}?", quoted(path)));
                Ok(((), preview.object(json!({ "path": path, "sheets": sheets }))?.harmless()))
            })
            .await?;
            files(&cx, path, &sheets, format).await?
        }
        None => sheets.iter().map(|sheet| Output::new(*sheet, format, Place::Answer(String::new()))).collect(),
    };
    let mut export = cx.client().await?.export(&sheets);
    while let Some(rows) = export.next().await? {
        for output in &mut outputs {
            output.take(&rows).await?;
        }
        fits(&outputs)?;
    }
    let mut exported = Vec::with_capacity(outputs.len());
    for output in &mut outputs {
        output.finish().await?;
    }
    fits(&outputs)?;
    // Files get their names once all are whole.
    for output in outputs {
        exported.push(output.keep().await?);
    }
    Ok(Object(Exported { sheets: exported, gaps: export.gaps().clone() }))
}

/// The files at a path: one for each sheet in a directory, or that of the only sheet.
async fn files(cx: &Cx, path: &str, sheets: &[Sheet], format: Format) -> Result<Vec<Output>> {
    let files = cx.files()?;
    let extension = format.extension();
    let is_file = path.ends_with(&format!(".{extension}"));
    if is_file && sheets.len() > 1 {
        return Err(ToolError::invalid_argument(format!(
            "`path` is one file, and there are {} `sheets`: name a directory for them, or one sheet",
            sheets.len()
        )));
    }
    if !is_file {
        files.create_dir(path).await?;
    }
    let mut outputs = Vec::with_capacity(sheets.len());
    for sheet in sheets {
        let path = match is_file {
            true => path.to_owned(),
            // As RVTools calls them, by which other tools know them.
            false => format!("{}/RVTools_tab{sheet}.{extension}", path.trim_end_matches('/')),
        };
        let file = files.create(&path, Existing::Kept).await?;
        outputs.push(Output::new(*sheet, format, Place::File(Box::new(file), path)));
    }
    Ok(outputs)
}

/// Refuses what an answer has no room for, as soon as that is known.
fn fits(outputs: &[Output]) -> Result<()> {
    let bytes: usize = outputs.iter().map(|output| output.inline).sum();
    if bytes <= MOST_INLINE {
        return Ok(());
    }
    Err(ToolError::invalid_argument(format!(
        "export the inventory: the sheets are larger than the {} KiB that an answer holds: give a `path`, or fewer `sheets`",
        MOST_INLINE >> 10
    )))
}

/// A sheet in the making.
struct Output {
    sheet: Sheet,
    writer: Option<SheetWriter>,
    rows: usize,
    place: Place,
    /// What it takes of the answer.
    inline: usize,
}

/// Where a sheet goes.
enum Place {
    Answer(String),
    File(Box<NewFile>, String),
}

impl Output {
    fn new(sheet: Sheet, format: Format, place: Place) -> Self {
        Self { sheet, writer: Some(SheetWriter::new(sheet, format)), rows: 0, place, inline: 0 }
    }

    async fn take(&mut self, rows: &[Row]) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        rows.iter().try_for_each(|row| writer.write(row))?;
        self.rows = writer.rows();
        let piece = writer.take()?;
        self.put(&piece).await
    }

    async fn finish(&mut self) -> Result<()> {
        match self.writer.take() {
            Some(writer) => self.put(&writer.finish()?).await,
            None => Ok(()),
        }
    }

    async fn put(&mut self, piece: &[u8]) -> Result<()> {
        match &mut self.place {
            Place::Answer(content) => {
                let piece = String::from_utf8_lossy(piece);
                self.inline += json!(piece).to_string().len();
                content.push_str(&piece);
                Ok(())
            }
            Place::File(file, path) => file
                .write_all(piece)
                .await
                .map_err(|error| ToolError::new("file", format!("the local file {path:?} can't be written: {error}"))),
        }
    }

    async fn keep(self) -> Result<ExportedSheet> {
        let (saved_to, content) = match self.place {
            Place::Answer(content) => (None, Some(content.into())),
            Place::File(file, path) => {
                file.keep().await?;
                (Some(path), None)
            }
        };
        Ok(ExportedSheet { sheet: self.sheet, rows: self.rows, saved_to, content })
    }
}

/// An export.
#[derive(Debug, Serialize, JsonSchema)]
struct Exported {
    sheets: Vec<ExportedSheet>,
    /// What of it could not be read.
    #[serde(flatten)]
    gaps: Gaps,
}

/// A sheet that was exported.
#[derive(Debug, Serialize, JsonSchema)]
struct ExportedSheet {
    #[schemars(with = "String")]
    sheet: Sheet,
    rows: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Untrusted>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ExportInventory {
    /// All by default.
    sheets: Option<Vec<Sheet>>,
    /// CSV by default.
    format: Option<Format>,
    /// Directory or file below MCP_FILES; else small sheets are answered.
    path: Option<String>,
}
