//! Exports from servers that refuse something, or know less.

use vsphere_ops::columns::Cell;
use vsphere_ops::export::Sheet;

use crate::server::{Reply, Server, object};

#[tokio::test]
async fn what_a_server_is_too_old_for_or_refuses_or_has_not_is_an_empty_cell_and_a_gap() {
    let server = Server::start(|call| {
        let is_of_vms = call.body.contains("configStatus");
        match call.operation.as_str() {
            "RetrieveProperties" => Reply::Good(String::new()),
            // A server before 6.7.
            "RetrievePropertiesEx" if call.body.contains("config.createDate") => {
                Reply::Fault("InvalidProperty", "<name>config.createDate</name>".to_owned())
            }
            "RetrievePropertiesEx" if is_of_vms => {
                let vm = |id: &str| object("VirtualMachine", id, &[("name", "xsd:string", id)]);
                let hidden = "<missingSet><path>summary.config</path><fault><fault xsi:type=\"NoPermission\">\
                     <object type=\"VirtualMachine\">vm-1</object><privilegeId>System.Read</privilegeId></fault>\
                     <localizedMessage/></fault></missingSet></objects>";
                Reply::value(&(vm("vm-1").replace("</objects>", hidden) + &vm("vm-2")))
            }
            _ => Reply::Usual,
        }
    })
    .await;
    let client = server.client().await;
    let mut export = client.export(&[Sheet::VInfo]);
    let rows = export.next().await.unwrap().unwrap();
    assert_eq!(rows.len(), 2);
    for column in ["CPUs", "Memory", "Template", "In Use MiB", "Disks", "Total disk capacity MiB", "Creation date"] {
        assert!(rows.iter().all(|row| row.get(column) == Some(&Cell::Nothing)), "{column}");
    }
    assert_eq!(export.next().await.unwrap(), None);
    let gaps = export.gaps();
    let [hidden] = gaps.unreadable.as_slice() else { panic!("{gaps:?}") };
    assert_eq!((hidden.property.as_str(), hidden.privilege.as_deref()), ("summary.config", Some("System.Read")));
    let what: Vec<&str> = gaps.missing.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(what, ["config.createDate", "the configuration of VMs (1)"]);
}
