//! What the settings of OAuth hold.

use std::collections::BTreeMap;

use vsphere_soap::http::Proxies;

use super::{
    Settings, SettingsError,
    kinds::{Kind, chosen, names, seen_as, seen_by_value},
    name, secret,
    web::TransportKind,
};
use crate::{
    Permission,
    backends::LoginMode,
    oauth::{Mode, OAuthSettings, groups::Groups},
};

/// The scopes that a provider is asked for, with blanks or commas between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scopes(String);

impl AsRef<str> for Scopes {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Kind for Scopes {
    const LIST: bool = true;

    seen_as!(&str);

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.replace(',', " ")))
    }
}

/// The levels that groups give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupMap(BTreeMap<String, Permission>);

impl Kind for GroupMap {
    const LIST: bool = true;

    type Seen<'a> = &'a Self;

    fn seen(&self) -> &Self {
        self
    }

    fn read(text: &str) -> Result<Self, String> {
        let mut levels = BTreeMap::new();
        for entry in names(text) {
            // A name may hold `=` itself, as those of directories do.
            let (group, level) =
                entry.rsplit_once('=').ok_or_else(|| format!("has {entry:?}, which is not GROUP=LEVEL"))?;
            let level = Permission::read(level).map_err(|problem| format!("has {entry:?}, whose level {problem}"))?;
            if levels.insert(group.trim().to_owned(), level).is_some() {
                return Err(format!("has the group {group:?} twice"));
            }
        }
        Ok(Self(levels))
    }
}

/// For how long an access token is good. Shorter ones would have clients refresh all the time, and longer ones would leave users their
/// rights who have lost them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Minutes(u64);

impl Kind for Minutes {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        let minutes = text.trim().parse().ok().filter(|minutes| (5..=60).contains(minutes));
        minutes.map(Self).ok_or_else(|| format!("must be a number of minutes from 5 to 60, not {text:?}"))
    }
}

impl Kind for LoginMode {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        chosen(text, &[("service", Self::Service), ("user", Self::User)])
    }
}

impl Kind for Mode {
    seen_by_value!();

    fn read(text: &str) -> Result<Self, String> {
        chosen(text, &[("direct", Self::Direct), ("proxy", Self::Proxy)])
    }
}

impl Settings {
    /// The URL by which clients know this server, where it is set.
    pub(crate) fn known_as(&self) -> Option<&str> {
        self.oauth_base_url().or(self.public_url())
    }

    /// What is set for OAuth, where it is on.
    ///
    /// # Errors
    /// A setting is missing, or contradicts another.
    pub(crate) fn oauth(&self) -> Result<Option<OAuthSettings>, SettingsError> {
        if !self.oauth_enabled() {
            return Ok(None);
        }
        let missing = |name| SettingsError::new(name, "is not set, and OAUTH_ENABLED needs it");
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let base_url = self.known_as().ok_or_else(|| missing(name::OAUTH_BASE_URL))?;
        if self.public_url().is_some_and(|url| url != base_url) {
            return Err(SettingsError::new(name::OAUTH_BASE_URL, "contradicts MCP_PUBLIC_URL: set one of the two"));
        }
        let client_secret = secret(
            (name::OAUTH_CLIENT_SECRET, self.oauth_client_secret()),
            (name::OAUTH_CLIENT_SECRET_FILE, self.oauth_client_secret_file()),
        )?
        .filter(|secret| !secret.is_empty());
        let mut groups = Groups::default();
        groups.policy = self.policy.groups();
        self.oauth_groups_claim().trim().clone_into(&mut groups.claim);
        if let Some(GroupMap(levels)) = self.oauth_group_map() {
            levels.clone_into(&mut groups.levels);
        }
        let is_declined = |scope: &str| scope == "-offline_access";
        let (declined, scopes): (Vec<&str>, Vec<&str>) =
            self.oauth_scopes().split_whitespace().partition(|scope| is_declined(scope));
        groups.required = self.oauth_required_groups().cloned().unwrap_or_default();
        Ok(Some(OAuthSettings {
            issuer: owned(self.oauth_issuer_url()).ok_or_else(|| missing(name::OAUTH_ISSUER_URL))?.trim().to_owned(),
            base_url: base_url.to_owned(),
            mode: self.oauth_mode(),
            client_id: owned(self.oauth_client_id()),
            client_secret,
            signing_key: owned(self.sealing_key()?),
            previous_key: owned(self.previous_signing_key()),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
            offline_access: declined.is_empty(),
            groups,
            access_life: self.oauth_token_minutes().0 * 60,
            introspection: self.oauth_introspection(),
            audiences: self.oauth_audience().cloned().unwrap_or_default(),
            proxies: Proxies::from_variables(|variable| self.proxy_variable(variable)),
        }))
    }

    /// Users log in to vCenter on a page behind the login at the provider, by https.
    ///
    /// # Errors
    /// `VCENTER_LOGIN=user` where there is no such page, or together with a policy.
    pub(crate) fn check_user_login(&self) -> Result<(), SettingsError> {
        if self.login() != LoginMode::User {
            return Ok(());
        }
        let error = |problem: &str| Err(SettingsError::new(name::VCENTER_LOGIN, problem));
        if self.transport() != TransportKind::StreamableHttp {
            return error("user needs MCP_TRANSPORT=streamable-http: on standard input and output there is one user");
        }
        let Some(oauth) = self.oauth()? else {
            return error(
                "user needs OAUTH_ENABLED: users log in at the provider first, so that it is known who they are",
            );
        };
        if !oauth.is_proxy() {
            return error(
                "user needs the login proxy: set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET, and no OAUTH_MODE=direct",
            );
        }
        if !self.policy().rules().is_empty() {
            return error("user contradicts the section `policy`: vCenter's own permissions bound each user");
        }
        match oauth.base_url.starts_with("https://") {
            true => Ok(()),
            false => error("user needs an https OAUTH_BASE_URL, since users send their passwords there"),
        }
    }

    /// Logins are for clients that come over HTTP: whoever starts this program for themselves needs none.
    ///
    /// # Errors
    /// OAuth is on.
    pub(crate) fn check_without_login(&self) -> Result<(), SettingsError> {
        match self.oauth_enabled() {
            true => Err(SettingsError::new(
                name::OAUTH_ENABLED,
                "needs MCP_TRANSPORT=streamable-http: on standard input and output there is one user, whose level MCP_PERMISSION sets",
            )),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SettingArgs;

    fn settings(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let value = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::new(&SettingArgs::default(), value)
    }

    const BASE: [(&str, &str); 5] = [
        ("OAUTH_ENABLED", "true"),
        ("OAUTH_ISSUER_URL", "https://idp.example/realms/x"),
        ("OAUTH_BASE_URL", "https://MCP.example/"),
        ("OAUTH_CLIENT_ID", "mcvsphere"),
        ("OAUTH_CLIENT_SECRET", "a client secret of 32 characters"),
    ];

    #[test]
    fn groups_scopes_and_the_public_url_are_read() {
        let more = [
            ("OAUTH_GROUP_MAP", "cn=admins=full_admin, 9f0c=read_only"),
            ("OAUTH_REQUIRED_GROUPS", "staff"),
            ("OAUTH_GROUPS_CLAIM", "/realm_access/roles"),
            ("OAUTH_SCOPES", "openid, groups -offline_access"),
        ];
        let oauth = settings(&[&BASE[..], &more].concat()).unwrap().oauth().unwrap().unwrap();
        assert_eq!(oauth.base_url, "https://mcp.example");
        assert_eq!((oauth.scopes, oauth.offline_access), (vec!["openid".to_owned(), "groups".to_owned()], false));
        assert_eq!(oauth.groups.levels["cn=admins"], Permission::FullAdmin);
        // A map takes the place of the usual names, which anybody might give to a group of theirs.
        assert_eq!(oauth.groups.levels.len(), 2);
        assert_eq!(oauth.groups.claim, "/realm_access/roles");
        assert!(settings(&[]).unwrap().oauth().unwrap().is_none());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for lacking in ["OAUTH_ISSUER_URL", "OAUTH_BASE_URL"] {
            let rest: Vec<_> = BASE.into_iter().filter(|(name, _)| *name != lacking).collect();
            let error = settings(&rest).unwrap().oauth().err().unwrap().to_string();
            assert!(error.starts_with(lacking), "{error}");
        }
        for (name, value) in [("OAUTH_GROUP_MAP", "admins"), ("OAUTH_GROUP_MAP", "a=admin"), ("OAUTH_MODE", "both")] {
            let error = settings(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
        let two = [("MCP_PUBLIC_URL", "https://other.example")];
        assert!(settings(&[&BASE[..], &two].concat()).unwrap().oauth().is_err());
        let error = settings(&BASE).unwrap().check_without_login().unwrap_err().to_string();
        assert!(error.contains("MCP_TRANSPORT=streamable-http"), "{error}");
    }

    #[test]
    fn a_signing_key_has_two_names_and_a_token_a_life() {
        let key = "a signing key of 32 characters..";
        let of = |more: &[(&str, &str)]| settings(&[&BASE[..], more].concat()).unwrap().oauth();
        let oauth = of(&[("OAUTH_SIGNING_KEY", key), ("OAUTH_TOKEN_MINUTES", "5")]).unwrap().unwrap();
        assert_eq!((oauth.signing_key.as_deref(), oauth.access_life), (Some(key), 300));
        assert_eq!(of(&[]).unwrap().unwrap().access_life, 1800);
        of(&[("OAUTH_SIGNING_KEY", key), ("MCP_SIGNING_KEY", key)]).unwrap();
        let error = of(&[("OAUTH_SIGNING_KEY", key), ("MCP_SIGNING_KEY", "another")]).err().unwrap().to_string();
        assert_eq!(error, "OAUTH_SIGNING_KEY contradicts MCP_SIGNING_KEY: set one of the two");
        for minutes in ["4", "61", "x"] {
            assert!(settings(&[("OAUTH_TOKEN_MINUTES", minutes)]).is_err(), "{minutes}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let keys = [("MCP_SIGNING_KEY", "hunter2hunter2hunter2hunter2"), ("MCP_SIGNING_KEY_PREVIOUS", "hunter3")];
        let settings = settings(&[&BASE[..], &keys].concat()).unwrap();
        let shown = format!("{settings:?} {:?}", settings.in_force());
        assert!(!shown.contains("hunter") && !shown.contains("client secret"), "{shown}");
    }
}
