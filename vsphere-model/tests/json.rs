//! Values as JSON: the style, the way there and back for every type, and what a reader says of bad input.

#![allow(
    clippy::unwrap_used,
    clippy::field_reassign_with_default,
    reason = "a panic in a test is its failure report; a field of a base is set through its deref"
)]

#[path = "common/random.rs"]
#[allow(dead_code, reason = "shared with tests that use another part of it")]
mod random;

use random::Random;
use serde_json::{Value as Json, json};
use vsphere_model::types::*;
use vsphere_model::{Answer, read_answer, registry};
use vsphere_soap::json::{self, AsJson, Reader, Redact};
use vsphere_soap::object::{DataType as _, Element, EnumType as _, Type};

/// Reads what was written, through text.
fn through_text(any: &Any) -> Any {
    let text = serde_json::to_string(&AsJson::any(any)).unwrap();
    let again = Reader::new(registry()).any(&json::parse(&text).unwrap());
    again.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn every_type_is_read_as_it_was_written() {
    assert!(registry().types().len() >= 3_030, "{} types", registry().types().len());
    for (seed, info) in registry().types().iter().enumerate() {
        for round in 0..2 {
            let value = Any::Object(Random::new(seed as u64 * 2 + round).object(info));
            let again = through_text(&value);
            assert!(again == value, "{}: {value:#?}\n{again:#?}", info.name());
        }
    }
}

#[test]
fn strict_reading_takes_all_that_is_written_of_the_model() {
    for (seed, info) in registry().types().iter().enumerate() {
        let object = Random::valid(seed as u64).object(info);
        let written = json::to_value(object.data()).unwrap();
        let again = Reader::new(registry()).strict().object(&written, info).unwrap();
        assert!(again == object, "{}: {object:#?}\n{again:#?}", info.name());
    }
}

#[test]
fn a_virtual_machine_is_written_in_the_style_of_vi_json() {
    let document = include_bytes!("data/vm_config_devices.xml");
    let Answer::Result { value, .. } = read_answer(document).unwrap() else { panic!("a fault") };
    let text = serde_json::to_string_pretty(&AsJson::any(&value)).unwrap() + "\n";
    let golden = include_str!("data/vm_config_devices.json");
    assert!(text == golden, "the JSON is not that of vm_config_devices.json:\n{text}");
    assert_eq!(Reader::new(registry()).strict().any(&json::parse(golden).unwrap()).unwrap(), value);
}

#[test]
fn values_of_any_type_say_their_type() {
    let cases = [
        (Any::from("x"), json!({"_typeName": "string", "_value": "x"})),
        (Any::from(7_i64), json!({"_typeName": "long", "_value": 7})),
        (Any::from(true), json!({"_typeName": "boolean", "_value": true})),
        (Any::from(f64::INFINITY), json!({"_typeName": "double", "_value": "INF"})),
        (Any::Uri("urn:x".to_owned()), json!({"_typeName": "anyURI", "_value": "urn:x"})),
        (Any::from(Binary(b"hello".to_vec())), json!({"_typeName": "binary", "_value": "aGVsbG8="})),
        (
            Any::from(VirtualMachinePowerState::PoweredOn),
            json!({"_typeName": "VirtualMachinePowerState", "_value": "poweredOn"}),
        ),
        (
            Any::from(ManagedObjectReference::new("VirtualMachine", "vm-42")),
            json!({"_typeName": "ManagedObjectReference", "type": "VirtualMachine", "value": "vm-42"}),
        ),
        (
            Any::Array(Array { item: "String".to_owned(), items: vec!["a".into(), "b".into()] }),
            json!({"_typeName": "ArrayOfString", "_value": ["a", "b"]}),
        ),
        (
            Any::Array(Array { item: "Byte".to_owned(), items: vec![1_i8.into(), (-2_i8).into()] }),
            json!({"_typeName": "ArrayOfByte", "_value": [1, -2]}),
        ),
        (
            Any::Array(Array { item: "AnyType".to_owned(), items: vec![1_i32.into(), "b".into()] }),
            json!({"_typeName": "ArrayOfAnyType", "_value": [
                {"_typeName": "int", "_value": 1}, {"_typeName": "string", "_value": "b"},
            ]}),
        ),
        (
            Any::from(OptionValue { key: "k".to_owned(), value: Some(1_i32.into()) }),
            json!({"_typeName": "OptionValue", "key": "k", "value": {"_typeName": "int", "_value": 1}}),
        ),
    ];
    for (any, expected) in cases {
        let written = json::any_to_value(&any).unwrap();
        assert_eq!(written, expected);
        assert_eq!(Reader::new(registry()).any(&written).unwrap(), any);
    }
}

#[test]
fn the_type_name_is_the_first_key() {
    let text = json::to_string(&Description { label: "l".to_owned(), summary: "s".to_owned() }).unwrap();
    assert_eq!(text, r#"{"_typeName":"Description","label":"l","summary":"s"}"#);
}

#[test]
fn unknown_types_and_elements_stay_readable_and_come_back() {
    let leaf = |name: &str, text: &str| Element { name: name.to_owned(), text: text.to_owned(), ..Element::default() };
    let reference = Element {
        type_name: Some("ManagedObjectReference".to_owned()),
        reference_type: Some("HostSystem".to_owned()),
        ..leaf("host", "host-9")
    };
    let bare = Element { reference_type: Some("Datastore".to_owned()), ..leaf("store", "ds-1") };
    let counted = Element { type_name: Some("int".to_owned()), ..leaf("count", "3") };
    let children = vec![leaf("tag", "a"), leaf("tag", "b"), reference, bare, counted];
    let unknown = Any::Unknown(
        Element { name: "value".to_owned(), type_name: Some("Unheard".to_owned()), children, ..Element::default() }
            .into(),
    );
    let written = json::any_to_value(&unknown).unwrap();
    let expected = json!({
        "_typeName": "Unheard",
        "tag": ["a", "b"],
        "host": {"_typeName": "ManagedObjectReference", "type": "HostSystem", "value": "host-9"},
        "store": {"_type": "Datastore", "_value": "ds-1"},
        "count": {"_typeName": "int", "_value": "3"},
    });
    assert_eq!(written, expected);
    assert_eq!(Reader::new(registry()).any(&written).unwrap(), unknown);

    // In a place with a base, the base's fields are read and the rest is kept.
    let device = json!({"_typeName": "VirtualHologram", "key": 7, "depth": "3"});
    let object = Reader::new(registry()).object(&device, VirtualDevice::INFO).unwrap();
    assert_eq!(object.type_name(), "VirtualHologram");
    assert_eq!(object.downcast_ref::<VirtualDevice>().map(|device| device.key), Some(7));
    assert_eq!(json::any_to_value(&Any::Object(object)).unwrap(), device);
}

#[test]
fn secrets_are_data_and_can_be_hidden() {
    let login =
        NamePasswordAuthentication { username: "u".to_owned(), password: "p4ss".to_owned(), ..Default::default() };
    assert_eq!(json::to_value(&login).unwrap()["password"], "p4ss");
    let shown = serde_json::to_value(AsJson::object(&login).redact(Redact::Secrets)).unwrap();
    assert_eq!((&shown["username"], &shown["password"]), (&json!("u"), &json!("<secret>")));
}

fn spec(json: &Json) -> String {
    let reader = Reader::new(registry());
    let error = reader.strict().object(json, VirtualMachineConfigSpec::INFO).unwrap_err();
    error.to_string()
}

#[test]
fn an_error_names_the_path_and_what_was_expected() {
    let disk = |kb: Json| json!({"_typeName": "VirtualDisk", "key": 1, "capacityInKB": kb});
    let change = |device: Json| json!({"deviceChange": [{"device": disk(json!(1))}, {"device": device}]});
    let cases = [
        (change(disk(json!("10"))), "deviceChange[1].device.capacityInKB: expected long, found string"),
        (
            change(disk(json!(1.5))),
            "deviceChange[1].device.capacityInKB: expected long, found a number with a fraction",
        ),
        (
            change(json!({"_typeName": "VirtualDisc"})),
            "deviceChange[1].device._typeName: expected VirtualDevice or a type that extends it, found VirtualDisc, \
             which is unknown; did you mean VirtualDisk?",
        ),
        (
            change(json!({"_typeName": "Description"})),
            "deviceChange[1].device._typeName: expected VirtualDevice or a type that extends it, found Description, \
             which is none",
        ),
        (json!({"numCpus": 2}), "numCpus: VirtualMachineConfigSpec has no field of this name; did you mean numCPUs?"),
        (json!({"memoryMB": [1]}), "memoryMB: expected long, found array"),
        (json!({"numCPUs": 3_000_000_000_u64}), "numCPUs: expected int, found 3000000000, which is out of range"),
        (json!({"deviceChange": {}}), "deviceChange: expected an array of VirtualDeviceConfigSpec, found object"),
        (json!({"files": {"vmPathName": 1}}), "files.vmPathName: expected string, found number"),
        (
            json!({"deviceChange": [{"operation": "ad"}]}),
            "deviceChange[0].operation: VirtualDeviceConfigSpecOperation has no value \"ad\"; did you mean add?",
        ),
        (json!({"createDate": "tomorrow"}), "createDate: expected dateTime, found \"tomorrow\""),
        (json!(7), "expected VirtualMachineConfigSpec, found number"),
    ];
    for (json, message) in cases {
        assert_eq!(spec(&json), message, "{json}");
    }
}

#[test]
fn reading_is_tolerant_unless_it_is_strict() {
    let json = json!({"numCpus": 2, "memoryMB": null, "name": "web", "deviceChange": {"device": {"key": 1}}});
    let object = Reader::new(registry()).object(&json, VirtualMachineConfigSpec::INFO).unwrap();
    let spec = object.downcast_ref::<VirtualMachineConfigSpec>().unwrap();
    assert_eq!((spec.name.as_deref(), spec.num_cpus, spec.device_change.len()), (Some("web"), None, 1));
    let new = Reader::new(registry()).value(&json!("newer"), Type::Enum(VirtualMachinePowerState::INFO));
    assert_eq!(new.unwrap().take::<VirtualMachinePowerState>().unwrap().as_str(), "newer");
}

#[test]
fn a_long_chain_of_delta_disks_goes_there_and_back() {
    let mut backing = VirtualDiskFlatVer2BackingInfo::default();
    backing.file_name = "[ds] base.vmdk".to_owned();
    for level in 0..255 {
        let mut child = VirtualDiskFlatVer2BackingInfo { parent: Some(Box::new(backing)), ..Default::default() };
        child.file_name = format!("[ds] delta-{level}.vmdk");
        backing = child;
    }
    let chain = Any::from(backing);
    assert!(through_text(&chain) == chain);
}

#[test]
fn what_nests_too_deep_is_refused() {
    let mut element = Element { name: "x".to_owned(), ..Element::default() };
    for _ in 0..600 {
        element = Element { name: "x".to_owned(), children: vec![element], ..Element::default() };
    }
    let error = json::any_to_value(&Any::Unknown(element.into())).unwrap_err();
    assert!(error.to_string().contains("nests deeper"), "{error}");
}
