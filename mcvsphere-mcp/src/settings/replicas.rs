//! What the processes of one server share.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use url::Url;

use super::{Settings, SettingsError, kinds::Kind, name, secret};
use crate::keys::{self, SigningKey};

/// Where claims of confirmation tokens are kept.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ClaimsPlace {
    /// In files of this directory.
    Directory(PathBuf),
    /// In the Redis at this URL.
    Redis(Url),
}

impl fmt::Debug for ClaimsPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Redis(url) => f.debug_tuple("Redis").field(&url.host_str()).finish(),
        }
    }
}

impl Kind for ClaimsPlace {
    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if !text.contains("://") {
            return match Path::new(text).is_dir() {
                true => Ok(Self::Directory(text.into())),
                false => Err(format!("names no directory: {text}")),
            };
        }
        // The URL is not repeated: it may hold a password.
        let url = Url::parse(text).map_err(|error| format!("is neither a directory nor a URL of Redis: {error}"))?;
        if !matches!(url.scheme(), "redis" | "rediss") || url.host_str().is_none_or(str::is_empty) {
            return Err("must be a directory, redis://HOST:PORT/DB or rediss://HOST:PORT/DB".to_owned());
        }
        match url.password() {
            Some(_) => Err(format!(
                "holds a password, which is shown where settings are: set {} or {}",
                name::MCP_CLAIMS_PASSWORD,
                name::MCP_CLAIMS_PASSWORD_FILE
            )),
            None => Ok(Self::Redis(url)),
        }
    }
}

impl Settings {
    /// What tokens are sealed with, under whichever of its two names it is set.
    ///
    /// # Errors
    /// It is set under both, and differs.
    pub(super) fn sealing_key(&self) -> Result<Option<&str>, SettingsError> {
        match (self.signing_key(), self.oauth_signing_key()) {
            (Some(key), Some(other)) if key != other => {
                Err(SettingsError::new(name::OAUTH_SIGNING_KEY, "contradicts MCP_SIGNING_KEY: set one of the two"))
            }
            (key, other) => Ok(key.or(other)),
        }
    }

    /// The secret that all processes of this server share, where it is set.
    ///
    /// # Errors
    /// It is too short.
    pub(crate) fn shared_key(&self) -> Result<Option<SigningKey>, SettingsError> {
        let Some(current) = self.sealing_key()? else {
            return Ok(None);
        };
        keys::check(current).map_err(|problem| SettingsError::new(name::MCP_SIGNING_KEY, problem))?;
        let previous = self.previous_signing_key().map(str::to_owned);
        Ok(Some(SigningKey { current: current.to_owned(), previous }))
    }

    /// Where claims are kept, with the password.
    ///
    /// # Errors
    /// The settings contradict each other, or the file of the password cannot be read.
    pub(crate) fn claims_place(&self) -> Result<Option<ClaimsPlace>, SettingsError> {
        let password = secret(
            (name::MCP_CLAIMS_PASSWORD, self.claims_password()),
            (name::MCP_CLAIMS_PASSWORD_FILE, self.claims_password_file()),
        )?;
        let Some(place) = self.claims() else {
            return Ok(None);
        };
        if self.sealing_key()?.is_none() {
            let problem = "is not set, and MCP_CLAIMS needs it: without it no process reads the tokens of another";
            return Err(SettingsError::new(name::MCP_SIGNING_KEY, problem));
        }
        let mut place = place.clone();
        match (&mut place, password) {
            (_, None) => {}
            (ClaimsPlace::Directory(_), Some(_)) => {
                return Err(SettingsError::new(name::MCP_CLAIMS_PASSWORD, "is set, and MCP_CLAIMS is a directory"));
            }
            (ClaimsPlace::Redis(url), Some(password)) => {
                let problem = || SettingsError::new(name::MCP_CLAIMS, "is a URL that can hold no password");
                url.set_password(Some(&password)).map_err(|()| problem())?;
            }
        }
        Ok(Some(place))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;
    use crate::SettingArgs;

    const KEY: (&str, &str) = ("MCP_SIGNING_KEY", "a signing key of 32 characters!!");

    fn place(environment: &[(&str, &str)]) -> Result<Option<ClaimsPlace>, String> {
        let value = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let settings = Settings::new(&SettingArgs::default(), value).map_err(|error| error.to_string())?;
        assert!(!format!("{settings:?} {:?}", settings.in_force()).contains("hunter"));
        settings.claims_place().map_err(|error| error.to_string())
    }

    #[test]
    fn a_directory_and_redis_are_told_apart_and_the_password_is_added() {
        let folder = std::env::temp_dir();
        let folder = folder.to_str().unwrap();
        assert_eq!(place(&[KEY, ("MCP_CLAIMS", folder)]), Ok(Some(ClaimsPlace::Directory(folder.into()))));
        let redis = ("MCP_CLAIMS", "rediss://mcv@redis.example:6380/2");
        let with = place(&[KEY, redis, ("MCP_CLAIMS_PASSWORD", "hunter/2 @")]).unwrap().unwrap();
        let ClaimsPlace::Redis(url) = &with else { panic!("{with:?}") };
        assert_eq!(url.as_str(), "rediss://mcv:hunter%2F2%20%40@redis.example:6380/2");
        assert!(!format!("{with:?}").contains("hunter"));
        assert_eq!(place(&[KEY]), Ok(None));
    }

    #[test]
    fn what_does_not_fit_is_said_without_the_password() {
        for (environment, said) in [
            (&[("MCP_CLAIMS", "redis://redis.example")][..], "MCP_SIGNING_KEY is not set"),
            (&[KEY, ("MCP_CLAIMS", "redis://u:hunter2@redis.example")], "MCP_CLAIMS holds a password"),
            (&[KEY, ("MCP_CLAIMS", "http://hunter2.example")], "MCP_CLAIMS must be a directory, redis://"),
            (&[KEY, ("MCP_CLAIMS", "/no/such/directory")], "MCP_CLAIMS names no directory"),
            (&[KEY, ("MCP_CLAIMS", "/"), ("MCP_CLAIMS_PASSWORD", "hunter2")], "MCP_CLAIMS_PASSWORD is set"),
            (&[("MCP_CLAIMS_PASSWORD_FILE", "/no/such/file")], "MCP_CLAIMS_PASSWORD_FILE names no file"),
        ] {
            let error = place(environment).unwrap_err();
            assert!(error.starts_with(said) && !error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        let settings = Settings::new(&SettingArgs::default(), |name| (name == "MCP_SIGNING_KEY").then_some("hunter2"));
        let error = settings.unwrap().shared_key().unwrap_err().to_string();
        assert!(error.starts_with("MCP_SIGNING_KEY has fewer than 24") && !error.contains("hunter2"), "{error}");
    }
}
