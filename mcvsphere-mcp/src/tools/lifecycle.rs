//! The life of VMs: made, changed, turned into templates and back, deleted.

use futures::stream::{self, StreamExt as _};
use serde_json::json;
use vsphere_ops::{
    customization::Identity,
    managed::virtual_machine,
    placement::Placement,
    several::Report,
    types::VirtualMachinePowerState::{PoweredOff, PoweredOn},
    vm::{
        self, Changes, CloneKind, Customization, Deletion, Firmware, NewClone, NewVm, Provisioning, Reconfiguration,
        Reconfigured, Renamed, Start, TemplateSummary, VmReport,
    },
};

use super::prelude::*;

/// What it takes to put a new VM somewhere.
const PLACING: &[&str] =
    &["VirtualMachine.Config.AddNewDisk", "Datastore.AllocateSpace", "Network.Assign", "Resource.AssignVMToPool"];

/// What it takes to make a VM from another one or a template.
const COPYING: &[&str] = &[
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Interact.PowerOn",
];

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::adds("create_vm", Vm, VmLifecycle, "Create VMs", create_vm)
            .about(
                "Create VMs with one disk (pvscsi) and one network adapter (vmxnet3), without an operating system. \
                 They stay powered off.",
            )
            .needs(PLACING)
            .needs(&["VirtualMachine.Inventory.Create"]),
        Tool::adds("clone_vm", Vm, VmLifecycle, "Clone a VM", clone_vm)
            .about(
                "Clone a VM or template, once or several times. A linked clone takes seconds, and depends on the snapshot of its source \
                 from then on.",
            )
            .long()
            .needs(PLACING)
            .needs(COPYING)
            .needs(&[
                "VirtualMachine.Provisioning.Clone",
                "VirtualMachine.Provisioning.Customize",
                "VirtualMachine.Provisioning.ReadCustSpecs",
            ]),
        Tool::adds("deploy_from_template", Vm, VmLifecycle, "Deploy from a template", deploy_from_template)
            .about("Deploy VMs from a template; clone_vm also clones VMs and snapshots.")
            .long()
            .needs(PLACING)
            .needs(COPYING),
        Tool::changes("delete_vm", Vm, VmLifecycle, "Delete VMs", delete_vm)
            .about("Delete VMs or templates with their files and snapshots. Running VMs are powered off first.")
            .long()
            .needs(&["VirtualMachine.Inventory.Delete", "VirtualMachine.Interact.PowerOff"])
            .idempotent()
            .asks(),
        Tool::changes("reconfigure_vm", Vm, VmLifecycle, "Reconfigure VMs", reconfigure_vm)
            .about(
                "Change CPUs, memory, note or hot-add of VMs; returns each value before and after. While one runs, \
                 CPUs and memory can only grow, and only with hot-add on.",
            )
            .needs(&[
                "VirtualMachine.Config.CPUCount",
                "VirtualMachine.Config.Memory",
                "VirtualMachine.Config.Annotation",
                "VirtualMachine.Config.Settings",
            ])
            .idempotent()
            .asks(),
        Tool::changes("rename_vm", Vm, VmLifecycle, "Rename a VM", rename_vm)
            .about("Rename a VM or template. Its files keep their names.")
            .needs(&["VirtualMachine.Config.Rename"])
            .idempotent(),
        Tool::changes("convert_to_template", Vm, VmLifecycle, "Convert to a template", convert_to_template)
            .about(
                "Convert a powered-off VM to a template. It leaves its resource pool and cannot run until it is \
                 converted back.",
            )
            .needs(&["VirtualMachine.Provisioning.MarkAsTemplate"])
            .idempotent()
            .asks(),
        Tool::changes("convert_to_vm", Vm, VmLifecycle, "Convert to a VM", convert_to_vm)
            .about("Convert a template back to a VM, which can be powered on.")
            .needs(&["VirtualMachine.Provisioning.MarkAsVM", "Resource.AssignVMToPool"])
            .idempotent()
            .asks(),
        Tool::reads("list_templates", Vm, "List templates", list_templates).about("List templates."),
    ]
}

async fn create_vm(args: CreateVm, cx: Cx) -> Result<Either<Object<VmReport>, Batch<VmReport>>> {
    let names = args.names.all(args.name.map(Into::into), "name")?;
    let new = NewVm {
        cpu: args.cpu,
        memory_mb: args.memory_mb,
        disk_gb: args.disk_gb,
        provisioning: if args.thin { Provisioning::Thin } else { Provisioning::Thick },
        guest_id: args.guest_id,
        firmware: args.firmware,
        network: args.network,
        placement: args.place.placement(&cx),
        name: String::new(),
    };
    let client = cx.client().await?;
    let question = format!("Create {}?", names.shown());
    // Nothing is lost where nothing was.
    cx.agreed(async || Ok(((), Preview::new(&question).object(cx.arguments_shown())?.harmless()))).await?;
    names.each(&cx, |name| async { vm::create(&client, &NewVm { name, ..new.clone() }).await }).await
}

async fn clone_vm(args: CloneVm, cx: Cx) -> Result<Either<Object<VmReport>, Batch<VmReport>>> {
    let names = args.names.all(args.new_name.map(Into::into), "new_name")?;
    let new = NewClone {
        source: args.template,
        kind: if args.linked { CloneKind::Linked } else { CloneKind::Full },
        snapshot: args.snapshot,
        customization: args.guest.customization(&names)?,
        provisioning: args.disks.provisioning(),
        start: start(args.power_on),
        placement: args.place.placement(&cx),
        ..NewClone::of("")
    };
    let client = cx.client().await?;
    let question = format!("Make {} as a clone of", names.shown());
    let source = cx.agreed(|| source_preview(&cx, &question, &new.source)).await?;
    let new = NewClone { source: source.id().to_owned(), ..new };
    names.each(&cx, |name| async { vm::clone(&client, &NewClone { name, ..new.clone() }).await }).await
}

async fn deploy_from_template(args: Deploy, cx: Cx) -> Result<Either<Object<VmReport>, Batch<VmReport>>> {
    let names = args.names.all(args.new_name.map(Into::into), "new_name")?;
    let new = NewClone {
        start: start(args.power_on),
        customization: args.guest.customization(&names)?,
        provisioning: args.disks.provisioning(),
        placement: args.place.placement(&cx),
        ..NewClone::of(&args.template)
    };
    let client = cx.client().await?;
    let question = format!("Make {} from the template", names.shown());
    let source = cx.agreed(|| source_preview(&cx, &question, &new.source)).await?;
    let new = NewClone { source: source.id().to_owned(), ..new };
    names.each(&cx, |name| async { vm::deploy(&client, &NewClone { name, ..new.clone() }).await }).await
}

async fn delete_vm(args: Vms, cx: Cx) -> Result<Either<Object<vm::Deleted>, Batch<vm::Deleted>>> {
    let deletions = Change::new("Delete, with all their files,", deletion_preview).destroys();
    deletions.carry_out(&cx, args, |vm| async move { vm.deletion().await }, Deletion::carry_out).await
}

async fn reconfigure_vm(args: ReconfigureVm, cx: Cx) -> Result<Either<Object<Reconfigured>, Batch<Reconfigured>>> {
    let changes = Changes {
        cpu: args.cpu,
        cores_per_socket: args.cores_per_socket,
        memory_mb: args.memory_mb,
        annotation: args.annotation.map(Into::into),
        cpu_hot_add: args.cpu_hot_add,
        memory_hot_add: args.memory_hot_add,
    };
    let changes = &changes;
    let plan = |vm: Mo<VirtualMachine>| async move { vm.reconfiguration(changes).await };
    let reconfigurations = Change::new("Reconfigure", reconfigure_preview);
    reconfigurations.carry_out(&cx, args.vms, plan, Reconfiguration::carry_out).await
}

async fn rename_vm(args: RenameVm, cx: Cx) -> Result<Object<Renamed>> {
    let vm = cx.agreed_change("Rename", &args.vm).await?;
    Ok(Object(vm.rename_to(&args.new_name).await?))
}

async fn convert_to_template(args: OneVm, cx: Cx) -> Result<Object<VmReport>> {
    let vm = cx.agreed(|| conversion(&cx, &args.vm, Kind::Template)).await?;
    Ok(Object(vm.make_template().await?))
}

async fn convert_to_vm(args: ConvertToVm, cx: Cx) -> Result<Object<VmReport>> {
    let vm = cx.agreed(|| conversion(&cx, &args.template, Kind::Vm)).await?;
    let defaults = cx.defaults().clone();
    let placement = Placement { pool: args.pool, host: args.host, defaults, ..Placement::default() };
    Ok(Object(vm.make_vm(&placement).await?))
}

async fn list_templates(args: ListTemplates, cx: Cx) -> Result<Listed<TemplateSummary>> {
    let (query, fields) = args.paging.open(&cx)?;
    Ok(cx.page(vm::templates(&cx.client().await?, &query).await?, fields))
}

/// The names of several new VMs.
#[derive(Debug, Deserialize, JsonSchema)]
struct Names {
    /// Several names, in place of one.
    names: Option<Vec<String>>,
    /// How many, numbered from NAME-01.
    count: Option<usize>,
}

/// The most VMs that one call makes.
const MOST_NEW: usize = 50;

/// How many VMs are made at a time.
const NEW_AT_ONCE: usize = 8;

impl Names {
    /// All names, of which `one` was given in the argument of this name.
    fn all(self, one: Option<String>, argument: &str) -> Result<NewNames> {
        let given = |text: String| Err(ToolError::invalid_argument(text));
        match (one, self.names, self.count) {
            (Some(name), None, None) => Ok(NewNames::One(name)),
            (Some(_), Some(_), _) => given(format!("`{argument}` and `names` are both given: give one of them")),
            (_, Some(_), Some(_)) => given(format!("`count` goes with `{argument}`, not with `names`")),
            (None, None, _) => given(format!("`{argument}` or `names` is needed: what are the new VMs called?")),
            (Some(name), None, Some(count)) => {
                let count = in_range("count", Some(count), 1, MOST_NEW)?;
                Ok(NewNames::Several((1..=count).map(|number| format!("{name}-{number:02}")).collect()))
            }
            (None, Some(names), None) => {
                in_range("the number of names", Some(names.len()), 1, MOST_NEW)?;
                match names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|other| other == *name)) {
                    Some((_, twice)) => given(format!("{} is given twice", quoted(twice))),
                    None => Ok(NewNames::Several(names)),
                }
            }
        }
    }
}

/// What new VMs are called.
enum NewNames {
    One(String),
    Several(Vec<String>),
}

impl NewNames {
    /// The VMs as a question names them.
    fn shown(&self) -> String {
        match self {
            Self::One(name) => format!("the virtual machine {}", quoted(name)),
            Self::Several(names) => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                format!("{} virtual machines ({})", names.len(), names.join(", "))
            }
        }
    }

    /// Makes each, several at a time.
    async fn each<F>(self, cx: &Cx, make: impl Fn(String) -> F) -> Result<Either<Object<VmReport>, Batch<VmReport>>>
    where
        F: Future<Output = vsphere_ops::Result<VmReport>>,
    {
        let names = match self {
            Self::One(name) => return Ok(Either::One(Object(make(name).await?))),
            Self::Several(names) => names,
        };
        cx.expect_tasks(names.len());
        let work: Vec<_> = names
            .into_iter()
            .map(|name| {
                let made = make(name.clone());
                async move {
                    let outcome = made.await;
                    Report { vm: name, id: None, outcome }
                }
            })
            .collect();
        Ok(Either::Other(Batch(stream::iter(work).buffered(NEW_AT_ONCE).collect().await)))
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CreateVm {
    name: Option<NewName>,
    #[serde(flatten)]
    names: Names,
    /// Virtual CPUs.
    #[serde(default = "number::<2, i32>")]
    cpu: i32,
    /// Memory in MiB.
    #[serde(default = "number::<4096, i64>")]
    memory_mb: i64,
    /// Size of the disk.
    #[serde(default = "number::<20, i64>")]
    disk_gb: i64,
    /// Network or distributed port group.
    network: Option<String>,
    /// Guest OS, such as ubuntu64Guest.
    #[serde(default = "any_guest")]
    guest_id: String,
    #[serde(flatten)]
    place: Place,
    /// By default what suits guest_id.
    firmware: Option<Firmware>,
    /// Allocate disk space on demand.
    #[serde(default = "yes")]
    thin: bool,
}

fn any_guest() -> String {
    "otherGuest64".to_owned()
}

fn yes() -> bool {
    true
}

/// Where a new VM goes.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Place {
    /// Or datastore cluster; by default the source's or the one with most space.
    datastore: Option<String>,
    /// By default that of the source or datacenter.
    folder: Option<String>,
    /// By default that of the source, host or cluster.
    pool: Option<String>,
    /// By default vSphere chooses.
    host: Option<String>,
}

impl Place {
    pub(super) fn placement(self, cx: &Cx) -> Placement {
        let Self { datastore, folder, pool, host } = self;
        Placement { folder, pool, host, datastore, defaults: cx.defaults().clone() }
    }
}

/// How the space of cloned disks is taken.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Disks {
    #[default]
    Same,
    Thin,
    Thick,
}

impl Disks {
    fn provisioning(self) -> Option<Provisioning> {
        match self {
            Self::Same => None,
            Self::Thin => Some(Provisioning::Thin),
            Self::Thick => Some(Provisioning::Thick),
        }
    }
}

/// How the guest of a clone is made different from that of its source.
#[derive(Debug, Deserialize, JsonSchema)]
struct NewGuest {
    /// Customization specification kept by vCenter; or else:
    customization: Option<String>,
    /// The VM's name by default.
    hostname: Option<String>,
    /// As 10.1.20.31/24; DHCP by default.
    ip: Option<String>,
    /// Of ip's network.
    gateway: Option<String>,
    /// Name servers.
    dns: Option<Vec<String>>,
}

impl NewGuest {
    fn customization(self, names: &NewNames) -> Result<Option<Customization>> {
        let Self { customization, hostname, ip, gateway, dns } = self;
        let dns = dns.unwrap_or_default();
        let is_plain = hostname.is_none() && ip.is_none() && gateway.is_none() && dns.is_empty();
        match (customization, names) {
            (Some(_), _) if !is_plain => Err(ToolError::invalid_argument(
                "`customization` says what `hostname`, `ip`, `gateway` and `dns` would: give it or these",
            )),
            (kept, _) if is_plain => Ok(kept.map(Customization::Kept)),
            (_, NewNames::Several(_)) if hostname.is_some() || ip.is_some() => Err(ToolError::invalid_argument(
                "`hostname` and `ip` are those of one VM: make each with a call of its own",
            )),
            _ => Ok(Some(Customization::Identity(Identity { host_name: hostname, address: ip, gateway, dns }))),
        }
    }
}

fn start(power_on: bool) -> Start {
    if power_on { Start::On } else { Start::Off }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct CloneVm {
    /// Template or VM.
    template: String,
    new_name: Option<NewName>,
    #[serde(flatten)]
    names: Names,
    /// Power it on afterwards.
    #[serde(default)]
    power_on: bool,
    #[serde(flatten)]
    place: Place,
    /// Store only the differences to a snapshot.
    #[serde(default)]
    linked: bool,
    /// Name, path or id; if linked, the current one by default.
    snapshot: Option<String>,
    /// How their space is taken; same as the source's by default.
    #[serde(default)]
    disks: Disks,
    #[serde(flatten)]
    guest: NewGuest,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Deploy {
    template: TemplateName,
    new_name: Option<NewName>,
    #[serde(flatten)]
    names: Names,
    #[serde(flatten)]
    place: Place,
    /// Power it on afterwards.
    #[serde(default)]
    power_on: bool,
    /// How their space is taken; same as the source's by default.
    #[serde(default)]
    disks: Disks,
    #[serde(flatten)]
    guest: NewGuest,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ConvertToVm {
    template: TemplateName,
    /// By default that of its host or cluster.
    pool: Option<String>,
    /// By default vSphere chooses.
    host: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ReconfigureVm {
    #[serde(flatten)]
    vms: Vms,
    /// Virtual CPUs.
    cpu: Option<i32>,
    /// Must divide cpu.
    cores_per_socket: Option<i32>,
    /// Memory in MiB, a multiple of 4.
    memory_mb: Option<i64>,
    /// The note; an empty one removes it.
    annotation: Option<Text>,
    /// Whether CPUs can be added while it runs.
    cpu_hot_add: Option<bool>,
    /// Whether memory can be added while it runs.
    memory_hot_add: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RenameVm {
    vm: VmName,
    /// The new name, unique in its folder.
    new_name: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ListTemplates {
    #[serde(flatten)]
    paging: Paging<TemplateSummary>,
}

/// What deleting this VM would lose.
fn deletion_preview(lost: &Deletion) -> Result<Preview> {
    let kind = if lost.template { "template" } else { "virtual machine" };
    let mut preview = Preview::new(format!("Delete the {kind} {} with all its files?", quoted(&lost.path)));
    if lost.power_state == PoweredOn {
        preview = preview.note("It runs, and will be powered off like pulling the plug.");
    }
    if !lost.linked_clones.is_empty() {
        let clones: Vec<String> = lost.linked_clones.iter().map(|name| quoted(name)).collect();
        let clones = clones.join(", ");
        preview = preview.note(format!("Linked clones stand on its disks and may break: {clones}."));
    }
    for part in &lost.gaps.missing {
        preview = preview.note(format!("Not known: {} ({}).", part.what, one_line(&part.why)));
    }
    preview.object(lost)?.bind(lost.change_version())
}

/// What a VM is converted to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Template,
    Vm,
}

/// What a conversion would end: nothing where the VM is of that kind already, or where it can't be converted.
async fn conversion(cx: &Cx, vm: &str, to: Kind) -> Result<(Mo<VirtualMachine>, Preview)> {
    let vm: Mo<VirtualMachine> = cx.client().await?.get(vm).await?;
    let (question, note) = match to {
        Kind::Template => (
            "Convert to a template:",
            "It leaves its resource pool, and can't be powered on until it is a virtual machine again.",
        ),
        Kind::Vm => (
            "Convert to a virtual machine:",
            "Nothing can be deployed from it until it is a template again, and changes in it are there to stay.",
        ),
    };
    let preview = cx.change_of(question, [&vm]).await?.note(note);
    if !cx.asks() {
        return Ok((vm, preview));
    }
    // Bound, the version voids the answer when anything about the VM was changed meanwhile, also what is not shown.
    let (is_template, state, version) =
        vm.read((virtual_machine::IS_TEMPLATE, virtual_machine::POWER_STATE, virtual_machine::CHANGE_VERSION)).await?;
    let preview = match is_template == (to == Kind::Template) || state != PoweredOff {
        true => preview.harmless(),
        false => preview.bind(version)?,
    };
    Ok((vm, preview))
}

/// What is shown of the VM or template that another is made of.
async fn source_preview(cx: &Cx, change: &str, source: &str) -> Result<(Mo<VirtualMachine>, Preview)> {
    let vm: Mo<VirtualMachine> = cx.client().await?.get(source).await?;
    let preview = cx.change_of(change, [&vm]).await?.harmless();
    Ok((vm, preview))
}

/// What a reconfiguration replaces. A note that is lost is asked about.
fn reconfigure_preview(plan: &Reconfiguration) -> Result<Preview> {
    let mut preview = Preview::new(format!("Reconfigure {}?", quoted(plan.vm())));
    if plan.differences.is_empty() {
        preview = preview.note("It is so already.");
    }
    if let Some(obstacle) = plan.obstacle() {
        preview = preview.note(format!("Will fail: {obstacle}."));
    }
    let shown = json!({ "name": plan.vm(), "id": plan.id(), "changes": plan.differences });
    let preview = preview.object(shown)?.bind(plan.change_version())?;
    let loses = |new: &String| plan.annotation.as_ref().is_some_and(|note| *note != new.as_str());
    Ok(match plan.changes.annotation.as_ref().is_some_and(loses) {
        true => preview.note("Its annotation, as it is shown here, is lost."),
        false => preview.harmless(),
    })
}
