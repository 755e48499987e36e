//! The files of datastores.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _, stream};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use vsphere_ops::{
    Untrusted,
    files::{DatastoreFile, DeletedFile, Existing, FileQuery, FileRelocation, MadeFolder, RelocatedFile},
    managed::Datastore,
};

use super::prelude::*;
use crate::{files::Existing as Local, permission::Effect, text::visible};

/// How much of a file an answer holds when nothing is said, and at most: in base64, that fits into one.
const USUAL_INLINE: usize = 32 << 10;
const MOST_INLINE: usize = 64 << 10;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::reads("browse_datastore", Files, "Browse a datastore", browse_datastore)
            .about("List files of a datastore, or those that no VM or template uses.")
            .needs(&["Datastore.Browse"]),
        Tool::changes("upload_to_datastore", Files, VmLifecycle, "Upload a file", upload_to_datastore)
            .about("Upload a file into a folder that is there.")
            .long()
            .needs(&["Datastore.Browse", "Datastore.FileManagement"])
            .asks()
            .idempotent(),
        Tool::changes("download_from_datastore", Files, VmLifecycle, "Download a file", download_from_datastore)
            .about("Download a file, or read its beginning.")
            .long()
            .needs(&["Datastore.Browse", "Datastore.FileManagement"])
            .effect(Effect::LocalFile)
            .by_call(|args| (VmLifecycle, if args.contains_key("save_to") { Effect::LocalFile } else { Effect::Reads }))
            .asks()
            .idempotent(),
        Tool::adds("create_datastore_folder", Files, VmLifecycle, "Make a folder", create_datastore_folder)
            .about("Make a folder, with those above it.")
            .needs(&["Datastore.Browse", "Datastore.FileManagement", "Datastore.Config"])
            .idempotent(),
        Tool::changes("delete_datastore_file", Files, VmLifecycle, "Delete a file", delete_datastore_file)
            .about("Delete a file, disk or folder.")
            .needs(&["Datastore.Browse", "Datastore.FileManagement", "Datastore.Config"])
            .asks()
            .idempotent(),
        Tool::changes("move_datastore_file", Files, VmLifecycle, "Move a file", move_datastore_file)
            .about("Move a file, disk or folder.")
            .long()
            .needs(&["Datastore.Browse", "Datastore.FileManagement"])
            .asks(),
        Tool::changes("copy_datastore_file", Files, VmLifecycle, "Copy a file", copy_datastore_file)
            .about("Copy a file, disk or folder.")
            .long()
            .needs(&["Datastore.Browse", "Datastore.FileManagement"])
            .asks(),
    ]
}

async fn browse_datastore(args: Browse, cx: Cx) -> Result<Listed<DatastoreFile>> {
    let (page, fields) = args.paging.open(&cx)?;
    let datastore = find(&cx, &args.datastore).await?;
    let orphaned = args.orphaned.unwrap_or(false);
    let recursive = args.recursive.unwrap_or(orphaned);
    let query = FileQuery { folder: args.path.unwrap_or_default(), recursive, page };
    let page = match orphaned {
        true => datastore.list_orphans(&query).await?,
        false => datastore.list_files(&query).await?,
    };
    Ok(cx.page(page, fields))
}

async fn upload_to_datastore(args: UploadFile, cx: Cx) -> Result<Object<Uploaded>> {
    let source = match (&args.local_path, &args.content_base64) {
        (Some(path), None) => Source::Local(cx.files()?.open(path).await?),
        (None, Some(Cut(content))) => Source::Given(decoded(content)?),
        _ => return Err(ToolError::invalid_argument("give one of `local_path` and `content_base64`")),
    };
    let length = source.length();
    let (datastore, overwritten) = cx
        .agreed(|| async {
            let datastore = find(&cx, &args.datastore).await?;
            let there = datastore.overwritten_by_upload(&args.path).await?;
            let what = format!("Upload {length} bytes to {} of {}", quoted(&args.path), quoted(datastore.label()));
            let preview = match &there {
                Some(there) => Preview::new(format!("{what} and OVERWRITE the file there?")).object(there)?,
                None => Preview::new(format!("{what}?")).object(json!({ "path": args.path }))?.harmless(),
            };
            // Another datastore may have its name by now, and another file that path.
            let preview = preview.bind((datastore.id(), there.as_ref().map(DatastoreFile::mark)))?;
            Ok(((datastore, there), preview))
        })
        .await?;
    let upload = datastore.upload(args.path.as_str()).in_place_of(overwritten.as_ref());
    let upload = upload.on_progress(cx.transfer("upload", &args.path));
    let sent = match source {
        Source::Local((file, length)) => upload.from_stream(pieces(file), length).await?,
        Source::Given(content) => {
            upload.from_stream(stream::iter([Ok::<_, io::Error>(content)]), u64::try_from(length).ok()).await?
        }
    };
    Ok(Object(Uploaded {
        datastore: datastore.label().to_owned(),
        path: args.path,
        size_bytes: sent.bytes,
        checksum: sent.checksum.map(|checksum| checksum.to_string()),
        overwritten,
        changed: true,
    }))
}

async fn download_from_datastore(args: DownloadFile, cx: Cx) -> Result<Object<Downloaded>> {
    if args.save_to.is_some() && args.max_bytes.is_some() {
        return Err(ToolError::invalid_argument("`max_bytes` is for a file that is read, and not for `save_to`"));
    }
    let most = in_range("max_bytes", args.max_bytes, USUAL_INLINE, MOST_INLINE)?;
    let datastore = find(&cx, &args.datastore).await?;
    let download = || datastore.download(args.path.as_str());
    let mut answer =
        Downloaded { datastore: datastore.label().to_owned(), path: args.path.clone(), ..Default::default() };
    let Some(save_to) = &args.save_to else {
        let mut file = download().without_checksum().stream().await?;
        answer.size_bytes = file.length();
        let mut content = BytesMut::new();
        while content.len() <= most
            && let Some(piece) = file.try_next().await?
        {
            content.extend_from_slice(&piece);
        }
        answer.truncated = content.len() > most;
        content.truncate(most);
        answer.size_bytes = answer.size_bytes.or((!answer.truncated).then_some(content.len() as u64));
        let (encoding, content) = encoded(&content);
        (answer.encoding, answer.content) = (Some(encoding), Some(content.into()));
        return Ok(Object(answer));
    };
    let files = cx.files()?;
    let existing = cx
        .agreed(|| async {
            let there = files.present(save_to).await?;
            let what =
                format!("Download {} of {} to {}", quoted(&args.path), quoted(datastore.label()), quoted(save_to));
            let Some(there) = there else {
                let preview = Preview::new(format!("{what}?")).object(json!({ "path": save_to }))?.harmless();
                return Ok((Local::Kept, preview));
            };
            let shown = json!({ "path": save_to, "bytes": there.bytes });
            let preview = Preview::new(format!("{what} and OVERWRITE the local file there?")).object(shown)?;
            let modified = there.modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            Ok((Local::Replaced, preview.bind(modified.map(|since| since.as_nanos().to_string()))?))
        })
        .await?;
    let mut file = files.create(save_to, existing).await?;
    let download = download().on_progress(cx.transfer("download", &args.path));
    let received = download.to_writer(&mut file).await?;
    file.keep().await?;
    answer.size_bytes = Some(received.bytes);
    answer.checksum = received.checksum.map(|checksum| checksum.to_string());
    answer.saved_to = Some(save_to.clone());
    Ok(Object(answer))
}

async fn create_datastore_folder(args: OneFolder, cx: Cx) -> Result<Object<MadeFolder>> {
    let datastore = cx
        .agreed(|| async {
            let datastore = find(&cx, &args.datastore).await?;
            let question = format!("Make the folder {} in {}?", quoted(&args.path), quoted(datastore.label()));
            let preview = Preview::new(question).object(json!({ "path": args.path }))?.bind(datastore.id())?;
            Ok((datastore, preview.harmless()))
        })
        .await?;
    Ok(Object(datastore.make_folder(&args.path).await?))
}

async fn delete_datastore_file(args: DeleteFile, cx: Cx) -> Result<Object<DeletedFile>> {
    let deletion = cx.agreed(|| async {
        let datastore = find(&cx, &args.datastore).await?;
        let deletion = datastore.file_deletion(&args.path, args.recursive.unwrap_or(false)).await?;
        let (files, bytes) = (deletion.files, deletion.size_bytes);
        let question = format!("DELETE {} with {files} files of {bytes} bytes?", quoted(&deletion.path));
        let users = users(deletion.used_by.iter().map(|user| user.vm.as_str()));
        let paths: Vec<_> = deletion.contents().iter().map(|file| file.path.as_str()).collect();
        let preview = Preview::new(question).object(&deletion)?.bind(paths)?.bind(deletion.identity())?;
        let preview = match users {
            Some(users) => preview.note(format!("In use by {users}, which will no longer work without it.")),
            None => preview,
        };
        Ok((deletion, preview))
    });
    Ok(Object(deletion.await?.carry_out().await?))
}

async fn move_datastore_file(args: RelocateFile, cx: Cx) -> Result<Object<RelocatedFile>> {
    let plan = cx.agreed(|| async {
        let (source, target, existing) = args.places(&cx).await?;
        let plan = source.file_move(&args.source_path, &target, &args.dest_path, existing).await?;
        shown("Move", plan)
    });
    Ok(Object(plan.await?.carry_out().await?))
}

async fn copy_datastore_file(args: RelocateFile, cx: Cx) -> Result<Object<RelocatedFile>> {
    let plan = cx.agreed(|| async {
        let (source, target, existing) = args.places(&cx).await?;
        let plan = source.file_copy(&args.source_path, &target, &args.dest_path, existing).await?;
        shown("Copy", plan)
    });
    Ok(Object(plan.await?.carry_out().await?))
}

/// A plan to move or copy with what is shown of it: it loses something where files are overwritten, or where a VM no longer
/// finds its own.
fn shown(action: &str, plan: FileRelocation) -> Result<(FileRelocation, Preview)> {
    let what = format!("{action} {} to {}", quoted(&plan.from), quoted(&plan.to));
    if !plan.moves() {
        return Ok((plan, Preview::new(format!("{what}?"))));
    }
    let overwrites = plan.overwritten_files;
    let question = match overwrites {
        0 => format!("{what}?"),
        count => format!("{what} and OVERWRITE {count} files there?"),
    };
    let mut preview = Preview::new(question).object(&plan)?.bind(plan.identity())?;
    let lost = plan.used_by.iter().chain(&plan.overwritten_used_by).map(|user| user.vm.as_str());
    match users(lost) {
        Some(users) => preview = preview.note(format!("In use by {users}, which will no longer find it as it is.")),
        // What is not known may be in use.
        None if overwrites == 0 && plan.gaps.is_empty() => preview = preview.harmless(),
        None => {}
    }
    Ok((plan, preview))
}

/// The names of VMs, on one line.
fn users<'a>(vms: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> = vms.map(quoted).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

async fn find(cx: &Cx, datastore: &DatastoreName) -> Result<Mo<Datastore>> {
    Ok(cx.client().await?.get::<Datastore>(datastore).await?)
}

/// What is uploaded.
enum Source {
    Local((tokio::fs::File, u64)),
    Given(Bytes),
}

impl Source {
    fn length(&self) -> usize {
        match self {
            Self::Local((_, length)) => usize::try_from(*length).unwrap_or(usize::MAX),
            Self::Given(content) => content.len(),
        }
    }
}

fn decoded(content: &str) -> Result<Bytes> {
    let decoded = STANDARD.decode(content.trim());
    decoded
        .map(Bytes::from)
        .map_err(|error| ToolError::invalid_argument(format!("`content_base64` is no base64: {error}")))
}

/// A file piece by piece.
fn pieces(file: impl AsyncRead + Send + Unpin + 'static) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    const PIECE: usize = 256 << 10;
    stream::try_unfold(file, |mut file| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    })
}

/// Content as text where it is text that an answer shows as it is, else in base64.
fn encoded(content: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(content) {
        Ok(text) if visible(text) == text && json!(text).to_string().len() <= MOST_INLINE * 4 / 3 => {
            ("utf-8", text.to_owned())
        }
        _ => ("base64", STANDARD.encode(content)),
    }
}

/// A file that was uploaded.
#[derive(Debug, Serialize, JsonSchema)]
struct Uploaded {
    datastore: String,
    path: String,
    size_bytes: u64,
    checksum: Option<String>,
    /// What it took the place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    overwritten: Option<DatastoreFile>,
    changed: bool,
}

/// A file that was downloaded, or its beginning.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Downloaded {
    datastore: String,
    path: String,
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    /// utf-8 or base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Untrusted>,
    /// Whether the file goes on after this.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Browse {
    datastore: DatastoreName,
    /// Folder.
    path: Option<String>,
    /// All below it.
    recursive: Option<bool>,
    /// Only files in no VM's use.
    orphaned: Option<bool>,
    #[serde(flatten)]
    paging: Paging<DatastoreFile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct UploadFile {
    datastore: DatastoreName,
    /// folder/file.
    path: String,
    /// File below MCP_FILES.
    local_path: Option<String>,
    /// Or its content.
    content_base64: Option<Cut>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DownloadFile {
    datastore: DatastoreName,
    /// folder/file.
    path: String,
    /// Local file below MCP_FILES; else the content is answered.
    save_to: Option<String>,
    /// Most bytes to answer.
    max_bytes: Option<usize>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OneFolder {
    datastore: DatastoreName,
    /// a/b.
    path: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeleteFile {
    datastore: DatastoreName,
    /// folder/file.
    path: String,
    /// Also a folder with content.
    recursive: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RelocateFile {
    /// Datastore.
    source_datastore: DatastoreName,
    /// folder/file.
    source_path: String,
    /// Another datastore.
    dest_datastore: Option<String>,
    /// Its new path.
    dest_path: String,
    /// Overwrite.
    force: Option<bool>,
}

impl RelocateFile {
    async fn places(&self, cx: &Cx) -> Result<(Mo<Datastore>, Mo<Datastore>, Existing)> {
        let source = find(cx, &self.source_datastore).await?;
        let target = match &self.dest_datastore {
            Some(other) => cx.client().await?.get::<Datastore>(other).await?,
            None => source.clone(),
        };
        let existing = if self.force.unwrap_or(false) { Existing::Overwritten } else { Existing::Kept };
        Ok((source, target, existing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_and_the_rest_becomes_base64() {
        assert_eq!(encoded("größe = 1\n".as_bytes()), ("utf-8", "größe = 1\n".to_owned()));
        assert_eq!(encoded(b"\xff\xfe"), ("base64", "//4=".to_owned()));
        assert_eq!(encoded("a\u{202e}b".as_bytes()).0, "base64");
        assert_eq!(decoded(" aGk=\n").unwrap(), "hi");
        assert!(decoded("no base64").is_err());
    }
}
