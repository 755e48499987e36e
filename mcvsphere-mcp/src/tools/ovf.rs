//! OVF and OVA packages: what is in one, VMs that are made of one, and packages that are made of VMs.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use vsphere_ops::{
    DatastorePath,
    managed::Datastore,
    ovf::{Deployed, DiskProvisioning, Exported, OvfContents, OvfSource},
    transfer::Algorithm,
};

use super::{lifecycle::Place, prelude::*};
use crate::files::Folder;

/// The tools of this family.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::adds("deploy_ovf", Ovf, VmLifecycle, "Deploy an OVF package", deploy_ovf)
            .about(
                "Make a VM of an OVF or OVA package, whose files are sent and checked by its manifest. \
                 list_ovf_networks tells what it asks for.",
            )
            .needs(&[
                "VApp.Import",
                "Datastore.AllocateSpace",
                "Network.Assign",
                "Resource.AssignVMToPool",
                "VirtualMachine.Interact.PowerOn",
                "Datastore.Browse",
            ]),
        Tool::adds("export_ovf", Ovf, VmLifecycle, "Export as an OVF package", export_ovf)
            .about("Write a VM that is off, or a snapshot, as an OVF package: descriptor, disks, nvram, manifest.")
            .needs(&["VApp.Export", "Datastore.FileManagement"])
            .formerly(&["export_vm_ovf"]),
        Tool::reads("list_ovf_networks", Ovf, "Show an OVF package", list_ovf_networks)
            .about("Show what is in an OVF or OVA package: networks, properties, licence, options, files, sizes.")
            .needs(&["Datastore.Browse"]),
    ]
}

async fn deploy_ovf(args: DeployOvf, cx: Cx) -> Result<Object<Deployed>> {
    let source = source(&cx, &args.source).await?;
    let question = format!("Deploy {} as {}?", quoted(&args.source), quoted(&args.vm_name));
    // Nothing is lost where nothing was.
    cx.agreed(async || Ok(((), Preview::new(&question).object(cx.arguments_shown())?.harmless()))).await?;
    let ovf = cx.client().await?.open_ovf(&source).await?;
    let told = cx.transfer("deploy", &args.vm_name);
    let mut deployment = ovf
        .deployment(String::from(args.vm_name))
        .placed(args.place.placement(&cx))
        .provisioning(args.disk_provisioning)
        .on_progress(told);
    for (name, network) in args.networks.unwrap_or_default() {
        deployment = deployment.network(name, network);
    }
    if let Some(network) = args.network {
        deployment = deployment.all_networks(network);
    }
    for (key, value) in args.properties.iter().flat_map(|properties| properties.expose()) {
        deployment = deployment.property(key, plain(key, value)?);
    }
    if args.hidden_properties {
        deployment = deployment.hidden_properties();
    }
    if let Some(option) = args.deployment_option {
        deployment = deployment.option(option);
    }
    if args.accept_eula {
        deployment = deployment.accept_eulas();
    }
    if args.power_on {
        deployment = deployment.power_on();
    }
    Ok(Object(deployment.start().await?))
}

async fn export_ovf(args: ExportOvf, cx: Cx) -> Result<Object<Exported>> {
    let vm = cx.agreed_change("Export", &args.vm).await?;
    let mut export = vm.ovf_export().manifest(args.manifest.into()).on_progress(cx.transfer("export", vm.label()));
    if let Some(snapshot) = &args.snapshot {
        export = export.snapshot(&vm.snapshot(snapshot).await?);
    }
    if args.include_images {
        export = export.images();
    }
    if args.target.trim_start().starts_with('[') {
        if args.as_ova {
            return Err(ToolError::invalid_argument(
                "`as_ova` needs a local `target`: the front of an archive is written last, which datastores do not allow",
            ));
        }
        let (store, path) = on_datastore(&cx, &args.target).await?;
        return Ok(Object(export.to_datastore(&store, &path).await?));
    }
    let files = cx.files()?;
    if args.as_ova {
        let (folder, archive) = split(&args.target);
        return Ok(Object(export.to_ova(Arc::new(Folder::new(files, folder)), archive).await?));
    }
    files.create_dir(&args.target).await?;
    Ok(Object(export.to_folder(Arc::new(Folder::new(files, &args.target))).await?))
}

async fn list_ovf_networks(args: OvfPackage, cx: Cx) -> Result<Object<OvfContents>> {
    let source = source(&cx, &args.source).await?;
    Ok(Object(cx.client().await?.open_ovf(&source).await?.contents().clone()))
}

/// Where a package is.
async fn source(cx: &Cx, text: &str) -> Result<OvfSource> {
    if text.trim_start().starts_with('[') {
        let (store, path) = on_datastore(cx, text).await?;
        return Ok(OvfSource::on_datastore(&store, path));
    }
    if text.starts_with("https://") || text.starts_with("http://") {
        return Ok(OvfSource::on_web(&cx.client().await?, text, cx.web()?)?);
    }
    let (folder, name) = split(text);
    Ok(OvfSource::in_folder(Arc::new(Folder::new(cx.files()?, folder)), name))
}

/// The datastore of a path, and the path in it.
async fn on_datastore(cx: &Cx, text: &str) -> Result<(Mo<Datastore>, String)> {
    let path: DatastorePath = text.parse()?;
    let store = cx.client().await?.get::<Datastore>(path.datastore()).await?;
    Ok((store, path.path().to_owned()))
}

/// The directory of a local path, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// A value of a property as text. What a model writes as a number or a truth value means the same.
fn plain(key: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err(ToolError::invalid_argument(format!("the value of the property {key:?} is neither text nor number"))),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OvfPackage {
    /// Local path, [datastore] path, or URL of a .ovf or .ova.
    source: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeployOvf {
    /// Local path, [datastore] path, or URL of a .ovf or .ova.
    source: String,
    vm_name: NewName,
    /// For all networks of the package that are not in networks.
    network: Option<String>,
    /// By the package's names.
    networks: Option<BTreeMap<String, String>>,
    /// Values by key.
    properties: Option<Secret<BTreeMap<String, Value>>>,
    /// Allow properties that are not user-configurable.
    #[serde(default)]
    hidden_properties: bool,
    /// Key of one of its sizes.
    deployment_option: Option<String>,
    /// Only after the user has agreed.
    #[serde(default)]
    accept_eula: bool,
    #[serde(default)]
    disk_provisioning: DiskProvisioning,
    #[serde(flatten)]
    place: Place,
    /// Power it on afterwards.
    #[serde(default)]
    power_on: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ExportOvf {
    vm: VmName,
    /// Local or [datastore] path of a new folder, or of the .ova.
    target: String,
    /// One file; only local.
    #[serde(default)]
    as_ova: bool,
    /// Name, path or id: needed while it runs.
    snapshot: Option<String>,
    /// Also the ISO images in its drives.
    #[serde(default)]
    include_images: bool,
    #[serde(default)]
    manifest: Sum,
}

/// How the files of a package are summed up.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sum {
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

impl From<Sum> for Algorithm {
    fn from(sum: Sum) -> Self {
        match sum {
            Sum::Sha1 => Self::Sha1,
            Sum::Sha256 => Self::Sha256,
            Sum::Sha512 => Self::Sha512,
        }
    }
}
