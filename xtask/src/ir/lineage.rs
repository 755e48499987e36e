//! Who descends from whom: the questions that an emitter asks about data types, answered from maps.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use super::{Api, DataType, Field, Ty};

/// The maps behind [`Api`]'s questions, made at the first of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lineage(OnceLock<Maps>);

/// Derived from the rest of an [`Api`], so it never makes two of them differ.
impl PartialEq for Lineage {
    fn eq(&self, _: &Lineage) -> bool {
        true
    }
}

#[derive(Debug, Clone, Default)]
struct Maps {
    types: HashMap<String, usize>,
    children: HashMap<String, Vec<String>>,
}

impl Api {
    /// The data type of this name.
    pub(crate) fn data_type(&self, name: &str) -> Option<&DataType> {
        self.types.get(*self.maps().types.get(name)?)
    }

    /// The types that extend this one directly, in the order of the schema.
    pub(crate) fn children(&self, name: &str) -> &[String] {
        self.maps().children.get(name).map_or(&[], Vec::as_slice)
    }

    /// All types below this one, each after the type that it extends.
    pub(crate) fn descendants(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<&str> = self.children(name).iter().map(String::as_str).collect();
        let mut next = 0;
        while let Some(&child) = found.get(next) {
            found.extend(self.children(child).iter().map(String::as_str));
            next += 1;
        }
        found
    }

    /// Whether a value of another type may stand where this one is declared.
    pub(crate) fn is_polymorphic(&self, name: &str) -> bool {
        !self.children(name).is_empty()
    }

    /// The types above this one, the nearest first.
    pub(crate) fn ancestors(&self, name: &str) -> Vec<&str> {
        let base = |name: &str| self.data_type(name)?.base.as_deref();
        std::iter::successors(base(name), |above| base(above)).collect()
    }

    /// Whether this type is the other or extends it, directly or not.
    pub(crate) fn is_a(&self, name: &str, base: &str) -> bool {
        name == base || self.ancestors(name).contains(&base)
    }

    /// The fields of a type in schema order: inherited ones first.
    pub(crate) fn flattened(&self, name: &str) -> Vec<&Field> {
        let mut line = self.ancestors(name);
        line.reverse();
        line.push(name);
        line.into_iter().filter_map(|name| self.data_type(name)).flat_map(|ty| &ty.fields).collect()
    }

    /// The types that would hold themselves without end, were each field stored in place. Arrays and polymorphic
    /// fields are not: they are allocations of their own.
    pub(crate) fn self_containing(&self) -> BTreeSet<&str> {
        let holds_itself = |ty: &&DataType| {
            let mut seen = BTreeSet::new();
            let mut open = self.stored_in_place(ty);
            while let Some(name) = open.pop() {
                if name == ty.name {
                    return true;
                }
                if seen.insert(name)
                    && let Some(inner) = self.data_type(name)
                {
                    open.extend(self.stored_in_place(inner));
                }
            }
            false
        };
        self.types.iter().filter(holds_itself).map(|ty| ty.name.as_str()).collect()
    }

    fn stored_in_place<'a>(&'a self, ty: &'a DataType) -> Vec<&'a str> {
        let fields = ty.fields.iter().filter_map(|field| match &field.ty {
            Ty::Data(name) if !field.array && !self.is_polymorphic(name) => Some(name.as_str()),
            _ => None,
        });
        fields.chain(ty.base.as_deref()).collect()
    }

    fn maps(&self) -> &Maps {
        self.lineage.0.get_or_init(|| {
            let mut maps = Maps::default();
            for (index, ty) in self.types.iter().enumerate() {
                maps.types.insert(ty.name.clone(), index);
                if let Some(base) = &ty.base {
                    maps.children.entry(base.clone()).or_default().push(ty.name.clone());
                }
            }
            maps
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Api {
        let ty = |name: &str, base: &str, field: Field| DataType {
            name: name.to_owned(),
            base: (!base.is_empty()).then(|| base.to_owned()),
            since: None,
            fields: vec![field],
        };
        let data = |name: &str, of: &str| Field::new(name, Ty::Data(of.to_owned()));
        Api {
            types: vec![
                ty("Root", "", Field::new("a", Ty::Int)),
                ty("Middle", "Root", Field::new("b", Ty::Int)),
                ty("Leaf", "Middle", data("polymorphic", "Root")),
                ty("Twin", "Middle", data("many", "Twin").array(true)),
                ty("Loop", "Root", data("through", "Link")),
                ty("Link", "Root", data("back", "Loop").optional(true)),
            ],
            ..Api::default()
        }
    }

    #[test]
    fn the_line_of_a_type_is_known_both_ways() {
        let api = api();
        assert_eq!(api.children("Root"), ["Middle", "Loop", "Link"]);
        assert_eq!(api.descendants("Root"), ["Middle", "Loop", "Link", "Leaf", "Twin"]);
        assert_eq!(api.ancestors("Leaf"), ["Middle", "Root"]);
        assert!(api.is_polymorphic("Middle") && !api.is_polymorphic("Leaf"));
        assert!(api.is_a("Leaf", "Root") && api.is_a("Leaf", "Leaf") && !api.is_a("Middle", "Leaf"));
        let names: Vec<&str> = api.flattened("Leaf").into_iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "polymorphic"]);
        assert_eq!((api.children("None").len(), api.data_type("None")), (0, None));
    }

    #[test]
    fn only_fields_stored_in_place_make_a_type_contain_itself() {
        assert_eq!(api().self_containing(), BTreeSet::from(["Link", "Loop"]));
    }
}
