//! Where the values of settings come from: the command line, else the environment, else a file.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{ALL, SettingArgs, SettingsError, name::MCVSPHERE_CONFIG};
use crate::arguments::nearest;

/// The values that were given, by the name of the setting.
pub(super) struct Sources<'a> {
    arguments: &'a SettingArgs,
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: BTreeMap<String, String>,
}

impl<'a> Sources<'a> {
    /// Reads the file, where one is named.
    pub(super) fn new(
        arguments: &'a SettingArgs,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let mut sources = Self { arguments, environment, file: BTreeMap::new() };
        if let Some(path) = sources.get(MCVSPHERE_CONFIG) {
            sources.file = read(Path::new(&path))?;
        }
        Ok(sources)
    }

    /// What a setting is set to. One that is empty is as one that is not set.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let filled = |value: &String| !value.trim().is_empty();
        self.arguments
            .get(name)
            .map(str::to_owned)
            .or_else(|| (self.environment)(name).filter(filled))
            .or_else(|| self.file.get(name).cloned())
            .filter(filled)
    }
}

/// The largest file of settings that is read.
const LARGEST: u64 = 1 << 20;

/// Reads a file of settings: a mapping from names, in any case, to values or lists of them.
fn read(path: &Path) -> Result<BTreeMap<String, String>, SettingsError> {
    let problem = |text: String| SettingsError::new(MCVSPHERE_CONFIG, format!("{}: {text}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > LARGEST {
        return Err(problem(format!("has {size} bytes, and {LARGEST} are the most for a file of settings")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    parse(&text).map_err(problem)
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let content: BTreeMap<String, Value> = serde_saphyr::from_str(text)
        // Its longer text shows the lines around the fault, one of which may hold the password.
        .map_err(|error| match error.location() {
            Some(at) => format!("is not a YAML mapping of settings (line {})", at.line()),
            None => "is not a YAML mapping of settings".to_owned(),
        })?;
    // A file cannot name another file.
    let known: Vec<String> = ALL.iter().map(|it| it.name.to_owned()).filter(|name| name != MCVSPHERE_CONFIG).collect();
    let mut values = BTreeMap::new();
    for (key, value) in content {
        let name = key.to_uppercase().replace('-', "_");
        if !known.contains(&name) {
            return Err(match nearest(&name, &known) {
                Some(near) => format!("unknown setting `{key}`, did you mean `{near}`?"),
                None => format!("unknown setting `{key}`: there are {}", known.join(", ")),
            });
        }
        let value = plain(&value).ok_or_else(|| format!("`{key}` must be a value or a list of values"))?;
        if values.insert(name, value).is_some() {
            return Err(format!("`{key}` is set twice"));
        }
    }
    Ok(values)
}

/// A value as an environment variable would hold it: lists with commas.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().filter(|item| !item.is_array()).map(plain).collect();
            items.map(|items| items.join(","))
        }
        Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_settings_in_any_case() {
        let values = parse("vcenter-host: vc.example\nMCP_TOOLSETS: [vm, power]\nmcp_read_only: true\n").unwrap();
        assert_eq!(values["VCENTER_HOST"], "vc.example");
        assert_eq!(values["MCP_TOOLSETS"], "vm,power");
        assert_eq!(values["MCP_READ_ONLY"], "true");
        assert!(parse("# nothing yet\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_and_no_value_shown() {
        for (text, wrong) in [
            ("vcenter_hots: a", "did you mean `VCENTER_HOST`?"),
            ("favourite_colour: blue", "unknown setting `favourite_colour`"),
            ("vcenter_host: {a: b}", "`vcenter_host` must be a value"),
            ("vcenter_host: a\nVCENTER-HOST: b", "twice"),
            ("- vcenter_host", "not a YAML mapping"),
            ("vcenter_host: hunter2\n  x: [", "not a YAML mapping"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
