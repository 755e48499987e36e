//! What is written, to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic of a helper is a failure report too")]

mod common;

use common::{try_write, write};
use vsphere_model::types::*;
use vsphere_soap::codec::Encoder;

#[test]
fn inherited_fields_come_first_and_all_in_the_order_of_the_schema() {
    let mut disk = VirtualDisk { capacity_in_kb: 1024, ..Default::default() };
    disk.unit_number = Some(0);
    disk.controller_key = Some(1000);
    disk.key = -1;
    disk.native_unmanaged_linked_clone = Some(false);
    assert_eq!(
        write(&disk.into()),
        "<returnval xsi:type=\"VirtualDisk\"><key>-1</key><controllerKey>1000</controllerKey><unitNumber>0</unitNumber>\
         <capacityInKB>1024</capacityInKB><nativeUnmanagedLinkedClone>false</nativeUnmanagedLinkedClone></returnval>"
    );
}

#[test]
fn a_type_is_said_where_it_is_not_the_declared_one() {
    let spec = VirtualMachineConfigSpec {
        device_change: vec![
            Poly::new(VirtualDeviceConfigSpec {
                operation: Some(VirtualDeviceConfigSpecOperation::Add),
                device: Poly::new(VirtualDisk { capacity_in_kb: 1, ..Default::default() }),
                ..Default::default()
            }),
            Poly::new(VirtualDeviceConfigSpec { device: Poly::new(VirtualDevice::default()), ..Default::default() }),
        ],
        ..Default::default()
    };
    let mut encoder = Encoder::new();
    encoder.fields(&spec);
    assert_eq!(
        encoder.finish().unwrap(),
        "<deviceChange><operation>add</operation><device xsi:type=\"VirtualDisk\"><key>0</key>\
         <capacityInKB>1</capacityInKB></device></deviceChange><deviceChange><device><key>0</key></device></deviceChange>"
    );
}

#[test]
fn a_type_is_always_said_in_any_type() {
    let option = |value| write(&OptionValue { key: "k".to_owned(), value: Some(value) }.into());
    for (value, text) in [
        (Any::from("v"), "<value xsi:type=\"xsd:string\">v</value>"),
        (Any::Int(-5), "<value xsi:type=\"xsd:int\">-5</value>"),
        (Any::Boolean(true), "<value xsi:type=\"xsd:boolean\">true</value>"),
        (Any::Double(0.5), "<value xsi:type=\"xsd:double\">0.5</value>"),
        (Any::Float(f32::INFINITY), "<value xsi:type=\"xsd:float\">INF</value>"),
        (Any::Uri("urn:x".to_owned()), "<value xsi:type=\"xsd:anyURI\">urn:x</value>"),
        (Any::Binary(b"hello".to_vec().into()), "<value xsi:type=\"xsd:base64Binary\">aGVsbG8=</value>"),
        (
            ManagedObjectReference::new("Folder", "group-v3").into(),
            "<value type=\"Folder\" xsi:type=\"ManagedObjectReference\">group-v3</value>",
        ),
        (VirtualMachinePowerState::PoweredOn.into(), "<value xsi:type=\"VirtualMachinePowerState\">poweredOn</value>"),
        (OptionDef::default().into(), "<value xsi:type=\"OptionDef\">"),
        (
            Any::Array(Array { item: "Int".to_owned(), items: vec![Any::Int(1), Any::Int(2)] }),
            "<value xsi:type=\"ArrayOfInt\"><int>1</int><int>2</int></value>",
        ),
        (
            Any::Array(Array {
                item: "VirtualDevice".to_owned(),
                items: vec![VirtualDevice::default().into(), VirtualDisk::default().into()],
            }),
            "<value xsi:type=\"ArrayOfVirtualDevice\"><VirtualDevice><key>0</key></VirtualDevice>\
             <VirtualDevice xsi:type=\"VirtualDisk\"><key>0</key><capacityInKB>0</capacityInKB></VirtualDevice></value>",
        ),
        (
            Any::Array(Array { item: "AnyType".to_owned(), items: vec![Any::Byte(1), Any::from("x")] }),
            "<value xsi:type=\"ArrayOfAnyType\"><anyType xsi:type=\"xsd:byte\">1</anyType>\
             <anyType xsi:type=\"xsd:string\">x</anyType></value>",
        ),
        (
            Any::Array(Array {
                item: "ManagedObjectReference".to_owned(),
                items: vec![ManagedObjectReference::new("Folder", "group-v3").into()],
            }),
            "<value xsi:type=\"ArrayOfManagedObjectReference\"><ManagedObjectReference type=\"Folder\">group-v3\
             </ManagedObjectReference></value>",
        ),
        (
            Any::Array(Array {
                item: "MethodFault".to_owned(),
                items: vec![NotFound::default().into(), LocalizedMethodFault::default().into()],
            }),
            "<value xsi:type=\"ArrayOfMethodFault\"><MethodFault xsi:type=\"NotFound\"></MethodFault>\
             <LocalizedMethodFault><fault></fault></LocalizedMethodFault></value>",
        ),
    ] {
        let written = option(value);
        assert!(written.contains(text), "{written}\nhas no\n{text}");
    }
    assert_eq!(option(Any::Unset), "<returnval xsi:type=\"OptionValue\"><key>k</key></returnval>");
}

#[test]
fn markup_and_white_space_are_escaped() {
    assert_eq!(
        write(&Any::from("<a> & \"b\" 'c' ]]> \t\r\n é 🦀")),
        "<returnval xsi:type=\"xsd:string\">&lt;a&gt; &amp; &quot;b&quot; 'c' ]]&gt; &#9;&#13;&#10; é 🦀</returnval>"
    );
    let moref = ManagedObjectReference::new("a\"<&>", "b\"<&>");
    assert_eq!(
        write(&moref.into()),
        "<returnval type=\"a&quot;&lt;&amp;&gt;\" xsi:type=\"ManagedObjectReference\">b&quot;&lt;&amp;&gt;</returnval>"
    );
}

#[test]
fn characters_that_xml_cannot_carry_are_an_error_that_names_the_field() {
    for character in ['\0', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
        let config = VirtualMachineConfigInfo { annotation: Some(format!("a{character}b")), ..Default::default() };
        let error = try_write(&config.into()).unwrap_err().to_string();
        let code = format!("annotation contains the character U+{:04X}", u32::from(character));
        assert!(error.starts_with(&code), "{error}");
    }
}

#[test]
fn unset_fields_are_left_out_and_empty_strings_are_not() {
    let config = VirtualMachineConfigSpec { annotation: Some(String::new()), ..Default::default() };
    let mut encoder = Encoder::new();
    encoder.fields(&config);
    assert_eq!(encoder.finish().unwrap(), "<annotation></annotation>");
}
