//! Where the values of settings come from: the command line, else the environment, else a file.

use std::{ffi::OsString, fmt, path::Path};

use super::{
    ALL, SettingArgs, SettingsError, file, guests, name::MCVSPHERE_CONFIG, placeholder, policy, table::Setting, tokens,
};
use crate::{credentials::GuestCredentials, http::tokens::Token, policy::Policy};

/// The values that were given.
pub(super) struct Sources<'a> {
    arguments: &'a SettingArgs,
    environment: &'a dyn Fn(&str) -> Option<OsString>,
    file: file::File,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    CommandLine,
    Environment,
    File,
}

/// A setting that was given.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    pub(crate) name: &'static str,
    /// Its value; that of a secret is not shown.
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "command line",
            Self::Environment => "environment",
            Self::File => "file",
        })
    }
}

impl<'a> Sources<'a> {
    /// Reads the file, where one is named, and looks at each value that was given.
    ///
    /// # Errors
    /// The file cannot be read; a value is no text, or stands for one that nothing has put in its place.
    pub(super) fn new(
        arguments: &'a SettingArgs,
        environment: &'a dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let mut sources = Self { arguments, environment, file: file::File::default() };
        if let Some((path, _)) = sources.find(MCVSPHERE_CONFIG)? {
            sources.file = file::read(Path::new(&path))?;
        }
        for setting in ALL {
            sources.check(setting)?;
        }
        Ok(sources)
    }

    /// What a setting is set to. One that is empty is as one that is not set.
    pub(super) fn get(&self, name: &'static str) -> Result<Option<String>, SettingsError> {
        Ok(self.find(name)?.map(|(value, _)| value))
    }

    /// The stored credentials of guests, which a file alone can have.
    ///
    /// # Errors
    /// An entry lacks something, or names a file or a variable that has no value.
    pub(super) fn guest_credentials(&self) -> Result<GuestCredentials, SettingsError> {
        guests::read(&self.file.guests, self.environment)
    }

    /// The bearer tokens of callers over HTTP, which a file alone can have.
    ///
    /// # Errors
    /// An entry lacks something, or is the same token as another.
    pub(super) fn bearer_tokens(&self) -> Result<Vec<Token>, SettingsError> {
        tokens::read(&self.file.tokens)
    }

    /// Who may use which tools on which objects, which a file alone can say.
    ///
    /// # Errors
    /// A rule lacks something, or names what cannot be.
    pub(super) fn policy(&self) -> Result<Policy, SettingsError> {
        policy::read(&self.file.policy)
    }

    /// The settings that were given.
    pub(super) fn in_force(&self) -> Result<Vec<InForce>, SettingsError> {
        let given = ALL.iter().filter_map(|setting| {
            let shown = |(value, origin)| InForce {
                name: setting.name,
                value: if setting.secret { "***".to_owned() } else { value },
                origin,
            };
            Some(self.find(setting.name).transpose()?.map(shown))
        });
        given.collect()
    }

    /// The same with where it comes from.
    fn find(&self, name: &'static str) -> Result<Option<(String, Origin)>, SettingsError> {
        let given = [
            (Origin::CommandLine, self.arguments.get(name).map(OsString::from)),
            (Origin::Environment, self.variable(name)),
            (Origin::File, self.file.values.get(name).map(OsString::from)),
        ];
        for (origin, value) in given {
            let Some(value) = value else {
                continue;
            };
            let Ok(value) = value.into_string() else {
                let problem = format!("has bytes that are no UTF-8 text (it comes from the {origin})");
                return Err(SettingsError::new(name, problem));
            };
            // An empty option is meant: it takes back what the environment says.
            if !value.trim().is_empty() {
                return Ok(Some((value, origin)));
            } else if origin == Origin::CommandLine {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        let filled = |name: &str| (self.environment)(name).filter(|value| !value.is_empty());
        // Other programs know these in small letters, too.
        let small = || name.ends_with("_PROXY").then(|| filled(&name.to_lowercase())).flatten();
        filled(name).or_else(small)
    }

    fn check(&self, setting: &'static Setting) -> Result<(), SettingsError> {
        match self.find(setting.name)? {
            Some((value, origin)) if placeholder::is_placeholder(&value, setting.secret) => {
                let shown = if setting.secret { String::new() } else { format!(" {value:?}") };
                let problem = format!(
                    "is the placeholder{shown}, which nothing has replaced by a value (it comes from the {origin}): set the \
                     value itself, or have it replaced before mcvsphere starts"
                );
                Err(SettingsError::new(setting.name, problem))
            }
            _ => Ok(()),
        }
    }
}
