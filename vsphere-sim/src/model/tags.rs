//! The tags that a simulated server has from its start.

use super::Model;
use crate::world::World;

/// How many tags of a category an object may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// One at most.
    Single,
    /// Any number.
    Multiple,
}

/// The categories and tags of a model.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    categories: Vec<(String, Cardinality, Vec<String>)>,
    /// The category, the name, and the paths of what has it.
    tags: Vec<(String, String, Vec<String>)>,
}

impl Model {
    /// Adds a category of tags, for objects of these types (`VirtualMachine`); for all without any.
    ///
    /// ```
    /// use vsphere_sim::{Cardinality, Model, Size};
    ///
    /// let model = Model::sized(Size::default())
    ///     .category("Tier", Cardinality::Single, &["VirtualMachine"])
    ///     .tag("Tier", "gold", &["/DC0/vm/DC0_C0_VM0"])
    ///     .tag("Tier", "silver", &[]);
    /// # let _ = model;
    /// ```
    #[must_use]
    pub fn category(mut self, name: &str, cardinality: Cardinality, types: &[&str]) -> Self {
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        self.tags.categories.push((name.to_owned(), cardinality, types));
        self
    }

    /// Adds a tag to a category of this model, and attaches it to the objects at these inventory paths.
    #[must_use]
    pub fn tag(mut self, category: &str, name: &str, on: &[&str]) -> Self {
        let on = on.iter().map(|path| (*path).to_owned()).collect();
        self.tags.tags.push((category.to_owned(), name.to_owned(), on));
        self
    }

    pub(super) fn make_tags(&self, world: &mut World) {
        for (name, cardinality, types) in &self.tags.categories {
            let types: Vec<&str> = types.iter().map(String::as_str).collect();
            world.tagging.add_category(name, *cardinality == Cardinality::Single, &types, "");
        }
        for (category, name, on) in &self.tags.tags {
            let of = world.tagging.categories.iter().find(|(_, of)| of.name == *category);
            let Some(category) = of.map(|(id, _)| id.clone()) else {
                tracing::warn!(%category, %name, "there is no such category for the tag");
                continue;
            };
            let tag = world.tagging.add_tag(&category, name, "");
            for path in on {
                let attached = world.at_path(path).map(|object| world.tagging.attach(&tag, &object));
                if !matches!(attached, Some(Ok(_))) {
                    tracing::warn!(%path, %name, "the tag can't be attached");
                }
            }
        }
    }
}
