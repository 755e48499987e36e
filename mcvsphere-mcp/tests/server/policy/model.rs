//! What is in the simulated world, and what rules say of it by another way than the server's: by paths, and by text.

use std::collections::BTreeMap;

use vsphere_ops::{
    Client,
    managed::{HostSystem, VirtualMachine, host_system as host, virtual_machine as vm},
};

/// A rule on objects for a group.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) allows: bool,
    pub(super) group: String,
    pub(super) objects: Vec<String>,
}

/// A VM of the world.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vm {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) path: String,
    /// What acts change.
    pub(super) state: String,
}

/// All VMs of the world, templates included, and those of each host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct World {
    pub(super) vms: Vec<Vm>,
    pub(super) hosts: BTreeMap<String, Vec<String>>,
}

impl World {
    pub(super) async fn read(client: &Client) -> Self {
        let select = (vm::NAME, vm::POWER_STATE, vm::SNAPSHOT, vm::CONFIG, vm::RESOURCE_POOL);
        let rows = client.all::<VirtualMachine>().select(select).await.unwrap().into_vec();
        let references: Vec<_> = rows.iter().map(|(vm, _)| vm.reference().clone()).collect();
        let paths = client.paths(&references).await.unwrap();
        let mut vms: Vec<Vm> = rows
            .into_iter()
            .zip(paths)
            .map(|((vm, (name, power, snapshot, config, pool)), path)| {
                let config = config.map(|config| {
                    (config.annotation, config.hardware.num_cpu, config.hardware.device.len(), config.template)
                });
                let state = format!("{power:?} {snapshot:?} {config:?} {pool:?}");
                Vm { id: vm.id().to_owned(), name, path, state }
            })
            .collect();
        vms.sort_by(|a, b| a.id.cmp(&b.id));
        let hosts = client.all::<HostSystem>().select((host::NAME, host::VM)).await.unwrap().into_vec();
        let hosts = hosts.into_iter().map(|(_, (name, vms))| {
            let mut ids: Vec<String> = vms.into_iter().map(|vm| vm.value).collect();
            ids.sort();
            (name, ids)
        });
        Self { vms, hosts: hosts.collect() }
    }

    pub(super) fn vm(&self, name: &str) -> &Vm {
        self.vms.iter().find(|vm| vm.name == name).unwrap()
    }

    /// The VMs that the rules permit somebody in a group, and the others.
    pub(super) fn split(&self, rules: &[Rule], group: &str) -> (Vec<&Vm>, Vec<&Vm>) {
        let own: Vec<&Rule> = rules.iter().filter(|rule| rule.group == group).collect();
        self.vms.iter().partition(|vm| permits(&own, &vm.path))
    }
}

fn permits(rules: &[&Rule], path: &str) -> bool {
    let named = |allows: bool, path: &str| {
        rules.iter().filter(|rule| rule.allows == allows).flat_map(|rule| &rule.objects).any(|glob| fits(glob, path))
    };
    // A deny covers what is below.
    let cuts = path.char_indices().filter(|(at, letter)| *letter == '/' && *at > 0).map(|(at, _)| at);
    let denied = cuts.chain([path.len()]).any(|end| named(false, &path[..end]));
    let closes = rules.iter().any(|rule| rule.allows);
    !denied && (!closes || named(true, path))
}

/// Whether a path fits a glob, letter by letter: `**` takes whole names with the slash before them.
fn fits(glob: &str, path: &str) -> bool {
    if let Some(rest) = glob.strip_prefix("/**").filter(|_| path.is_empty() || path.starts_with('/')) {
        let ends = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| at).chain([path.len()]);
        return ends.into_iter().any(|at| fits(rest, &path[at..]));
    }
    match (glob.chars().next(), path.chars().next()) {
        (None, None) => true,
        (Some('*'), None) => fits(&glob[1..], path),
        (Some('*'), Some(letter)) => {
            fits(&glob[1..], path) || (letter != '/' && fits(glob, &path[letter.len_utf8()..]))
        }
        (Some(wanted), Some(letter)) if wanted.eq_ignore_ascii_case(&letter) => {
            fits(&glob[wanted.len_utf8()..], &path[letter.len_utf8()..])
        }
        _ => false,
    }
}

/// Whether a word stands in a text: not within a longer name.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let in_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

#[test]
fn the_model_of_the_tests_is_right() {
    for (glob, path, expected) in [
        ("/fra1/vm/prod/**", "/fra1/vm/prod", true),
        ("/fra1/vm/prod/**", "/fra1/vm/prod/web/web-01", true),
        ("/fra1/vm/prod/**", "/fra1/vm/production", false),
        ("/fra1/vm/*/web-*", "/fra1/vm/a/web-1", true),
        ("/fra1/vm/*/web-*", "/fra1/vm/a/b/web-1", false),
        ("/**/web-*", "/fra1/vm/a/web-1", true),
    ] {
        assert_eq!(fits(glob, path), expected, "{glob} {path}");
    }
    assert!(has_word(r#"{"id":"vm-6"}"#, "vm-6") && !has_word("vm-65", "vm-6") && !has_word("x-vm-6", "vm-6"));
}
