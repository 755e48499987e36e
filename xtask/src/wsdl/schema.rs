//! XML Schema, as far as vCenters use it: complex types in sequences and extensions, enumerations, global elements.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};

use super::XSD;
use super::files::Source;
use super::xml::{Element, QName};
use crate::ir::{Field, Ty};

/// The global declarations of all schemas.
pub(super) struct Schema<'a> {
    /// Types in the order of the files.
    pub(super) types: Vec<Declaration<'a>>,
    types_by_name: HashMap<Name<'a>, Declaration<'a>>,
    elements: HashMap<Name<'a>, Declaration<'a>>,
    /// The namespace of the API's own types.
    namespace: &'a str,
}

/// A namespace and a local name.
type Name<'a> = (&'a str, &'a str);

/// A global type or element.
#[derive(Clone, Copy)]
pub(super) struct Declaration<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) element: &'a Element,
    pub(super) file: &'a Path,
}

/// What a complex type holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content {
    /// The type that it extends.
    pub(super) base: Option<String>,
    /// Its own fields.
    pub(super) fields: Vec<Field>,
}

/// How often a particle may stand.
#[derive(Clone, Copy, Default)]
struct Occurs {
    optional: bool,
    repeated: bool,
}

impl Occurs {
    fn of(self, element: &Element) -> Occurs {
        Occurs {
            optional: self.optional || element.attribute("minOccurs") == Some("0"),
            repeated: self.repeated || element.attribute("maxOccurs").is_some_and(|max| !matches!(max, "0" | "1")),
        }
    }
}

impl<'a> Declaration<'a> {
    /// Says in an error where the declaration stands.
    pub(super) fn place(&self) -> String {
        format!("in {} of {}", self.element.label(), self.file.display())
    }

    pub(super) fn is_complex(&self) -> bool {
        self.element.is(XSD, "complexType")
    }

    fn restriction(&self) -> anyhow::Result<&'a Element> {
        let restriction = self.element.first("restriction");
        restriction.context("a simple type that is no restriction (a list or a union) is not supported")
    }

    /// The values of an enumeration; empty for any other simple type.
    pub(super) fn values(&self) -> anyhow::Result<Vec<String>> {
        let values = self.restriction()?.all("enumeration").map(|value| value.required("value").map(str::to_owned));
        values.collect()
    }
}

impl<'a> Schema<'a> {
    /// Collects the declarations of all schemas.
    ///
    /// # Errors
    /// When a name is declared twice.
    pub(super) fn new(sources: &'a [Source], namespace: &'a str) -> anyhow::Result<Schema<'a>> {
        let mut schema =
            Schema { types: Vec::new(), types_by_name: HashMap::new(), elements: HashMap::new(), namespace };
        for source in sources {
            for element in source.element.children.iter().filter(|child| &*child.name.namespace == XSD) {
                let table = match element.name.local.as_str() {
                    "complexType" | "simpleType" => &mut schema.types_by_name,
                    "element" => &mut schema.elements,
                    _ => continue,
                };
                let name = element.required("name").with_context(|| format!("in {}", source.file.display()))?;
                let declared = Declaration { namespace: source.namespace(), name, element, file: &source.file };
                if let Some(other) = table.insert((declared.namespace, name), declared) {
                    bail!("{} is declared {} and again {}", name, other.place(), declared.place());
                }
                if element.name.local != "element" {
                    schema.types.push(declared);
                }
            }
        }
        Ok(schema)
    }

    /// The global element of this name.
    pub(super) fn element(&self, name: &QName) -> anyhow::Result<Declaration<'a>> {
        let found = self.elements.get(&(&*name.namespace, name.local.as_str())).copied();
        found.with_context(|| format!("no schema declares the element `{}` ({})", name.local, name.namespace))
    }

    /// The complex type that a global element has, named or anonymous.
    pub(super) fn type_of(&self, element: Declaration<'a>) -> anyhow::Result<Declaration<'a>> {
        if let Some(anonymous) = element.element.first("complexType") {
            return Ok(Declaration { element: anonymous, ..element });
        }
        let name = element.element.required_qname("type").with_context(|| element.place())?;
        let found = self.type_named(&name).with_context(|| element.place())?;
        if !found.is_complex() {
            bail!("the type `{}` is not complex, {}", name.local, element.place());
        }
        Ok(found)
    }

    /// What a complex type holds.
    pub(super) fn content(&self, complex: Declaration<'a>) -> anyhow::Result<Content> {
        let mut content = Content::default();
        self.read_content(complex.element, &mut content).with_context(|| complex.place())?;
        Ok(content)
    }

    fn read_content(&self, element: &'a Element, content: &mut Content) -> anyhow::Result<()> {
        for child in &element.children {
            match child.name.local.as_str() {
                "annotation" => {}
                "complexContent" => {
                    let extension = child.first("extension").context("a complex content that extends nothing")?;
                    content.base = Some(self.base(&extension.required_qname("base")?)?);
                    self.read_content(extension, content)?;
                }
                "sequence" | "all" | "choice" => self.particles(child, Occurs::default(), &mut content.fields)?,
                _ => bail!("{} is not supported in a complex type", child.label()),
            }
        }
        Ok(())
    }

    fn base(&self, name: &QName) -> anyhow::Result<String> {
        match self.ty(name)? {
            Ty::Data(base) => Ok(base),
            _ => bail!("the base `{}` is no complex type", name.local),
        }
    }

    fn particles(&self, group: &'a Element, outer: Occurs, fields: &mut Vec<Field>) -> anyhow::Result<()> {
        let mut occurs = outer.of(group);
        occurs.optional |= group.name.local == "choice";
        for child in &group.children {
            match child.name.local.as_str() {
                "annotation" => {}
                "element" => fields.push(self.field(child, occurs).with_context(|| format!("in {}", child.label()))?),
                "sequence" | "all" | "choice" => self.particles(child, occurs, fields)?,
                _ => bail!("{} is not supported in {}", child.label(), group.label()),
            }
        }
        Ok(())
    }

    fn field(&self, element: &'a Element, outer: Occurs) -> anyhow::Result<Field> {
        let declared = match element.qname("ref")? {
            Some(global) => self.element(&global)?.element,
            None => element,
        };
        let ty = match (declared.qname("type")?, declared.first("simpleType"), declared.first("complexType")) {
            (Some(name), ..) => self.ty(&name)?,
            (None, Some(simple), _) => {
                let restriction = simple.first("restriction").context("an anonymous type that is no restriction")?;
                self.ty(&restriction.required_qname("base")?)?
            }
            (None, None, Some(_)) => {
                bail!("a field with an anonymous complex type is not supported")
            }
            (None, None, None) => Ty::Any,
        };
        let occurs = outer.of(element);
        Ok(Field::new(declared.required("name")?, ty).optional(occurs.optional).array(occurs.repeated))
    }

    /// The type that a name stands for.
    pub(super) fn ty(&self, name: &QName) -> anyhow::Result<Ty> {
        if &*name.namespace == XSD {
            return Ty::builtin(&name.local).with_context(|| format!("the type xsd:{} is not supported", name.local));
        }
        let declared = self.type_named(name)?;
        if declared.namespace != self.namespace {
            bail!("the type `{}` is in the namespace {}, outside of the API", name.local, name.namespace);
        }
        if declared.name == super::REFERENCE {
            return Ok(Ty::Ref);
        }
        if declared.is_complex() {
            return Ok(Ty::Data(name.local.clone()));
        }
        if !declared.values()?.is_empty() {
            return Ok(Ty::Enum(name.local.clone()));
        }
        // A simple type without values only narrows a built-in one.
        let narrowed = declared.restriction()?.required_qname("base")?;
        match Ty::builtin(&narrowed.local) {
            Some(ty) if &*narrowed.namespace == XSD => Ok(ty),
            _ => bail!("the simple type `{}` restricts `{}`, which is not supported", name.local, narrowed.local),
        }
    }

    fn type_named(&self, name: &QName) -> anyhow::Result<Declaration<'a>> {
        let found = self.types_by_name.get(&(&*name.namespace, name.local.as_str())).copied();
        found.with_context(|| format!("no schema declares the type `{}` ({})", name.local, name.namespace))
    }
}
