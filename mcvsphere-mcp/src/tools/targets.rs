//! Arguments that say which machines a tool is about, the same for all tools.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{ToolError, error::Result};

/// One machine, and nothing besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneVm {
    /// Virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    pub(super) vm: String,
}

/// One machine or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VmTargets {
    /// One virtual machine: name, path or id.
    #[serde(alias = "name", alias = "vm_name")]
    pub(super) vm: Option<String>,
    /// Several at once.
    #[serde(alias = "names", alias = "vm_names")]
    pub(super) vms: Option<Vec<String>>,
}

impl VmTargets {
    pub(super) fn vms(self) -> Result<Vec<String>> {
        let mut vms = self.vms.unwrap_or_default();
        vms.extend(self.vm);
        if vms.is_empty() {
            return Err(ToolError::invalid_argument("`vm` or `vms` is needed: which machines?"));
        }
        Ok(vms)
    }
}

/// One host, which need not be named where there is only one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneHost {
    /// Host: name, path or id; optional where there is one.
    #[serde(alias = "name", alias = "host_name")]
    pub(super) host: Option<String>,
}
