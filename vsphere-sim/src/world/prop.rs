//! The value of a property: looked at where it is kept, or made for the question.

use vsphere_soap::object::{Item, List, Value, optional};

/// The value of a property.
pub(crate) enum Prop<'a> {
    /// Kept in the object.
    Kept(Value<'a>),
    /// Made for the question.
    Made(Box<dyn Item + 'a>),
    /// A list that was made for the question.
    MadeList(Box<dyn List + 'a>),
}

impl<'a> Prop<'a> {
    /// Not set.
    pub(crate) const UNSET: Self = Prop::Kept(Value::Unset);

    pub(crate) fn kept<T: Item>(value: &'a T) -> Self {
        Self::Kept(value.value())
    }

    pub(crate) fn kept_optional<T: Item>(value: &'a Option<T>) -> Self {
        Self::Kept(optional(value))
    }

    pub(crate) fn list<T: Item>(values: &'a Vec<T>) -> Self {
        Self::Kept(Value::List(values))
    }

    pub(crate) fn made<T: Item + 'a>(value: T) -> Self {
        Self::Made(Box::new(value))
    }

    pub(crate) fn made_optional<T: Item + 'a>(value: Option<T>) -> Self {
        value.map_or(Self::UNSET, Self::made)
    }

    pub(crate) fn made_list<T: Item + 'a>(values: Vec<T>) -> Self {
        Self::MadeList(Box::new(values))
    }

    /// A look at the value.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Self::Kept(value) => *value,
            Self::Made(item) => item.value(),
            Self::MadeList(list) => Value::List(&**list),
        }
    }
}
