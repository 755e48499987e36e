//! Lays over a WSDL what it cannot say: managed objects with their properties and methods, versions, targets, secrets.
//!
//! The companions are facts about one version, the WSDL may be of another: only what both know is laid over, and what
//! stays unknown is said in [`Api::costs`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ir::{Api, Field, ManagedObject, Method, Ty};

/// Lays the companions in a directory over an API; without a directory only the costs are said.
///
/// # Errors
/// When a companion is missing or malformed.
pub(crate) fn lay_over(api: &mut Api, dir: Option<&Path>) -> anyhow::Result<()> {
    let Some(dir) = dir else {
        api.costs.push(format!(
            "Without companions no managed object, property, version or secret is known; operations stand loose: {}.",
            api.loose.len()
        ));
        return Ok(());
    };
    let chain: Vec<(String, String)> = load(dir, "versions.json")?;
    let annotations: Annotations = load(dir, "data-annotations.json")?;
    let managed: BTreeMap<String, ManagedFacts> = load(dir, MANAGED)?;
    check_bases(&managed).with_context(|| format!("in {}", dir.join(MANAGED).display()))?;

    let versions = Versions::new(chain, api.version.as_deref());
    annotate(api, &annotations);
    assign(api, &managed, &versions);
    api.versions = versions.known;
    Ok(())
}

/// Whether a directory holds companions of its own.
pub(crate) fn are_in(dir: &Path) -> bool {
    dir.join(MANAGED).is_file()
}

const MANAGED: &str = "managed-objects.json";

fn load<T: DeserializeOwned>(dir: &Path, name: &str) -> anyhow::Result<T> {
    let path = dir.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("malformed companion {}", path.display()))
}

/// `data-annotations.json`.
#[derive(Deserialize)]
struct Annotations {
    data: HashMap<String, TypeFacts>,
    enums: HashMap<String, String>,
}

#[derive(Deserialize)]
struct TypeFacts {
    #[serde(rename = "s")]
    since: String,
    #[serde(rename = "p", default)]
    fields: HashMap<String, Facts>,
}

/// What is said of a field, a property or a parameter.
#[derive(Deserialize, Default)]
struct Facts {
    #[serde(rename = "s")]
    since: Option<String>,
    #[serde(rename = "p")]
    privilege: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    link: Option<String>,
    fault: Option<String>,
    #[serde(default)]
    secret: u8,
}

/// A property or a parameter.
#[derive(Deserialize)]
struct Member {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "t")]
    ty: String,
    #[serde(rename = "o", default)]
    optional: u8,
    #[serde(flatten)]
    facts: Facts,
}

/// A managed object in `managed-objects.json`.
#[derive(Deserialize)]
struct ManagedFacts {
    #[serde(rename = "s")]
    since: String,
    base: Option<String>,
    #[serde(rename = "props", default)]
    properties: Vec<Member>,
    #[serde(default)]
    methods: Vec<MethodFacts>,
}

#[derive(Deserialize)]
struct MethodFacts {
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "s")]
    since: Option<String>,
    #[serde(rename = "p")]
    privilege: Option<String>,
    #[serde(rename = "a", default)]
    params: Vec<Member>,
    #[serde(rename = "r")]
    result: Option<String>,
    task: Option<String>,
    #[serde(default)]
    task_o: u8,
}

fn check_bases(managed: &BTreeMap<String, ManagedFacts>) -> anyhow::Result<()> {
    for name in managed.keys() {
        let mut steps = 0;
        let mut at = name;
        while let Some(base) = managed.get(at).and_then(|facts| facts.base.as_ref()) {
            if !managed.contains_key(base) {
                bail!("`{at}` extends `{base}`, which is not there");
            }
            steps += 1;
            if steps > managed.len() {
                bail!("`{name}` extends itself");
            }
            at = base;
        }
    }
    Ok(())
}

/// The public versions up to that of the WSDL.
struct Versions {
    known: Vec<String>,
    /// Versions of the companions that are younger than the WSDL.
    younger: HashSet<String>,
}

impl Versions {
    fn new(chain: Vec<(String, String)>, version: Option<&str>) -> Versions {
        let mut known: Vec<String> = chain.into_iter().map(|(wire, _)| wire).collect();
        let end = match version {
            None => known.len(),
            Some(version) => match known.iter().position(|wire| wire == version) {
                Some(index) => index + 1,
                None => known.iter().take_while(|wire| numbers(wire) <= numbers(version)).count(),
            },
        };
        let younger = known.split_off(end).into_iter().collect();
        Versions { known, younger }
    }

    fn has(&self, since: Option<&str>) -> bool {
        since.is_none_or(|since| !self.younger.contains(since))
    }
}

/// `8.0.1.0` as numbers; a suffix as in `2.5u2` does not count.
fn numbers(version: &str) -> Vec<u32> {
    let leading = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    version.split('.').map(leading).collect()
}

/// Lays versions, targets and secrets over data types and enums.
fn annotate(api: &mut Api, annotations: &Annotations) {
    let mut unknown = Vec::new();
    let mut unknown_enums = Vec::new();
    for ty in &mut api.types {
        let Some(facts) = annotations.data.get(&ty.name) else {
            unknown.push(ty.name.clone());
            continue;
        };
        ty.since = Some(facts.since.clone());
        for field in &mut ty.fields {
            if let Some(facts) = facts.fields.get(&field.name) {
                facts.lay_over(field);
            }
        }
    }
    for ty in &mut api.enums {
        ty.since = annotations.enums.get(&ty.name).cloned();
        if ty.since.is_none() {
            unknown_enums.push(ty.name.clone());
        }
    }
    api.costs
        .extend(cost(&unknown, "Types are unknown to the companions, and so are their versions, targets and secrets"));
    api.costs.extend(cost(&unknown_enums, "Enums are unknown to the companions, and so are their versions"));
}

impl Facts {
    fn lay_over(&self, field: &mut Field) {
        field.since.clone_from(&self.since);
        field.target = self.reference.clone().or_else(|| self.link.clone());
        field.fault.clone_from(&self.fault);
        field.secret = self.secret != 0;
        field.privilege.clone_from(&self.privilege);
    }
}

/// A member writes its target into its type: `*VirtualMachine[]`.
fn apply(field: &mut Field, member: &Member) {
    member.facts.lay_over(field);
    field.target = field.target.take().or_else(|| target(&member.ty));
}

/// Gives the operations to their managed objects; what no companion knows stays loose.
fn assign(api: &mut Api, managed: &BTreeMap<String, ManagedFacts>, versions: &Versions) {
    let mut operations: BTreeMap<String, Method> =
        std::mem::take(&mut api.loose).into_iter().map(|method| (method.name.clone(), method)).collect();
    let present = present(managed, &operations, versions);
    let values = Values::of(api);
    let mut absent = Vec::new();
    let mut without_type = Vec::new();
    let mut results = Vec::new();
    for (name, facts) in managed.iter().filter(|(name, _)| present.contains(name.as_str())) {
        let mut object = ManagedObject {
            name: name.clone(),
            base: facts.base.clone(),
            since: Some(facts.since.clone()),
            properties: Vec::new(),
            methods: Vec::new(),
        };
        for member in facts.properties.iter().filter(|member| versions.has(member.facts.since.as_deref())) {
            match values.field(&member.name, &member.ty, member.optional != 0) {
                Some(mut property) => {
                    apply(&mut property, member);
                    object.properties.push(property);
                }
                None => without_type.push(format!("{name}.{}", member.name)),
            }
        }
        for facts in &facts.methods {
            match operations.remove(&facts.name) {
                Some(mut method) => {
                    describe(&mut method, facts);
                    method.since = facts.since.clone().or_else(|| object.since.clone());
                    if let Some(task) = &facts.task {
                        method.task_result = values.field("result", task, facts.task_o != 0);
                        if method.task_result.is_none() {
                            results.push(method.name.clone());
                        }
                    }
                    object.methods.push(method);
                }
                None if versions.has(facts.since.as_deref()) => absent.push(facts.name.clone()),
                None => {}
            }
        }
        api.managed.push(object);
    }
    api.loose = operations.into_values().collect();
    let loose: Vec<String> = api.loose.iter().map(|method| method.name.clone()).collect();
    api.costs.extend(cost(&loose, "Operations belong to no known managed object"));
    api.costs.extend(cost(&absent, "Methods of the companions are not in this WSDL and are left out"));
    api.costs.extend(cost(&without_type, "Properties have a type that is not in this WSDL and are left out"));
    api.costs.extend(cost(&results, "Tasks yield a type that is not in this WSDL"));
}

/// The managed objects that this version has: no WSDL lists them, but it lists their operations.
fn present<'a>(
    managed: &'a BTreeMap<String, ManagedFacts>,
    operations: &BTreeMap<String, Method>,
    versions: &Versions,
) -> BTreeSet<&'a str> {
    let mut present = BTreeSet::new();
    for (name, facts) in managed {
        let named = facts.methods.iter().any(|method| operations.contains_key(&method.name));
        if named || versions.has(Some(&facts.since)) {
            let line = std::iter::successors(Some(name), |name| managed.get(*name)?.base.as_ref());
            present.extend(line.map(String::as_str));
        }
    }
    present
}

fn describe(method: &mut Method, facts: &MethodFacts) {
    method.privilege.clone_from(&facts.privilege);
    for param in &mut method.params {
        if let Some(member) = facts.params.iter().find(|member| member.name == param.name) {
            apply(param, member);
        }
    }
    if let (Some(result), Some(ty)) = (&mut method.result, &facts.result) {
        result.target = target(ty);
    }
}

/// The managed object in `*VirtualMachine[]`.
fn target(ty: &str) -> Option<String> {
    let name = ty.strip_prefix('*')?.trim_end_matches("[]");
    (!name.is_empty()).then(|| name.to_owned())
}

/// The named types of the WSDL, to understand the types in the companions.
struct Values {
    data: HashSet<String>,
    enums: HashSet<String>,
}

impl Values {
    fn of(api: &Api) -> Values {
        Values {
            data: api.types.iter().map(|ty| ty.name.clone()).collect(),
            enums: api.enums.iter().map(|ty| ty.name.clone()).collect(),
        }
    }

    /// A field of the type that is written `string`, `*HostSystem`, `Event[]`; `None` where the WSDL has no such type.
    fn field(&self, name: &str, ty: &str, optional: bool) -> Option<Field> {
        let item = ty.strip_suffix("[]");
        let field = Field::new(name, self.ty(item.unwrap_or(ty))?).optional(optional).array(item.is_some());
        Some(Field { target: target(ty), ..field })
    }

    fn ty(&self, name: &str) -> Option<Ty> {
        if name.starts_with('*') {
            Some(Ty::Ref)
        } else if self.data.contains(name) {
            Some(Ty::Data(name.to_owned()))
        } else if self.enums.contains(name) {
            Some(Ty::Enum(name.to_owned()))
        } else {
            Ty::builtin(name)
        }
    }
}

/// `Operations belong to …: 3 (A, B, C).`, or nothing where there is nothing to say.
fn cost(names: &[String], what: &str) -> Option<String> {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return None;
    }
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > SHOWN { ", …" } else { "" };
    Some(format!("{what}: {} ({shown}{more}).", names.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_between_public_ones_has_the_older_of_them() {
        let chain = ["2.5", "2.5u2", "6.7", "6.7.3", "8.0.1.0", "8.0.2.0"];
        let versions = |version| {
            let chain = chain.map(|wire| (wire.to_owned(), String::new())).into();
            Versions::new(chain, version)
        };
        let between = versions(Some("8.0.1.7"));
        assert_eq!(between.known, chain[..5]);
        assert!(between.has(Some("8.0.1.0")) && between.has(None) && !between.has(Some("8.0.2.0")));
        assert_eq!(versions(Some("2.5")).known, chain[..1]);
        assert_eq!(versions(Some("10.0")).known, chain);
        assert_eq!(versions(None).known, chain);
    }
}
