//! Roles and permissions: who sees what, and who may do what.

use crate::support::{Lab, fault};
use vsphere_model::managed::{
    AuthorizationManager, Datacenter, Folder, PropertyCollector, UserDirectory, VirtualMachine, authorization_manager,
    managed_entity, user_directory,
};
use vsphere_model::types::{
    ManagedObjectReference, ObjectSpec, Permission, PropertyFilterSpec, PropertySpec, RetrieveOptions, UserSession,
};
use vsphere_sim::{Model, Role, Size};

const ALICE: &str = "alice@vsphere.local";
const SECRET: &str = "secret";

fn two_datacenters() -> Model {
    Model::sized(Size { datacenters: 2, vms: 4, ..Size::default() })
}

fn manager(lab: &Lab) -> AuthorizationManager {
    lab.object(lab.content.authorization_manager.as_ref().unwrap())
}

fn permission(principal: &str, group: bool, role_id: i32, propagate: bool) -> Permission {
    Permission { entity: None, principal: principal.to_owned(), group, role_id, propagate }
}

#[tokio::test]
async fn a_reader_sees_everything_and_changes_nothing() {
    let lab = Lab::new(two_datacenters().user(ALICE, SECRET, Role::ReadOnly)).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let vms = alice.all_of("VirtualMachine").await;
    assert_eq!(vms, lab.all_of("VirtualMachine").await);
    let vm: VirtualMachine = alice.object(&vms[0]);
    assert_eq!(fault(vm.power_off_vm_task()).await, "NoPermission");
    assert_eq!(
        fault(alice.object::<Folder>(&alice.content.root_folder).create_datacenter("DC9")).await,
        "NoPermission"
    );
    assert_eq!(fault(manager(&alice).add_authorization_role("mine", &[])).await, "NoPermission");
    let roles = lab.read(&vms[0], "effectiveRole").await.unwrap();
    assert_eq!(roles.take::<Vec<i32>>().unwrap(), [-1]);
    assert_eq!(alice.read(&vms[0], "effectiveRole").await.unwrap().take::<Vec<i32>>().unwrap(), [-2]);
}

#[tokio::test]
async fn who_has_rights_below_sees_the_way_there_and_nothing_beside_it() {
    let model = two_datacenters().user(ALICE, SECRET, Role::NoAccess);
    let lab = Lab::new(model.permission(ALICE, "/DC1/vm", Role::VirtualMachinePowerUser)).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let datacenters = alice.all_of("Datacenter").await;
    assert_eq!(datacenters.len(), 1);
    let dc: Datacenter = alice.object(&datacenters[0]);
    assert_eq!(alice.get(&dc, vsphere_model::managed::datacenter::NAME).await, "DC1");
    assert_eq!(alice.read(&datacenters[0], "effectiveRole").await.unwrap().take::<Vec<i32>>().unwrap(), [-3]);
    assert!(alice.all_of("HostSystem").await.is_empty());
    let vms = alice.all_of("VirtualMachine").await;
    assert_eq!(vms.len(), 2);
    let vm: VirtualMachine = alice.object(&vms[0]);
    alice.task(vm.power_off_vm_task()).await.unwrap();
    assert_eq!(fault(vm.destroy_task()).await, "NoPermission");
    let others: Vec<_> = lab.all_of("VirtualMachine").await.into_iter().filter(|vm| !vms.contains(vm)).collect();
    assert_eq!(fault(alice.object::<VirtualMachine>(&others[0]).power_off_vm_task()).await, "NoPermission");
    // What the way there is like beside its name is not to be seen.
    assert_eq!(missing(&alice, &datacenters[0], "configuration").await, "NoPermission");
}

/// The fault in place of a property.
async fn missing(lab: &Lab, object: &ManagedObjectReference, path: &str) -> String {
    let collector: PropertyCollector = lab.object(&lab.content.property_collector);
    let spec = PropertyFilterSpec {
        prop_set: vec![PropertySpec { type_: object.type_.clone(), all: None, path_set: vec![path.to_owned()] }],
        object_set: vec![ObjectSpec { obj: object.clone(), ..Default::default() }],
        ..Default::default()
    };
    let result = collector.retrieve_properties_ex(&[spec], &RetrieveOptions::default()).await.unwrap().unwrap();
    let missing = result.objects[0].missing_set.first();
    missing.map(|missing| missing.fault.fault.type_name().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn pitfall_26_a_forbidden_object_is_missing_and_spoils_nothing() {
    let model = two_datacenters().user(ALICE, SECRET, Role::NoAccess);
    let lab = Lab::new(model.permission(ALICE, "/DC0", Role::ReadOnly)).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let [forbidden, seen] = {
        let mut all = lab.all_of("Datacenter").await;
        all.reverse();
        [all[0].clone(), all[1].clone()]
    };
    assert_eq!(missing(&alice, &forbidden, "name").await, "NoPermission");
    assert_eq!(missing(&alice, &seen, "name").await, "");
    let names = alice.read(&alice.content.root_folder, "childEntity").await.unwrap();
    assert_eq!(names.take::<Vec<ManagedObjectReference>>().unwrap().len(), 2, "references are no secret");
    let sessions = alice.content.session_manager.clone().unwrap();
    assert_eq!(missing(&alice, &sessions, "sessionList").await, "NoPermission");
    assert_eq!(missing(&alice, &alice.content.license_manager.clone().unwrap(), "licenses").await, "NoPermission");
}

#[tokio::test]
async fn who_has_no_rights_at_all_does_not_come_in() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::NoAccess)).await;
    let error = lab.another(ALICE, SECRET).await.err().unwrap();
    assert!(error.fault().is_some_and(|fault| fault.is_named("NoPermission")), "{error}");
}

#[tokio::test]
async fn the_nearest_permission_counts_and_groups_add_up() {
    let model = two_datacenters()
        .user(ALICE, SECRET, Role::NoAccess)
        .group("users@vsphere.local", &[ALICE])
        .group("starters@vsphere.local", &[ALICE])
        .permission("users@vsphere.local", "/", Role::ReadOnly);
    let lab = Lab::new(model).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let rights = manager(&lab);
    let [dc] = lab.some(["Datacenter"]).await;
    let vm = alice.all_of("VirtualMachine").await[0].clone();
    let may = |privilege: &'static str| {
        let (vm, rights) = (vm.clone(), rights.clone());
        async move {
            let privileges = [privilege.to_owned()];
            let granted = rights.has_user_privilege_on_entities(&[vm], "alice@vsphere.local", &privileges).await;
            granted.unwrap()[0].priv_availability[0].is_granted
        }
    };
    assert!(may("System.Read").await && !may("VirtualMachine.Interact.PowerOn").await);
    let starter =
        rights.add_authorization_role("starter", &["VirtualMachine.Interact.PowerOn".to_owned()]).await.unwrap();
    let groups = [
        permission("VSPHERE.LOCAL\\users", true, -2, true),
        permission("VSPHERE.LOCAL\\starters", true, starter, true),
    ];
    rights.set_entity_permissions(&dc, &groups).await.unwrap();
    assert!(may("VirtualMachine.Interact.PowerOn").await);
    // The user's own permission stands above those of the groups on the same object…
    rights.set_entity_permissions(&dc, &[permission("alice@vsphere.local", false, -5, true)]).await.unwrap();
    assert!(!may("System.Read").await);
    assert!(!alice.all_of("VirtualMachine").await.contains(&vm), "an open session follows at once");
    // …and what does not propagate is for the object alone.
    rights.set_entity_permissions(&dc, &[permission("alice@vsphere.local", false, -5, false)]).await.unwrap();
    assert!(may("System.Read").await);
}

#[tokio::test]
async fn roles_are_made_changed_and_removed() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::ReadOnly)).await;
    let rights = manager(&lab);
    let roles = lab.get(&rights, authorization_manager::ROLE_LIST).await;
    let role = |id: i32| roles.iter().find(|role| role.role_id == id).unwrap();
    assert_eq!(
        (role(-1).name.as_str(), role(-2).name.as_str(), role(-5).name.as_str()),
        ("Admin", "ReadOnly", "NoAccess")
    );
    assert!(role(-1).privilege.len() > 150 && role(-5).privilege.is_empty());
    assert!(!role(-6).privilege.iter().any(|id| id.starts_with("Cryptographer.")));

    let id = rights.add_authorization_role("ops", &["Global.LogEvent".to_owned()]).await.unwrap();
    assert_eq!(fault(rights.add_authorization_role("Ops", &[])).await, "AlreadyExists");
    assert_eq!(fault(rights.add_authorization_role(" ", &[])).await, "InvalidName");
    rights.update_authorization_role(id, "operators", &["Global.Licenses".to_owned()]).await.unwrap();
    let roles = lab.get(&rights, authorization_manager::ROLE_LIST).await;
    let role = roles.iter().find(|role| role.role_id == id).unwrap();
    assert_eq!(role.privilege, ["Global.Licenses", "System.Anonymous", "System.Read", "System.View"]);
    assert_eq!(fault(rights.update_authorization_role(-1, "Root", &[])).await, "InvalidArgument");
    assert_eq!(fault(rights.update_authorization_role(99, "none", &[])).await, "NotFound");

    let root = lab.content.root_folder.clone();
    rights.set_entity_permissions(&root, &[permission(ALICE, false, id, true)]).await.unwrap();
    assert_eq!(rights.retrieve_role_permissions(id).await.unwrap().len(), 1);
    assert_eq!(fault(rights.remove_authorization_role(id, true)).await, "RemoveFailed");
    rights.merge_permissions(id, -2).await.unwrap();
    assert!(rights.retrieve_role_permissions(id).await.unwrap().is_empty());
    rights.remove_authorization_role(id, true).await.unwrap();
    assert_eq!(fault(rights.remove_authorization_role(id, true)).await, "NotFound");
}

#[tokio::test]
async fn permissions_are_set_inherited_and_removed() {
    let lab = Lab::new(two_datacenters().user(ALICE, SECRET, Role::ReadOnly)).await;
    let rights = manager(&lab);
    let root = lab.content.root_folder.clone();
    let [dc, vm] = lab.some(["Datacenter", "VirtualMachine"]).await;
    rights.set_entity_permissions(&dc, &[permission(ALICE, false, -1, true)]).await.unwrap();
    let all = rights.retrieve_entity_permissions(&vm, true).await.unwrap();
    let of_alice: Vec<_> = all.iter().filter(|given| given.principal == "VSPHERE.LOCAL\\alice").collect();
    assert_eq!(of_alice.len(), 1, "the nearer one stands in the place of the other");
    assert_eq!((of_alice[0].role_id, of_alice[0].entity.as_ref()), (-1, Some(&dc)));
    assert!(rights.retrieve_entity_permissions(&vm, false).await.unwrap().is_empty());
    let own: Vec<Permission> = lab.read(&dc, "permission").await.unwrap().take().unwrap();
    assert_eq!(own.len(), 1);
    rights.remove_entity_permission(&dc, ALICE, false).await.unwrap();
    assert_eq!(fault(rights.remove_entity_permission(&dc, ALICE, false)).await, "NotFound");

    let wrong = |given: Permission| rights.set_entity_permissions(&dc, &[given]);
    assert_eq!(fault(wrong(permission("nobody@vsphere.local", false, -1, true))).await, "UserNotFound");
    assert_eq!(fault(wrong(permission(ALICE, true, -1, true))).await, "UserNotFound");
    assert_eq!(fault(wrong(permission(ALICE, false, 99, true))).await, "NotFound");
    assert_eq!(fault(wrong(permission(ALICE, false, -3, true))).await, "InvalidArgument");
    let nobody = rights.reset_entity_permissions(&root, &[permission(ALICE, false, -2, true)]);
    assert_eq!(fault(nobody).await, "AuthMinimumAdminPermission");
    assert_eq!(
        fault(manager(&lab.another(ALICE, SECRET).await.unwrap()).set_entity_permissions(&dc, &[])).await,
        "NoPermission"
    );
}

#[tokio::test]
async fn privileges_are_told_by_session_and_by_user() {
    let lab = Lab::new(two_datacenters().user(ALICE, SECRET, Role::VirtualMachineUser)).await;
    let alice = lab.another(ALICE, SECRET).await.unwrap();
    let rights = manager(&lab);
    let sessions = lab.content.session_manager.clone().unwrap();
    let session: UserSession = alice.read(&sessions, "currentSession").await.unwrap().take().unwrap();
    assert_eq!(session.user_name, "VSPHERE.LOCAL\\alice");
    let [vm] = lab.some(["VirtualMachine"]).await;
    let asked = ["VirtualMachine.Interact.PowerOn", "VirtualMachine.Inventory.Delete"].map(str::to_owned);
    let granted = rights.has_privilege_on_entity(&vm, &session.key, &asked).await.unwrap();
    assert_eq!(granted, [true, false]);
    let privileges = rights.fetch_user_privilege_on_entities(std::slice::from_ref(&vm), ALICE).await.unwrap();
    assert!(privileges[0].privileges.contains(&asked[0]) && !privileges[0].privileges.contains(&asked[1]));
    assert_eq!(fault(rights.has_privilege_on_entity(&vm, "none", &asked)).await, "InvalidArgument");
    let _ = managed_entity::NAME;
}

#[tokio::test]
async fn the_user_directory_finds_users_and_groups() {
    let lab = Lab::new(Model::empty().user(ALICE, SECRET, Role::ReadOnly).group("users@vsphere.local", &[ALICE])).await;
    let directory: UserDirectory = lab.object(lab.content.user_directory.as_ref().unwrap());
    assert_eq!(lab.get(&directory, user_directory::DOMAIN_LIST).await, ["VSPHERE.LOCAL"]);
    let search = |text: &'static str, group: Option<&'static str>, exact| {
        let directory = directory.clone();
        async move {
            let found = directory.retrieve_user_groups(Some("vsphere.local"), text, group, None, exact, true, true);
            found.await.unwrap().into_iter().map(|one| (one.principal.clone(), one.group)).collect::<Vec<_>>()
        }
    };
    assert_eq!(search("ali", None, false).await, [("alice".to_owned(), false)]);
    assert_eq!(search("ali", None, true).await, []);
    assert_eq!(search("users", None, true).await, [("users".to_owned(), true)]);
    assert_eq!(search("a", Some("users@vsphere.local"), false).await[0], ("alice".to_owned(), false));
    let nowhere = directory.retrieve_user_groups(Some("nowhere"), "", None, None, false, true, true);
    assert_eq!(fault(nowhere).await, "NotFound");
}
