//! Reads the WSDL and XML Schema files that a vCenter serves, or that `wsdl/derive.py` wrote.
//!
//! Only what such files use is understood; anything else is an error that names its file and element.

mod files;
mod schema;
mod xml;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, bail};

use self::files::{Files, Source};
use self::schema::{Content, Declaration, Schema};
use self::xml::{Element, QName};
use crate::companions;
use crate::ir::{Api, DataType, EnumType, Field, Method, Ty};

const XSD: &str = "http://www.w3.org/2001/XMLSchema";
const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";

/// The type of a managed object as a value; the intermediate form has it as [`Ty::Ref`].
const REFERENCE: &str = "ManagedObjectReference";

/// Reads the API that the WSDL in a directory describes, and lays the companions of another (or the same) over it.
///
/// # Errors
/// When a file is missing, malformed or outside of the directory, or names what no file declares.
pub(crate) fn read(dir: &Path, companions: Option<&Path>) -> anyhow::Result<Api> {
    let files = Files::load(dir)?;
    let missing: Vec<String> = files.missing.iter().map(|file| file.display().to_string()).collect();
    let missing = missing.join(", ");
    let mut api = Reader::new(&files).and_then(|reader| reader.api()).with_context(|| {
        let absent = if missing.is_empty() { String::new() } else { format!(", without {missing}") };
        format!("cannot read the WSDL in {}{absent}", dir.display())
    })?;
    if !missing.is_empty() {
        api.costs.push(format!("Imported schemas are not there: {missing}."));
    }
    companions::lay_over(&mut api, companions)?;
    Ok(api)
}

struct Reader<'a> {
    schema: Schema<'a>,
    namespace: &'a str,
    port_types: Vec<&'a Source>,
    definitions: &'a [Source],
    /// The element that a message's part names, by namespace and name of the message.
    messages: HashMap<(&'a str, &'a str), QName>,
}

impl<'a> Reader<'a> {
    fn new(files: &'a Files) -> anyhow::Result<Reader<'a>> {
        let port_types: Vec<&Source> =
            files.definitions.iter().filter(|source| source.element.first("portType").is_some()).collect();
        let Some(first) = port_types.first() else {
            bail!("no file holds a portType");
        };
        let namespace = first.namespace();
        if let Some(other) = port_types.iter().find(|source| source.namespace() != namespace) {
            bail!("port types in two namespaces: {namespace} and {} ({})", other.namespace(), other.file.display());
        }
        let mut messages = HashMap::new();
        for source in &files.definitions {
            for message in source.element.all("message") {
                let read = || {
                    let part = message.first("part").with_context(|| format!("{} has no part", message.label()))?;
                    anyhow::Ok((message.required("name")?, part.required_qname("element")?))
                };
                let (name, element) = read().with_context(|| format!("in {}", source.file.display()))?;
                messages.insert((source.namespace(), name), element);
            }
        }
        let schema = Schema::new(&files.schemas, namespace)?;
        Ok(Reader { schema, namespace, port_types, definitions: &files.definitions, messages })
    }

    fn api(&self) -> anyhow::Result<Api> {
        let mut wrappers = HashSet::new();
        let loose = self.operations(&mut wrappers)?;
        let mut api = Api { version: self.version(), loose, ..Api::default() };
        let mut arrays = Vec::new();
        for &declared in self.schema.types.iter().filter(|declared| declared.namespace == self.namespace) {
            if !declared.is_complex() {
                let values = declared.values().with_context(|| declared.place())?;
                if !values.is_empty() {
                    api.enums.push(EnumType { name: declared.name.to_owned(), since: None, values });
                }
            } else if declared.name != REFERENCE && !wrappers.contains(declared.name) {
                let Content { base, fields } = self.schema.content(declared)?;
                let ty = DataType { name: declared.name.to_owned(), base, since: None, fields };
                match &ty {
                    ty if is_array(ty) => arrays.push(ty.clone()),
                    ty if is_request(ty) => {}
                    _ => api.types.push(ty),
                }
            }
        }
        self.keep_used_arrays(&mut api, arrays);
        check_references(&api)?;
        api.costs.extend(self.foreign_types());
        Ok(api)
    }

    /// An array type that a field names is a type like any other.
    fn keep_used_arrays(&self, api: &mut Api, arrays: Vec<DataType>) {
        let methods = api.loose.iter().flat_map(|method| method.params.iter().chain(&method.result));
        let fields = api.types.iter().flat_map(|ty| &ty.fields).chain(methods);
        let used: HashSet<&str> = fields
            .filter_map(|field| match &field.ty {
                Ty::Data(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let kept: Vec<DataType> = arrays.into_iter().filter(|array| used.contains(array.name.as_str())).collect();
        api.types.extend(kept);
    }

    fn foreign_types(&self) -> Option<String> {
        let foreign: Vec<&Declaration> =
            self.schema.types.iter().filter(|declared| declared.namespace != self.namespace).collect();
        let namespaces: BTreeSet<&str> = foreign.iter().map(|declared| declared.namespace).collect();
        let namespaces = namespaces.into_iter().collect::<Vec<_>>().join(", ");
        (!foreign.is_empty())
            .then(|| format!("Types of other namespaces are left out: {} ({namespaces}).", foreign.len()))
    }

    /// The version at the end of a `soapAction` such as `urn:vim25/9.1.1.0`.
    fn version(&self) -> Option<String> {
        let bindings = self.definitions.iter().flat_map(|source| source.element.all("binding"));
        let operations = bindings.flat_map(|binding| binding.all("operation"));
        let mut actions = operations
            .flat_map(|operation| &operation.children)
            .filter_map(|child| child.attribute("soapAction")?.strip_prefix(self.namespace)?.strip_prefix('/'));
        actions.find(|version| !version.is_empty()).map(str::to_owned)
    }

    /// All operations, sorted by name; the types that only wrap their parameters and results go to `wrappers`.
    fn operations(&self, wrappers: &mut HashSet<&'a str>) -> anyhow::Result<Vec<Method>> {
        let mut methods = BTreeMap::new();
        for source in &self.port_types {
            for operation in source.element.all("portType").flat_map(|port| port.all("operation")) {
                let method = self
                    .operation(operation, wrappers)
                    .with_context(|| format!("in {} of {}", operation.label(), source.file.display()))?;
                if let Some(twice) = methods.insert(method.name.clone(), method) {
                    bail!("the operation `{}` is declared twice", twice.name);
                }
            }
        }
        Ok(methods.into_values().collect())
    }

    fn operation(&self, operation: &Element, wrappers: &mut HashSet<&'a str>) -> anyhow::Result<Method> {
        let mut method = Method::new(operation.required("name")?);
        let request = self.message(operation.first("input").context("the operation has no input")?)?;
        method.params = self.wrapped(request, wrappers)?;
        method.params.retain(|param| param.name != "_this");
        if let Some(output) = operation.first("output") {
            let mut results = self.wrapped(self.message(output)?, wrappers)?.into_iter();
            method.result = results.next();
            if let Some(second) = results.next() {
                bail!("the answer holds more than one value: `{}`", second.name);
            }
        }
        for fault in operation.all("fault") {
            let element = self.message(fault)?;
            let name = element.element.required_qname("type").with_context(|| element.place())?;
            match self.schema.ty(&name).with_context(|| element.place())? {
                Ty::Data(fault) if fault == "RuntimeFault" || method.faults.contains(&fault) => {}
                Ty::Data(fault) => method.faults.push(fault),
                _ => bail!("the fault `{}` is no complex type", name.local),
            }
        }
        Ok(method)
    }

    /// The element that the message of an input, output or fault holds.
    fn message(&self, user: &Element) -> anyhow::Result<Declaration<'a>> {
        let name = user.required_qname("message")?;
        let element = self.messages.get(&(&*name.namespace, name.local.as_str()));
        self.schema.element(element.with_context(|| format!("no file declares the message `{}`", name.local))?)
    }

    /// The fields of the type that a message's element has.
    fn wrapped(&self, element: Declaration<'a>, wrappers: &mut HashSet<&'a str>) -> anyhow::Result<Vec<Field>> {
        let ty = self.schema.type_of(element)?;
        if ty.element.attribute("name").is_some() {
            wrappers.insert(ty.name);
        }
        let content = self.schema.content(ty)?;
        match content.base {
            None => Ok(content.fields),
            Some(base) => bail!("a request or an answer that extends `{base}` is not supported, {}", ty.place()),
        }
    }
}

/// `ArrayOfX` stands for `X[]` where an array is the value of an `anyType`.
fn is_array(ty: &DataType) -> bool {
    ty.base.is_none() && ty.name.starts_with("ArrayOf") && matches!(ty.fields.as_slice(), [only] if only.array)
}

/// The request of an operation that the port type does not offer.
fn is_request(ty: &DataType) -> bool {
    ty.name.ends_with("RequestType") && ty.fields.first().is_some_and(|field| field.name == "_this")
}

/// Every data type that is named is there, and none extends itself.
fn check_references(api: &Api) -> anyhow::Result<()> {
    let bases: HashMap<&str, Option<&str>> =
        api.types.iter().map(|ty| (ty.name.as_str(), ty.base.as_deref())).collect();
    let known = |owner: &str, field: &Field| match &field.ty {
        Ty::Data(name) if !bases.contains_key(name.as_str()) => {
            bail!("`{}` of `{owner}` has the type `{name}`, which is no data type", field.name)
        }
        _ => Ok(()),
    };
    for ty in &api.types {
        ty.fields.iter().try_for_each(|field| known(&ty.name, field))?;
        let mut above = ty.base.as_deref();
        let mut steps = 0;
        while let Some(base) = above {
            above = match bases.get(base) {
                Some(next) => *next,
                None => bail!("`{}` extends `{base}`, which is no data type", ty.name),
            };
            steps += 1;
            if steps > api.types.len() {
                bail!("`{}` extends itself", ty.name);
            }
        }
    }
    for method in &api.loose {
        method.params.iter().chain(&method.result).try_for_each(|field| known(&method.name, field))?;
        if let Some(fault) = method.faults.iter().find(|fault| !bases.contains_key(fault.as_str())) {
            bail!("`{}` declares the fault `{fault}`, which is no data type", method.name);
        }
    }
    Ok(())
}
