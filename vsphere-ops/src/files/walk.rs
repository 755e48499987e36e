//! Searches in folders, one after the other: a datastore may hold hundreds of thousands of files, and the server's own search
//! through all folders answers them at once.

use std::collections::VecDeque;

use futures::stream::{FuturesUnordered, StreamExt as _};
use vsphere_model::managed::{HostDatastoreBrowser, Task as RawTask};
use vsphere_model::types::{
    FileQueryFlags, HostDatastoreBrowserSearchResults, HostDatastoreBrowserSearchSpec, ManagedObjectReference,
};

use super::DatastoreFile;
use crate::client::Client;
use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::gaps::Gaps;
use crate::guard;
use crate::task::Task;

/// Files and folders that were found, in no order.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<(DatastorePath, DatastoreFile)>,
    /// What was not looked at, and why.
    pub(super) gaps: Gaps,
}

/// How many folders are searched at a time.
const AT_ONCE: usize = 4;

/// How many files are listed at most, and how deep folders are gone into.
const MOST: usize = 200_000;
const DEEPEST: usize = 64;

/// All that is below a folder, but for folders that `passes` gives a reason to pass over.
///
/// # Errors
/// `not_found` if there is no such folder, and server errors.
pub(super) async fn below(
    client: &Client,
    browser: &ManagedObjectReference,
    top: &DatastorePath,
    passes: fn(&DatastorePath) -> Option<&'static str>,
) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut waiting = VecDeque::from([top.clone()]);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(folder) = waiting.pop_front()
        {
            running.push(async move { (search(client, browser, &folder, None).await, folder) });
        }
        let Some((found, folder)) = running.next().await else { return Ok(tree) };
        let found = match found {
            Ok(found) => found,
            // It went while its neighbours were searched.
            Err(error) if error.is_not_found() && folder != *top => continue,
            Err(error) => return Err(error),
        };
        for (path, file) in &found {
            if !file.is_folder() {
                continue;
            }
            match passes(path) {
                Some(why) => tree.gaps.lacks(&file.path, why),
                None if path.path().split('/').count() >= DEEPEST => {
                    tree.gaps.lacks(&file.path, format!("it is more than {DEEPEST} folders deep"));
                }
                None => waiting.push_back(path.clone()),
            }
        }
        tree.files.extend(found);
        if tree.files.len() > MOST {
            tree.files.truncate(MOST);
            tree.gaps.lacks("the other files", format!("there are more than {MOST}: look into a folder"));
            return Ok(tree);
        }
    }
}

/// What is in a folder; of all, or of what has this name.
///
/// # Errors
/// `not_found` if there is no such folder, and server errors.
pub(super) async fn search(
    client: &Client,
    browser: &ManagedObjectReference,
    folder: &DatastorePath,
    name: Option<&str>,
) -> Result<Vec<(DatastorePath, DatastoreFile)>> {
    let details = FileQueryFlags { file_type: true, file_size: true, modification: true, file_owner: Some(true) };
    let spec = HostDatastoreBrowserSearchSpec {
        details: Some(Box::new(details)),
        // Not every server takes no pattern for all.
        match_pattern: vec![name.map_or_else(|| "*".to_owned(), pattern)],
        ..Default::default()
    };
    let (browser, shown) = (browser.clone(), folder.to_string());
    let asked = shown.clone();
    let running = guard::made(client, move |client| async move {
        let raw: HostDatastoreBrowser = client.raw(&browser);
        let task = raw.search_datastore_task(&asked, Some(&spec)).await.map_err(Error::from)?;
        Ok(Running { client, task: Some(task) })
    });
    let ended = async {
        let mut running = running.await?;
        let task = running.task.clone().unwrap_or_default();
        let found = Task::<HostDatastoreBrowserSearchResults>::new(client, task, "search", shown.clone()).await;
        running.task = None;
        found
    };
    match ended.await {
        Ok(found) => {
            let files = found.file.iter().map(|info| {
                let path = folder.child(&info.path);
                let file = DatastoreFile::new(&path, info);
                (path, file)
            });
            Ok(files.collect())
        }
        Err(error) if error.is_fault("FileNotFound") => {
            Err(Error::new("search", ErrorKind::NotFound(format!("there is no folder {folder}"))))
        }
        Err(error) => Err(error),
    }
}

/// A search that the server carries out. Where nobody waits for its end any more, it is cancelled.
struct Running {
    client: Client,
    task: Option<ManagedObjectReference>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        let client = self.client.outside_scopes();
        guard::clean_up(async move {
            let task: RawTask = client.raw(&task);
            // It may have ended meanwhile.
            if let Err(error) = task.cancel_task().await {
                tracing::debug!(%error, "a search was given up, and goes on");
            }
        });
    }
}

/// A pattern that fits a name: what would stand for something else in it fits any one character.
fn pattern(name: &str) -> String {
    name.replace(['*', '[', ']', '\\'], "?")
}
