//! Tags, by each generation of the Automation API that servers have.

#![allow(clippy::unwrap_used, reason = "a panic is how a test and its helpers fail")]

use serde_json::{Value, json};
use vsphere_ops::managed::{VirtualMachine, virtual_machine};
use vsphere_ops::several::{Report, Vms};
use vsphere_ops::tags::{Cardinality, InTheWay, TagChange, TagQuery, Tags};
use vsphere_ops::vm::{self, VmQuery};
use vsphere_ops::{Circumstance, Client, Config, ListQuery, Mo};
use vsphere_sim::{Cardinality as Of, Model, Role, Sim, Size, Trouble};

/// Servers with the older paths alone, with both, with lists of many, and with changes of several tags at once.
const VERSIONS: [&str; 4] = ["6.7.3", "8.0.3.0", "9.0.0.0", "9.1.0.0"];

struct Lab {
    sim: Sim,
    client: Client,
}

impl Lab {
    async fn of(model: Model) -> Self {
        let sim = Sim::start(model).await.unwrap();
        let client = connect(&sim, Model::USER, Model::PASSWORD).await;
        Self { sim, client }
    }

    async fn demo(version: &str) -> Self {
        Self::of(Model::demo().version(version)).await
    }

    async fn tags(&self) -> Tags {
        self.client.tags().await.unwrap()
    }

    async fn vms(&self, names: &[&str]) -> Vms {
        self.client.vms(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).await
    }

    /// The tags of a VM.
    async fn of_vm(&self, name: &str) -> Vec<String> {
        let reports = self.tags().await.of_vms(&self.vms(&[name]).await).await.unwrap();
        reports[0].outcome.as_ref().unwrap().iter().map(ToString::to_string).collect()
    }

    async fn apply(&self, tag: &str, names: &[&str], in_the_way: InTheWay) -> Vec<Report<TagChange>> {
        let tags = self.tags().await;
        let tag = tags.find(tag).await.unwrap();
        tags.apply(&tag, &self.vms(names).await, in_the_way).await.unwrap()
    }

    /// How often an operation of `com.vmware` was called.
    fn calls(&self, operation: &str) -> u64 {
        self.sim.calls(&format!("com.vmware.{operation}"))
    }

    /// All requests for tags so far, and for the session that they take.
    fn requests(&self) -> u64 {
        let association = [
            "attach",
            "detach",
            "attach_tag_to_multiple_objects",
            "detach_tag_from_multiple_objects",
            "list_attached_objects",
            "list_attached_tags",
            "list_attached_tags_on_objects",
        ];
        let association: u64 =
            association.iter().map(|name| self.calls(&format!("cis.tagging.tag_association.{name}"))).sum();
        let others = [
            "cis.session.create",
            "cis.tagging.category.list",
            "cis.tagging.category.get",
            "cis.tagging.tag.list",
            "cis.tagging.tag.get",
            "cis.tagging.tag.list_tags_for_category",
            "vcenter.tagging.tags.list",
            "vcenter.tagging.categories.list",
            "vcenter.tagging.associations.update",
        ];
        association + others.iter().map(|name| self.calls(name)).sum::<u64>()
    }
}

async fn connect(sim: &Sim, user: &str, password: &str) -> Client {
    let config = Config::new(sim.url()).user(user).password(password);
    Client::connect(config.thumbprint(&sim.thumbprint().unwrap().to_string())).await.unwrap()
}

fn changed(reports: &[Report<TagChange>]) -> Vec<bool> {
    reports.iter().map(|report| report.outcome.as_ref().unwrap().changed).collect()
}

#[tokio::test]
async fn tags_are_listed_found_applied_and_removed_by_every_version() {
    for version in VERSIONS {
        let lab = Lab::demo(version).await;
        let tags = lab.tags().await;
        let page = tags.list(&TagQuery::default()).await.unwrap();
        let names: Vec<String> = page.items.iter().map(ToString::to_string).collect();
        let all = [
            "Backup:daily",
            "Backup:none",
            "Backup:weekly",
            "Compliance:gdpr",
            "Compliance:pci-dss",
            "Environment:prod",
            "Environment:test",
        ];
        assert_eq!(names, all, "{version}");
        assert_eq!(page.items[0].cardinality, Cardinality::Single);
        assert_eq!(page.items[0].associable_types, ["VirtualMachine"]);
        let query = TagQuery { page: ListQuery::first(1), category: Some("environment".to_owned()) };
        let page = tags.list(&query).await.unwrap();
        assert_eq!((page.items[0].name.as_str(), page.total), ("prod", 2), "{version}");

        assert_eq!(
            lab.of_vm("pg-01").await,
            ["Backup:daily", "Compliance:gdpr", "Compliance:pci-dss", "Environment:prod"]
        );
        let done = lab.apply("gdpr", &["web-01", "pg-01", "web-02"], InTheWay::Kept).await;
        assert_eq!(changed(&done), [true, false, true], "{version}");
        assert_eq!(lab.of_vm("web-02").await, ["Backup:weekly", "Compliance:gdpr", "Environment:prod"]);
        let gdpr = tags.find("COMPLIANCE:GDPR").await.unwrap();
        assert_eq!(tags.vms_with(&gdpr).await.unwrap().len(), 9, "{version}");
        let vms = lab.vms(&["web-01", "web-03", "no-such-vm"]).await;
        let done = tags.remove(&gdpr, &vms).await.unwrap();
        assert_eq!(changed(&done[..2]), [true, false], "{version}");
        assert_eq!(done[2].outcome.as_ref().unwrap_err().code(), "not_found");
        assert_eq!(lab.of_vm("web-01").await, ["Backup:weekly", "Environment:prod"]);
        lab.client.logout().await.unwrap();
        assert_eq!((lab.sim.sessions(), lab.sim.automation_sessions()), (0, 0), "{version}");
    }
}

#[tokio::test]
async fn a_tag_of_a_single_category_is_refused_with_what_is_in_the_way_or_takes_its_place() {
    for version in VERSIONS {
        let lab = Lab::demo(version).await;
        let refused = lab.apply("Environment:test", &["web-01", "test-alice"], InTheWay::Kept).await;
        let error = refused[0].outcome.as_ref().unwrap_err();
        assert_eq!(
            error.to_string(),
            "apply tag Environment:test to \"web-01\": it has Environment:prod, and may have one tag of Environment at a time"
        );
        assert_eq!(error.code(), "invalid_state");
        assert_eq!(error.circumstance(), Some(&Circumstance::TagInTheWay("Environment:prod".to_owned())));
        assert!(!refused[1].outcome.as_ref().unwrap().changed);
        assert_eq!(lab.of_vm("web-01").await, ["Backup:weekly", "Environment:prod"]);

        let done = lab.apply("Environment:test", &["web-01", "test-alice"], InTheWay::Replaced).await;
        let change = done[0].outcome.as_ref().unwrap();
        assert_eq!((change.changed, change.replaced.as_slice()), (true, ["Environment:prod".to_owned()].as_slice()));
        assert_eq!(lab.of_vm("web-01").await, ["Backup:weekly", "Environment:test"], "{version}");
        assert_eq!(
            lab.calls("vcenter.tagging.associations.update"),
            u64::from(version.starts_with("9.1")),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_tag_that_went_for_nothing_comes_back() {
    let lab = Lab::demo("8.0.3.0").await;
    let attach = "com.vmware.cis.tagging.tag_association.attach";
    lab.sim.trouble(Trouble::none().fail(attach, "ERROR", 1));
    let done = lab.apply("Environment:test", &["web-01"], InTheWay::Replaced).await;
    assert!(done[0].outcome.is_err());
    assert_eq!(lab.of_vm("web-01").await, ["Backup:weekly", "Environment:prod"]);
    lab.sim.trouble(Trouble::none().fail(attach, "ERROR", 2));
    let done = lab.apply("Environment:test", &["web-01"], InTheWay::Replaced).await;
    let error = done[0].outcome.as_ref().unwrap_err();
    assert_eq!(error.circumstance(), Some(&Circumstance::TagLost("Environment:prod".to_owned())));
    assert!(error.to_string().contains("Environment:prod was taken off before"), "{error}");
}

#[tokio::test]
async fn a_tag_is_found_by_its_names_and_its_id() {
    let model = Model::demo().category("Stage", Of::Multiple, &["HostSystem"]).tag("Stage", "prod", &[]).tag(
        "Stage",
        "a:b",
        &[],
    );
    let lab = Lab::of(model).await;
    let tags = lab.tags().await;
    let prod = tags.find("Environment:prod").await.unwrap();
    assert_eq!(tags.find(&prod.id).await.unwrap(), prod);
    assert_eq!(tags.find("a:b").await.unwrap().to_string(), "Stage:a:b");
    let several = tags.find("prod").await.unwrap_err();
    assert_eq!(several.code(), "ambiguous");
    let paths: Vec<&str> = several.candidates().iter().map(|candidate| candidate.path.as_str()).collect();
    assert_eq!(paths, ["Environment:prod", "Stage:prod"]);
    let missing = tags.find("Environment:dev").await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "find tag \"Environment:dev\": there is no such tag; the tags are Environment:prod, Environment:test"
    );
    assert_eq!(tags.find("urn:vmomi:InventoryServiceTag:0:GLOBAL").await.unwrap_err().code(), "not_found");
    let query = TagQuery { category: Some("Tier".to_owned()), ..TagQuery::default() };
    let error = tags.list(&query).await.unwrap_err();
    assert!(error.to_string().ends_with("the categories are Backup, Compliance, Environment, Stage"), "{error}");
    // It is for hosts.
    let stage = tags.find("Stage:prod").await.unwrap();
    let refused = tags.apply(&stage, &lab.vms(&["web-01"]).await, InTheWay::Kept).await.unwrap_err();
    assert_eq!(refused.code(), "invalid_argument");
    assert!(refused.to_string().contains("the tags of Stage are for HostSystem, not for VMs"), "{refused}");
}

#[tokio::test]
async fn a_host_alone_has_no_tags() {
    let lab = Lab::of(Model::esxi()).await;
    let error = lab.client.tags().await.unwrap_err();
    assert_eq!(error.code(), "unsupported");
    let query = VmQuery { tag: Some("Environment:prod".to_owned()), ..VmQuery::default() };
    assert_eq!(vm::list(&lab.client, &query).await.unwrap_err().code(), "unsupported");
    assert!(error.to_string().contains("single ESXi host"), "{error}");
}

#[tokio::test]
async fn a_viewer_reads_tags_and_is_told_why_not_more() {
    let lab = Lab::of(Model::demo().user("viewer@vsphere.local", "secret", Role::ReadOnly)).await;
    let viewer = Lab { client: connect(&lab.sim, "viewer@vsphere.local", "secret").await, ..lab };
    assert_eq!(viewer.of_vm("web-01").await, ["Backup:weekly", "Environment:prod"]);
    for names in [&["web-01"][..], &["web-01", "web-02"]] {
        for report in viewer.apply("gdpr", names, InTheWay::Kept).await {
            let error = report.outcome.unwrap_err();
            assert_eq!(error.code(), "permission", "{error}");
            assert!(error.to_string().contains("InventoryService.Tagging.AttachTag"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_lost_session_is_renewed_once() {
    let lab = Lab::demo("8.0.3.0").await;
    lab.of_vm("web-01").await;
    lab.sim.end_sessions();
    assert_eq!(lab.of_vm("web-01").await, ["Backup:weekly", "Environment:prod"]);
    assert_eq!((lab.sim.automation_sessions(), lab.calls("cis.session.create")), (1, 2));
}

#[tokio::test]
async fn those_that_are_refused_among_many_do_not_hide_the_others() {
    let lab = Lab::demo("9.0.0.0").await;
    let vms = lab.vms(&["web-01", "web-04", "web-02"]).await;
    // Somebody else deletes one after it was found.
    let gone: Mo<VirtualMachine> = lab.client.get("web-04").await.unwrap();
    gone.deletion().await.unwrap().carry_out().await.unwrap();
    let tags = lab.tags().await;
    let gdpr = tags.find("gdpr").await.unwrap();
    // In a task of its own, as servers do it.
    let applied = tokio::spawn(async move { tags.apply(&gdpr, &vms, InTheWay::Kept).await });
    let reports = applied.await.unwrap().unwrap();
    let outcomes: Vec<bool> = reports.iter().map(|report| report.outcome.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(reports[1].vm, "web-04");
    assert_eq!(lab.of_vm("web-02").await, ["Backup:weekly", "Compliance:gdpr", "Environment:prod"]);
}

#[tokio::test]
async fn what_this_client_changes_is_seen_at_once_and_the_rest_in_time() {
    let lab = Lab::demo("8.0.3.0").await;
    let tags = lab.tags().await;
    let rest = lab.client.rest().unwrap();
    let gdpr = tags.find("Compliance:gdpr").await.unwrap();
    let path = format!("/api/cis/tagging/tag/{}", gdpr.id);
    let () = rest.patch(&path, &json!({ "name": "dsgvo" })).await.unwrap();
    assert_eq!(lab.of_vm("pg-01").await[1], "Compliance:dsgvo");
    // Another client makes a tag, which no name that is remembered hides.
    let other = connect(&lab.sim, Model::USER, Model::PASSWORD).await;
    let spec = json!({ "name": "sox", "description": "", "category_id": category(&other, "Compliance").await });
    let _: Value = other.rest().unwrap().post("/api/cis/tagging/tag", &spec).await.unwrap();
    assert_eq!(tags.find("Compliance:sox").await.unwrap().name, "sox");
}

/// The id of a category.
async fn category(client: &Client, name: &str) -> String {
    let rest = client.rest().unwrap();
    for id in rest.get::<Vec<String>>("/api/cis/tagging/category").await.unwrap() {
        let category: Value = rest.get(&format!("/api/cis/tagging/category/{id}")).await.unwrap();
        if category["name"] == name {
            return id;
        }
    }
    panic!("there is no category {name}")
}

/// 200 tags on 5,000 machines, each with one of them.
async fn many(version: &str) -> Lab {
    const TAGS: usize = 200;
    let model = Model::sized(Size { vms: 5_000, hosts: 20, ..Size::default() }).version(version);
    let mut model = model.category("Project", Of::Single, &["VirtualMachine"]);
    for number in 0..TAGS {
        model = model.tag("Project", &format!("p{number}"), &[]);
    }
    let lab = Lab::of(model).await;
    // Another client attaches them, so that nothing is known to the one that is watched.
    let other = connect(&lab.sim, Model::USER, Model::PASSWORD).await;
    let all = machines(&other).await;
    assert_eq!(all.len(), 5_000);
    let tags = other.tags().await.unwrap();
    let query = TagQuery { page: ListQuery::first(TAGS), ..TagQuery::default() };
    let listed = tags.list(&query).await.unwrap().items;
    for (tag, some) in listed.iter().zip(all.chunks(all.len() / TAGS)) {
        let done = tags.apply(tag, &Vms::from(some.to_vec()), InTheWay::Kept).await.unwrap();
        assert!(changed(&done).iter().all(|changed| *changed));
    }
    lab
}

async fn machines(client: &Client) -> Vec<Mo<VirtualMachine>> {
    let all = client.all::<VirtualMachine>().select(virtual_machine::NAME).await.unwrap();
    all.into_iter().map(|(vm, _)| vm).collect()
}

/// How many requests the tags of all machines take, at first and again.
async fn requests_for_all(lab: &Lab) -> (u64, u64) {
    let vms = Vms::from(machines(&lab.client).await);
    let mut took = Vec::new();
    for _ in 0..2 {
        let before = lab.requests();
        let reports = lab.tags().await.of_vms(&vms).await.unwrap();
        took.push(lab.requests() - before);
        assert_eq!(reports.len(), 5_000);
        assert!(reports.iter().all(|report| report.outcome.as_ref().is_ok_and(|tags| tags.len() == 1)));
    }
    (took[0], took[1])
}

#[tokio::test]
async fn the_tags_of_5000_machines_take_6_requests_and_a_list_by_tag_one_more() {
    let lab = many("9.0.0.0").await;
    assert_eq!(requests_for_all(&lab).await, (6, 3), "the session, three thousands of machines, tags and categories");

    // A cold list, and the same by a tag.
    let reads = |lab: &Lab| {
        let names =
            ["CreateContainerView", "RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx"];
        names.iter().map(|name| lab.sim.calls(name)).sum::<u64>()
    };
    let mut took = Vec::new();
    for tag in [None, Some("Project:p7".to_owned())] {
        let cold = connect(&lab.sim, Model::USER, Model::PASSWORD).await;
        let before = (reads(&lab), lab.requests());
        let wanted = if tag.is_some() { 25 } else { 5_000 };
        let query = VmQuery { tag, page: ListQuery::first(25), ..VmQuery::default() };
        let page = vm::list(&cold, &query).await.unwrap();
        assert_eq!((page.returned, page.total), (25, wanted));
        took.push((reads(&lab) - before.0, lab.requests() - before.1));
    }
    assert_eq!(took[0].0, took[1].0, "as many reads as a cold list");
    assert_eq!((took[0].1, took[1].1), (0, 4), "the session, categories, tags, what has the tag");
}

#[tokio::test]
async fn before_9_each_tag_takes_one_request_once() {
    let lab = many("8.0.3.0").await;
    assert_eq!(requests_for_all(&lab).await, (1 + 3 + 200 + 1, 3));
}

#[tokio::test]
async fn a_client_that_logs_in_once_keeps_its_sessions_and_never_opens_others() {
    for version in VERSIONS {
        let sim = Sim::start(Model::demo().version(version)).await.unwrap();
        let config = Config::new(sim.url()).user(Model::USER).password(Model::PASSWORD).log_in_once();
        let config = config.thumbprint(&sim.thumbprint().unwrap().to_string());
        let client = Client::connect(config.clone()).await.unwrap();
        assert_eq!((sim.sessions(), sim.automation_sessions()), (1, 1), "{version}");
        let vms = client.vms(&["web-01".to_owned()]).await;
        client.tags().await.unwrap().of_vms(&vms).await.unwrap();

        sim.end_sessions();
        let error = client.tags().await.unwrap().of_vms(&vms).await.unwrap_err();
        assert_eq!(error.code(), "auth", "{version}: {error}");
        let error = client.get::<VirtualMachine>("web-01").await.unwrap_err();
        assert_eq!(error.code(), "auth", "{error}");
        assert!(error.to_string().contains("its password was not kept"), "{error}");
        assert!(client.is_logged_out());
        let error = client.get::<VirtualMachine>("web-01").await.unwrap_err();
        assert!(error.to_string().contains("its password was not kept"), "{error}");
        assert_eq!((sim.calls("Login"), sim.calls("com.vmware.cis.session.create")), (1, 1), "{version}");
        assert_eq!((sim.sessions(), sim.automation_sessions()), (0, 0), "{version}");

        // One that was cloned before logs in again, as it is another login.
        let client = Client::connect(config).await.unwrap();
        client.logout().await.unwrap();
        assert_eq!((sim.sessions(), sim.automation_sessions()), (0, 0), "{version}");
    }
}

#[tokio::test]
async fn a_refused_login_that_is_made_once_says_so_and_leaves_nothing() {
    let sim = Sim::start(Model::demo()).await.unwrap();
    let config = Config::new(sim.url()).user(Model::USER).password("hunter2").log_in_once();
    let config = config.thumbprint(&sim.thumbprint().unwrap().to_string());
    let error = Client::connect(config).await.unwrap_err();
    assert_eq!(error.code(), "auth", "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    assert_eq!((sim.sessions(), sim.automation_sessions(), sim.calls("Login")), (0, 0, 1));
}
