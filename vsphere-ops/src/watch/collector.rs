//! A property collector of its own on the server, with one filter and, where it needs one, a view.

use std::time::Duration;

use tokio::time::Instant;
use vsphere_model::managed::PropertyCollector;
use vsphere_model::types::{
    ManagedObjectNotFound, ManagedObjectReference, ObjectSpec, ObjectUpdate, Poly, PropertyFilterSpec, PropertySpec,
    TraversalSpec, UpdateSet, WaitOptions,
};
use vsphere_soap::object::{DataObject, view_mut};

use super::feed::Keeping;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::guard;
use crate::read::property_spec;
use crate::view::{ViewGuard, Views};
use crate::waiter::{Pace, tells};

/// What is watched: which properties of which objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(super) objects: Objects,
    /// The type of the objects.
    pub(super) type_: &'static str,
    /// The paths of the properties, sorted, each once.
    pub(super) paths: Vec<&'static str>,
    /// A type whose objects are told with their names, too: the watched objects refer to them.
    pub(super) beside: Option<&'static str>,
    /// The number of its only consumer, where what is told is for that one alone.
    pub(super) only: Option<u64>,
}

impl Subject {
    /// What its feed keeps.
    pub(super) fn keeping(&self) -> Keeping {
        if self.only.is_some() { Keeping::Nothing } else { Keeping::Values }
    }

    /// The types of the objects that are told.
    fn types(&self) -> Vec<&'static str> {
        [self.type_].into_iter().chain(self.beside).collect()
    }

    /// What is told of them.
    pub(super) fn properties(&self) -> Vec<PropertySpec> {
        let watched = property_spec(self.type_, &self.paths);
        [watched].into_iter().chain(self.beside.map(|type_| property_spec(type_, [NAME]))).collect()
    }
}

/// Which objects are watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Objects {
    /// All of the type below this container, those to come included.
    Below(ManagedObjectReference),
    /// This one.
    One(ManagedObjectReference),
}

const NAME: &str = "name";

/// The collector. Dropped, it and its view are destroyed on the server in the background; its filter goes with it.
pub(super) struct Collector {
    client: Client,
    collector: PropertyCollector,
    view: Option<ViewGuard>,
    version: String,
    /// The session that it was made in.
    session: u64,
    /// Whether the last answer said that there is more.
    pub(super) truncated: bool,
    pace: Pace,
    /// Answers in a row that told of nothing and said that more follows.
    barren: u32,
    /// Whether the first answer is asked for in one piece.
    at_once: bool,
}

/// How many answers in a row may tell of nothing while the server says that more follows.
const MOST_BARREN: u32 = 10;

impl Collector {
    /// Makes the collector, the view and the filter on the server.
    pub(super) async fn open(client: &Client, subject: &Subject) -> Result<Self> {
        match Self::make(client, subject).await {
            // The server has lost the view that the session kept: another is made.
            Err(error)
                if error
                    .fault::<ManagedObjectNotFound>()
                    .is_some_and(|gone| client.connection.part::<Views>().forget(&gone.obj)) =>
            {
                Self::make(client, subject).await
            }
            made => made,
        }
    }

    async fn make(client: &Client, subject: &Subject) -> Result<Self> {
        let (watching, subject) = (client.clone(), subject.clone());
        guard::made(client, |maker| async move {
            let session = maker.connection.generation();
            let reference = maker.collector().create_property_collector().await?;
            let collector = watching.raw(&reference);
            let mut made = Self {
                client: watching,
                collector,
                view: None,
                version: String::new(),
                session,
                truncated: false,
                pace: Pace::default(),
                barren: 0,
                at_once: matches!(subject.objects, Objects::Below(_)),
            };
            let object = match &subject.objects {
                Objects::One(object) => ObjectSpec { obj: object.clone(), ..Default::default() },
                Objects::Below(container) => {
                    let container = (*container != maker.content().root_folder).then_some(container);
                    let view = ViewGuard::open(&maker, container, &subject.types()).await?;
                    let obj = view.reference().clone();
                    made.view = Some(view);
                    let traversal =
                        TraversalSpec { type_: "ContainerView".into(), path: "view".into(), ..Default::default() };
                    ObjectSpec { obj, skip: Some(true), select_set: vec![Poly::new(traversal)] }
                }
            };
            let spec = PropertyFilterSpec {
                prop_set: subject.properties(),
                object_set: vec![object],
                report_missing_objects_in_results: Some(true),
            };
            // Without partial updates a change comes with the whole value of the path that was asked for.
            made.collector.create_filter(&spec, false).await?;
            Ok(made)
        })
        .await
    }

    /// The collector on the server, to end a wait from beside it.
    pub(super) fn waits(&self) -> PropertyCollector {
        self.collector.clone()
    }

    /// Uses the view no more, which may be what is wrong with it.
    pub(super) fn forget_view(&self) {
        if let Some(view) = &self.view {
            view.forget();
        }
    }

    /// How long to wait before the server is asked again.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.pace.pause()
    }

    /// Whether the session that it was made in is over, and the collector with it.
    pub(super) fn is_orphaned(&self) -> bool {
        self.session != self.client.connection.generation()
    }

    /// The changes since the last call; the first answer has all objects as they are. The server holds the answer back
    /// for up to `hold` seconds while nothing changes, and looks once for 0.
    ///
    /// Of the first answer `early` is given each object as it is read: all of them with all their properties are many times what is
    /// kept of them. What it does not take is in the answer.
    pub(super) async fn next(
        &mut self,
        hold: i32,
        early: impl Fn(&mut ObjectUpdate) + Send + Sync,
    ) -> Result<Option<UpdateSet>> {
        if std::mem::take(&mut self.at_once)
            && let Some(update) = self.first(early).await?
        {
            return Ok(Some(update));
        }
        let options = WaitOptions { max_wait_seconds: Some(hold), ..Default::default() };
        let asked = Instant::now();
        let update = self.collector.wait_for_updates_ex(Some(&self.version), Some(&options)).await?;
        let told = tells(update.as_ref(), &self.version);
        self.truncated = update.as_ref().is_some_and(|update| update.truncated == Some(true));
        // Who only looks is answered at once.
        if hold > 0 || self.truncated {
            self.pace.note(asked.elapsed(), told);
        }
        self.barren = if self.truncated && !told { self.barren + 1 } else { 0 };
        if self.barren > MOST_BARREN {
            let text =
                format!("the server says that more follows, but its last {} answers told of nothing", self.barren);
            return Err(Error::new("watch", ErrorKind::Protocol(text)));
        }
        if let Some(update) = &update {
            self.version.clone_from(&update.version);
        }
        Ok(update)
    }

    /// All objects as they are, in one answer: servers give no more than a hundred to the method that waits, but all to the older
    /// one that does not. The version that it ends with is good for both. `None` where the server does not offer it, or tells
    /// nothing.
    async fn first(&mut self, early: impl Fn(&mut ObjectUpdate) + Send + Sync) -> Result<Option<UpdateSet>> {
        let items = |item: &mut dyn DataObject| {
            if let Some(update) = view_mut::<ObjectUpdate>(item) {
                early(update);
            }
        };
        match self.collector.check_for_updates(None).with_items(&items).await.map_err(Error::from) {
            Ok(mut update) => {
                for filter in update.iter_mut().flat_map(|update| &mut update.filter_set) {
                    filter.object_set.retain(|object| !object.obj.value.is_empty());
                }
                self.truncated = update.as_ref().is_some_and(|update| update.truncated == Some(true));
                self.version = update.as_ref().map(|update| update.version.clone()).unwrap_or_default();
                Ok(update)
            }
            Err(error) if error.is_fault("MethodNotFound") || error.is_fault("NotSupported") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if self.is_orphaned() {
            return;
        }
        let collector = self.collector.clone();
        guard::clean_up(async move {
            if let Err(error) = collector.destroy_property_collector().await {
                tracing::debug!(%error, "a property collector was left to end with the session");
            }
        });
    }
}
