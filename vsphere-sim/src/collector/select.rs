//! Which objects a filter selects: where it starts, how it goes on, and which types it takes.

use std::collections::{HashMap, HashSet};

use vsphere_model::registry;
use vsphere_model::types::{Poly, PropertyFilterSpec, PropertySpec, SelectionSpec, TraversalSpec};
use vsphere_soap::object::{ManagedInfo, Value};

use crate::fault::{Fault, Outcome};
use crate::rights;
use crate::world::{Look, Moref, World};

/// A filter's selection, checked and with its names resolved.
#[derive(Debug)]
pub(super) struct Spec {
    properties: Vec<Properties>,
    roots: Vec<Root>,
    traversals: Vec<Traversal>,
    /// Whether a root that is not there is left out, and not an error.
    tolerant: bool,
}

/// Which properties of objects of a type are read.
#[derive(Debug)]
struct Properties {
    of: &'static ManagedInfo,
    /// All that the object's type has, where the client asked for all.
    paths: Option<Vec<String>>,
}

#[derive(Debug)]
struct Root {
    object: Moref,
    skip: bool,
    next: Vec<usize>,
}

#[derive(Debug)]
struct Traversal {
    from: String,
    path: String,
    skip: bool,
    next: Vec<usize>,
}

impl Spec {
    /// Checks a filter's specification.
    ///
    /// # Errors
    /// `InvalidArgument` for types that are none, `InvalidProperty` for properties that a type does not have.
    pub(super) fn parse(given: &PropertyFilterSpec) -> Outcome<Self> {
        let properties = given.prop_set.iter().map(Properties::parse).collect::<Outcome<_>>()?;
        let mut names = Names::default();
        let steps: Vec<Vec<Step>> =
            given.object_set.iter().map(|set| names.collect(&set.select_set)).collect::<Outcome<_>>()?;
        let roots = given
            .object_set
            .iter()
            .zip(steps)
            .map(|(set, steps)| {
                let next = names.resolve(&steps)?;
                Ok(Root { object: set.obj.clone(), skip: set.skip == Some(true), next })
            })
            .collect::<Outcome<_>>()?;
        let tolerant = given.report_missing_objects_in_results == Some(true);
        Ok(Self { properties, roots, traversals: names.link()?, tolerant })
    }

    /// The roots that are not there, where the client wants to be told of them.
    pub(super) fn missing<'a>(&'a self, world: &'a World, session: &'a str) -> impl Iterator<Item = &'a Moref> {
        let roots = self.roots.iter().filter(|_| self.tolerant);
        roots.map(|root| &root.object).filter(move |object| !world.visible(object, Some(session)))
    }

    /// The properties of an object of this type that the filter asks for; `None` where it does not take the type.
    pub(super) fn paths(&self, of: &ManagedInfo) -> Option<Vec<&str>> {
        let mut fitting = self.properties.iter().filter(|set| of.is_named(set.of.name)).peekable();
        fitting.peek()?;
        let mut paths = Vec::new();
        for set in fitting {
            match &set.paths {
                Some(named) => paths.extend(named.iter().map(String::as_str)),
                None => paths.extend(of.properties().map(|property| property.name)),
            }
        }
        if self.properties.len() > 1 {
            let mut seen = HashSet::new();
            paths.retain(|path| seen.insert(*path));
        }
        Some(paths)
    }
}

impl Properties {
    fn parse(given: &PropertySpec) -> Outcome<Self> {
        let of = registry().managed(&given.type_).ok_or_else(|| Fault::invalid_argument("specSet.propSet.type"))?;
        let mut seen = HashSet::new();
        let mut paths = Vec::new();
        for path in &given.path_set {
            let first = path.split(['.', '[']).next().unwrap_or_default();
            if of.property(first).is_none() {
                return Err(Fault::invalid_property(path));
            }
            if seen.insert(path) {
                paths.push(path.clone());
            }
        }
        let all = given.all == Some(true);
        Ok(Self { of, paths: (!all).then_some(paths) })
    }
}

/// The traversals of a specification. Selection specs refer to them by name, also to later ones and to themselves.
#[derive(Default)]
struct Names {
    by_name: HashMap<String, usize>,
    found: Vec<Found>,
}

/// A traversal whose selection is not resolved yet.
struct Found {
    from: String,
    path: String,
    skip: bool,
    steps: Vec<Step>,
}

/// What a selection means: a traversal that stands in it, or one by its name.
enum Step {
    To(usize),
    Named(String),
}

impl Names {
    /// Takes the traversals of a selection, and those inside of them.
    fn collect(&mut self, select: &[Poly<SelectionSpec>]) -> Outcome<Vec<Step>> {
        select.iter().map(|spec| self.step(spec)).collect()
    }

    fn step(&mut self, spec: &Poly<SelectionSpec>) -> Outcome<Step> {
        let Some(traversal) = spec.downcast_ref::<TraversalSpec>() else {
            return Ok(Step::Named(spec.name.clone().unwrap_or_default()));
        };
        let index = self.found.len();
        let known = registry().managed(&traversal.type_).and_then(|info| info.property(&traversal.path));
        if known.is_none() {
            return Err(Fault::invalid_property(&traversal.path));
        }
        if let Some(name) = traversal.name.clone().filter(|name| !name.is_empty()) {
            self.by_name.insert(name, index);
        }
        self.found.push(Found {
            from: traversal.type_.clone(),
            path: traversal.path.clone(),
            skip: traversal.skip == Some(true),
            steps: Vec::new(),
        });
        let steps = self.collect(&traversal.select_set)?;
        if let Some(found) = self.found.get_mut(index) {
            found.steps = steps;
        }
        Ok(Step::To(index))
    }

    /// The traversals that a selection means.
    fn resolve(&self, steps: &[Step]) -> Outcome<Vec<usize>> {
        let index = |step: &Step| match step {
            Step::To(index) => Ok(*index),
            Step::Named(name) => {
                let named = self.by_name.get(name).copied();
                named.ok_or_else(|| Fault::invalid_argument("specSet.objectSet.selectSet"))
            }
        };
        steps.iter().map(index).collect()
    }

    fn link(&self) -> Outcome<Vec<Traversal>> {
        let link = |found: &Found| {
            let next = self.resolve(&found.steps)?;
            Ok(Traversal { from: found.from.clone(), path: found.path.clone(), skip: found.skip, next })
        };
        self.found.iter().map(link).collect()
    }
}

/// How much one specification may ask for, summed up over all its parts: nobody does of good will, and each path of each
/// object is looked up by itself. (What vCenter allows is written nowhere.)
const MOST_PATHS: usize = 10_000;
const MOST_TRAVERSALS: usize = 100_000;
const MOST_ROOTS: usize = 500_000;

/// Whether the specifications of a request ask for more than a server answers. No object is looked at, so that nobody waits.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn check_size(given: &[&PropertyFilterSpec]) -> Outcome<()> {
    let most = |count: usize, most: usize, what: &str| match count <= most {
        true => Ok(()),
        false => Err(Fault::too_many(what, count, most)),
    };
    let paths = given.iter().flat_map(|given| &given.prop_set).map(|set| set.path_set.len().max(1)).sum();
    most(paths, MOST_PATHS, "specSet.propSet.pathSet")?;
    let roots = || given.iter().flat_map(|given| &given.object_set);
    most(roots().count(), MOST_ROOTS, "specSet.objectSet")?;
    let mut traversals = 0;
    let mut open: Vec<&[Poly<SelectionSpec>]> = roots().map(|root| &*root.select_set).collect();
    while let Some(select) = open.pop() {
        traversals += select.len();
        open.extend(select.iter().filter_map(|spec| Some(&*spec.downcast_ref::<TraversalSpec>()?.select_set)));
    }
    most(traversals, MOST_TRAVERSALS, "specSet.objectSet.selectSet")
}

/// The objects that the filter selects, in the order of the walk, each once.
///
/// # Errors
/// `ManagedObjectNotFound` for a root that is not there.
pub(super) fn select(world: &World, spec: &Spec, session: Option<&str>) -> Outcome<Vec<Moref>> {
    let mut walk = Walk { world, spec, session, taken: HashSet::new(), passed: HashSet::new(), selected: Vec::new() };
    for root in &spec.roots {
        if session.is_none_or(|key| world.sessions.get(key).is_none()) && !rights::is_for_all(world, &root.object) {
            return Err(Fault::not_authenticated(&root.object, "System.View"));
        }
        if !world.visible(&root.object, session) {
            if spec.tolerant {
                continue;
            }
            return Err(Fault::not_found(&root.object));
        }
        walk.visit(&root.object, root.skip, &root.next);
    }
    Ok(walk.selected)
}

struct Walk<'a> {
    world: &'a World,
    spec: &'a Spec,
    session: Option<&'a str>,
    taken: HashSet<String>,
    /// Which object went by which traversal: folders refer to themselves by name, so that the walk must see its own steps.
    passed: HashSet<(String, usize)>,
    selected: Vec<Moref>,
}

impl Walk<'_> {
    fn visit(&mut self, object: &Moref, skip: bool, next: &[usize]) {
        // A stack of its own: the inventory may be deeper than the thread's stack likes.
        let mut stack = vec![(object.clone(), skip, next)];
        while let Some((object, skip, next)) = stack.pop() {
            let Some(found) = self.world.find(&object) else { continue };
            let seen = self.world.may_view(&object, self.session);
            // What the client names itself is answered, if only by what is missing; what it would find is left out.
            let named = || self.spec.roots.iter().any(|root| root.object == object);
            if !seen && !named() {
                continue;
            }
            if !skip && self.spec.paths(found.info()).is_some() && self.taken.insert(object.value.clone()) {
                self.selected.push(Moref::new(found.info().name, &object.value));
            }
            if !seen {
                continue;
            }
            // Pushed in reverse, so that the first child is visited first.
            let mut children = Vec::new();
            let look = Look { world: self.world, me: &object, session: self.session };
            for &index in next {
                let Some(traversal) = self.spec.traversals.get(index) else { continue };
                if !found.info().is_named(&traversal.from) || !self.passed.insert((object.value.clone(), index)) {
                    continue;
                }
                if !self.world.may_read(&object, &traversal.path, self.session) {
                    continue;
                }
                let property = found.read(&look, &traversal.path);
                let mut add = |value| {
                    if let Value::Ref(child) = value {
                        children.push((child.clone(), traversal.skip, &*traversal.next));
                    }
                };
                match property.value() {
                    Value::List(list) => (0..list.count()).for_each(|index| add(list.at(index))),
                    value => add(value),
                }
            }
            stack.extend(children.into_iter().rev());
        }
    }
}
