//! Which of the tools are offered, and before which the user is asked: what the settings choose.

use std::collections::BTreeSet;

use crate::{
    Toolset,
    confirm::{Mode, MostObjects},
    permission::{Effect, Spec},
    settings::{SettingsError, name},
};

/// What the settings choose of all tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The families; with none and no tools named, all.
    pub(crate) toolsets: BTreeSet<Toolset>,
    /// Tools by name, besides those of the families.
    pub(crate) tools: BTreeSet<String>,
    /// Tools that are left out, whatever else is said.
    pub(crate) excluded: BTreeSet<String>,
    /// Leaves out all tools that change something, whatever else is said.
    pub(crate) read_only: bool,
    /// When the user is asked before a change.
    pub(crate) confirm: Mode,
    /// Tools before which the user is not asked.
    pub(crate) unasked: BTreeSet<String>,
    /// The most objects that one call may destroy.
    pub(crate) max_objects: MostObjects,
}

impl Offer {
    /// Why a tool is not offered, or `None` where it is.
    pub(crate) fn refusal(&self, tool: &str, spec: &Spec) -> Option<String> {
        // What a call does that may only look is judged by the call.
        if self.read_only && spec.effect != Effect::Reads && !spec.by_call {
            return Some(format!("{tool} changes something, and this server only reads ({})", name::MCP_READ_ONLY));
        }
        if self.excluded.contains(tool) {
            return Some(format!("{tool} is not offered by this server ({})", name::MCP_EXCLUDE_TOOLS));
        }
        if self.toolsets.is_empty() && self.tools.is_empty() && !spec.toolset.is_extra() {
            return None;
        }
        if self.toolsets.contains(&spec.toolset) || self.tools.contains(tool) {
            return None;
        }
        Some(format!(
            "{tool} belongs to the toolset {}, which this server does not offer ({}, {})",
            spec.toolset,
            name::MCP_TOOLSETS,
            name::MCP_TOOLS
        ))
    }

    /// Whether anything of this family is offered: all of it, or a tool that is named.
    pub(crate) fn has(&self, toolset: Toolset, of: impl Fn(&str) -> Option<Toolset>) -> bool {
        (self.toolsets.is_empty() && self.tools.is_empty() && !toolset.is_extra())
            || self.toolsets.contains(&toolset)
            || self.tools.iter().any(|tool| of(tool) == Some(toolset))
    }

    /// The same with present names in the place of older ones.
    ///
    /// # Errors
    /// [`SettingsError`] for a name that no tool has.
    pub(crate) fn resolved<'a>(
        mut self,
        resolve: impl Fn(&str) -> Option<&'a str>,
        nearest: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, SettingsError> {
        let all = |setting: &'static str, names: BTreeSet<String>| -> Result<BTreeSet<String>, SettingsError> {
            let present = names.into_iter().map(|name| match resolve(&name) {
                Some(present) => Ok(present.to_owned()),
                None => Err(SettingsError::unknown(setting, "tool", &name, nearest(&name))),
            });
            present.collect()
        };
        self.tools = all(name::MCP_TOOLS, self.tools)?;
        self.excluded = all(name::MCP_EXCLUDE_TOOLS, self.excluded)?;
        self.unasked = all(name::MCP_CONFIRM_ALLOW, self.unasked)?;
        Ok(self)
    }

    /// Whether the user is asked before this tool acts.
    pub(crate) fn asks_before(&self, tool: &str, spec: &Spec) -> bool {
        match self.confirm {
            Mode::Always => spec.effect != Effect::Reads,
            Mode::Ask => spec.asks && !self.unasked.contains(tool),
            Mode::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Permission;

    fn changes(toolset: Toolset) -> Spec {
        Spec::new(toolset, Permission::PowerOps, Effect::Vsphere)
    }

    #[test]
    fn toolsets_and_tools_add_up_and_the_rest_takes_away() {
        let power = changes(Toolset::Power);
        let list = Spec::new(Toolset::Vm, Permission::ReadOnly, Effect::Reads);
        let all = Offer::default();
        assert_eq!(all.refusal("power_on_vm", &power), None);
        let some =
            Offer { toolsets: [Toolset::Vm].into(), tools: ["power_on_vm".to_owned()].into(), ..Offer::default() };
        assert_eq!(some.refusal("list_vms", &list), None);
        assert_eq!(some.refusal("power_on_vm", &power), None);
        assert!(some.refusal("power_off_vm", &power).unwrap().contains("MCP_TOOLSETS"));
        let without = Offer { excluded: ["list_vms".to_owned()].into(), ..some.clone() };
        assert!(without.refusal("list_vms", &list).unwrap().contains("MCP_EXCLUDE_TOOLS"));
        let reading = Offer { read_only: true, ..some };
        assert!(reading.refusal("power_on_vm", &power).unwrap().contains("MCP_READ_ONLY"));
        assert_eq!(reading.refusal("list_vms", &list), None);
    }

    #[test]
    fn read_only_goes_by_the_effect_and_not_by_the_level() {
        let reading = Offer { read_only: true, ..Offer::default() };
        let spec = |permission, effect| Spec::new(Toolset::Guest, permission, effect);
        assert_eq!(reading.refusal("read_guest_file", &spec(Permission::FullAdmin, Effect::Reads)), None);
        for effect in [Effect::Vsphere, Effect::Guest, Effect::LocalFile] {
            assert!(reading.refusal("download", &spec(Permission::ReadOnly, effect)).is_some(), "{effect:?}");
        }
    }

    #[test]
    fn a_tool_asks_when_it_says_so_unless_it_is_allowed() {
        let off = Spec { asks: true, ..changes(Toolset::Power) };
        let on = changes(Toolset::Power);
        let list = Spec::new(Toolset::Vm, Permission::ReadOnly, Effect::Reads);
        let asked = |offer: &Offer| {
            [("power_off_vm", &off), ("power_on_vm", &on), ("list_vms", &list)]
                .map(|(tool, facts)| offer.asks_before(tool, facts))
        };
        let usual = Offer::default();
        assert_eq!(asked(&usual), [true, false, false]);
        let allowed = Offer { unasked: ["power_off_vm".to_owned()].into(), ..usual.clone() };
        assert_eq!(asked(&allowed), [false, false, false]);
        assert_eq!(asked(&Offer { confirm: Mode::Always, ..allowed }), [true, true, false]);
        assert_eq!(asked(&Offer { confirm: Mode::Never, ..usual }), [false, false, false]);
    }
}
