//! OVF and OVA packages: what is in one, VMs that are made of one, and packages that are made of VMs.

use std::sync::Arc;

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
            .about("Make a VM of an OVF or OVA package. list_ovf_networks tells what it asks for.")
            .long()
            .needs(&[
                "VApp.Import",
                "Datastore.AllocateSpace",
                "Network.Assign",
                "Resource.AssignVMToPool",
                "VirtualMachine.Interact.PowerOn",
                "Datastore.Browse",
            ]),
        Tool::adds("export_ovf", Ovf, VmLifecycle, "Export as an OVF package", export_ovf)
            .about("Write a VM that is off, or a snapshot, as an OVF package.")
            .long()
            .needs(&["VApp.Export", "Datastore.FileManagement", "Datastore.Browse"])
            .formerly(&["export_vm_ovf"]),
        Tool::reads("list_ovf_networks", Ovf, "Show an OVF package", list_ovf_networks)
            .about("Show what an OVF or OVA package has: networks, properties, licence, options, files.")
            .needs(&["Datastore.Browse"]),
    ]
}

async fn deploy_ovf(args: DeployOvf, cx: Cx) -> Result<Object<Deployed>> {
    let question = format!("Deploy {} as {}?", quoted(&args.source), quoted(&args.vm_name));
    // Nothing is lost where nothing was.
    cx.agreed(async || Ok(((), Preview::new(&question).object(cx.arguments_shown())?.harmless()))).await?;
    let source = source(&cx, &args.source).await?;
    let ovf = cx.client().await?.open_ovf(&source).await?;
    let told = cx.transfer("deploy", &args.vm_name);
    let mut deployment = ovf
        .deployment(String::from(args.vm_name))
        .placed(args.place.placement(&cx))
        .provisioning(args.disk_provisioning.unwrap_or_default())
        .on_progress(told);
    for mapping in args.networks.iter().flatten() {
        let (name, network) = pair("networks", mapping)?;
        deployment = deployment.network(name, network);
    }
    if let Some(network) = args.network {
        deployment = deployment.all_networks(network);
    }
    for property in args.properties.iter().flat_map(|properties| properties.expose()) {
        let (key, value) = pair("properties", property)?;
        deployment = deployment.property(key, value);
    }
    if args.hidden_properties == Some(true) {
        deployment = deployment.hidden_properties();
    }
    if let Some(option) = args.deployment_option {
        deployment = deployment.option(option);
    }
    if args.accept_eula == Some(true) {
        deployment = deployment.accept_eulas();
    }
    if args.power_on == Some(true) {
        deployment = deployment.power_on();
    }
    Ok(Object(deployment.start().await?))
}

async fn export_ovf(args: ExportOvf, cx: Cx) -> Result<Object<Exported>> {
    let vm = cx.agreed_change("Export", &args.vm).await?;
    let mut export = vm
        .ovf_export()
        .manifest(args.manifest.unwrap_or_default().into())
        .on_progress(cx.transfer("export", vm.label()));
    if let Some(snapshot) = &args.snapshot {
        export = export.snapshot(&vm.snapshot(snapshot).await?);
    }
    if args.include_images == Some(true) {
        export = export.images();
    }
    if args.target.trim_start().starts_with('[') {
        let (store, path) = on_datastore(&cx, &args.target).await?;
        return Ok(Object(match args.as_ova {
            Some(true) => export.to_ova_on_datastore(&store, &path).await?,
            _ => export.to_datastore(&store, &path).await?,
        }));
    }
    let files = cx.files()?;
    if args.as_ova == Some(true) {
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

/// The two sides of `name=value`. What is not of that form may be a password, and is not shown.
pub(super) fn pair<'a>(argument: &str, text: &'a str) -> Result<(&'a str, &'a str)> {
    text.split_once('=').ok_or_else(|| {
        ToolError::invalid_argument(format!("an entry of `{argument}` has no `=`: each reads name=value"))
    })
}

#[derive(Debug, Deserialize, JsonSchema)]
struct OvfPackage {
    /// Local path, [datastore] path or URL.
    source: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct DeployOvf {
    /// Local path, [datastore] path or URL.
    source: String,
    vm_name: NewName,
    /// For all its networks.
    network: Option<String>,
    /// Each as name=network.
    networks: Option<Vec<String>>,
    /// Each as key=value.
    properties: Option<Secret<Vec<String>>>,
    /// Allow hidden ones.
    hidden_properties: Option<bool>,
    /// Key.
    deployment_option: Option<String>,
    /// If the user agrees.
    accept_eula: Option<bool>,
    /// Thin by default.
    disk_provisioning: Option<DiskProvisioning>,
    #[serde(flatten)]
    place: Place,
    /// Afterwards.
    power_on: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ExportOvf {
    vm: VmName,
    /// New folder or .ova: local or [datastore] path.
    target: String,
    /// As one file.
    as_ova: Option<bool>,
    /// Needed while it runs.
    snapshot: Option<String>,
    /// With its ISO images.
    include_images: Option<bool>,
    /// Checksums; sha256 by default.
    manifest: Option<Sum>,
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
