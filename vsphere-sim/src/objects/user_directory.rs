//! The user directory: who can be named in permissions.

use vsphere_model::managed;
use vsphere_model::types::{NotFound, UserSearchResult};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::model::{principal, same};
use crate::world::{Look, Managed, Prop, World};

pub(crate) const METHODS: Methods = &[("UserDirectory", "RetrieveUserGroups", Handler::Read(search))];

/// The managed object `UserDirectory`.
struct UserDirectory;

impl Managed for UserDirectory {
    fn info(&self) -> &'static ManagedInfo {
        managed::UserDirectory::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "domainList" => Prop::made_list(domains(look.world)),
            _ => Prop::UNSET,
        }
    }
}

pub(super) fn install(world: &mut World) {
    world.content.user_directory = Some(world.add_as("UserDirectory", UserDirectory));
}

/// The domain of a principal; users of the server itself have none.
fn domain(principal: &str) -> &str {
    principal.split_once('\\').map_or("", |(domain, _)| domain)
}

fn domains(world: &World) -> Vec<String> {
    let all = world.settings.users.iter().map(|user| domain(&user.principal).to_owned());
    let mut all: Vec<String> = all.filter(|domain| !domain.is_empty()).collect();
    all.sort();
    all.dedup();
    all
}

fn search(world: &World, call: &Call) -> Outcome<Reply> {
    let wanted_domain: Option<String> = call.opt("domain")?;
    let text: String = call.arg("searchStr")?;
    let (of_group, of_user): (Option<String>, Option<String>) =
        (call.opt("belongsToGroup")?, call.opt("belongsToUser")?);
    let (exact, users, groups): (bool, bool, bool) =
        (call.arg("exactMatch")?, call.arg("findUsers")?, call.arg("findGroups")?);
    let settings = &world.settings;
    if let Some(wanted) = &wanted_domain
        && !wanted.is_empty()
        && !domains(world).iter().any(|domain| same(domain, wanted))
    {
        return Err(Fault::new(NotFound::default(), format!("There is no domain '{wanted}'.")));
    }
    let fits = |name: &str| {
        let in_domain = wanted_domain.as_deref().is_none_or(|wanted| wanted.is_empty() || same(domain(name), wanted));
        let short = name.rsplit('\\').next().unwrap_or(name);
        let named = match exact {
            true => same(short, &text) || same(name, &principal(&text)),
            false => short.to_lowercase().contains(&text.to_lowercase()),
        };
        in_domain && named
    };
    let result = |name: &str, group| UserSearchResult {
        // The directory answers without the domain that it was asked for.
        principal: name.rsplit('\\').next().unwrap_or(name).to_owned(),
        full_name: Some(name.rsplit('\\').next().unwrap_or(name).to_owned()),
        group,
    };
    let mut found = Vec::new();
    if users {
        let member = |user: &str| {
            let of_group = of_group.as_deref().map(|group| settings.group_named(group));
            of_group.is_none_or(|group| group.is_some_and(|group| group.members.iter().any(|one| same(one, user))))
        };
        let users = settings.users.iter().filter(|user| fits(&user.principal) && member(&user.principal));
        found.extend(users.map(|user| result(&user.principal, false)));
    }
    if groups {
        let has = |members: &[String]| {
            of_user.as_deref().is_none_or(|user| members.iter().any(|one| same(one, &principal(user))))
        };
        let groups = settings.groups.iter().filter(|group| fits(&group.principal) && has(&group.members));
        found.extend(groups.map(|group| result(&group.principal, true)));
    }
    Ok(Reply::list(found))
}
