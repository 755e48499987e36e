//! Reading as a client does: what can be read is shown, the odd leaf is noted, and nothing is taken for what it is not.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

mod common;

use std::sync::Mutex;

use common::envelope;
use vsphere_model::types::{Any, ObjectContent, RetrieveResult, VirtualMachineConfigInfo, VirtualMachineRuntimeInfo};
use vsphere_model::{Answer, registry};
use vsphere_soap::codec::{DecodeError, Notes};
use vsphere_soap::envelope::read_leniently;
use vsphere_soap::fault::SoapFault;
use vsphere_soap::object::{DataObject, view_mut};
use vsphere_soap::secrets::Secrets;

fn read(method: &str, document: &[u8], secrets: &[&str]) -> Result<(Answer, Notes), DecodeError> {
    let secrets = || {
        let mut all = Secrets::new();
        secrets.iter().for_each(|secret| all.add(secret));
        all
    };
    read_leniently(document, registry(), registry().method(method).unwrap(), secrets, None)
}

#[test]
fn items_are_shown_as_they_are_read_and_may_be_taken() {
    let document = two_machines("<propSet><name>name</name><val xsi:type=\"xsd:string\">web-1</val></propSet>");
    let shown = Mutex::new(Vec::new());
    let items = |item: &mut dyn DataObject| {
        let mut shown = shown.lock().unwrap();
        match view_mut::<ObjectContent>(item) {
            Some(content) if content.obj.value == "vm-1" => {
                shown.push(format!("{:?}", std::mem::take(content).prop_set))
            }
            Some(content) => shown.push(content.obj.value.clone()),
            None => shown.push(item.info().name().to_owned()),
        }
    };
    let method = registry().method("RetrievePropertiesEx").unwrap();
    let (answer, _) = read_leniently(&document, registry(), method, Secrets::new, Some(&items)).unwrap();
    let Answer::Result { value, .. } = answer else { panic!("a fault") };
    let page: RetrieveResult = value.take().unwrap();
    let left: Vec<&str> = page.objects.iter().map(|content| content.obj.value.as_str()).collect();
    assert_eq!(left, ["", "vm-2"], "one was taken");
    let shown = shown.into_inner().unwrap();
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(shown[1].contains("web-1"), "whole when it is shown: {shown:?}");
    assert_eq!([&shown[0], &shown[2], &shown[3]], ["DynamicProperty", "DynamicProperty", "vm-2"]);
}

/// The answer with two machines, of which the first has these values.
fn two_machines(values: &str) -> Vec<u8> {
    envelope(&format!(
        "<RetrievePropertiesExResponse xmlns=\"urn:vim25\"><returnval>\
         <objects><obj type=\"VirtualMachine\">vm-1</obj>{values}</objects>\
         <objects><obj type=\"VirtualMachine\">vm-2</obj><propSet><name>name</name>\
         <val xsi:type=\"xsd:string\">web-2</val></propSet></objects>\
         </returnval></RetrievePropertiesExResponse>"
    ))
    .into_bytes()
}

/// A leaf that could not be read: its object, its path, and its type.
type Unread = (Option<String>, String, &'static str);

/// The values of the first machine of two, and what was noted.
fn first_of_two(values: &str) -> (Vec<Any>, Vec<Unread>) {
    let (answer, notes) = read("RetrievePropertiesEx", &two_machines(values), &[]).unwrap();
    let Answer::Result { value, .. } = answer else { panic!("a fault") };
    let page: RetrieveResult = value.take().unwrap();
    assert_eq!(page.objects.len(), 2, "the other machine is shown");
    assert_eq!(page.objects[1].prop_set[0].val.as_str(), Some("web-2"));
    let values = page.objects[0].prop_set.iter().map(|property| property.val.clone()).collect();
    (values, notes.first.into_iter().map(|note| (note.object, note.path, note.expected)).collect())
}

fn noted(path: &str, expected: &'static str) -> Vec<Unread> {
    vec![(Some("VirtualMachine:vm-1".to_owned()), path.to_owned(), expected)]
}

#[test]
fn a_leaf_that_is_not_of_its_type_is_unset_and_noted_and_all_else_is_shown() {
    for (field, text, expected) in [
        ("numCPU", "4294967296", "int"),
        ("numCPU", "1.0", "int"),
        ("numCPU", "1e3", "int"),
        ("numCPU", "NaN", "int"),
        ("numCPU", "two", "int"),
        ("memoryMB", "-2147483649", "int"),
        ("numCoresPerSocket", "INF", "int"),
        ("virtualICH7MPresent", "yes", "boolean"),
        ("virtualICH7MPresent", "TRUE", "boolean"),
    ] {
        let (values, notes) = first_of_two(&format!(
            "<propSet><name>config</name><val xsi:type=\"VirtualMachineConfigInfo\"><name>web-1</name>\
             <hardware><numCPU>2</numCPU><{field}>{text}</{field}><motherboardLayout>acpi</motherboardLayout></hardware>\
             <guestId>ubuntu64Guest</guestId></val></propSet>"
        ));
        let config: VirtualMachineConfigInfo = values[0].clone().take().unwrap();
        assert_eq!((config.name.as_str(), config.guest_id.as_str()), ("web-1", "ubuntu64Guest"), "{text}");
        assert_eq!(config.hardware.motherboard_layout.as_deref(), Some("acpi"), "{text}");
        assert_eq!(config.hardware.virtual_ich7_m_present, None);
        assert_eq!(notes, noted(&format!("config.hardware.{field}"), expected), "{text}");
    }
}

#[test]
fn numbers_in_other_forms_of_xml_schema_are_read() {
    for text in ["+5", " 5 ", "05", "\n5"] {
        let (values, notes) = first_of_two(&format!(
            "<propSet><name>config.hardware.numCPU</name><val xsi:type=\"xsd:int\">{text}</val></propSet>"
        ));
        assert_eq!((values, notes), (vec![Any::Int(5)], vec![]), "{text:?}");
    }
}

#[test]
fn a_property_that_is_not_of_its_type_is_unset_and_named() {
    for (type_name, text, expected) in [
        ("xsd:int", "4294967296", "int"),
        ("xsd:dateTime", "2026-02-30T00:00:00Z", "dateTime"),
        ("xsd:boolean", "maybe", "boolean"),
        ("xsd:base64Binary", "%%", "base64Binary"),
    ] {
        let (values, notes) = first_of_two(&format!(
            "<propSet><name>a.b</name><val xsi:type=\"{type_name}\">{text}</val></propSet>\
             <propSet><name>name</name><val xsi:type=\"xsd:string\">web-1</val></propSet>"
        ));
        assert_eq!(values, [Any::Unset, Any::from("web-1")]);
        assert_eq!(notes, noted("a.b", expected));
    }
}

#[test]
fn an_odd_date_inside_of_a_value_is_unset() {
    let (values, notes) = first_of_two(
        "<propSet><name>runtime</name><val xsi:type=\"VirtualMachineRuntimeInfo\">\
         <powerState>poweredOn</powerState><bootTime>0000-00-00T00:00:00Z</bootTime><maxCpuUsage>2400</maxCpuUsage>\
         </val></propSet>",
    );
    let runtime: VirtualMachineRuntimeInfo = values[0].clone().take().unwrap();
    assert_eq!((runtime.boot_time, runtime.max_cpu_usage), (None, Some(2400)));
    assert_eq!(notes, noted("runtime.bootTime", "dateTime"));
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_noted() {
    let mut document =
        two_machines("<propSet><name>config.annotation</name><val xsi:type=\"xsd:string\">caf@ \u{e9}</val></propSet>");
    let at = document.iter().position(|byte| *byte == b'@').unwrap();
    document[at] = 0xe9;
    let (answer, notes) = read("RetrievePropertiesEx", &document, &[]).unwrap();
    let Answer::Result { value, .. } = answer else { panic!("a fault") };
    let page: RetrieveResult = value.take().unwrap();
    assert_eq!(page.objects[0].prop_set[0].val.as_str(), Some("caf\u{fffd} \u{e9}"));
    assert_eq!(page.objects.len(), 2);
    let note = &notes.first[0];
    assert_eq!((note.object.as_deref(), note.path.as_str()), (Some("VirtualMachine:vm-1"), "config.annotation"));
    assert_eq!(note.expected, "UTF-8");
    assert_eq!(note.to_string(), "config.annotation of VirtualMachine:vm-1 is not UTF-8");
}

#[test]
fn changes_of_a_watch_are_located_too_and_notes_have_a_bound() {
    let bad = "<changeSet><name>summary.quickStats</name><op>assign</op>\
               <val xsi:type=\"VirtualMachineQuickStats\"><overallCpuUsage>x</overallCpuUsage></val></changeSet>";
    let document = envelope(&format!(
        "<WaitForUpdatesExResponse xmlns=\"urn:vim25\"><returnval><version>1</version><filterSet>\
         <filter type=\"PropertyFilter\">f</filter><objectSet><kind>modify</kind><obj type=\"VirtualMachine\">vm-1</obj>\
         {}</objectSet></filterSet></returnval></WaitForUpdatesExResponse>",
        bad.repeat(20)
    ));
    let (_, notes) = read("WaitForUpdatesEx", document.as_bytes(), &[]).unwrap();
    let note = &notes.first[0];
    assert_eq!(note.object.as_deref(), Some("VirtualMachine:vm-1"));
    assert_eq!((note.path.as_str(), note.text.as_deref()), ("summary.quickStats.overallCpuUsage", Some("x")));
    assert_eq!((notes.first.len(), notes.more), (8, 12));
}

#[test]
fn a_secret_that_is_odd_is_noted_without_its_text() {
    let mut document = two_machines(
        "<propSet><name>a</name><val xsi:type=\"NamePasswordAuthentication\">\
         <username>root</username><password>hunter@2</password></val></propSet>",
    );
    let at = document.iter().position(|byte| *byte == b'@').unwrap();
    document[at] = 0xff;
    let note = read("RetrievePropertiesEx", &document, &[]).unwrap().1.first.remove(0);
    assert_eq!((note.path.as_str(), note.text), ("a.password", None));
}

#[test]
fn xml_that_is_broken_is_an_error_however_lenient_the_reader() {
    for document in ["", "<", "<Envelope><Body></Envelope>", "<html><body>hello</body></html>", "<!DOCTYPE a><a/>"] {
        assert!(read("CurrentTime", document.as_bytes(), &[]).is_err(), "{document}");
    }
    let whole = two_machines("");
    for end in 0..whole.len() {
        assert!(read("RetrievePropertiesEx", &whole[..end], &[]).is_err(), "cut at {end}");
    }
}

#[test]
fn the_answer_of_another_operation_is_refused_and_both_are_named() {
    for (found, content) in [
        ("LoginResponse", "<returnval xsi:type=\"UserSession\"><key>k</key></returnval>"),
        ("RetrievePropertiesEx", ""),
        ("RetrievePropertiesResponse", ""),
        ("Response", ""),
        ("html", "<p>hello</p>"),
    ] {
        let document = envelope(&format!("<{found} xmlns=\"urn:vim25\">{content}</{found}>"));
        let error = read("RetrievePropertiesEx", document.as_bytes(), &[]).unwrap_err().to_string();
        let expected = format!("the answer is <{found}>, not <RetrievePropertiesExResponse>");
        assert!(error.starts_with(&expected), "{error}");
    }
}

fn fault(document: &str, secrets: &[&str]) -> SoapFault {
    match read("Login", document.as_bytes(), secrets).unwrap().0 {
        Answer::Fault(fault) => fault,
        Answer::Result { .. } => panic!("no fault"),
    }
}

#[test]
fn a_fault_that_quotes_the_request_does_not_show_its_secrets() {
    let document = envelope(
        "<soapenv:Fault><faultcode>p&amp;ss&lt;word</faultcode>\
         <faultstring><![CDATA[bad <password>p&ss<word</password>]]></faultstring><detail>\
         <InvalidArgumentFault xsi:type=\"InvalidArgument\"><faultMessage><key>p&#38;ss&#x3C;word</key>\
         <arg><key>1</key><value xsi:type=\"xsd:string\">p&amp;ss&lt;word</value></arg></faultMessage>\
         <invalidProperty>p&amp;amp;ss&amp;lt;word</invalidProperty></InvalidArgumentFault></detail></soapenv:Fault>",
    );
    let shown = format!("{:?}", fault(&document, &["p&ss<word"]));
    assert!(!shown.contains("word") || shown.matches("word").count() == shown.matches("password").count(), "{shown}");
    assert!(shown.contains("bad <password>***</password>") && shown.contains("InvalidArgument"), "{shown}");

    let unknown = envelope(
        "<soapenv:Fault><faultcode>c</faultcode><faultstring>no</faultstring><detail>\
         <NewFault xsi:type=\"New\"><request><password>hunter2</password></request></NewFault></detail></soapenv:Fault>",
    );
    let fault = fault(&unknown, &["hunter2"]);
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault:?}");
}

#[test]
fn a_fault_keeps_its_type_when_the_password_is_named_like_it() {
    let document = envelope(
        "<soapenv:Fault><faultcode>c</faultcode><faultstring>InvalidLogin it is</faultstring><detail>\
         <InvalidLoginFault xsi:type=\"InvalidLogin\"/></detail></soapenv:Fault>",
    );
    let fault = fault(&document, &["InvalidLogin", "Fault", "detail"]);
    assert!(fault.is_named("InvalidLogin"));
    assert_eq!(fault.reason, "*** it is");
}

#[test]
fn a_soap_12_fault_keeps_code_and_reason() {
    let document = "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body><e:Fault>\
         <e:Code><e:Value>e:Sender</e:Value><e:Subcode><e:Value>g:Denied</e:Value></e:Subcode></e:Code>\
         <e:Reason><e:Text xml:lang=\"en\">The gateway\n  says no.</e:Text><e:Text xml:lang=\"de\">Nein.</e:Text></e:Reason>\
         </e:Fault></e:Body></e:Envelope>";
    let fault = fault(document, &[]);
    assert_eq!((fault.code.as_str(), fault.reason.as_str()), ("e:Sender/g:Denied", "The gateway\n  says no."));
}
