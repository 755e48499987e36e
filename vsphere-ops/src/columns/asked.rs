//! What of a list is wanted, by its columns: what the lists of all kinds of objects have in common.

use super::{Cell, Cells, Column, Condition, Gathering, Groups, Needle, Order, Ranked};
use crate::error::Result;
use crate::gaps::Gaps;
use crate::name::Glob;
use crate::page::{ByName, Freshness, ListQuery, Window};

/// Which objects of a list are wanted, in which order, and what of them.
pub(crate) struct Asked<'q, C> {
    page: &'q ListQuery,
    glob: Option<Glob>,
    needle: Option<Needle>,
    conditions: &'q [Condition<C>],
    pub(crate) order: Option<Order<C>>,
    pub(super) columns: &'q [C],
}

impl<'q, C: Column> Asked<'q, C> {
    pub(crate) fn new(
        page: &'q ListQuery,
        find: Option<&str>,
        conditions: &'q [Condition<C>],
        order: Option<Order<C>>,
        columns: &'q [C],
    ) -> Self {
        let needle = find.filter(|text| !text.trim().is_empty()).map(Needle::new);
        Self { page, glob: page.glob(), needle, conditions, order, columns }
    }

    /// The columns that tell which objects are wanted and where they stand.
    pub(crate) fn deciding(&self) -> Vec<C> {
        let mut columns: Vec<C> = self.conditions.iter().map(|condition| condition.column).collect();
        columns.extend(self.order.map(|order| order.column));
        if self.needle.is_some() {
            columns.extend(C::SEARCHED);
        }
        columns
    }

    /// The columns that are shown.
    pub(crate) fn shown(&self) -> Vec<C> {
        C::SHOWN.iter().chain(self.columns).copied().collect()
    }

    /// Whether an object is wanted: by its name, by the text that is looked for, and by its cells.
    pub(crate) fn fits(&self, name: &str, holds: impl FnOnce(&Needle) -> bool, cell: impl Fn(C) -> Cell) -> bool {
        self.glob.as_ref().is_none_or(|glob| glob.fits(name))
            && self.needle.as_ref().is_none_or(holds)
            && self.conditions.iter().all(|condition| condition.holds(&cell(condition.column)))
    }

    /// Where an object stands.
    pub(crate) fn standing<'s>(&self, name: &'s str, id: &'s str, cell: impl Fn(C) -> Cell) -> Standing<'s> {
        let cell = self.order.map(|order| cell(order.column));
        Standing { name, id, cell: cell.unwrap_or(Cell::Nothing) }
    }

    /// The page of objects, which may stand in any order. An order by a column copies nothing of those beside it, of which there may
    /// be tens of thousands.
    pub(crate) fn window<'s, T>(&self, objects: impl Iterator<Item = (Standing<'s>, T)>) -> Result<Window<T>> {
        let window = match self.order {
            None => Window::of(objects, |(standing, _)| standing.by_name(), self.page)?,
            Some(order) => Window::of(objects, |(standing, _)| standing.rank(order), self.page)?,
        };
        Ok(window.map(|(_, object)| object))
    }

    /// What was asked for beside what is shown anyway.
    pub(crate) fn cells(&self, cell: impl Fn(C) -> Cell) -> Cells<C> {
        let columns = self.columns.iter().filter(|column| !C::SHOWN.contains(column));
        columns.map(|column| (*column, cell(*column))).collect()
    }
}

/// Where an object stands in a list.
pub(crate) struct Standing<'s> {
    name: &'s str,
    id: &'s str,
    /// The cell that it is sorted by.
    cell: Cell,
}

impl<'s> Standing<'s> {
    /// Where it stands by name.
    fn by_name(&self) -> ByName {
        ByName::new(self.name, self.id)
    }

    fn rank<C: Column>(&self, order: Order<C>) -> Ranked<'s> {
        order.rank(&self.cell, self.name, self.id)
    }
}

/// Objects in groups by a column, with the sums of those that are summed. `cell` says what a column says of an object.
pub(crate) fn gathered<C: Column, T>(
    column: C,
    objects: impl Iterator<Item = T>,
    cell: impl Fn(C, &T) -> Cell,
    freshness: Option<Freshness>,
    gaps: Gaps,
) -> Groups {
    let names: Vec<&'static str> = C::SUMMED.iter().map(|column| column.name()).collect();
    let mut gathering = Gathering::new(&names);
    for object in objects {
        let numbers = C::SUMMED.iter().map(|column| cell(*column, &object).as_number());
        gathering.add(cell(column, &object), &numbers.collect::<Vec<_>>());
    }
    gathering.finish(freshness, gaps)
}
