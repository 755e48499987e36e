//! Selections: a query with the properties to read, all at once or page by page.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use futures::stream::{self, Stream};
use vsphere_model::types::{ObjectContent, PropertyFilterSpec};
use vsphere_soap::request::ManagedObject;

use super::{Fit, NAME, Query, inventory, name_of, objects_spec, path};
use crate::error::Result;
use crate::mo::Mo;
use crate::read::{Pages, Rows, Select, Source};

/// A query with the properties to read. Awaited, it gives a row per object.
#[derive(Debug)]
#[must_use = "a selection is sent when it is awaited"]
pub struct Selection<M, S> {
    query: Query<M>,
    select: S,
    limit: Option<usize>,
}

/// A boxed stream of pages.
type PageStream<M, R> = Pin<Box<dyn Stream<Item = Result<Rows<(Mo<M>, R)>>> + Send>>;

impl<M, S> Selection<M, S>
where
    M: ManagedObject,
    S: Select<M>,
{
    pub(super) fn new(query: Query<M>, select: S) -> Self {
        Self { query, select, limit: None }
    }

    /// Reads no more rows than this. The server is asked for no more pages than that takes.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// let some = client.find::<VirtualMachine>("web-*").select(vm::NAME).limit(10).await?;
    /// assert!(some.len() <= 10);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    async fn run(mut self) -> Result<Rows<(Mo<M>, S::Row)>> {
        let mut rows = Rows::new();
        let limit = self.limit.unwrap_or(usize::MAX);
        if limit == 0 {
            return Ok(rows);
        }
        let mut objects = self.open(None).await?;
        while let Some(page) = objects.next().await? {
            self.add(page, &mut rows);
            if rows.len() >= limit {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// Starts the read, with at most `page_size` objects a page.
    async fn open(&mut self, page_size: Option<usize>) -> Result<Objects> {
        let Query { client, container, fit, .. } = &self.query;
        let mut paths = Vec::new();
        self.select.paths(&mut paths);
        // A glob is matched against names by their values here; without one, nothing more than chosen is read.
        if matches!(fit, Fit::Name(_)) {
            paths.push(NAME);
        }
        paths.sort_unstable();
        paths.dedup();
        let page_size = match (page_size, self.limit, fit) {
            // Only without a glob are the first rows the first objects.
            (None, limit, Fit::All) => limit,
            (page_size, ..) => page_size,
        };
        let max_objects = page_size.map(|size| i32::try_from(size.max(1)).unwrap_or(i32::MAX));
        let source = match fit {
            Fit::Path(pattern) if page_size.is_none() => {
                let contents = path::read_fitting(M::NAME, client, container.as_ref(), pattern, &paths).await?;
                return Ok(Objects::Read(Some(contents)));
            }
            // A path is known when all that it leads through is: the objects first, then their properties by pages.
            Fit::Path(pattern) => {
                let contents = path::read_fitting(M::NAME, client, container.as_ref(), pattern, &[]).await?;
                paths.push(NAME);
                paths.sort_unstable();
                paths.dedup();
                let spec = objects_spec(contents.into_iter().map(|content| content.obj), &paths);
                Source::Filter(PropertyFilterSpec { ..spec })
            }
            Fit::All | Fit::Name(_) => {
                let paths = paths.iter().map(|path| (*path).to_owned()).collect();
                inventory::below(container.as_ref(), M::NAME, paths)?
            }
        };
        Ok(Objects::Pages(Box::new(Pages::new(client, source, max_objects))))
    }

    fn add(&self, page: Vec<ObjectContent>, rows: &mut Rows<(Mo<M>, S::Row)>) {
        let Query { client, fit, .. } = &self.query;
        for content in page {
            let name = name_of(&content);
            if let Fit::Name(glob) = fit
                && !name.as_deref().is_some_and(|name| glob.fits(name))
            {
                continue;
            }
            rows.add(&self.select, content, |object, row| (Mo::new(client, object, name), row));
        }
    }
}

impl<M, S> Selection<M, S>
where
    M: ManagedObject,
    S: Select<M> + Send + Sync + 'static,
    S::Row: Send,
{
    /// Reads page by page, with at most `page_size` objects each, in constant memory. What is not read when the stream
    /// is dropped is cancelled on the server; objects that vanish meanwhile are skipped.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let mut pages = client.all::<VirtualMachine>().select(vm::NAME).stream(100);
    /// while let Some(page) = pages.try_next().await? {
    ///     println!("{} more", page.len());
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn stream(self, page_size: usize) -> PageStream<M, S::Row> {
        let start = (self, None::<Objects>, 0usize);
        Box::pin(stream::try_unfold(start, move |(mut selection, objects, given)| async move {
            let left = selection.limit.map_or(usize::MAX, |limit| limit.saturating_sub(given));
            if left == 0 {
                return Ok(None);
            }
            let mut objects = match objects {
                Some(objects) => objects,
                None => selection.open(Some(page_size)).await?,
            };
            while let Some(page) = objects.next().await? {
                let mut rows = Rows::new();
                selection.add(page, &mut rows);
                rows.truncate(left);
                if !(rows.is_empty() && rows.unreadable.is_empty()) {
                    let given = given + rows.len();
                    return Ok(Some((rows, (selection, Some(objects), given))));
                }
            }
            Ok(None)
        }))
    }
}

impl<M, S> IntoFuture for Selection<M, S>
where
    M: ManagedObject,
    S: Select<M> + Send + Sync + 'static,
    S::Row: Send,
{
    type Output = Result<Rows<(Mo<M>, S::Row)>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// Where the objects come from.
enum Objects {
    /// All at once.
    Read(Option<Vec<ObjectContent>>),
    /// Page by page.
    Pages(Box<Pages>),
}

impl Objects {
    async fn next(&mut self) -> Result<Option<Vec<ObjectContent>>> {
        match self {
            Self::Read(objects) => Ok(objects.take()),
            Self::Pages(pages) => pages.next().await,
        }
    }
}
