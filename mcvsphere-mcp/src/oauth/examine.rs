//! What `mcvsphere doctor --oauth` looks at.

use super::{Login, OAuth, groups::DEFAULT};

/// How something is that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Good,
    Doubtful,
    Bad,
}

impl OAuth {
    /// Looks at the settings and the provider: each time what, how it is, and what was found.
    pub(crate) async fn examine(&self) -> Vec<(&'static str, Finding, String)> {
        let settings = &self.inner.settings;
        let mut found = vec![("oauth: endpoint", Finding::Good, format!("tokens are for {}", self.inner.resource))];
        match &self.inner.login {
            Some(login) => {
                found.extend(self.examine_login(login));
                if login.vcenter.is_some() {
                    let text = format!("each user logs in at {}/vcenter/login (VCENTER_LOGIN=user)", self.base());
                    found.push(("oauth: vCenter", Finding::Good, text));
                }
            }
            None => {
                let opaque = if settings.introspection { ", which is asked whose opaque ones are" } else { "" };
                let text = format!("direct: clients get their tokens from the provider{opaque}");
                found.push(("oauth: mode", Finding::Good, text));
            }
        }
        let levels: Vec<String> =
            settings.groups.levels.iter().map(|(group, level)| format!("{group}={level}")).collect();
        let usual = settings.groups.levels.len() == DEFAULT.len()
            && DEFAULT.iter().all(|(name, _)| settings.groups.levels.contains_key(*name));
        let from = if usual { "the usual names" } else { "OAUTH_GROUP_MAP" };
        found.push((
            "oauth: groups",
            Finding::Good,
            format!("{} ({from}), in the claim {}", levels.join(", "), settings.groups.claim),
        ));
        let discovery = match self.inner.provider.discovery().await {
            Ok(discovery) => discovery,
            Err(down) => {
                found.push(("oauth: provider", Finding::Bad, down.to_string()));
                return found;
            }
        };
        found.push(match discovery.issuer == settings.issuer {
            true => ("oauth: provider", Finding::Good, format!("{} answers", discovery.issuer)),
            false => {
                let text = format!(
                    "calls itself {}, and OAUTH_ISSUER_URL is {}: set it to the former",
                    discovery.issuer, settings.issuer
                );
                ("oauth: provider", Finding::Doubtful, text)
            }
        });
        if settings.introspection && discovery.introspection.is_none() {
            let text = "the provider announces no introspection_endpoint: take OAUTH_INTROSPECTION away, or have it issue JWT access tokens";
            found.push(("oauth: introspection", Finding::Bad, text.to_owned()));
        }
        found.push(match self.inner.provider.number_of_keys().await {
            Ok(number) => ("oauth: keys", Finding::Good, format!("{number} that check signatures")),
            Err(down) => (
                "oauth: keys",
                Finding::Bad,
                format!("{down}: choose a signing key for this application in the provider"),
            ),
        });
        let lacking: Vec<&str> = settings
            .scopes
            .iter()
            .map(String::as_str)
            .filter(|scope| !discovery.scopes.iter().any(|offered| offered == scope))
            .collect();
        found.push(match lacking.is_empty() || discovery.scopes.is_empty() {
            true => ("oauth: scopes", Finding::Good, settings.scopes.join(" ")),
            false => (
                "oauth: scopes",
                Finding::Doubtful,
                format!("the provider does not announce {} (OAUTH_SCOPES)", lacking.join(" ")),
            ),
        });
        let has_groups = |scopes: &[String]| scopes.iter().any(|scope| scope == "groups");
        if has_groups(&discovery.scopes) && !has_groups(&settings.scopes) {
            let text =
                "the provider offers the scope groups: if it does not send the groups of users, add it to OAUTH_SCOPES";
            found.push(("oauth: groups scope", Finding::Doubtful, text.to_owned()));
        }
        let claim = &settings.groups.claim;
        if !discovery.claims.is_empty() && !claim.starts_with('/') && !discovery.claims.contains(claim) {
            let text = format!(
                "the provider does not announce the claim {claim} (OAUTH_GROUPS_CLAIM): it may have to be mapped there"
            );
            found.push(("oauth: groups claim", Finding::Doubtful, text));
        }
        if self.inner.login.is_some() && !discovery.scopes.iter().any(|scope| scope == "offline_access") {
            let text =
                "the provider does not announce offline_access: if it gives no refresh token, users log in every hour";
            found.push(("oauth: refresh", Finding::Doubtful, text.to_owned()));
        }
        found
    }

    fn examine_login(&self, login: &Login) -> [(&'static str, Finding, String); 3] {
        let key = match self.inner.settings.signing_key {
            Some(_) => ("oauth: signing key", Finding::Good, "MCP_SIGNING_KEY".to_owned()),
            None => {
                let text =
                    "OAUTH_CLIENT_SECRET: users have to log in again when it is changed; MCP_SIGNING_KEY avoids that";
                ("oauth: signing key", Finding::Doubtful, text.to_owned())
            }
        };
        [
            ("oauth: mode", Finding::Good, format!("login proxy, as the client {}", login.client_id)),
            (
                "oauth: redirect URI",
                Finding::Good,
                format!("{} (register exactly this at the provider)", self.callback()),
            ),
            key,
        ]
    }
}
