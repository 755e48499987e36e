//! The entries of `guest_credentials`:
//!
//! ```yaml
//! guest_credentials:
//!   web:
//!     user: deploy
//!     password_file: /run/secrets/web      # or `password`, `password_env`: a variable, `keyring`: SERVICE/USER
//!     vms: ["/fra1/vm/prod/web/*"]         # globs on inventory paths
//!     level: full_admin                    # what a caller needs; full_admin by default
//! ```

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{GUEST_CREDENTIALS, SettingsError, file::Entry, keyring, kinds::Kind as _, placeholder};
use crate::{
    Permission,
    credentials::{GuestCredentials, Stored},
};

/// The largest file that holds a password, in bytes.
const LARGEST: u64 = 64 << 10;

/// Checks the entries, and fetches their passwords.
///
/// # Errors
/// An entry lacks something, or names a file or a variable that has no value.
pub(super) fn read(
    entries: &BTreeMap<String, Entry>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<GuestCredentials, SettingsError> {
    let stored = entries.iter().map(|(name, entry)| {
        let problem =
            |text: String| SettingsError::new(GUEST_CREDENTIALS, format!("has the entry `{name}`, which {text}"));
        stored(name, entry, environment).map_err(problem)
    });
    Ok(GuestCredentials { entries: stored.collect::<Result<_, _>>()? })
}

fn stored(name: &str, entry: &Entry, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Stored, String> {
    const FIELDS: [&str; 7] = ["user", "password", "password_file", "password_env", "keyring", "vms", "level"];
    if let Some(other) = entry.keys().find(|field| !FIELDS.contains(&field.as_str())) {
        return Err(format!("has the unknown field `{other}`: there are {}", FIELDS.join(", ")));
    }
    let one = |field: &str| match entry.get(field).map(Vec::as_slice) {
        None => Ok(None),
        Some([text]) if !text.is_empty() => Ok(Some(text.as_str())),
        Some(_) => Err(format!("must have one value for `{field}`")),
    };
    let user = one("user")?.ok_or("lacks `user`")?;
    let password = match (one("password")?, one("password_file")?, one("password_env")?, one("keyring")?) {
        (Some(password), None, None, None) => password.to_owned(),
        (None, Some(path), None, None) => from_file(path)?,
        (None, None, None, Some(entry)) => keyring::password(entry, environment)
            .map_err(|problem| format!("takes its password from the keyring: {problem}"))?,
        (None, None, Some(variable), None) => {
            let value = environment(variable).and_then(|value| value.into_string().ok());
            let value = value.filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("takes its password from the variable {variable}, which is not set"))?
        }
        _ => return Err("needs exactly one of `password`, `password_file`, `password_env` and `keyring`".to_owned()),
    };
    if placeholder::is_placeholder(&password, true) {
        return Err("has a placeholder in the place of its password, which nothing has replaced".to_owned());
    }
    let vms = entry.get("vms").cloned().unwrap_or_default();
    if vms.is_empty() || !vms.iter().all(|glob| glob.starts_with('/')) {
        return Err("needs `vms`: globs on the inventory paths of its VMs, such as /dc/vm/prod/*".to_owned());
    }
    let level = match one("level")? {
        Some(level) => Permission::read(level).map_err(|problem| format!("has a `level` that {problem}"))?,
        None => Permission::FullAdmin,
    };
    Ok(Stored { name: name.to_owned(), user: user.to_owned(), password, vms, level })
}

fn from_file(path: &str) -> Result<String, String> {
    password_in(Path::new(path)).map_err(|problem| format!("takes its password from the file {path}: {problem}"))
}

/// The password that a file holds.
///
/// # Errors
/// Why it holds none.
pub(super) fn password_in(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The line break that an editor puts at the end is no part of it.
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() { Err("it is empty".to_owned()) } else { Ok(password.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(fields: &[(&str, &str)]) -> Result<Stored, String> {
        let entry = fields.iter().map(|(field, value)| ((*field).to_owned(), vec![(*value).to_owned()])).collect();
        stored("web", &entry, &|name| (name == "WEB_PASSWORD").then(|| "from-env".into()))
    }

    #[test]
    fn an_entry_has_a_user_one_password_and_its_vms() {
        const VMS: (&str, &str) = ("vms", "/fra1/vm/*");
        let full = entry(&[("user", "root"), ("password", "007"), VMS]).unwrap();
        assert_eq!((full.password.as_str(), full.level), ("007", Permission::FullAdmin));
        let env = entry(&[("user", "root"), ("password_env", "WEB_PASSWORD"), VMS, ("level", "power_ops")]).unwrap();
        assert_eq!((env.password.as_str(), env.level), ("from-env", Permission::PowerOps));
        for (fields, part) in [
            (&[("password", "x"), VMS][..], "lacks `user`"),
            (&[("user", "u"), VMS], "exactly one of"),
            (&[("user", "u"), ("password", "x"), ("password_env", "WEB_PASSWORD"), VMS], "exactly one of"),
            (&[("user", "u"), ("password", "x"), ("keyring", "web/u"), VMS], "exactly one of"),
            (&[("user", "u"), ("keyring", "web/u"), VMS], "from the keyring: "),
            (&[("user", "u"), ("password_env", "NONE"), VMS], "NONE, which is not set"),
            (&[("user", "u"), ("password_file", "/no/such/file"), VMS], "/no/such/file"),
            (&[("user", "u"), ("password", "hunter2")], "needs `vms`"),
            (&[("user", "u"), ("password", "hunter2"), ("vms", "web-*")], "needs `vms`"),
            (&[("user", "u"), ("password", "hunter2"), VMS, ("level", "king")], "`level`"),
            (&[("user", "u"), ("password", "hunter2"), VMS, ("vm", "x")], "unknown field `vm`"),
            (&[("user", "u"), ("password", "${PASSWORD}"), VMS], "placeholder"),
        ] {
            let problem = entry(fields).unwrap_err();
            assert!(problem.contains(part) && !problem.contains("hunter2"), "{problem}");
        }
    }
}
