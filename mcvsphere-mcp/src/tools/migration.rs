//! VMs that go to other hosts, clusters and datastores.

use vsphere_ops::{
    migration::{Destination, Migration, MigrationReport, Priority},
    vm::Provisioning,
};

use super::{ovf::pair, prelude::*};

/// What it takes to move a VM.
const MOVING: &[&str] = &["Resource.ColdMigrate", "Resource.HotMigrate", "Datastore.AllocateSpace"];

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::adds("migrate_vm", Vcenter, VmLifecycle, "Migrate a virtual machine", migrate_vm)
            .about(
                "Move a VM, also while it runs. vCenter checks it first; obstacles are explained, and nothing moves.",
            )
            .long()
            .needs(MOVING)
            .needs(&["Resource.AssignVMToPool", "Network.Assign"]),
        Tool::adds("storage_vmotion", Vcenter, VmLifecycle, "Move a VM's storage", storage_vmotion)
            .about("Move all files of a VM to another datastore, also while it runs.")
            .long()
            .needs(MOVING)
            .idempotent(),
    ]
}

async fn migrate_vm(args: MigrateVm, cx: Cx) -> Result<Object<MigrationReport>> {
    let MigrateVm { vm, host, pool, cluster, datastore, folder, networks, priority, check_only } = args;
    let networks: Vec<(String, String)> = networks
        .iter()
        .flatten()
        .map(|text| pair("networks", text).map(|(before, after)| (before.to_owned(), after.to_owned())))
        .collect::<Result<_>>()?;
    let places = [&host, &pool, &cluster, &datastore, &folder];
    if places.iter().all(|place| place.is_none()) && networks.is_empty() {
        let text = "where to? Give `host`, `cluster`, `pool`, `datastore`, `folder` or `networks`";
        return Err(ToolError::invalid_argument(text));
    }
    let priority = priority.unwrap_or_default();
    let defaults = cx.defaults().clone();
    let there =
        Destination { host, pool, cluster, datastore, folder, networks, priority, defaults, ..Default::default() };
    if check_only == Some(true) {
        return Ok(Object(vm.find(&cx).await?.migration(&there).await?.into_report()));
    }
    carry_out(&cx, &vm, &there).await
}

async fn storage_vmotion(args: StorageVmotion, cx: Cx) -> Result<Object<MigrationReport>> {
    let there =
        Destination { datastore: Some(args.target_datastore), provisioning: args.provisioning, ..Default::default() };
    carry_out(&cx, &args.vm, &there).await
}

async fn carry_out(cx: &Cx, vm: &VmName, there: &Destination) -> Result<Object<MigrationReport>> {
    // The check, and the move.
    cx.expect_tasks(2);
    let migration = cx.agreed(|| planned(cx, vm, there)).await?;
    Ok(Object(migration.carry_out().await?))
}

/// What would move. Nobody is asked about what can't be done, or is done already.
async fn planned(cx: &Cx, vm: &VmName, there: &Destination) -> Result<(Migration, Preview)> {
    let vm = vm.find(cx).await?;
    let migration = vm.migration(there).await?;
    let preview = match migration.moves && migration.possible {
        true => cx.change_of("Migrate", [&vm]).await?.bind((&migration, migration.change_version()))?.harmless(),
        false => Preview::new("Migrate"),
    };
    Ok((migration, preview))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct MigrateVm {
    vm: VmName,
    /// New host.
    host: Option<String>,
    /// New pool.
    pool: Option<String>,
    /// New cluster.
    cluster: Option<String>,
    /// Or datastore cluster.
    datastore: Option<String>,
    /// New folder.
    folder: Option<String>,
    /// Each as old=new.
    networks: Option<Vec<String>>,
    /// Normal by default.
    priority: Option<Priority>,
    /// Only tell what stands in the way.
    check_only: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct StorageVmotion {
    vm: VmName,
    /// Or datastore cluster.
    target_datastore: String,
    /// As before by default.
    provisioning: Option<Provisioning>,
}
