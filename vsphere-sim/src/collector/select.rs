//! Which objects a filter selects: where it starts, how it goes on, and which types it takes.

use std::collections::{HashMap, HashSet};

use vsphere_model::registry;
use vsphere_model::types::{Poly, PropertyFilterSpec, PropertySpec, SelectionSpec, TraversalSpec};
use vsphere_soap::object::{ManagedInfo, Value};

use crate::fault::{Fault, Outcome};
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
        let roots: Vec<(usize, Vec<Poly<SelectionSpec>>)> =
            given.object_set.iter().map(|set| set.select_set.clone()).enumerate().collect();
        for (_, select) in &roots {
            names.collect(select)?;
        }
        let roots = given
            .object_set
            .iter()
            .map(|set| {
                let next = names.resolve(&set.select_set)?;
                Ok(Root { object: set.obj.clone(), skip: set.skip == Some(true), next })
            })
            .collect::<Outcome<_>>()?;
        let tolerant = given.report_missing_objects_in_results == Some(true);
        Ok(Self { properties, roots, traversals: names.link()?, tolerant })
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
        for path in &given.path_set {
            let first = path.split(['.', '[']).next().unwrap_or_default();
            if of.property(first).is_none() {
                return Err(Fault::invalid_property(path));
            }
        }
        let all = given.all == Some(true);
        Ok(Self { of, paths: (!all).then(|| given.path_set.clone()) })
    }
}

/// The traversals of a specification. Selection specs refer to them by name, also to later ones and to themselves.
#[derive(Default)]
struct Names {
    by_name: HashMap<String, usize>,
    found: Vec<TraversalSpec>,
}

impl Names {
    /// Takes the traversals of a selection, and those inside of them.
    fn collect(&mut self, select: &[Poly<SelectionSpec>]) -> Outcome<()> {
        for spec in select {
            let Some(traversal) = spec.downcast_ref::<TraversalSpec>() else { continue };
            let index = self.found.len();
            let known = registry().managed(&traversal.type_).and_then(|info| info.property(&traversal.path));
            if known.is_none() {
                return Err(Fault::invalid_property(&traversal.path));
            }
            if let Some(name) = traversal.name.clone().filter(|name| !name.is_empty()) {
                self.by_name.insert(name, index);
            }
            self.found.push(traversal.clone());
            self.collect(&traversal.select_set)?;
        }
        Ok(())
    }

    /// The traversals that a selection means.
    fn resolve(&self, select: &[Poly<SelectionSpec>]) -> Outcome<Vec<usize>> {
        let index = |spec: &Poly<SelectionSpec>| {
            let by_name = spec.name.as_ref().and_then(|name| self.by_name.get(name)).copied();
            let itself = || self.found.iter().position(|found| spec.downcast_ref() == Some(found));
            by_name.or_else(itself).ok_or_else(|| Fault::invalid_argument("specSet.objectSet.selectSet"))
        };
        select.iter().map(index).collect()
    }

    fn link(&self) -> Outcome<Vec<Traversal>> {
        let link = |spec: &TraversalSpec| {
            Ok(Traversal {
                from: spec.type_.clone(),
                path: spec.path.clone(),
                skip: spec.skip == Some(true),
                next: self.resolve(&spec.select_set)?,
            })
        };
        self.found.iter().map(link).collect()
    }
}

/// The objects that the filter selects, in the order of the walk, each once.
///
/// # Errors
/// `ManagedObjectNotFound` for a root that is not there.
pub(super) fn select(world: &World, spec: &Spec, session: Option<&str>) -> Outcome<Vec<Moref>> {
    let mut walk = Walk { world, spec, session, taken: HashSet::new(), passed: HashSet::new(), selected: Vec::new() };
    for root in &spec.roots {
        if session.is_none_or(|key| world.sessions.get(key).is_none()) {
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
