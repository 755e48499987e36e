//! Which of the tools are offered: what the settings choose, and what a caller may do.

use std::collections::BTreeSet;

use crate::{
    Permission, Toolset,
    permission::Facts,
    settings::{self, SettingsError},
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
    /// Leaves out all that changes something, whatever else is said.
    pub(crate) read_only: bool,
}

impl Offer {
    /// Why a tool is not offered, or `None` where it is.
    pub(crate) fn refusal(&self, tool: &str, facts: &Facts) -> Option<String> {
        if self.read_only && facts.permission != Permission::ReadOnly {
            return Some(format!("{tool} changes something, and this server only reads ({})", settings::READ_ONLY));
        }
        if self.excluded.contains(tool) {
            return Some(format!("{tool} is not offered by this server ({})", settings::EXCLUDE_TOOLS));
        }
        if self.toolsets.is_empty() && self.tools.is_empty() {
            return None;
        }
        if self.toolsets.contains(&facts.toolset) || self.tools.contains(tool) {
            return None;
        }
        Some(format!(
            "{tool} belongs to the toolset {}, which this server does not offer ({}, {})",
            facts.toolset,
            settings::TOOLSETS,
            settings::TOOLS
        ))
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
        self.tools = all(settings::TOOLS, self.tools)?;
        self.excluded = all(settings::EXCLUDE_TOOLS, self.excluded)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(toolset: Toolset, permission: Permission) -> Facts {
        Facts { permission, toolset, aliases: Vec::new(), destructive: false }
    }

    #[test]
    fn toolsets_and_tools_add_up_and_the_rest_takes_away() {
        let power = facts(Toolset::Power, Permission::PowerOps);
        let list = facts(Toolset::Vm, Permission::ReadOnly);
        let all = Offer::default();
        assert_eq!(all.refusal("power_on_vm", &power), None);
        let some = Offer {
            toolsets: [Toolset::Vm].into(),
            tools: ["power_on_vm".to_owned()].into(),
            ..Offer::default()
        };
        assert_eq!(some.refusal("list_vms", &list), None);
        assert_eq!(some.refusal("power_on_vm", &power), None);
        assert!(some.refusal("power_off_vm", &power).unwrap().contains("MCP_TOOLSETS"));
        let without = Offer { excluded: ["list_vms".to_owned()].into(), ..some.clone() };
        assert!(without.refusal("list_vms", &list).unwrap().contains("MCP_EXCLUDE_TOOLS"));
        let reading = Offer { read_only: true, ..some };
        assert!(reading.refusal("power_on_vm", &power).unwrap().contains("MCP_READ_ONLY"));
        assert_eq!(reading.refusal("list_vms", &list), None);
    }
}
