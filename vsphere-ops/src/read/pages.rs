//! Reading page by page, whatever happens between the pages.

use std::collections::HashSet;

use vsphere_model::managed::{PropertyCollector, container_view};
use vsphere_model::types::{
    ManagedObjectNotFound, ManagedObjectReference, ObjectContent, ObjectSpec, Poly, PropertyFilterSpec, PropertySpec,
    RetrieveOptions, RetrieveResult, TraversalSpec,
};

use crate::client::Client;
use crate::error::{Category, Error, ErrorKind, Result};
use crate::read::is_within;
use crate::view::ViewGuard;

/// How often a read that the server broke off is begun again.
const RESTARTS: u32 = 3;

/// How many objects one read may give. The largest vCenter has some ten thousand of a type.
const MOST_OBJECTS: usize = 250_000;

/// How many pages in a row may bring no object that is new while the server says that more follow.
const MOST_BARREN: u32 = 3;

/// What is read.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// All objects of some types below a container, or in the whole inventory.
    View { container: Option<ManagedObjectReference>, types: Vec<(&'static str, Vec<String>)> },
    /// What a filter selects. Objects that it names and that are gone are left out where it says so by
    /// `report_missing_objects_in_results`.
    Filter(PropertyFilterSpec),
}

impl Source {
    /// Leaves out a property of a view's objects, and what is in it; whether it was there.
    pub(crate) fn leave_out(&mut self, property: &str) -> bool {
        let Self::View { types, .. } = self else { return false };
        let before: usize = types.iter().map(|(_, paths)| paths.len()).sum();
        for (_, paths) in types.iter_mut() {
            paths.retain(|path| property.is_empty() || path == "name" || !is_within(path, property));
        }
        types.iter().map(|(_, paths)| paths.len()).sum::<usize>() < before
    }
}

/// Reads all that `spec` asks for, page after page.
pub(crate) async fn retrieve(client: &Client, spec: PropertyFilterSpec) -> Result<Vec<ObjectContent>> {
    Pages::new(client, Source::Filter(spec), None).all().await
}

/// Reads all of a source in one answer where the server gives it: servers give no more than a hundred objects to the method
/// that has pages, but all to the older one that has none.
pub(crate) async fn at_once(client: &Client, source: Source) -> Result<Vec<ObjectContent>> {
    match Pages::without(client, &source).await {
        // An object went while it was read, or the view went with its session: what has pages begins again.
        Err(error) if matches!(error.kind(), ErrorKind::Api(wire) if wire.fault().is_some()) => {
            tracing::debug!(%error, "reading by pages");
        }
        Err(error) => return Err(error),
        Ok(Some(objects)) => return Ok(objects),
        Ok(None) => {}
    }
    Pages::new(client, source, None).all().await
}

/// A read in progress. Dropped, it leaves nothing on the server.
pub(crate) struct Pages {
    client: Client,
    source: Source,
    max_objects: Option<i32>,
    state: State,
    /// The objects that were given, so that a read that is begun again does not repeat them.
    seen: HashSet<String>,
    restarts: u32,
    /// What tells a server whose pages have no end.
    progress: Progress,
}

/// How far a read has come since it was begun, or begun again.
#[derive(Default)]
struct Progress {
    objects: HashSet<String>,
    /// The API lets a token be used once.
    tokens: HashSet<String>,
    barren: u32,
}

impl Progress {
    /// Takes note of a page that more are to follow.
    ///
    /// # Errors
    /// The pages have no end.
    fn note(&mut self, objects: &[ObjectContent], token: &str) -> Result<()> {
        let before = self.objects.len();
        self.objects.extend(objects.iter().map(|content| content.obj.value.clone()));
        self.barren = if self.objects.len() == before { self.barren + 1 } else { 0 };
        let text = if !self.tokens.insert(token.to_owned()) {
            "the server gave the token of a page a second time, so its pages have no end".to_owned()
        } else if self.barren > MOST_BARREN {
            format!("the server says that more follows, but its last {} pages held nothing new", self.barren)
        } else if self.objects.len() > MOST_OBJECTS {
            format!("the server gave more than {MOST_OBJECTS} objects and says that more follow")
        } else {
            return Ok(());
        };
        Err(Error::new("read properties", ErrorKind::Protocol(text)))
    }
}

enum State {
    Start,
    Rest(Rest, Option<ViewGuard>),
    /// Objects that are left to read by reference, where the server refuses the rest of a read; last ones first.
    Objects(Vec<ManagedObjectReference>, usize),
    Done,
}

impl Pages {
    pub(crate) fn new(client: &Client, source: Source, max_objects: Option<i32>) -> Self {
        let client = client.clone();
        Self {
            client,
            source,
            max_objects,
            state: State::Start,
            seen: HashSet::new(),
            restarts: 0,
            progress: Progress::default(),
        }
    }

    /// All objects in one answer without pages; `None` where the session was lost meanwhile.
    async fn without(client: &Client, source: &Source) -> Result<Option<Vec<ObjectContent>>> {
        let generation = client.connection.generation();
        let view;
        let spec = match source {
            Source::View { container, types } => {
                view = ViewGuard::open(client, container.as_ref(), &names(types)).await?;
                through_view(view.reference(), types)
            }
            Source::Filter(spec) if spec.object_set.is_empty() => return Ok(Some(Vec::new())),
            Source::Filter(spec) => spec.clone(),
        };
        let objects = client.collector().retrieve_properties(&[spec]).await?;
        Ok((client.connection.generation() == generation).then_some(objects))
    }

    /// All pages in one.
    pub(crate) async fn all(mut self) -> Result<Vec<ObjectContent>> {
        let mut objects = Vec::new();
        while let Some(page) = self.next().await? {
            if objects.is_empty() {
                objects = page;
            } else {
                objects.extend(page);
            }
        }
        Ok(objects)
    }

    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ObjectContent>>> {
        loop {
            let generation = self.client.connection.generation();
            let (answer, view) = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(None),
                State::Start => {
                    let view = match &self.source {
                        Source::View { container, types } => {
                            Some(ViewGuard::open(&self.client, container.as_ref(), &names(types)).await?)
                        }
                        Source::Filter(spec) if spec.object_set.is_empty() => return Ok(None),
                        Source::Filter(_) => None,
                    };
                    (self.first(view.as_ref()).await, view)
                }
                State::Rest(rest, view) => match rest.next().await {
                    Err(error) if error.is_refused() => {
                        self.state = self.without_continuing(view).await?;
                        continue;
                    }
                    answer => (answer, view),
                },
                State::Objects(mut left, size) => {
                    if left.is_empty() {
                        return Ok(None);
                    }
                    let chunk = left.split_off(left.len().saturating_sub(size));
                    self.state = State::Objects(left, size);
                    return self.by_reference(chunk).await.map(Some);
                }
            };
            match answer {
                // A view is gone with its session, and the server leaves out what is gone: this tells of nothing.
                Ok(_) if self.has_lost(view.as_ref(), generation) => {
                    self.restart(view, || lost_too_often(None))?;
                }
                Ok(result) => return self.accept(result, view).map(Some),
                Err(error) => match self.verdict(&error, generation) {
                    Verdict::Without => self.state = State::Start,
                    Verdict::Restart { renewed } => {
                        let limit = || if renewed { lost_too_often(Some(&error)) } else { gone_too_often(&error) };
                        self.restart(view, limit)?;
                    }
                    Verdict::Report => return Err(error),
                },
            }
        }
    }

    async fn first(&self, view: Option<&ViewGuard>) -> Result<RetrieveResult> {
        let spec = match (&self.source, view) {
            (Source::View { types, .. }, Some(view)) => through_view(view.reference(), types),
            (Source::Filter(spec), _) => spec.clone(),
            (Source::View { .. }, None) => PropertyFilterSpec::default(),
        };
        let options = RetrieveOptions { max_objects: self.max_objects };
        let first = self.client.collector().retrieve_properties_ex(&[spec], &options).await?;
        Ok(first.unwrap_or_default())
    }

    fn accept(&mut self, result: RetrieveResult, view: Option<ViewGuard>) -> Result<Vec<ObjectContent>> {
        let mut objects = result.objects;
        // From here on the rest is cancelled on the server, also where the page is refused.
        let rest = result.token.map(|token| Rest { page: Some((self.client.collector(), token)) });
        if let Some((_, token)) = rest.as_ref().and_then(|rest| rest.page.as_ref()) {
            self.progress.note(&objects, token)?;
        }
        if self.restarts > 0 {
            objects.retain(|content| !self.seen.contains(&content.obj.value));
        }
        if let Some(rest) = rest {
            // Only what more pages follow can be read twice.
            self.seen.extend(objects.iter().map(|content| content.obj.value.clone()));
            self.state = State::Rest(rest, view);
        }
        Ok(objects)
    }

    /// Whether the session was renewed since the view was made, so that the read is to be begun again.
    fn has_lost(&self, view: Option<&ViewGuard>, generation: u64) -> bool {
        view.is_some() && self.client.connection.generation() != generation
    }

    /// Begins the read again.
    ///
    /// # Errors
    /// `limit`, where it was broken off too often: half an answer is not an answer.
    fn restart(&mut self, view: Option<ViewGuard>, limit: impl FnOnce() -> Error) -> Result<()> {
        if let Some(view) = view {
            view.forget();
        }
        if self.restarts >= RESTARTS {
            return Err(limit());
        }
        self.restarts += 1;
        self.progress = Progress::default();
        self.state = State::Start;
        Ok(())
    }

    /// What an error means for the read.
    fn verdict(&mut self, error: &Error, generation: u64) -> Verdict {
        let gone = error.fault::<ManagedObjectNotFound>().map(|fault| fault.obj.clone());
        if let (Some(gone), Source::Filter(spec)) = (&gone, &mut self.source)
            && let Some(at) = spec.object_set.iter().position(|object| object.obj.value == gone.value)
        {
            // Named by the caller: it is left out, or its absence is the answer. Each time there is one less.
            let skip = spec.report_missing_objects_in_results == Some(true);
            if skip {
                spec.object_set.remove(at);
            }
            return if skip { Verdict::Without } else { Verdict::Report };
        }
        // A container that is gone is the answer, too.
        if let (Some(gone), Source::View { container: Some(container), .. }) = (&gone, &self.source)
            && gone.value == container.value
        {
            return Verdict::Report;
        }
        // A view and a page end with the session that they were made in; an object may go while it is read.
        let renewed = self.client.connection.generation() != generation;
        let no_session = error.category() == Category::Session;
        if no_session || (gone.is_none() && !renewed) { Verdict::Report } else { Verdict::Restart { renewed } }
    }

    /// Some versions of 7.0 and 8.0 refuse the second page to users without rights on the root folder. The objects of a
    /// view can be had by another way then: the view's own list of them, read in portions that fit into one page.
    async fn without_continuing(&self, view: Option<ViewGuard>) -> Result<State> {
        let text = "the server refuses further pages to this user; a right to view the root folder mends it";
        let refused = || Error::new("read properties", ErrorKind::Unreadable(text.to_owned()));
        let view = view.ok_or_else(refused)?;
        let path = container_view::VIEW.path();
        let spec = PropertyFilterSpec {
            prop_set: vec![property_spec("ContainerView", [path])],
            object_set: vec![ObjectSpec { obj: view.reference().clone(), ..Default::default() }],
            ..Default::default()
        };
        let options = RetrieveOptions::default();
        let content = self.client.collector().retrieve_properties_ex(&[spec], &options).await?;
        let property = content.and_then(|content| content.objects.into_iter().next()).and_then(|content| {
            content.prop_set.into_iter().find(|property| property.name == path).map(|property| property.val)
        });
        let objects: Vec<ManagedObjectReference> = property.and_then(|list| list.take().ok()).ok_or_else(refused)?;
        let left = objects.into_iter().rev().filter(|object| !self.seen.contains(&object.value)).collect();
        Ok(State::Objects(left, self.seen.len().max(1)))
    }

    async fn by_reference(&self, objects: Vec<ManagedObjectReference>) -> Result<Vec<ObjectContent>> {
        let Source::View { types, .. } = &self.source else { return Ok(Vec::new()) };
        let spec = PropertyFilterSpec {
            prop_set: types.iter().map(|(name, paths)| property_spec(name, paths)).collect(),
            object_set: objects.into_iter().map(|obj| ObjectSpec { obj, ..Default::default() }).collect(),
            report_missing_objects_in_results: Some(true),
        };
        Box::pin(retrieve(&self.client, spec)).await
    }
}

/// What becomes of a read after an error.
enum Verdict {
    /// It goes on without an object that is gone.
    Without,
    /// It is begun again; `renewed` says that the session was lost.
    Restart { renewed: bool },
    /// The error is the answer.
    Report,
}

fn lost_too_often(error: Option<&Error>) -> Error {
    let last = error.map(|error| format!(": {}", error.kind())).unwrap_or_default();
    let times = RESTARTS + 1;
    let text = format!("the server lost the session {times} times during one read, and nothing of it counts{last}");
    Error::new("read properties", ErrorKind::Session(text))
}

fn gone_too_often(error: &Error) -> Error {
    let text = format!("the server broke the read off {} times: {}", RESTARTS + 1, error.kind());
    Error::new("read properties", ErrorKind::Protocol(text))
}

/// The pages of a read that were not fetched yet; dropped, they are cancelled on the server.
struct Rest {
    page: Option<(PropertyCollector, String)>,
}

impl Rest {
    async fn next(mut self) -> Result<RetrieveResult> {
        let Some((collector, token)) = self.page.clone() else { return Ok(RetrieveResult::default()) };
        let page = collector.continue_retrieve_properties_ex(&token).await;
        self.page = None;
        Ok(page?)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let (Some((collector, token)), Ok(runtime)) = (self.page.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = collector.cancel_retrieve_properties_ex(&token).await {
                    tracing::debug!(%error, "pages were left to end with the session");
                }
            });
        }
    }
}

pub(crate) fn property_spec<P: AsRef<str>>(type_: &str, paths: impl IntoIterator<Item = P>) -> PropertySpec {
    PropertySpec {
        type_: type_.to_owned(),
        path_set: paths.into_iter().map(|path| path.as_ref().to_owned()).collect(),
        ..Default::default()
    }
}

fn names(types: &[(&'static str, Vec<String>)]) -> Vec<&'static str> {
    types.iter().map(|(name, _)| *name).collect()
}

fn through_view(view: &ManagedObjectReference, types: &[(&'static str, Vec<String>)]) -> PropertyFilterSpec {
    let traversal = TraversalSpec { type_: "ContainerView".into(), path: "view".into(), ..Default::default() };
    PropertyFilterSpec {
        prop_set: types.iter().map(|(name, paths)| property_spec(name, paths)).collect(),
        object_set: vec![ObjectSpec { obj: view.clone(), skip: Some(true), select_set: vec![Poly::new(traversal)] }],
        // An object that is deleted meanwhile is left out, and does not end the read.
        report_missing_objects_in_results: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_that_the_server_does_not_know_is_left_out_once() {
        let paths = ["name", "config.createDate", "config.version"].map(str::to_owned).to_vec();
        let mut source = Source::View { container: None, types: vec![("VirtualMachine", paths)] };
        assert!(source.leave_out("config.createDate"));
        let Source::View { types, .. } = &source else { panic!("{source:?}") };
        assert_eq!(types[0].1, ["name", "config.version"]);
        assert!(!source.leave_out("config.createDate"), "the read would begin for ever");
        assert!(!source.leave_out("") && !source.leave_out("name") && !source.leave_out("conf"));
    }
}
