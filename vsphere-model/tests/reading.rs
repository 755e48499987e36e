//! Reading is tolerant: one test per liberty that servers take.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic of a helper is a failure report too")]

mod common;

use common::{envelope, read, read_data, write};
use vsphere_model::types::*;
use vsphere_model::{Answer, read_answer};

const DISK: &str = "<key>2000</key><capacityInKB>1024</capacityInKB>";

#[test]
fn unknown_elements_are_passed_over() {
    let disk: VirtualDisk = read_data(
        "VirtualDisk",
        "<key>2000</key><fresh a=\"1\">x<key>7</key><y/>&amp;</fresh><capacityInKB>1024</capacityInKB><last/>",
    );
    assert_eq!((disk.key, disk.capacity_in_kb), (2000, 1024));
}

#[test]
fn an_unknown_type_keeps_its_base_its_name_and_its_other_elements_and_is_written_back() {
    let content = "<device xsi:type=\"VirtualHologram\"><key>9</key><deviceInfo><label>h</label><summary>s</summary>\
                   </deviceInfo><beam><colour>red</colour><of type=\"HostSystem\">host-1</of></beam>\
                   <beam xsi:type=\"xsd:int\">5</beam></device>";
    let hardware = format!("<numCPU>1</numCPU><memoryMB>4</memoryMB>{content}");
    let hardware: VirtualHardware = read_data("VirtualHardware", &hardware);
    let device = &hardware.device[0];
    assert_eq!((device.key, device.type_name()), (9, "VirtualHologram"));
    assert!(device.is::<VirtualDevice>() && !device.is::<VirtualDisk>());
    let unknown = device.as_object().unknown().unwrap();
    let names: Vec<&str> = unknown.elements.iter().map(|element| &*element.name).collect();
    assert_eq!((&*unknown.type_name, names), ("VirtualHologram", vec!["beam", "beam"]));
    assert_eq!(unknown.elements[0].child("colour").unwrap().text, "red");
    let written = write(&hardware.clone().into());
    // `deviceInfo` is written as the type that stands there by declaration.
    assert!(written.contains(content), "{written}");
    assert_eq!(read::<VirtualHardware>(&written), hardware);
    assert_eq!(hardware.clone(), hardware);
}

#[test]
fn a_type_of_another_family_leaves_the_declared_one() {
    let hardware: VirtualHardware =
        read_data("VirtualHardware", "<device xsi:type=\"Description\"><key>1</key><label>l</label></device>");
    assert_eq!((hardware.device[0].key, hardware.device[0].type_name()), (1, "Description"));
    assert_eq!(read::<VirtualHardware>(&write(&hardware.clone().into())), hardware);
}

#[test]
fn an_unknown_type_in_any_type_is_kept_as_it_is() {
    let returnval = "<returnval xsi:type=\"Hologram\"><a>1</a><b xsi:type=\"xsd:int\">2</b></returnval>";
    let any: Any = read(returnval);
    let Any::Unknown(element) = &any else { panic!("{any:?}") };
    assert_eq!((element.type_name.as_deref(), &*element.children[0].text), (Some("Hologram"), "1"));
    assert_eq!(write(&any), returnval);
}

#[test]
fn an_unknown_enumeration_value_is_kept() {
    let runtime: VirtualMachineRuntimeInfo =
        read_data("VirtualMachineRuntimeInfo", "<powerState>levitating</powerState>");
    assert_eq!(runtime.power_state, VirtualMachinePowerState::Unrecognized("levitating".to_owned()));
    assert!(write(&runtime.into()).contains("<powerState>levitating</powerState>"));
    let any: Any = read("<returnval xsi:type=\"VirtualMachinePowerState\">levitating</returnval>");
    assert_eq!(any.as_str(), Some("levitating"));
}

#[test]
fn an_empty_enumeration_value_is_unset() {
    let runtime: VirtualMachineRuntimeInfo =
        read_data("VirtualMachineRuntimeInfo", "<powerState></powerState><faultToleranceState/>");
    assert_eq!(runtime.power_state, VirtualMachinePowerState::default());
    assert!(!write(&runtime.into()).contains("tate"));
    assert_eq!(read::<Any>("<returnval xsi:type=\"VirtualMachinePowerState\"/>"), Any::Unset);
}

#[test]
fn missing_required_elements_are_left_at_their_default() {
    let disk: VirtualDisk = read_data("VirtualDisk", "");
    assert_eq!(disk, VirtualDisk::default());
}

/// Reads an answer whose envelope is all given.
fn read_document<T: vsphere_soap::object::FromAny>(document: &str) -> T {
    match read_answer(document.as_bytes()).unwrap() {
        Answer::Result { value, .. } => value.take().unwrap(),
        Answer::Fault(fault) => panic!("{fault}"),
    }
}

#[test]
fn any_prefix_may_stand_for_the_schema_instance_namespace() {
    const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    for returnval in [
        format!("<returnval xmlns:i=\"{XSI}\" i:type=\"VirtualDisk\">{DISK}</returnval>"),
        format!("<returnval xmlns:i='{XSI}' i:type='VirtualDisk'>{DISK}</returnval>"),
        format!("<returnval xmlns:i = \"{XSI}\"\n\ti:type = 'v:VirtualDisk' >{DISK}</returnval>"),
        // Declared on the same tag, after its use.
        format!("<returnval i:type=\"VirtualDisk\" xmlns:i=\"{XSI}\">{DISK}</returnval>"),
        // Bound further out, bound again, and shadowed where it does not matter.
        format!("<x xmlns:i=\"urn:other\"/><returnval xmlns:i=\"{XSI}\" i:type=\"VirtualDisk\">{DISK}</returnval>"),
        format!(
            "<returnval xmlns:i=\"{XSI}\" i:type=\"VirtualDisk\">{DISK}<q xmlns:i=\"u\" i:type=\"Z\"/></returnval>"
        ),
    ] {
        let document = format!("<Envelope><Body><SomeResponse>{returnval}</SomeResponse></Body></Envelope>");
        assert_eq!(read_document::<VirtualDisk>(&document).capacity_in_kb, 1024, "{returnval}");
    }
}

#[test]
fn a_prefix_that_is_bound_to_something_else_says_no_type() {
    const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
    let xml = format!(
        "<Envelope xmlns:i=\"{XSI}\"><Body><SomeResponse><returnval xmlns:i=\"urn:other\" i:type=\"xsd:int\">1</returnval>\
         <returnval i:type=\"xsd:int\">2</returnval></SomeResponse></Body></Envelope>"
    );
    let array: Array = match read_document(&xml) {
        Any::Array(array) => array,
        other => panic!("{other:?}"),
    };
    assert_eq!(array.items, [Any::String("1".to_owned()), Any::Int(2)]);
}

#[test]
fn elements_come_in_any_order() {
    let disk: VirtualDisk = read_data(
        "VirtualDisk",
        "<capacityInKB>1024</capacityInKB><unitNumber>3</unitNumber><key>2000</key><controllerKey>1</controllerKey>",
    );
    assert_eq!((disk.capacity_in_kb, disk.unit_number, disk.key, disk.controller_key), (1024, Some(3), 2000, Some(1)));
}

#[test]
fn elements_of_a_list_need_not_stand_together() {
    let hardware: VirtualHardware =
        read_data("VirtualHardware", "<device><key>1</key></device><numCPU>2</numCPU><device><key>3</key></device>");
    assert_eq!(hardware.device.iter().map(|device| device.key).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn elements_may_have_a_prefix() {
    let disk: VirtualDisk = read_data("v:VirtualDisk", "<v:key xmlns:v=\"urn:vim25\">2000</v:key>");
    assert_eq!(disk.key, 2000);
}

#[test]
fn a_redundant_type_is_harmless() {
    let disk: VirtualDisk = read_data(
        "VirtualDisk",
        "<key xsi:type=\"xsd:int\">2000</key><deviceInfo xsi:type=\"Description\"><label>l</label></deviceInfo>\
         <shares xsi:type=\"SharesInfo\"><shares>5</shares></shares>",
    );
    assert_eq!((disk.key, disk.shares.unwrap().shares), (2000, 5));
    let info = disk.base.device_info.unwrap();
    assert_eq!((info.type_name(), &*info.label), ("Description", "l"));
    assert!(info.as_object().unknown().is_none());
}

#[test]
fn a_reference_stands_in_any_type() {
    for attributes in [
        "type=\"VirtualMachine\" xsi:type=\"ManagedObjectReference\"",
        "xsi:type=\"ManagedObjectReference\" type=\"VirtualMachine\"",
        "xsi:type='v:ManagedObjectReference' type='VirtualMachine' serverGuid=\"x\"",
    ] {
        let moref: ManagedObjectReference = read(&format!("<returnval {attributes}>vm-42</returnval>"));
        assert_eq!(moref, ManagedObjectReference::new("VirtualMachine", "vm-42"), "{attributes}");
    }
}

#[test]
fn arrays_of_built_in_types_stand_in_any_type() {
    let strings: Vec<String> =
        read("<returnval xsi:type=\"ArrayOfString\"><string>a</string><string></string></returnval>");
    assert_eq!(strings, ["a", ""]);
    let ints: Vec<i32> = read("<returnval xsi:type=\"ArrayOfInt\"><int>1</int><int>-2</int></returnval>");
    assert_eq!(ints, [1, -2]);
    let any: Vec<Any> = read(
        "<returnval xsi:type=\"ArrayOfAnyType\"><anyType xsi:type=\"xsd:long\">1</anyType>\
         <anyType xsi:type=\"VirtualDisk\"><key>1</key></anyType><anyType xsi:type=\"ArrayOfInt\"><int>1</int></anyType>\
         </returnval>",
    );
    assert_eq!(any.iter().map(Any::type_name).collect::<Vec<_>>(), ["long", "VirtualDisk", "ArrayOfInt"]);
    let none: Vec<i64> = read("<returnval xsi:type=\"ArrayOfLong\"/>");
    assert!(none.is_empty());
}

#[test]
fn arrays_of_references_stand_in_any_type() {
    let morefs: Vec<ManagedObjectReference> = read(
        "<returnval xsi:type=\"ArrayOfManagedObjectReference\">\
         <ManagedObjectReference type=\"Datastore\">datastore-1</ManagedObjectReference>\
         <ManagedObjectReference type=\"Datastore\" xsi:type=\"ManagedObjectReference\">datastore-2\
         </ManagedObjectReference></returnval>",
    );
    assert_eq!(morefs.iter().map(|m| &*m.value).collect::<Vec<_>>(), ["datastore-1", "datastore-2"]);
}

#[test]
fn arrays_of_objects_stand_in_any_type() {
    let devices: Vec<Poly<VirtualDevice>> = read(
        "<returnval xsi:type=\"ArrayOfVirtualDevice\"><VirtualDevice xsi:type=\"VirtualDisk\"><key>1</key>\
         </VirtualDevice><VirtualDevice><key>2</key></VirtualDevice></returnval>",
    );
    assert_eq!(
        devices.iter().map(|d| (d.key, d.type_name())).collect::<Vec<_>>(),
        [(1, "VirtualDisk"), (2, "VirtualDevice")]
    );
}

#[test]
fn arrays_of_an_unknown_type_keep_what_their_items_say() {
    let any: Any = read(
        "<returnval xsi:type=\"ArrayOfHologram\"><Hologram xsi:type=\"NotFound\"/><Hologram>a</Hologram>\
         <Hologram xsi:type=\"xsd:int\">1</Hologram><Hologram><a/></Hologram></returnval>",
    );
    let Any::Array(Array { items, .. }) = &any else { panic!("{any:?}") };
    assert!(matches!(&items[..], [Any::Object(_), Any::String(_), Any::Int(1), Any::Unknown(_)]), "{items:?}");
    assert_eq!(read::<Any>(&write(&any)), any);
}

#[test]
fn arrays_of_faults_hold_bare_or_localized_ones() {
    let bare: Any = read("<returnval xsi:type=\"ArrayOfMethodFault\"><MethodFault xsi:type=\"NotFound\"/></returnval>");
    let Any::Array(Array { items, .. }) = &bare else { panic!("{bare:?}") };
    assert!(matches!(&items[..], [Any::Object(fault)] if fault.is::<NotFound>()));
    let localized: Any = read(
        "<returnval xsi:type=\"ArrayOfMethodFault\"><LocalizedMethodFault><fault xsi:type=\"NotFound\"/>\
         <localizedMessage>gone</localizedMessage></LocalizedMethodFault></returnval>",
    );
    let Any::Array(Array { items, .. }) = &localized else { panic!("{localized:?}") };
    let [Any::Object(fault)] = &items[..] else { panic!("{items:?}") };
    let fault = fault.downcast_ref::<LocalizedMethodFault>().unwrap();
    assert!(fault.fault.is::<NotFound>());
    assert_eq!(fault.localized_message.as_deref(), Some("gone"));
    for any in [bare, localized] {
        assert_eq!(read::<Any>(&write(&any)), any);
    }
}

#[test]
fn dates_come_in_all_forms() {
    for (text, same) in [
        ("2026-02-03T04:05:06Z", "2026-02-03T04:05:06Z"),
        ("2026-02-03T04:05:06", "2026-02-03T04:05:06Z"),
        ("2026-02-03T04:05:06.5", "2026-02-03T04:05:06.500Z"),
        ("2026-02-03T04:05:06.123456789Z", "2026-02-03T04:05:06.123456789Z"),
        ("\n2026-02-03T04:05:06.000+05:30 ", "2026-02-03T04:05:06+05:30"),
    ] {
        let any: Any = read(&format!("<returnval xsi:type=\"xsd:dateTime\">{text}</returnval>"));
        assert_eq!(write(&any), format!("<returnval xsi:type=\"xsd:dateTime\">{same}</returnval>"));
    }
}

#[test]
fn text_is_put_together_from_its_pieces() {
    let text: String = read(
        "<returnval xsi:type=\"xsd:string\">a&amp;b<!-- not this -->&#x41;&#66;<![CDATA[<c>&amp;]]><?pi x?>&lt;d\
         </returnval>",
    );
    assert_eq!(text, "a&bAB<c>&amp;<d");
}

#[test]
fn line_ends_are_read_as_xml_says() {
    let text: String = read("<returnval xsi:type=\"xsd:string\">a\r\nb\rc&#13;\nd</returnval>");
    assert_eq!(text, "a\nb\nc\r\nd");
}

#[test]
fn nil_is_unset() {
    let disk: VirtualDisk =
        read_data("VirtualDisk", "<key>1</key><unitNumber xsi:nil=\"true\"/><backing xsi:nil='1'></backing>");
    assert_eq!((disk.unit_number, disk.base.backing), (None, None));
    assert_eq!(read::<Any>("<returnval xsi:nil=\"true\" xsi:type=\"xsd:int\"/>"), Any::Unset);
    assert_eq!(read::<i32>("<returnval xsi:nil=\"false\" xsi:type=\"xsd:int\">1</returnval>"), 1);
}

#[test]
fn a_nil_among_several_results_is_not_there() {
    let int = |n| format!("<returnval xsi:type=\"xsd:int\">{n}</returnval>");
    let any: Vec<i32> = read(&format!("{}<returnval xsi:nil=\"1\"/>{}", int(1), int(2)));
    assert_eq!(any, [1, 2]);
}

#[test]
fn base64_has_white_space() {
    let bytes: Binary = read("<returnval xsi:type=\"xsd:base64Binary\">\n aGVs\r\n bG8=\n</returnval>");
    assert_eq!(bytes.0, b"hello");
}

#[test]
fn bytes_are_repeated_signed_numbers() {
    let digest: HostDigestInfo =
        read_data("HostDigestInfo", "<digestValue>-1</digestValue><digestValue>127</digestValue>");
    assert_eq!(digest.digest_value, [-1_i8, 127]);
    assert!(write(&digest.into()).contains("<digestValue>-1</digestValue><digestValue>127</digestValue>"));
}

#[test]
fn an_empty_string_is_a_string() {
    let config: VirtualMachineConfigInfo = read_data("VirtualMachineConfigInfo", "<name/><annotation></annotation>");
    assert_eq!((&*config.name, config.annotation.as_deref()), ("", Some("")));
}

#[test]
fn white_space_between_elements_is_nothing() {
    let disk: VirtualDisk = read_data("VirtualDisk", "\n  <key> 2000\n</key>\n  <!-- c -->\n");
    assert_eq!(disk.key, 2000);
}

#[test]
fn white_space_around_a_type_and_its_prefix_is_nothing() {
    let body = "<SomeResponse><returnval xsi:type=\" xsd: int \">1</returnval></SomeResponse>";
    assert_eq!(read_document::<i32>(&envelope(body)), 1);
}

#[test]
fn a_byte_order_mark_and_a_declaration_may_come_first() {
    let body = "<SomeResponse><returnval xsi:type=\"xsd:int\">1</returnval></SomeResponse>";
    let document = format!("\u{feff}<?xml version=\"1.0\"?>\n<!-- hello -->\n{}\n", envelope(body));
    assert_eq!(read_document::<i32>(&document), 1);
}

#[test]
fn a_recorded_machine_is_read_whole() {
    let document = include_str!("data/vm_config.xml");
    let result: RetrieveResult = read_document(document);
    let [object] = &result.objects[..] else { panic!("{} objects", result.objects.len()) };
    let config: VirtualMachineConfigInfo = object.prop_set[0].val.clone().take().unwrap();
    assert_eq!((&*config.name, config.hardware.memory_mb), ("DC0_H0_VM0", 32));
    let disk = config.hardware.device.iter().find_map(|device| device.downcast_ref::<VirtualDisk>()).unwrap();
    assert_eq!(disk.capacity_in_bytes, Some(10_737_418_240));
    assert_eq!(disk.base.backing.as_ref().unwrap().type_name(), "VirtualDiskFlatVer2BackingInfo");
    assert_eq!(read::<VirtualMachineConfigInfo>(&write(&config.clone().into())), config);
}
