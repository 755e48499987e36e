//! Licences, and what they are assigned to.

use std::collections::HashMap;

use chrono::TimeDelta;
use vsphere_model::managed;
use vsphere_model::types::{
    Any, DateTime, EvaluationLicenseSource, InvalidState, KeyAnyValue, KeyValue,
    LicenseAssignmentManagerLicenseAssignment, LicenseEntityNotFound, LicenseManagerEvaluationInfo,
    LicenseManagerLicenseInfo, LicenseSource, LicenseUsageInfo, Poly,
};
use vsphere_soap::object::{ManagedInfo, ManagedType as _};

use super::host::Host;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::{Look, Managed, Moref, Prop, World};

pub(crate) const METHODS: Methods = &[
    ("LicenseManager", "AddLicense", Handler::Write(add)),
    ("LicenseManager", "UpdateLicense", Handler::Write(update)),
    ("LicenseManager", "RemoveLicense", Handler::Write(remove)),
    ("LicenseManager", "DecodeLicense", Handler::Read(decode)),
    ("LicenseManager", "UpdateLicenseLabel", Handler::Write(set_label)),
    ("LicenseManager", "RemoveLicenseLabel", Handler::Write(remove_label)),
    ("LicenseManager", "QueryLicenseUsage", Handler::Read(usage)),
    ("LicenseAssignmentManager", "QueryAssignedLicenses", Handler::Read(assigned)),
    ("LicenseAssignmentManager", "UpdateAssignedLicense", Handler::Write(assign)),
    ("LicenseAssignmentManager", "RemoveAssignedLicense", Handler::Write(unassign)),
];

/// The key of what holds where no licence is assigned.
const EVALUATION: &str = "00000-00000-00000-00000-00000";

/// How long the evaluation goes on, in hours: new servers have sixty days.
const EVALUATION_HOURS: i64 = 60 * 24;

/// The managed object `LicenseManager`.
struct LicenseManager {
    /// When the evaluation ends.
    evaluation_ends: DateTime,
    licenses: Vec<LicenseManagerLicenseInfo>,
    /// The keys of licences, by the id of what they are assigned to.
    assigned: HashMap<String, String>,
}

/// The managed object `LicenseAssignmentManager`.
struct LicenseAssignmentManager;

impl Managed for LicenseManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::LicenseManager::INFO
    }

    fn read<'a>(&'a self, look: &Look<'a>, property: &str) -> Prop<'a> {
        match property {
            "licenses" => Prop::made_list(self.licenses.iter().map(|one| self.with_use(look.world, one)).collect()),
            "licensedEdition" => Prop::made("eval".to_owned()),
            "evaluation" => Prop::made(LicenseManagerEvaluationInfo {
                properties: vec![
                    property_of("expirationHours", Any::Long(self.hours_left(look.world))),
                    property_of("expirationMinutes", Any::Long(self.hours_left(look.world) * 60)),
                ],
            }),
            "source" => Prop::made(self.source(look.world)),
            "sourceAvailable" => Prop::made(true),
            "licenseAssignmentManager" => Prop::made(Moref::new("LicenseAssignmentManager", ASSIGNMENTS)),
            _ => Prop::UNSET,
        }
    }
}

impl Managed for LicenseAssignmentManager {
    fn info(&self) -> &'static ManagedInfo {
        managed::LicenseAssignmentManager::INFO
    }

    fn read<'a>(&'a self, _: &Look<'a>, _: &str) -> Prop<'a> {
        Prop::UNSET
    }
}

const ASSIGNMENTS: &str = "LicenseAssignmentManager";

pub(super) fn install(world: &mut World) {
    let about = &world.content.about;
    let evaluation = LicenseManagerLicenseInfo {
        license_key: EVALUATION.to_owned(),
        edition_key: "eval".to_owned(),
        name: "Evaluation Mode".to_owned(),
        properties: vec![
            property_of("Localized", Any::String("Evaluation Mode".to_owned())),
            property_of("ProductName", Any::String(about.license_product_name.clone().unwrap_or_default())),
            property_of("ProductVersion", Any::String(about.license_product_version.clone().unwrap_or_default())),
        ],
        ..Default::default()
    };
    let evaluation_ends = world.now() + TimeDelta::hours(EVALUATION_HOURS);
    let manager = LicenseManager { evaluation_ends, licenses: vec![evaluation], assigned: HashMap::new() };
    world.content.license_manager = Some(world.add_as("LicenseManager", manager));
    world.add_as(ASSIGNMENTS, LicenseAssignmentManager);
}

fn property_of(key: &str, value: Any) -> KeyAnyValue {
    KeyAnyValue { key: key.to_owned(), value }
}

/// The evaluation ends after this time.
///
/// # Errors
/// `ManagedObjectNotFound` on a server without licences.
pub(crate) fn end_evaluation(world: &mut World, after: TimeDelta) -> Outcome<()> {
    let end = world.now() + after;
    edit(world)?.evaluation_ends = end;
    Ok(())
}

/// What licences can be assigned to: the server itself and its hosts. Each with its name and the units that it takes.
fn assets(world: &World) -> Vec<(String, String, i32)> {
    let about = &world.content.about;
    let itself = about.instance_uuid.iter().map(|id| (id.clone(), about.name.clone(), 1));
    let hosts = world.all::<Host>().into_iter().map(|(reference, host)| {
        let name = world.entity(reference).map(|entity| entity.name.clone()).unwrap_or_default();
        (reference.value.clone(), name, i32::from(host.hardware.num_cpu_pkgs))
    });
    itself.chain(hosts).collect()
}

impl LicenseManager {
    /// The hours of the evaluation that have begun or are to come.
    fn hours_left(&self, world: &World) -> i64 {
        ((self.evaluation_ends - world.now()).num_seconds().max(0) + 3599) / 3600
    }

    fn source(&self, world: &World) -> Poly<LicenseSource> {
        let remaining_hours = Some(self.hours_left(world));
        Poly::new(EvaluationLicenseSource { remaining_hours, ..Default::default() })
    }

    fn key_of(&self, asset: &str) -> &str {
        self.assigned.get(asset).map_or(EVALUATION, String::as_str)
    }

    /// The licence with the number of its units that are in use.
    fn with_use(&self, world: &World, license: &LicenseManagerLicenseInfo) -> LicenseManagerLicenseInfo {
        let mine = assets(world).into_iter().filter(|(id, _, _)| self.key_of(id) == license.license_key);
        LicenseManagerLicenseInfo { used: Some(mine.map(|(_, _, units)| units).sum()), ..license.clone() }
    }

    fn find(&self, key: &str) -> Option<&LicenseManagerLicenseInfo> {
        self.licenses.iter().find(|license| license.license_key == key)
    }
}

/// What a key stands for. The real ones can't be read; here each good one is of an edition that follows from it.
fn decoded(key: &str) -> Outcome<LicenseManagerLicenseInfo> {
    const EDITIONS: [(&str, &str, &str, &str); 3] = [
        ("esx.enterprisePlus.cpuPackageCoreLimited", "vSphere Enterprise Plus", "cpuPackage", "VMware ESX Server"),
        ("vc.standard.instance", "vCenter Server Standard", "server", "VMware VirtualCenter Server"),
        ("esx.standard.cpuPackageCoreLimited", "vSphere Standard", "cpuPackage", "VMware ESX Server"),
    ];
    let parts: Vec<&str> = key.split('-').collect();
    let good = |part: &&str| part.len() == 5 && part.chars().all(|letter| letter.is_ascii_alphanumeric());
    if parts.len() != 5 || !parts.iter().all(good) || key == EVALUATION {
        return Err(Fault::invalid_argument("licenseKey"));
    }
    let sum: usize = key.bytes().map(usize::from).sum();
    let (edition, name, unit, product) = EDITIONS.get(sum % EDITIONS.len()).copied().unwrap_or_default();
    Ok(LicenseManagerLicenseInfo {
        license_key: key.to_owned(),
        edition_key: edition.to_owned(),
        name: name.to_owned(),
        total: 16,
        cost_unit: unit.to_owned(),
        properties: vec![
            property_of("ProductName", Any::String(product.to_owned())),
            property_of("ProductVersion", Any::String("9.0".to_owned())),
        ],
        ..Default::default()
    })
}

fn manager(world: &World) -> Outcome<&LicenseManager> {
    world.get(&manager_reference(world))
}

fn manager_reference(world: &World) -> Moref {
    world.content.license_manager.clone().unwrap_or_default()
}

fn edit(world: &mut World) -> Outcome<&mut LicenseManager> {
    world.edit(&manager_reference(world))
}

fn add(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("licenseKey")?;
    let labels: Vec<KeyValue> = call.arg("labels")?;
    put(world, &key, Some(labels))
}

/// Adds the licence unless it is there; its labels are replaced where new ones are given.
fn put(world: &mut World, key: &str, labels: Option<Vec<KeyValue>>) -> Outcome<Reply> {
    let manager = edit(world)?;
    if manager.find(key).is_none() {
        manager.licenses.push(decoded(key)?);
    }
    if let Some(license) = manager.licenses.iter_mut().find(|license| license.license_key == key)
        && let Some(labels) = labels
    {
        license.labels = labels;
    }
    let manager = self::manager(world)?;
    let license = manager.find(key).ok_or_else(|| Fault::invalid_argument("licenseKey"))?;
    Ok(Reply::of(manager.with_use(world, license)))
}

/// The licence that the call's key names, to change it.
fn named<'w>(world: &'w mut World, call: &Call) -> Outcome<&'w mut LicenseManagerLicenseInfo> {
    let key: String = call.arg("licenseKey")?;
    let license = edit(world)?.licenses.iter_mut().find(|license| license.license_key == key);
    license.ok_or_else(|| Fault::invalid_argument("licenseKey"))
}

fn update(world: &mut World, call: &Call) -> Outcome<Reply> {
    named(world, call)?;
    let labels: Vec<KeyValue> = call.arg("labels")?;
    put(world, &call.arg::<String>("licenseKey")?, Some(labels))
}

fn remove(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key = named(world, call)?.license_key.clone();
    let manager = edit(world)?;
    if key == EVALUATION || manager.assigned.values().any(|assigned| *assigned == key) {
        let message = format!("The license {key} is in use and can't be removed.");
        return Err(Fault::new(InvalidState::default(), message));
    }
    manager.licenses.retain(|license| license.license_key != key);
    Ok(Reply::NONE)
}

fn decode(world: &World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("licenseKey")?;
    match manager(world)?.find(&key) {
        Some(license) => Ok(Reply::of(license.clone())),
        None => Ok(Reply::of(decoded(&key)?)),
    }
}

fn set_label(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (key, value): (String, String) = (call.arg("labelKey")?, call.arg("labelValue")?);
    let labels = &mut named(world, call)?.labels;
    match labels.iter_mut().find(|label| label.key == key) {
        Some(label) => label.value = value,
        None => labels.push(KeyValue { key, value }),
    }
    Ok(Reply::NONE)
}

fn remove_label(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key: String = call.arg("labelKey")?;
    named(world, call)?.labels.retain(|label| label.key != key);
    Ok(Reply::NONE)
}

fn usage(world: &World, _: &Call) -> Outcome<Reply> {
    let source = manager(world)?.source(world);
    Ok(Reply::of(LicenseUsageInfo { source, source_available: true, ..Default::default() }))
}

fn assigned(world: &World, call: &Call) -> Outcome<Reply> {
    let wanted: Option<String> = call.opt("entityId")?;
    let manager = manager(world)?;
    let assets = assets(world).into_iter().filter(|(id, _, _)| wanted.as_ref().is_none_or(|wanted| wanted == id));
    let assignments: Vec<_> = assets
        .map(|(id, name, _)| LicenseAssignmentManagerLicenseAssignment {
            assigned_license: manager.find(manager.key_of(&id)).cloned().unwrap_or_default(),
            scope: world.content.about.instance_uuid.clone(),
            entity_display_name: Some(name),
            entity_id: id,
            ..Default::default()
        })
        .collect();
    if wanted.is_some() && assignments.is_empty() {
        return Err(unknown(&wanted.unwrap_or_default()));
    }
    Ok(Reply::list(assignments))
}

fn unknown(id: &str) -> Fault {
    let detail = LicenseEntityNotFound { entity_id: id.to_owned(), ..Default::default() };
    Fault::new(detail, format!("There is nothing with the id '{id}' that takes a license."))
}

/// Checks that licences can be assigned to this id.
fn check(world: &World, id: &str) -> Outcome<()> {
    if assets(world).iter().any(|(asset, _, _)| asset == id) { Ok(()) } else { Err(unknown(id)) }
}

fn assign(world: &mut World, call: &Call) -> Outcome<Reply> {
    let (id, key): (String, String) = (call.arg("entity")?, call.arg("licenseKey")?);
    check(world, &id)?;
    put(world, &key, None)?;
    edit(world)?.assigned.insert(id, key.clone());
    put(world, &key, None)
}

fn unassign(world: &mut World, call: &Call) -> Outcome<Reply> {
    let id: String = call.arg("entityId")?;
    check(world, &id)?;
    edit(world)?.assigned.remove(&id);
    Ok(Reply::NONE)
}
