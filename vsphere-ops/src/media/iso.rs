//! Whether an image is there: while a VM is off, the server does not look.

use vsphere_model::managed::{HostDatastoreBrowser, datastore as ds};
use vsphere_model::types::{HostDatastoreBrowserSearchResults, HostDatastoreBrowserSearchSpec};

use crate::datastore_path::DatastorePath;
use crate::error::{Error, ErrorKind, Result};
use crate::mounted::Mounted;
use crate::task::Task;

/// How many other images are named at most.
const MOST_NAMED: usize = 20;

/// # Errors
/// `not_found` with the images that are in the same folder, and server errors.
pub(super) async fn must_be_there(datastore: &Mounted, iso: &DatastorePath) -> Result<()> {
    let missing = |text: String| Error::new("find the image", ErrorKind::NotFound(text));
    let (Some(name), Some(folder)) = (iso.file_name(), iso.parent()) else {
        return Err(missing(format!("{iso} is no file: give the path of an ISO image")));
    };
    let client = datastore.datastore.client();
    let browser: HostDatastoreBrowser = client.raw(&datastore.datastore.read(ds::BROWSER).await?);
    let spec = HostDatastoreBrowserSearchSpec {
        match_pattern: vec![pattern(name), "*.iso".to_owned(), "*.ISO".to_owned()],
        ..Default::default()
    };
    let task = browser.search_datastore_task(&folder.to_string(), Some(&spec)).await.map_err(Error::from)?;
    let task: Task<HostDatastoreBrowserSearchResults> = Task::new(client, task, "search", folder.to_string());
    let found = match task.await {
        Ok(found) => found,
        Err(error) if error.is_fault("FileNotFound") => {
            return Err(missing(format!("there is no folder {folder}")));
        }
        Err(error) => return Err(error),
    };
    if found.file.iter().any(|file| file.path == name) {
        return Ok(());
    }
    let mut others: Vec<&str> = found.file.iter().map(|file| file.path.as_str()).collect();
    others.sort_unstable();
    others.dedup();
    let more = others.len().saturating_sub(MOST_NAMED);
    others.truncate(MOST_NAMED);
    let others = match (others.is_empty(), more) {
        (true, _) => "no other image is there".to_owned(),
        (false, 0) => format!("there are {}", others.join(", ")),
        (false, more) => format!("there are {} and {more} more", others.join(", ")),
    };
    Err(missing(format!("there is no {name} in {folder}; {others}")))
}

/// A pattern that fits a name: what would stand for something else in it fits any one character.
fn pattern(name: &str) -> String {
    name.replace(['*', '[', ']', '\\'], "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_as_they_are() {
        assert_eq!(pattern("debian-13.iso"), "debian-13.iso");
        assert_eq!(pattern("a*[b]?.iso"), "a??b??.iso");
    }
}
