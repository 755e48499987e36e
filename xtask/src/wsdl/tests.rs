//! The reader on a small WSDL that is spelled unlike ours, and on broken ones.

use std::fs;
use std::path::{Path, PathBuf};

use super::read;
use crate::ir::{Api, DataType, EnumType, Field, ManagedObject, Method, Ty};
use crate::scratch::Scratch;

fn small() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/small")
}

fn one(name: &str, ty: Ty) -> Field {
    Field::new(name, ty)
}

fn maybe(name: &str, ty: Ty) -> Field {
    Field::new(name, ty).optional(true)
}

fn data(name: &str) -> Ty {
    Ty::Data(name.to_owned())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn ty(name: &str, base: &str, fields: Vec<Field>) -> DataType {
    let base = (!base.is_empty()).then(|| base.to_owned());
    DataType { name: name.to_owned(), base, since: None, fields }
}

fn kind() -> Ty {
    Ty::Enum("DiskKind".to_owned())
}

/// What the small WSDL says by itself.
fn golden() -> Api {
    Api {
        version: some("6.5"),
        types: vec![
            ty("DynamicData", "", vec![]),
            ty("MethodFault", "", vec![maybe("faultCause", data("LocalizedMethodFault"))]),
            ty("RuntimeFault", "MethodFault", vec![]),
            ty("InvalidState", "MethodFault", vec![]),
            ty(
                "LocalizedMethodFault",
                "DynamicData",
                vec![one("fault", data("MethodFault")), maybe("localizedMessage", Ty::String)],
            ),
            ty(
                "Disk",
                "DynamicData",
                vec![
                    one("key", Ty::Int),
                    maybe("kind", kind()),
                    one("uuid", Ty::String),
                    maybe("datastore", Ty::Ref).array(true),
                    maybe("parent", data("Disk")),
                    maybe("password", Ty::String),
                    one("value", Ty::Any),
                    maybe("bytes", Ty::Long),
                    maybe("blob", Ty::Binary),
                ],
            ),
        ],
        enums: vec![EnumType {
            name: "DiskKind".to_owned(),
            since: None,
            values: vec!["flat".to_owned(), "sparse".to_owned()],
        }],
        loose: vec![
            Method {
                params: vec![maybe("kind", kind())],
                result: Some(maybe("returnval", data("Disk")).array(true)),
                ..Method::new("QueryDisks")
            },
            Method::new("Refresh"),
            Method {
                params: vec![one("newName", Ty::String)],
                result: Some(one("returnval", Ty::Ref)),
                faults: vec!["InvalidState".to_owned()],
                ..Method::new("Rename_Task")
            },
        ],
        costs: vec![
            "Types of other namespaces are left out: 1 (urn:reflect).".to_owned(),
            "Without companions no managed object, property, version or secret is known; \
             operations stand loose: 3."
                .to_owned(),
        ],
        ..Api::default()
    }
}

#[test]
fn another_spelling_reads_the_same() {
    assert_eq!(read(&small(), None).unwrap(), golden());
}

/// Companions of a younger version than the WSDL, as the workspace's are to an old vCenter.
const MANAGED: &str = r#"{
"Entity":{"vmodl":"vim.Entity","s":"2.0","props":[
  {"n":"name","t":"string"},{"n":"tag","t":"Tag[]","o":1}],
  "methods":[{"n":"Rename_Task","s":"5.0","task":"Disk","task_o":1,"p":"Entity.Rename","f":["InvalidState"],
    "a":[{"n":"newName","t":"string","secret":1}]}]},
"Machine":{"vmodl":"vim.Machine","s":"2.5","base":"Entity","props":[
  {"n":"disk","t":"Disk[]","o":1,"s":"5.0","p":"System.View"},{"n":"host","t":"*Host"},
  {"n":"young","t":"string","s":"8.0.0.1"}],
  "methods":[{"n":"QueryDisks","r":"Disk[]","a":[{"n":"kind","t":"DiskKind","o":1,"s":"6.5"}]},
    {"n":"Vanished"},{"n":"Young","s":"8.0.0.1"}]},
"YoungObject":{"vmodl":"vim.YoungObject","s":"8.0.0.1","methods":[{"n":"Young2"}]}
}"#;
const ANNOTATIONS: &str = r#"{"data":{
"DynamicData":{"s":"2.0"},"MethodFault":{"s":"2.0"},"RuntimeFault":{"s":"2.0"},"LocalizedMethodFault":{"s":"2.0"},
"InvalidState":{"s":"2.0"},"Elsewhere":{"s":"8.0.0.1"},
"Disk":{"s":"2.5","p":{"datastore":{"ref":"Datastore","s":"5.0"},"password":{"secret":1},"gone":{"link":"X"}}}},
"enums":{"Other":"2.0"}}"#;
const VERSIONS: &str = r#"[["2.0","a"],["2.5","b"],["2.5u2","c"],["5.0","d"],["6.5","e"],["8.0.0.1","f"]]"#;

fn companions(managed: &str) -> Scratch {
    let scratch = Scratch::new().unwrap();
    fs::write(scratch.path().join("managed-objects.json"), managed).unwrap();
    fs::write(scratch.path().join("data-annotations.json"), ANNOTATIONS).unwrap();
    fs::write(scratch.path().join("versions.json"), VERSIONS).unwrap();
    scratch
}

#[test]
fn companions_tell_what_both_know() {
    let scratch = companions(MANAGED);
    let api = read(&small(), Some(scratch.path())).unwrap();

    let mut expected = golden();
    expected.versions = ["2.0", "2.5", "2.5u2", "5.0", "6.5"].map(str::to_owned).into();
    for ty in &mut expected.types {
        ty.since = some(if ty.name == "Disk" { "2.5" } else { "2.0" });
    }
    let disk = expected.types.iter_mut().find(|ty| ty.name == "Disk").unwrap();
    disk.fields[3].since = some("5.0");
    disk.fields[3].target = some("Datastore");
    disk.fields[5].secret = true;
    let mut loose = std::mem::take(&mut expected.loose).into_iter();
    let mut query = loose.next().unwrap();
    query.since = some("2.5");
    query.params[0].since = some("6.5");
    expected.loose = loose.next().into_iter().collect();
    let mut rename = loose.next().unwrap();
    rename.since = some("5.0");
    rename.privilege = some("Entity.Rename");
    rename.params[0].secret = true;
    rename.task_result = Some(maybe("result", data("Disk")));
    let disks = Field { since: some("5.0"), privilege: some("System.View"), ..maybe("disk", data("Disk")).array(true) };
    expected.managed = vec![
        ManagedObject {
            name: "Entity".to_owned(),
            base: None,
            since: some("2.0"),
            properties: vec![one("name", Ty::String)],
            methods: vec![rename],
        },
        ManagedObject {
            name: "Machine".to_owned(),
            base: some("Entity"),
            since: some("2.5"),
            properties: vec![disks, Field { target: some("Host"), ..one("host", Ty::Ref) }],
            methods: vec![query],
        },
    ];
    expected.costs = vec![
        "Types of other namespaces are left out: 1 (urn:reflect).".to_owned(),
        "Enums are unknown to the companions, and so are their versions: 1 (DiskKind).".to_owned(),
        "Operations belong to no known managed object: 1 (Refresh).".to_owned(),
        "Methods of the companions are not in this WSDL and are left out: 1 (Vanished).".to_owned(),
        "Properties have a type that is not in this WSDL and are left out: 1 (Entity.tag).".to_owned(),
    ];
    assert_eq!(api, expected);
}

#[test]
fn broken_companions_are_refused_by_name() {
    for (managed, expected) in [
        ("{", "malformed companion"),
        (r#"{"A":{"s":"2.0","base":"B"}}"#, "`A` extends `B`, which is not there"),
        (r#"{"A":{"s":"2.0","base":"A"}}"#, "`A` extends itself"),
    ] {
        let scratch = companions(managed);
        let error = format!("{:#}", read(&small(), Some(scratch.path())).unwrap_err());
        assert!(error.contains("managed-objects.json") && error.contains(expected), "{error}");
    }
    let error = format!("{:#}", read(&small(), Some(&small())).unwrap_err());
    assert!(error.contains("cannot read") && error.contains("versions.json"), "{error}");
}

/// A copy of the small WSDL.
fn copy() -> Scratch {
    let scratch = Scratch::new().unwrap();
    fs::create_dir(scratch.path().join("schemas")).unwrap();
    for name in ["vim.wsdl", "schemas/types.xsd", "schemas/requests.xsd", "schemas/reflect.xsd"] {
        fs::copy(small().join(name), scratch.path().join(name)).unwrap();
    }
    scratch
}

/// What reading says when one text of one file of the small WSDL is replaced by another.
fn spoiled(file: &str, from: &str, to: &str) -> String {
    let scratch = copy();
    let path = scratch.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{file} does not hold {from}");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
    format!("{:#}", read(scratch.path(), None).unwrap_err())
}

#[test]
fn an_imported_schema_may_be_missing_until_it_is_needed() {
    let scratch = copy();
    fs::remove_file(scratch.path().join("schemas/reflect.xsd")).unwrap();
    let mut expected = golden();
    expected.costs[0] = "Imported schemas are not there: schemas/reflect.xsd.".to_owned();
    assert_eq!(read(scratch.path(), None).unwrap(), expected);

    let path = scratch.path().join("vim.wsdl");
    let text = fs::read_to_string(&path).unwrap();
    let foreign = "xmlns:r=\"urn:reflect\" type=\"r:DynamicTypeInfo\"";
    fs::write(&path, text.replace("type=\"api:Disk\"", foreign)).unwrap();
    let error = format!("{:#}", read(scratch.path(), None).unwrap_err());
    for part in ["without schemas/reflect.xsd", "QueryDisks", "the type `DynamicTypeInfo` (urn:reflect)"] {
        assert!(error.contains(part), "{error} does not say {part}");
    }
}

#[test]
fn a_broken_wsdl_is_refused_with_file_and_element() {
    let types = "schemas/types.xsd";
    for (file, from, to, expected) in [
        ("vim.wsdl", "schemas/types.xsd", "schemas/none.xsd", &["<include>", "vim.wsdl", "none.xsd"][..]),
        ("vim.wsdl", "schemas/types.xsd", "../types.xsd", &["vim.wsdl", "leaves the directory"]),
        ("vim.wsdl", "schemas/types.xsd", "https://localhost/x.xsd", &["vim.wsdl", "nothing is fetched"]),
        ("vim.wsdl", "api:RenameIn\"", "api:Nothing\"", &["Rename_Task", "vim.wsdl", "the message `Nothing`"]),
        ("vim.wsdl", "element=\"api:Rename_Task\"", "element=\"api:No\"", &["Rename_Task", "the element `No`"]),
        ("vim.wsdl", "name=\"VimPortType\">", "name=\"VimPortType\"", &["vim.wsdl", "line ", "malformed"]),
        ("vim.wsdl", "<w:operation name=\"QueryDisks\">", "<w:operation>", &["no attribute `name`", "vim.wsdl"]),
        ("vim.wsdl", "name=\"Refresh\">", "name=\"QueryDisks\">", &["`QueryDisks` is declared twice"]),
        ("vim.wsdl", "w:portType name", "w:other name", &["malformed"]),
        (types, "type=\"DiskKind\"", "type=\"Nope\"", &["types.xsd", "Disk", "name=\"kind\"", "the type `Nope`"]),
        (types, "x:long", "x:hexBinary", &["types.xsd", "name=\"bytes\"", "xsd:hexBinary is not supported"]),
        (types, "x:long", "y:long", &["types.xsd", "name=\"bytes\"", "prefix of `y:long`"]),
        (types, "base=\"MethodFault\"", "base=\"RuntimeFault\"", &["`RuntimeFault` extends itself"]),
        (types, "base=\"MethodFault\"", "base=\"DiskKind\"", &["RuntimeFault", "`DiskKind` is no complex type"]),
        (types, "type=\"Disk\" minOccurs=\"0\"/>", "type=\"RefreshRequestType\"/>", &["no data type", "Disk"]),
        (types, "name=\"InvalidState\"", "name=\"RuntimeFault\"", &["declared", "again", "types.xsd"]),
        (types, "<x:choice>", "<x:group ref=\"g\"/><x:choice>", &["types.xsd", "Disk", "<group> is not supported"]),
        (types, "</x:schema>", "", &["types.xsd", "ends inside <schema>"]),
    ] {
        let error = spoiled(file, from, to);
        for part in expected {
            assert!(error.contains(part), "{from} → {to}: {error} does not say {part}");
        }
    }
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let scratch = copy();
    for name in ["vim.wsdl", "schemas/types.xsd", "schemas/requests.xsd"] {
        let path = scratch.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        for end in (0..text.trim_end().len()).step_by(41) {
            fs::write(&path, &text[..end]).unwrap();
            let error = format!("{:#}", read(scratch.path(), None).unwrap_err());
            assert!(error.contains(name.trim_start_matches("schemas/")), "{name} up to {end}: {error}");
        }
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn a_directory_without_wsdl_is_refused() {
    let scratch = Scratch::new().unwrap();
    let error = read(scratch.path(), None).unwrap_err().to_string();
    assert!(error.ends_with("holds neither vimService.wsdl nor vim.wsdl"), "{error}");
    fs::write(scratch.path().join("vim.wsdl"), "<html/>").unwrap();
    let error = read(scratch.path(), None).unwrap_err().to_string();
    assert_eq!(error, "vim.wsdl is neither a WSDL nor a schema: its root is <html>");
    let empty = "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>";
    fs::write(scratch.path().join("vim.wsdl"), empty).unwrap();
    let error = format!("{:#}", read(scratch.path(), None).unwrap_err());
    assert!(error.ends_with("no file holds a portType"), "{error}");
}
