//! Lists the files of a datastore, or those that no VM uses.
//!
//! ```text
//! datastore_browse DATASTORE [FOLDER | --orphaned]
//! VCENTER_HOST=vc.example.com VCENTER_USER=… VCENTER_PASSWORD=… datastore_browse iso-library tools
//! ```
#![allow(clippy::print_stdout, reason = "a program on the command line speaks by printing")]

use vsphere_ops::files::FileQuery;
use vsphere_ops::managed::Datastore;
use vsphere_ops::{Client, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (datastore, folder) = match &arguments[..] {
        [datastore] => (datastore, ""),
        [datastore, folder] => (datastore, folder.as_str()),
        _ => return Err("usage: datastore_browse DATASTORE [FOLDER | --orphaned]".into()),
    };
    let client = Client::connect(Config::from_env()?).await?;
    let datastore = client.get::<Datastore>(datastore).await?;

    let orphaned = folder == "--orphaned";
    let mut query = FileQuery::below(if orphaned { "" } else { folder });
    loop {
        let page = match orphaned {
            true => datastore.list_orphans(&query).await?,
            false => datastore.list_files(&query).await?,
        };
        for file in &page.items {
            let (size, modified) = (file.size_bytes.unwrap_or_default(), file.modified.as_deref().unwrap_or("-"));
            println!("{size:>16}  {modified}  {:?}  {}", file.type_, file.path);
        }
        for part in &page.gaps.missing {
            println!("without {}: {}", part.what, part.why);
        }
        query.page.cursor = page.next_cursor;
        if query.page.cursor.is_none() {
            break;
        }
    }
    client.logout().await?;
    Ok(())
}
