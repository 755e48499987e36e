//! Stored credentials for guests: each under a name, with the VMs that it is for and the level that a caller needs.
//!
//! A VM reads the password that is sent to its guest. So a credential is sent to no VM but its own, whatever a call says.

use std::fmt;

use vsphere_ops::{guest::Credentials, name::Glob};

use crate::{Permission, ToolError, error::Result};

/// The stored credentials of `guest_credentials`.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuestCredentials {
    pub(crate) entries: Vec<Stored>,
}

/// A user of some guests, under a name of its own.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Globs on the inventory paths of the VMs: `*` stands for a part of one step, `**` for any number of steps.
    pub(crate) vms: Vec<String>,
    /// What a caller must be permitted.
    pub(crate) level: Permission,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({:?}, for {:?} from {})", self.name, self.vms, self.level)
    }
}

impl Stored {
    fn fits(&self, path: &str, level: Option<Permission>) -> bool {
        level >= Some(self.level) && self.vms.iter().any(|vms| fits_path(vms, path))
    }
}

/// Whether an inventory path fits a glob, step by step: a `*` reaches over no slash, so that a folder further down is not meant.
fn fits_path(glob: &str, path: &str) -> bool {
    fn fits(globs: &[&str], steps: &[&str]) -> bool {
        match (globs, steps) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=steps.len()).any(|at| fits(rest, steps.get(at..).unwrap_or_default())),
            ([glob, globs @ ..], [step, steps @ ..]) => Glob::new(glob).fits(step) && fits(globs, steps),
            _ => false,
        }
    }
    let steps = |text| str::split(text, '/').collect::<Vec<_>>();
    fits(&steps(glob), &steps(path))
}

impl GuestCredentials {
    /// The credential of this name, for the VM at this inventory path and a caller of this level.
    ///
    /// # Errors
    /// `permission` where it is for other VMs or callers, or is not there: which of these is not told, but the names that
    /// fit are.
    pub(crate) fn choose(&self, name: &str, path: &str, level: Option<Permission>) -> Result<Credentials> {
        match self.entries.iter().find(|entry| entry.name == name && entry.fits(path, level)) {
            Some(entry) => Ok(Credentials::new(&entry.user, &entry.password)),
            None => {
                let text = format!("no stored guest credential {name:?} is for {path:?} and this caller");
                Err(ToolError::new("permission", format!("{text}; {}", self.fitting(path, level))))
            }
        }
    }

    /// Which names fit, for an error.
    pub(crate) fn fitting(&self, path: &str, level: Option<Permission>) -> String {
        let names: Vec<String> = self
            .entries
            .iter()
            .filter(|entry| entry.fits(path, level))
            .map(|entry| format!("{:?}", entry.name))
            .collect();
        match names.as_slice() {
            [] => "none is stored for this VM: give `username` and `password`".to_owned(),
            names => format!("`guest` may be {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_fits_step_by_step() {
        let path = "/fra1/vm/prod/web/web-01";
        for glob in
            ["/fra1/vm/prod/web/web-01", "/fra1/vm/*/web/web-*", "/fra1/vm/**", "/**/web-0?", "/**/prod/**/web-01"]
        {
            assert!(fits_path(glob, path), "{glob}");
        }
        for glob in ["/fra1/vm/prod/*", "/fra1/vm/*", "*", "web-01", "/fra1/vm/prod/web/", "/fra1/vm/prod/web", ""] {
            assert!(!fits_path(glob, path), "{glob}");
        }
    }

    #[test]
    fn a_credential_is_for_its_vms_and_callers_alone() {
        let entry = |name: &str, vms: &str, level| Stored {
            name: name.to_owned(),
            user: "root".to_owned(),
            password: "hunter2".to_owned(),
            vms: vec![vms.to_owned()],
            level,
        };
        let all = GuestCredentials {
            entries: vec![
                entry("web", "/fra1/vm/prod/web/*", Permission::FullAdmin),
                entry("lab", "/fra1/vm/lab/**", Permission::PowerOps),
            ],
        };
        let admin = Some(Permission::FullAdmin);
        assert!(all.choose("web", "/fra1/vm/prod/web/web-01", admin).is_ok());
        assert!(all.choose("lab", "/fra1/vm/lab/a/b", Some(Permission::VmLifecycle)).is_ok());
        for (name, path, level) in [
            ("web", "/fra1/vm/prod/web/web-01", Some(Permission::HostAdmin)),
            ("web", "/fra1/vm/prod/web/web-01", None),
            ("web", "/fra1/vm/prod/web/deeper/web-01", admin),
            ("web", "/fra1/vm/prod/db/web-01", admin),
            ("none", "/fra1/vm/prod/web/web-01", admin),
        ] {
            let error = all.choose(name, path, level).unwrap_err().to_string();
            assert!(error.ends_with("(permission)") && !error.contains("hunter2"), "{error}");
        }
        let error = all.choose("lab", "/fra1/vm/prod/web/web-01", admin).unwrap_err().to_string();
        assert!(error.contains("`guest` may be \"web\""), "{error}");
        assert!(!format!("{all:?}").contains("hunter2"));
    }
}
