//! Bad input is an error: never a panic, never a stack or a memory without bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic of a helper is a failure report too")]

mod common;

use std::thread;

use common::{envelope, read_data, try_read, try_write};
use vsphere_model::types::*;
use vsphere_model::{Answer, read_answer};

fn error_of(document: impl AsRef<[u8]>) -> String {
    read_answer(document.as_ref()).expect_err("it is read").to_string()
}

/// Runs on the stack that test threads and runtime workers have.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

/// A bit of all that documents have.
fn sample() -> String {
    let disk = "<device i:type=\"VirtualDisk\" xmlns:i='http://www.w3.org/2001/XMLSchema-instance'><key> 2000 </key>\
                <!-- c --><deviceInfo><label>a &amp; &#x41;</label><summary><![CDATA[<s>]]></summary></deviceInfo>\
                <backing xsi:type=\"VirtualDiskNewBackingInfo\"><fileName>[a] b</fileName><datastore type=\"Datastore\">d-1\
                </datastore><fresh><new xsi:type=\"xsd:int\">1</new></fresh></backing><unread a=\"b\"/></device>";
    let value = "<returnval xsi:type=\"ArrayOfAnyType\"><anyType xsi:type=\"xsd:base64Binary\">aGVs bG8=</anyType>\
                 <anyType xsi:nil=\"1\"/><anyType type=\"Task\" xsi:type=\"ManagedObjectReference\">task-1</anyType>\
                 </returnval>";
    let hardware = format!("<returnval xsi:type=\"VirtualHardware\"><numCPU>1</numCPU>{disk}</returnval>");
    envelope(&format!("<SomeResponse xmlns=\"urn:vim25\">{value}{hardware}</SomeResponse>"))
}

#[test]
fn a_cut_document_is_an_error_wherever_it_is_cut() {
    let document = sample();
    assert!(read_answer(document.as_bytes()).is_ok());
    for end in 0..document.len() {
        assert!(read_answer(&document.as_bytes()[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_document_with_a_damaged_byte_never_panics() {
    let document = sample().into_bytes();
    for at in 0..document.len() {
        let mut damaged = document.clone();
        for byte in [0, b'<', b'>', b'&', b'"', b'/', b'=', 0xff] {
            damaged[at] = byte;
            let _ = read_answer(&damaged);
        }
    }
}

#[test]
fn what_is_not_soap_says_so() {
    for (document, part) in [
        ("", "it has no element"),
        ("plain text", "it has no element"),
        ("<html><body>Bad gateway</body></html>", "its root is <html>"),
        ("<!DOCTYPE html><html></html>", "a document type declaration is not allowed"),
        ("<Envelope><Body></Body></Envelope>", "its body is empty"),
        ("<Envelope></Envelope>", "its body is empty"),
        ("<Envelope><Body></Envelope>", "expected"),
        ("</Envelope>", "</Envelope>"),
    ] {
        let error = error_of(document);
        assert!(error.contains(part), "{document}: {error}");
    }
}

#[test]
fn a_fault_without_detail_is_a_fault_with_its_reason() {
    let body =
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no way.</faultstring></soapenv:Fault>";
    for detail in ["", "<detail/>", "<detail></detail>"] {
        let document = envelope(&body.replace("</soapenv:Fault>", &format!("{detail}</soapenv:Fault>")));
        let Answer::Fault(fault) = read_answer(document.as_bytes()).unwrap() else { panic!("no fault") };
        assert_eq!((&*fault.code, fault.to_string(), fault.detail), ("ServerFaultCode", "no way".to_owned(), None));
    }
}

#[test]
fn a_fault_is_typed_by_its_type_or_by_its_element() {
    for (detail, name, base) in [
        ("<NotFoundFault xsi:type=\"NotFound\"/>", "NotFound", "VimFault"),
        ("<v:NotFoundFault xmlns:v=\"urn:vim25\"></v:NotFoundFault>", "NotFound", "VimFault"),
        (
            "<RuntimeFaultFault xsi:type=\"ManagedObjectNotFound\"><obj type=\"Task\">task-1</obj></RuntimeFaultFault>",
            "ManagedObjectNotFound",
            "RuntimeFault",
        ),
        ("<NewFault xsi:type=\"New\"><what>1</what></NewFault>", "New", "MethodFault"),
        ("<NewFault/>", "MethodFault", "MethodFault"),
        // Not a fault, though a type.
        ("<VirtualDiskFault/>", "MethodFault", "MethodFault"),
    ] {
        let document = envelope(&format!("<soapenv:Fault><detail>{detail}</detail></soapenv:Fault>"));
        let Answer::Fault(fault) = read_answer(document.as_bytes()).unwrap() else { panic!("no fault") };
        assert_eq!(fault.name(), Some(name), "{detail}");
        assert!(fault.is_named(base) && fault.is_named(name), "{detail}");
    }
}

#[test]
fn entities_are_not_declared_and_not_expanded() {
    let bomb = "<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]>";
    let error = error_of(format!("{bomb}{}", envelope("<XResponse><returnval>&b;</returnval></XResponse>")));
    assert!(error.contains("document type declaration"), "{error}");
    let error = try_read("<returnval xsi:type=\"xsd:string\">&b;</returnval>").unwrap_err().to_string();
    assert!(error.contains("the entity \"&b;\" is not known"), "{error}");
    let error = try_read("<returnval xsi:type=\"&b;\">x</returnval>").unwrap_err().to_string();
    assert!(error.contains('b'), "{error}");
    for reference in ["&#x110000;", "&#xD800;", "&#;", "&#x;", "&#99999999999;", "&"] {
        assert!(try_read(&format!("<returnval xsi:type=\"xsd:string\">{reference}</returnval>")).is_err());
    }
}

/// `count` times `open`, then as often `close`.
fn nested(open: &str, close: &str, count: usize) -> String {
    open.repeat(count) + &close.repeat(count)
}

#[test]
fn nesting_has_a_limit_where_values_are_made() {
    on_a_small_stack(|| {
        const MILLION: usize = 1_000_000;
        let snapshots = nested("<childSnapshotList>", "</childSnapshotList>", MILLION);
        let disks = nested("<parent>", "</parent>", MILLION);
        let arrays = nested("<anyType xsi:type=\"ArrayOfAnyType\">", "</anyType>", MILLION);
        let filters = nested("<faultCause><fault xsi:type=\"NotFound\">", "</fault></faultCause>", MILLION);
        let elements = nested("<a>", "</a>", MILLION);
        for (type_name, content) in [
            ("VirtualMachineSnapshotTree", &snapshots),
            ("VirtualDiskFlatVer2BackingInfo", &disks),
            ("ArrayOfAnyType", &arrays),
            ("NotFound", &filters),
            ("SomethingUnknown", &elements),
        ] {
            let error = try_read(&format!("<returnval xsi:type=\"{type_name}\">{content}</returnval>"));
            let error = error.unwrap_err().to_string();
            assert!(error.contains("nest more than"), "{type_name}: {error}");
        }
    });
}

#[test]
fn what_is_passed_over_may_nest_as_deep_as_it_likes() {
    on_a_small_stack(|| {
        let content = format!("{}<key>1</key>", nested("<unheard><of>", "</of></unheard>", 1_000_000));
        assert_eq!(read_data::<VirtualDisk>("VirtualDisk", &content).key, 1);
        let in_text = format!("<key>1{}</key>", nested("<b>", "</b>", 1_000_000));
        assert_eq!(read_data::<VirtualDisk>("VirtualDisk", &in_text).key, 1);
    });
}

#[test]
fn the_deepest_value_can_be_copied_compared_printed_written_and_dropped() {
    on_a_small_stack(|| {
        // Envelope, Body, SomeResponse and returnval stand around it.
        let depth = vsphere_soap::codec::MAX_DEPTH - 4;
        for (type_name, open, close, levels) in [
            ("VirtualMachineSnapshotTree", "<childSnapshotList>", "</childSnapshotList>", 1),
            ("VirtualDiskFlatVer2BackingInfo", "<parent>", "</parent>", 1),
            ("ArrayOfAnyType", "<anyType xsi:type=\"ArrayOfAnyType\">", "</anyType>", 1),
            ("NotFound", "<faultCause><fault xsi:type=\"NotFound\">", "</fault></faultCause>", 2),
            ("SomethingUnknown", "<a>", "</a>", 1),
        ] {
            let content = nested(open, close, depth / levels);
            let any = try_read(&format!("<returnval xsi:type=\"{type_name}\">{content}</returnval>")).unwrap();
            let copy = any.clone();
            assert!(copy == any, "{type_name}");
            assert!(format!("{any:?}").len() > depth, "{type_name}");
            assert!(try_write(&any).unwrap().len() > depth, "{type_name}");
            let too_deep = nested(open, close, depth / levels + 1);
            assert!(try_read(&format!("<returnval xsi:type=\"{type_name}\">{too_deep}</returnval>")).is_err());
        }
    });
}

#[test]
fn a_hundred_thousand_attributes_take_linear_time() {
    let plain: String = (0..100_000).map(|n| format!(" a{n}=\"{n}\"")).collect();
    assert!(try_read(&format!("<returnval{plain} xsi:type=\"xsd:int\">1</returnval>")).is_ok());
    let namespaces: String = (0..100_000).map(|n| format!(" xmlns:a{n}=\"urn:{n}\" a{n}:type=\"x\"")).collect();
    assert!(try_read(&format!("<returnval{namespaces} xsi:type=\"xsd:int\">1</returnval>")).is_ok());
    let xsi = "http://www.w3.org/2001/XMLSchema-instance";
    let bound: String = (0..100_000).map(|n| format!(" xmlns:a{n}=\"{xsi}\" a{n}:type=\"x\"")).collect();
    let error = try_read(&format!("<returnval{bound}>1</returnval>")).unwrap_err().to_string();
    assert!(error.contains("prefixes are bound"), "{error}");
}

#[test]
fn malformed_attributes_are_an_error() {
    for attributes in ["a", "a=", "a=b", "a=\"b", "xsi:type=\"xsd:int' ", "=", "a=\"b\"c"] {
        assert!(try_read(&format!("<returnval {attributes}>1</returnval>")).is_err(), "{attributes}");
    }
}

#[test]
fn a_huge_text_is_read() {
    let text = "x".repeat(10_000_000);
    let any = try_read(&format!("<returnval xsi:type=\"xsd:string\">{text}</returnval>")).unwrap();
    assert_eq!(any.as_str().map(str::len), Some(text.len()));
}

#[test]
fn bytes_that_are_not_utf8_are_an_error() {
    let document = envelope("<XResponse><returnval xsi:type=\"xsd:string\">X</returnval></XResponse>");
    let mut bytes = document.into_bytes();
    let at = bytes.iter().rposition(|b| *b == b'X').unwrap();
    bytes[at] = 0xff;
    let error = error_of(&bytes);
    assert!(error.to_lowercase().contains("utf-8"), "{error}");
    let utf16: Vec<u8> = "<Envelope/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(read_answer(&utf16).is_err());
}

#[test]
fn control_characters_are_read_and_refused_when_written() {
    // Servers are known to let them through in annotations; the answer around them is still of use.
    let any = try_read("<returnval xsi:type=\"xsd:string\">a\0b\u{b}&#0;</returnval>").unwrap();
    assert_eq!(any.as_str(), Some("a\0b\u{b}\0"));
    assert!(try_write(&any).is_err());
}

#[test]
fn a_text_of_the_wrong_type_names_the_field_and_the_expected_type() {
    for (type_name, content, part) in [
        ("VirtualDisk", "<key>one</key>", "VirtualDisk.key is not of type int"),
        ("VirtualDisk", "<key>2147483648</key>", "VirtualDisk.key is not of type int"),
        ("VirtualDisk", "<capacityInKB>1.5</capacityInKB>", "VirtualDisk.capacityInKB is not of type long"),
        (
            "VirtualDisk",
            "<connectable><connected>yes</connected></connectable>",
            "VirtualDeviceConnectInfo.connected is not of type boolean",
        ),
        (
            "VirtualMachineConfigInfo",
            "<modified>today</modified>",
            "VirtualMachineConfigInfo.modified is not of type dateTime",
        ),
        (
            "VirtualMachineConfigInfo",
            "<extraConfig><key>a</key><value xsi:type=\"xsd:short\">x</value></extraConfig>",
            "<value> is not of type short",
        ),
        ("HostDigestInfo", "<digestValue>128</digestValue>", "HostDigestInfo.digestValue is not of type byte"),
        ("ArrayOfInt", "<int>x</int>", "<int> is not of type int"),
        ("xsd:base64Binary", "%%%", "<returnval> is not of type base64Binary"),
    ] {
        let error = try_read(&format!("<returnval xsi:type=\"{type_name}\">{content}</returnval>"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn an_array_of_what_is_no_name_is_of_an_unknown_type() {
    for type_name in ["ArrayOf", "ArrayOfA&#10;B", "ArrayOf&lt;x"] {
        let any = try_read(&format!("<returnval xsi:type=\"{type_name}\"><a/></returnval>")).unwrap();
        assert!(matches!(any, Any::Unknown(_)), "{any:?}");
        assert_eq!(try_read(&try_write(&any).unwrap()), Ok(any));
    }
}
