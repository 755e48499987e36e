//! The arguments that all lists take: a filter, the fields that are wanted, and which page.

use std::{
    any::TypeId,
    collections::HashMap,
    marker::PhantomData,
    sync::{LazyLock, PoisonError, RwLock},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use vsphere_ops::ListQuery;

use super::{in_range, nearest};
use crate::{cx::Cx, error::Result};

/// How many items a page has when nothing is said, and at most: an answer has to fit into a model's head.
const USUAL: usize = 50;
const MOST: usize = 1000;

/// Which page of a list of `T`. Where `LISTED`, the schema lists the fields of `T`; else an error does, when one is wrong, which
/// costs less.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(bound = "T: JsonSchema + 'static")]
pub(crate) struct Paging<T: 'static, const LISTED: bool = false> {
    /// Glob: web-*
    filter: Option<String>,
    // What these are the instructions say, for all lists.
    fields: Option<Fields<T, LISTED>>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Names of fields that are wanted of each item; all where `None`.
pub(crate) type Wanted = Option<Vec<String>>;

impl<T: 'static, const LISTED: bool> Paging<T, LISTED> {
    /// What is asked for.
    ///
    /// # Errors
    /// `invalid_argument` for a limit out of range, or a cursor of another list, caller or session.
    pub(crate) fn open(self, cx: &Cx) -> Result<(ListQuery, Wanted)> {
        let query = ListQuery { filter: self.filter, limit: page_size(self.limit)?, cursor: cx.cursor(self.cursor)? };
        Ok((query, self.fields.map(|fields| fields.0)))
    }
}

fn page_size(limit: Option<usize>) -> Result<usize> {
    in_range("limit", limit, USUAL, MOST)
}

/// Names of fields of `T`.
#[derive(Debug)]
struct Fields<T: 'static, const LISTED: bool>(Vec<String>, PhantomData<fn() -> T>);

impl<'de, T: JsonSchema + 'static, const LISTED: bool> Deserialize<'de> for Fields<T, LISTED> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let wanted = Vec::<String>::deserialize(deserializer)?;
        let known = fields_of::<T>();
        if let Some(unknown) = wanted.iter().find(|name| !known.contains(*name)) {
            let all = known.join(", ");
            return Err(D::Error::custom(match nearest(unknown, known.iter().map(String::as_str)) {
                Some(near) => format!("`fields`: unknown field `{unknown}`, did you mean `{near}`? there are {all}"),
                None => format!("`fields`: unknown field `{unknown}`: there are {all}"),
            }));
        }
        Ok(Self(wanted, PhantomData))
    }
}

impl<T: JsonSchema + 'static, const LISTED: bool> JsonSchema for Fields<T, LISTED> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match LISTED {
            true => json_schema!({ "type": "array", "items": { "type": "string", "enum": fields_of::<T>() } }),
            false => json_schema!({ "type": "array", "items": { "type": "string" } }),
        }
    }
}

/// The names of the fields of a type, in their order. They are those of its schema, so that a field that no item happens to
/// have is known all the same.
fn fields_of<T: JsonSchema + 'static>() -> Vec<String> {
    static KNOWN: LazyLock<RwLock<HashMap<TypeId, Vec<String>>>> = LazyLock::new(RwLock::default);
    let id = TypeId::of::<T>();
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return known.clone();
    }
    let schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(serde_json::Value::as_object);
    let names: Vec<String> = properties.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, names.clone());
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, JsonSchema)]
    #[expect(dead_code, reason = "only its schema matters")]
    struct Row {
        name: String,
        power_state: Option<String>,
    }

    #[test]
    fn a_page_has_bounds() {
        assert_eq!(page_size(None), Ok(50));
        assert_eq!(page_size(Some(1000)), Ok(1000));
        assert!(page_size(Some(0)).is_err());
        assert!(page_size(Some(1001)).is_err());
    }

    #[test]
    fn fields_are_those_of_the_rows() {
        let read = |fields| serde_json::from_value::<Paging<Row>>(json!({ "fields": fields }));
        assert_eq!(read(json!(["power_state"])).unwrap().fields.unwrap().0, ["power_state"]);
        let error = read(json!(["name", "powerstate"])).unwrap_err().to_string();
        assert_eq!(
            error,
            "`fields`: unknown field `powerstate`, did you mean `power_state`? there are name, power_state"
        );
    }
}
