//! Every type of the API, with random values in every field, is written and read as the same; and it is valid.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic of a helper is a failure report too")]

mod common;
#[path = "common/random.rs"]
mod random;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use common::{read, write};
use random::Random;
use vsphere_model::registry;
use vsphere_model::types::*;

#[test]
fn every_type_is_read_as_it_was_written() {
    assert!(registry().types().len() >= 3_030, "{} types", registry().types().len());
    for (seed, info) in registry().types().iter().enumerate() {
        for round in 0..3 {
            let mut random = Random::new(seed as u64 * 3 + round);
            let value = Any::Object(random.object(info));
            let document = write(&value);
            let again: Any = read(&document);
            assert!(again == value, "{}: {value:#?}\n{document}\n{again:#?}", info.name());
            assert!(value.clone() == value, "{}", info.name());
        }
    }
}

#[test]
fn every_enumeration_value_is_read_as_it_was_written() {
    assert!(registry().enums().len() >= 446, "{} enumerations", registry().enums().len());
    for info in registry().enums() {
        for text in info.values {
            let value = Any::Enum(vsphere_soap::object::EnumValue { info, value: (*text).to_owned() });
            assert_eq!(read::<Any>(&write(&value)), value);
        }
    }
}

#[test]
#[ignore = "needs xmllint: cargo xtask peers"]
fn peers_every_type_is_valid_by_the_schema() {
    let dir = env::temp_dir().join(format!("vim25-documents-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    // A document of many values, since a schema of this size takes xmllint seconds to read.
    let mut document = String::from(
        "<values xmlns=\"urn:vim25\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n",
    );
    for (seed, info) in registry().types().iter().enumerate() {
        let mut random = Random::valid(seed as u64);
        writeln!(document, "{}", write(&Any::Object(random.object(info)))).unwrap();
    }
    document.push_str("</values>");
    let wsdl = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wsdl").canonicalize().unwrap();
    // The schema declares elements for messages only; this one lets a value of any type stand.
    let schema = format!(
        "<schema xmlns=\"http://www.w3.org/2001/XMLSchema\" targetNamespace=\"urn:vim25\" \
         elementFormDefault=\"qualified\"><include schemaLocation=\"{}\"/><element name=\"values\"><complexType>\
         <sequence><element name=\"returnval\" type=\"anyType\" maxOccurs=\"unbounded\"/></sequence></complexType>\
         </element></schema>",
        wsdl.join("vim-types.xsd").display()
    );
    fs::write(dir.join("values.xsd"), schema).unwrap();
    fs::write(dir.join("values.xml"), document).unwrap();
    let run = Command::new("xmllint")
        .args(["--noout", "--huge", "--schema"])
        .args([dir.join("values.xsd"), dir.join("values.xml")])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}", errors.lines().take(20).collect::<Vec<_>>().join("\n"));
    fs::remove_dir_all(dir).unwrap();
}
