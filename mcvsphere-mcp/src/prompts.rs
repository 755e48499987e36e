//! Prompts: runbooks that the user picks and a model follows with the tools.

use rmcp::{
    ErrorData,
    model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role},
};
use serde_json::json;

use crate::text::quoted;

/// A runbook.
struct Runbook {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    arguments: &'static [Argument],
    /// The tools that its text names: it is offered to callers who may call all of them.
    tools: &'static [&'static str],
    text: fn(&Given<'_>) -> String,
}

/// An argument of a runbook. Its name says which kind of object completes it.
struct Argument {
    name: &'static str,
    description: &'static str,
    required: bool,
}

const RUNBOOKS: [Runbook; 3] = [
    Runbook {
        name: "snapshot-before-change",
        title: "Snapshot before a change",
        description: "Change a VM so that the change can be undone",
        arguments: &[
            Argument { name: "vm", description: "The VM", required: true },
            Argument { name: "change", description: "The change, in your words", required: true },
        ],
        tools: &["get_vm_info", "get_datastore_info", "create_snapshot", "list_snapshots", "revert_to_snapshot"],
        text: |given| {
            format!(
                "Change the VM {vm} so that the change can be undone. The change: {change}\n\n\
                 1. Read the VM with get_vm_info. Stop and tell me if it has snapshots already, or if one of its \
                 datastores has less free space than a tenth of its disks (get_datastore_info shows it).\n\
                 2. Take a snapshot with create_snapshot, named after the change and today's date, without memory, and \
                 quiesced if VMware Tools run. Check with list_snapshots that it exists.\n\
                 3. Make the change. Change nothing else.\n\
                 4. Check the VM with get_vm_info, and ask me whether the programs on it work.\n\
                 5. If they do, ask me whether to delete the snapshot: snapshots grow, and slow a VM down. If they do \
                 not, propose revert_to_snapshot, and call it only if I agree.",
                vm = given.get("vm"),
                change = given.get("change"),
            )
        },
    },
    Runbook {
        name: "health-check",
        title: "Health check",
        description: "Find present and coming problems, and change nothing",
        arguments: &[Argument {
            name: "cluster",
            description: "Only this cluster; the whole inventory by default",
            required: false,
        }],
        tools: &["get_vcenter_info", "list_hosts", "get_datastore_info", "get_alarms", "get_recent_events", "list_vms"],
        text: |given| {
            let scope = match given.find("cluster") {
                Some(cluster) => format!("the cluster {cluster}"),
                None => "the whole inventory".to_owned(),
            };
            format!(
                "Check the health of {scope}. Only read; change nothing.\n\n\
                 1. get_vcenter_info: the product and version, and whether the clock is right.\n\
                 2. list_hosts: hosts that are disconnected, in maintenance mode, or low on CPU or memory.\n\
                 3. esxi://datastores: datastores that are inaccessible, or have less than 15 % free.\n\
                 4. get_alarms and get_recent_events for the last 24 hours: red and yellow alarms, and events that \
                 repeat.\n\
                 5. list_vms: VMs that are suspended, or powered on without an IP address.\n\
                 6. Report what needs attention, the most urgent first. State for each the object's name and id, what you \
                 found, and what you would do. Name what you could not read. If nothing is wrong, say so in one sentence."
            )
        },
    },
    Runbook {
        name: "deploy-from-template",
        title: "Deploy from a template",
        description: "Deploy a VM from a template, and check that it runs",
        arguments: &[
            Argument { name: "template", description: "The template", required: true },
            Argument { name: "new_name", description: "The name of the new VM", required: true },
            Argument {
                name: "datastore",
                description: "The datastore of its disks; by default the one with most free space",
                required: false,
            },
            Argument {
                name: "network",
                description: "The network of its first adapter; by default that of the template",
                required: false,
            },
        ],
        tools: &[
            "list_templates",
            "list_vms",
            "get_datastore_info",
            "deploy_from_template",
            "change_nic_network",
            "power_on_vm",
            "wait_for_vm_tools",
        ],
        text: |given| {
            let datastore = match given.find("datastore") {
                Some(datastore) => format!("the datastore {datastore}"),
                None => "the accessible datastore with most free space".to_owned(),
            };
            let network = match given.find("network") {
                Some(network) => format!("Connect its first adapter to {network} with change_nic_network, and power"),
                None => "Power".to_owned(),
            };
            format!(
                "Deploy the VM {new_name} from the template {template}.\n\n\
                 1. Check with list_templates that exactly one template has this name, and with list_vms that no VM has \
                 the new name. Otherwise stop and ask me.\n\
                 2. Check in esxi://datastores that its disks fit on {datastore} and leave 15 % free.\n\
                 3. Deploy it there with deploy_from_template, powered off.\n\
                 4. {network} it on with power_on_vm.\n\
                 5. Wait with wait_for_vm_tools, and report name, id, host, datastore, network and IP address. If VMware \
                 Tools do not start, say so; do not retry on your own.",
                new_name = given.get("new_name"),
                template = given.get("template"),
            )
        },
    },
];

/// The arguments that were given.
struct Given<'a>(&'a JsonObject);

impl Given<'_> {
    fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().map(str::trim).filter(|value| !value.is_empty())
    }

    /// One that is required, and was checked to be there.
    fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }
}

impl Runbook {
    /// The first of its tools that is not offered.
    fn lacks(&self, offered: impl Fn(&str) -> bool) -> Option<&'static str> {
        self.tools.iter().copied().find(|tool| !offered(tool))
    }
}

/// The runbooks whose tools are all offered.
pub(crate) fn all(offered: impl Fn(&str) -> bool) -> Vec<Prompt> {
    let prompt = |runbook: &Runbook| {
        let argument = |argument: &Argument| {
            PromptArgument::new(argument.name).with_description(argument.description).with_required(argument.required)
        };
        let arguments = runbook.arguments.iter().map(argument).collect();
        Prompt::new(runbook.name, Some(runbook.description), Some(arguments)).with_title(runbook.title)
    };
    RUNBOOKS.iter().filter(|runbook| runbook.lacks(&offered).is_none()).map(prompt).collect()
}

/// The runbook of this name.
fn find(name: &str, offered: impl Fn(&str) -> bool) -> Result<&'static Runbook, ErrorData> {
    let Some(runbook) = RUNBOOKS.iter().find(|runbook| runbook.name == name) else {
        let usable = RUNBOOKS.iter().filter(|runbook| runbook.lacks(&offered).is_none());
        let names: Vec<&str> = usable.map(|runbook| runbook.name).collect();
        let message = format!("there is no prompt {}: there are {}", quoted(name), names.join(", "));
        return Err(ErrorData::invalid_params(message, None));
    };
    match runbook.lacks(&offered) {
        Some(tool) => Err(ErrorData::invalid_request(
            format!("the prompt {name} needs the tool {tool}, which is not offered"),
            Some(json!({ "code": "not_offered" })),
        )),
        None => Ok(runbook),
    }
}

/// Whether there is a runbook of this name.
pub(crate) fn exists(name: &str) -> bool {
    RUNBOOKS.iter().any(|runbook| runbook.name == name)
}

/// Whether a runbook is offered.
///
/// # Errors
/// There is no such runbook, or it needs a tool that is not offered.
pub(crate) fn check(name: &str, offered: impl Fn(&str) -> bool) -> Result<(), ErrorData> {
    find(name, offered).map(drop)
}

/// A runbook, filled in.
///
/// # Errors
/// There is no such runbook, it needs a tool that is not offered, an argument is missing, or one is unknown.
pub(crate) fn get(
    name: &str,
    arguments: Option<JsonObject>,
    offered: impl Fn(&str) -> bool,
) -> Result<GetPromptResult, ErrorData> {
    let wrong = |text: String| ErrorData::invalid_params(text, None);
    let runbook = find(name, offered)?;
    let arguments = arguments.unwrap_or_default();
    let given = Given(&arguments);
    if let Some(unknown) = arguments.keys().find(|key| runbook.arguments.iter().all(|known| known.name != key.as_str()))
    {
        return Err(wrong(format!("{name} has no argument `{unknown}`")));
    }
    if let Some(missing) = runbook.arguments.iter().find(|known| known.required && given.find(known.name).is_none()) {
        return Err(wrong(format!("{name} needs the argument `{}`", missing.name)));
    }
    let message = PromptMessage::new_text(Role::User, (runbook.text)(&given));
    Ok(GetPromptResult::new(vec![message]).with_description(runbook.description))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, arguments: serde_json::Value) -> Result<String, String> {
        let got = get(name, arguments.as_object().cloned(), |_| true).map_err(|error| error.message.into_owned())?;
        Ok(json!(got)["messages"][0]["content"]["text"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_runbook_holds_what_was_given() {
        let filled = text("snapshot-before-change", json!({ "vm": "web-1", "change": "8 GB of memory" })).unwrap();
        assert!(filled.contains("the VM web-1 so") && filled.contains("8 GB of memory"), "{filled}");
        assert!(text("health-check", json!({})).unwrap().contains("whole inventory"));
        let deployed = text("deploy-from-template", json!({ "template": "golden", "new_name": "web-9" })).unwrap();
        assert!(deployed.contains("web-9 from the template golden") && !deployed.contains("change_nic_network"));
    }

    #[test]
    fn a_runbook_names_just_the_tools_that_it_says_it_needs() {
        let catalog = crate::tools::all();
        for runbook in &RUNBOOKS {
            let given: serde_json::Map<_, _> =
                runbook.arguments.iter().map(|argument| (argument.name.to_owned(), json!("x"))).collect();
            let filled = (runbook.text)(&Given(&given));
            let words: Vec<&str> = filled.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).collect();
            for tool in &catalog {
                let named = words.contains(&tool.name);
                // The resource is offered with the tools of its family, of which this is one.
                let resource = tool.name == "get_datastore_info" && filled.contains("esxi://datastores");
                assert_eq!(runbook.tools.contains(&tool.name), named || resource, "{} and {}", runbook.name, tool.name);
            }
            assert!(all(|tool| !runbook.tools.contains(&tool)).iter().all(|prompt| prompt.name != runbook.name));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(text("health", json!({})).unwrap_err().contains("health-check"));
        assert!(text("snapshot-before-change", json!({ "vm": "a" })).unwrap_err().contains("`change`"));
        assert!(text("health-check", json!({ "cat": "a" })).unwrap_err().contains("`cat`"));
    }
}
