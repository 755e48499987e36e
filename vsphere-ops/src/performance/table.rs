//! Series side by side.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use vsphere_model::types::DateTime;
use vsphere_soap::object::format_date_time;

use super::Series;

/// Series side by side: a row per time, a column per series. It is printed with aligned columns.
///
/// ```
/// use vsphere_ops::performance::Table;
///
/// fn as_csv(table: &Table) -> String {
///     let mut csv = String::from("time");
///     table.columns.iter().for_each(|column| csv += &format!(",{} {}", column.entity, column.counter));
///     for (time, row) in table.times.iter().zip(&table.rows) {
///         csv += &format!("\n{time}");
///         row.iter().for_each(|value| csv += &value.map_or(",".to_owned(), |value| format!(",{value}")));
///     }
///     csv
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// What the columns are.
    pub columns: Vec<Column>,
    /// The times, oldest first, RFC 3339.
    pub times: Vec<String>,
    /// For each time the value of each column, where there is one.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// A column of a [`Table`].
///
/// ```
/// use vsphere_ops::performance::{Column, Table};
///
/// fn of_host<'a>(table: &'a Table, id: &'a str) -> impl Iterator<Item = &'a Column> {
///     table.columns.iter().filter(move |column| column.entity == id && column.instance.is_empty())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// The managed object id.
    pub entity: String,
    /// The name of the counter.
    pub counter: String,
    /// The part of the object, "" for the whole of it.
    pub instance: String,
    /// The unit of the values.
    pub unit: String,
}

impl Table {
    pub(super) fn new(series: &[Series]) -> Self {
        let mut rows: BTreeMap<DateTime, Vec<Option<f64>>> = BTreeMap::new();
        for (index, series_) in series.iter().enumerate() {
            for (time, value) in series_.values() {
                rows.entry(time).or_insert_with(|| vec![None; series.len()])[index] = value;
            }
        }
        let column = |series: &Series| Column {
            entity: series.entity.value.clone(),
            counter: series.counter.name.clone(),
            instance: series.instance.clone(),
            unit: series.counter.unit.clone(),
        };
        Self {
            columns: series.iter().map(column).collect(),
            times: rows.keys().map(format_date_time).collect(),
            rows: rows.into_values().collect(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<[String; 2]> = self
            .columns
            .iter()
            .map(|column| {
                let part = if column.instance.is_empty() { String::new() } else { format!("/{}", column.instance) };
                [format!("{}{part}", column.entity), format!("{} ({})", column.counter, column.unit)]
            })
            .collect();
        let width = |head: &[String; 2]| head.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(10);
        let first = self.times.iter().map(|time| time.chars().count()).max().unwrap_or(0);
        for line in 0..2 {
            write!(f, "{:first$}", if line == 0 { "" } else { "time" })?;
            for head in &heads {
                write!(f, "  {:>1$}", head[line], width(head))?;
            }
            writeln!(f)?;
        }
        for (time, row) in self.times.iter().zip(&self.rows) {
            write!(f, "{time:first$}")?;
            for (value, head) in row.iter().zip(&heads) {
                match value {
                    Some(value) => write!(f, "  {:>1$}", value, width(head))?,
                    None => write!(f, "  {:>1$}", "-", width(head))?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use std::sync::Arc;

    use vsphere_model::types::ManagedObjectReference;

    use super::*;
    use crate::performance::Counter;

    fn series(id: &str, unit: &str, values: &[(&str, i64)]) -> Series {
        let counter = Counter {
            id: 1,
            name: "cpu.usage.average".into(),
            unit: unit.into(),
            rollup: "average".into(),
            kind: "rate".into(),
            level: None,
        };
        Series {
            entity: ManagedObjectReference::new("HostSystem", id),
            counter: Arc::new(counter),
            instance: String::new(),
            times: values.iter().map(|(time, _)| DateTime::parse_from_rfc3339(time).unwrap()).collect(),
            raw: values.iter().map(|(_, value)| *value).collect(),
        }
    }

    #[test]
    fn series_of_different_times_are_laid_side_by_side() {
        let (one, two, three) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z");
        // The server need not sort them.
        let table = Table::new(&[
            series("host-1", "percent", &[(two, 1250), (one, 500)]),
            series("host-2", "number", &[(two, 7), (three, -1)]),
        ]);
        assert_eq!(table.times, [one, two, three]);
        assert_eq!(table.rows, [vec![Some(5.0), None], vec![Some(12.5), Some(7.0)], vec![None, None]]);
        let text = table.to_string();
        assert!(text.lines().nth(1).unwrap().contains("cpu.usage.average (percent)"), "{text}");
        assert!(text.lines().nth(3).unwrap().trim_end().ends_with('7'), "{text}");
    }
}
