use vsphere_ops::Circumstance;
use vsphere_ops::managed::{HostSystem, VirtualMachine, virtual_machine as vm};

use crate::server::{Reply, Server, machine, object};

const NAME: &str = "xsd:string";

#[tokio::test]
async fn pitfall_12_the_id_of_an_object_that_is_gone_says_so() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" if call.body.contains("<obj type=\"VirtualMachine\">vm-9</obj>") => {
            Reply::Fault("ManagedObjectNotFound", "<obj type=\"VirtualMachine\">vm-9</obj>".to_owned())
        }
        "RetrievePropertiesEx" => Reply::value(&machine(1)),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let error = client.get::<VirtualMachine>("VirtualMachine:vm-9").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "find virtual machine \"VirtualMachine:vm-9\": there is no virtual machine vm-9, or no longer"
    );
    assert!(error.is_not_found());
    let error = client.get::<VirtualMachine>("vm-9").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "find virtual machine \"vm-9\": no virtual machine has this name or, any longer, this id"
    );
    let error = client.get::<VirtualMachine>("HostSystem:host-1").await.unwrap_err();
    assert_eq!(error.code(), "invalid_argument");
}

#[tokio::test]
async fn a_uuid_is_an_instance_uuid_first_then_a_bios_uuid_that_copies_may_share() {
    let uuid = "4203a2cc-8f3d-4b1e-9a31-0d5b0c7d3e11";
    let server = Server::start(|call| match call.operation.as_str() {
        "FindAllByUuid" if call.body.contains("<instanceUuid>false") => Reply::Good(
            "<returnval type=\"VirtualMachine\">vm-1</returnval><returnval type=\"VirtualMachine\">vm-2</returnval>"
                .to_owned(),
        ),
        "RetrieveProperties" => Reply::Good(String::new()),
        "RetrievePropertiesEx" => Reply::value(&format!(
            "{}{}{}{}",
            object("VirtualMachine", "vm-1", &[("name", NAME, "a"), ("parent", "ref:Folder", "group-v1")]),
            object("VirtualMachine", "vm-2", &[("name", NAME, "b"), ("parent", "ref:Folder", "group-v1")]),
            object("Folder", "group-v1", &[("name", NAME, "vm"), ("parent", "ref:Folder", "group-d1")]),
            object("Folder", "group-d1", &[("name", NAME, "Datacenters")]),
        )),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let error = client.get::<VirtualMachine>(uuid).await.unwrap_err();
    let candidates: Vec<String> = error.candidates().iter().map(|c| format!("{} {}", c.path, c.id)).collect();
    assert_eq!(candidates, ["/vm/a vm-1", "/vm/b vm-2"]);
    // Beside them the names are read, as one may be called so.
    let mut asked = server.operations();
    asked.retain(|operation| !matches!(operation.as_str(), "CreateContainerView" | "RetrieveProperties"));
    assert_eq!(asked, ["FindByUuid", "FindAllByUuid", "RetrievePropertiesEx"]);
}

#[tokio::test]
async fn pitfall_26_a_path_whose_beginning_is_hidden_shows_that() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&format!(
            "{}{}{}",
            object("VirtualMachine", "vm-1", &[("name", NAME, "a%2fb"), ("parent", "ref:Folder", "group-v1")]),
            object("Folder", "group-v1", &[("name", NAME, "prod"), ("parent", "ref:Folder", "group-v0")]),
            object("VirtualMachine", "vm-2", &[("name", NAME, "lost")]),
        )),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let objects =
        ["vm-1", "vm-2", "vm-3"].map(|id| vsphere_ops::types::ManagedObjectReference::new("VirtualMachine", id));
    assert_eq!(client.paths(&objects).await.unwrap(), ["…/prod/a%2fb", "…/lost", ""]);
}

#[tokio::test]
async fn a_machine_in_a_vapp_has_a_path_through_it() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&format!(
            "{}{}{}",
            object("VirtualMachine", "vm-1", &[("name", NAME, "db"), ("parentVApp", "ref:VirtualApp", "resgroup-v1")]),
            object("VirtualApp", "resgroup-v1", &[("name", NAME, "shop"), ("parent", "ref:Folder", "group-d1")]),
            object("Folder", "group-d1", &[("name", NAME, "Datacenters")]),
        )),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let machine = client.get::<VirtualMachine>("VirtualMachine:vm-1").await.unwrap();
    assert_eq!(machine.path().await.unwrap(), "/shop/db");
    let ancestors = machine.ancestors().await.unwrap();
    assert_eq!(ancestors.len(), 1);
    assert_eq!((ancestors[0].name.as_str(), ancestors[0].reference.type_.as_str()), ("shop", "VirtualApp"));
    assert_eq!(server.operations().len(), 3, "one round trip each");
}

#[tokio::test]
async fn names_of_several_objects_are_looked_up_in_one_request() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrieveProperties" => Reply::Good((0..3).map(|n| machine(n).replace("objects>", "returnval>")).collect()),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let found = client.get_many::<VirtualMachine>(&["web-0", "WEB-2", "nothing"]).await.unwrap();
    let found: Vec<String> = found
        .into_iter()
        .map(|machine| machine.map_or_else(|error| error.code().to_owned(), |machine| machine.id().to_owned()))
        .collect();
    assert_eq!(found, ["vm-0", "vm-2", "not_found"]);
    assert_eq!(server.operations(), ["CreateContainerView", "RetrieveProperties"]);
    // The view is kept: a second look is one request.
    drop(client.get::<VirtualMachine>("web-1").await.unwrap());
    assert_eq!(server.operations().len(), 3);
}

#[tokio::test]
async fn names_are_read_page_by_page_where_the_server_gives_no_more() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&format!("<token>t</token>{}{}", machine(0), machine(1))),
        "ContinueRetrievePropertiesEx" => Reply::value(&machine(2)),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    assert_eq!(client.get::<VirtualMachine>("web-2").await.unwrap().id(), "vm-2");
    assert!(!server.bodies("RetrievePropertiesEx")[0].contains("maxObjects"));
    let asked = ["CreateContainerView", "RetrieveProperties", "RetrievePropertiesEx", "ContinueRetrievePropertiesEx"];
    assert_eq!(server.operations(), asked);
}

#[tokio::test]
async fn what_a_host_lists_but_does_not_contain_is_read_through_the_list() {
    let server = Server::start(|call| match call.operation.as_str() {
        "RetrievePropertiesEx" => Reply::value(&object("HostSystem", "host-1", &[("name", NAME, "esx-1")])),
        _ => Reply::Usual,
    })
    .await;
    let client = server.client().await;
    let host = client.get::<HostSystem>("HostSystem:host-1").await.unwrap();
    let rows = host.all::<vsphere_ops::managed::Datastore>().select(()).await.unwrap();
    assert_eq!(rows.len(), 1);
    let body = server.bodies("RetrievePropertiesEx").pop().unwrap();
    assert!(body.contains("<type>HostSystem</type><path>datastore</path>"), "{body}");
    assert!(!server.operations().contains(&"CreateContainerView".to_owned()));
}

/// A server whose machines are these, by id and name on the wire. All of them stand in the root folder.
async fn machines(all: &'static [(&'static str, &'static str)]) -> Server {
    Server::start(move |call| match call.operation.as_str() {
        "RetrieveProperties" | "RetrievePropertiesEx" => {
            let by_reference: Vec<_> = all.iter().filter(|(id, _)| call.body.contains(&format!(">{id}<"))).collect();
            let of_a_view = call.body.contains(">ContainerView<");
            let given = all.iter().filter(|own| of_a_view || by_reference.contains(own));
            let properties = |name| [("name", NAME, name), ("parent", "ref:Folder", "group-d1")];
            let mut objects: String =
                given.map(|(id, name)| object("VirtualMachine", id, &properties(*name))).collect();
            if call.body.contains("<path>parent</path>") {
                objects += &object("Folder", "group-d1", &[("name", NAME, "Datacenters")]);
            }
            if !of_a_view && by_reference.is_empty() && call.body.contains("VirtualMachine\">") {
                return Reply::Fault("ManagedObjectNotFound", "<obj type=\"VirtualMachine\">vm-404</obj>".to_owned());
            }
            match call.operation.as_str() {
                "RetrievePropertiesEx" => Reply::value(&objects),
                _ => Reply::Good(objects.replace("<objects>", "<returnval>").replace("</objects>", "</returnval>")),
            }
        }
        _ => Reply::Usual,
    })
    .await
}

async fn found(client: &vsphere_ops::Client, what: &str) -> String {
    match client.get::<VirtualMachine>(what).await {
        Ok(machine) => machine.id().to_owned(),
        Err(error) => {
            let ids: Vec<&str> = error.candidates().iter().map(|candidate| candidate.id.as_str()).collect();
            format!("{} {}", error.code(), ids.join(" "))
        }
    }
}

#[tokio::test]
async fn a_name_that_looks_like_an_id_is_never_taken_for_it_in_silence() {
    const UUID: &str = "4203a2cc-8f3d-4b1e-9a31-0d5b0c7d3e11";
    let server =
        machines(&[("vm-65", "web"), ("vm-99", "vm-65"), ("vm-7", "vm-7"), ("vm-8", "vm-404"), ("vm-9", UUID)]).await;
    let client = server.client().await;
    assert_eq!(found(&client, "vm-65").await, "ambiguous vm-99 vm-65");
    let error = client.get::<VirtualMachine>("vm-65").await.unwrap_err();
    assert!(
        matches!(error.circumstance(), Some(Circumstance::NameOfAnother(object)) if object.value == "vm-65"),
        "the object that has it as its id is named: {error}"
    );
    assert_eq!(found(&client, "VirtualMachine:vm-65").await, "vm-65");
    assert_eq!(found(&client, "vm-99").await, "vm-99");
    assert_eq!(found(&client, "vm-7").await, "vm-7", "id and name are of one machine");
    assert_eq!(found(&client, "vm-404").await, "vm-8", "no machine has this id");
    assert_eq!(found(&client, UUID).await, "vm-9", "no machine has this UUID");
}

#[tokio::test]
async fn looking_up_by_id_takes_one_request_once_the_names_are_known() {
    let server = machines(&[("vm-65", "web"), ("vm-66", "db")]).await;
    let client = server.client().await;
    assert_eq!(found(&client, "vm-65").await, "vm-65");
    let before = server.operations().len();
    assert_eq!(found(&client, "vm-66").await, "vm-66");
    assert_eq!(server.operations().len(), before + 1);
}

#[tokio::test]
async fn a_name_is_found_as_it_is_shown_whatever_is_in_it() {
    let server = machines(&[
        ("vm-1", "a%2fb"),
        ("vm-2", "a%252fb"),
        ("vm-3", "100%25"),
        ("vm-4", "back%5cslash"),
        ("vm-5", "[x] {y}*?"),
        ("vm-6", " spaces "),
        ("vm-7", "ünï/…"),
        ("vm-8", "a%2fc"),
    ])
    .await;
    let client = server.client().await;
    for (machine, wire) in client.all::<VirtualMachine>().select(vm::NAME).await.unwrap().iter() {
        let shown = vsphere_ops::name::decode(wire);
        assert_eq!(found(&client, &shown).await, machine.id(), "{shown:?}");
    }
    // As it stands on the wire and in paths.
    assert_eq!(found(&client, "a%252fb").await, "vm-2");
    assert_eq!(found(&client, "100%25").await, "vm-3");
    let globbed = client.find::<VirtualMachine>("a/*").select(()).await.unwrap();
    let mut ids: Vec<&str> = globbed.iter().map(|(machine, ())| machine.id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["vm-1", "vm-8"], "a slash in a name is a letter");
}
