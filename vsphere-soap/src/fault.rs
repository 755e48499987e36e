//! SOAP faults, with the typed fault of the API inside, and how they are put into words.

use std::fmt;

use crate::object::{DataObject, DataType, Element, Object, Value, format_date_time};

/// A fault that the server answered with.
#[derive(Debug, Clone, PartialEq)]
pub struct SoapFault {
    /// The SOAP fault code (`ServerFaultCode`).
    pub code: String,
    /// The server's message. It is in the session's locale: for people, never to be compared.
    pub reason: String,
    /// The fault of the API, where the server gave one: a `MethodFault` or a type that extends it.
    pub detail: Option<Object>,
}

impl SoapFault {
    /// The fault as a `T`, where it is one or extends it.
    pub fn downcast_ref<T: DataType>(&self) -> Option<&T> {
        self.detail.as_ref()?.downcast_ref()
    }

    /// Whether the fault is of the type with this wire name (`NotAuthenticated`), or extends it.
    pub fn is_named(&self, name: &str) -> bool {
        self.detail.as_ref().is_some_and(|detail| {
            detail.type_name() == name || detail.data().info().lineage().any(|info| info.name() == name)
        })
    }

    /// The wire name of the fault's type, where the server gave one.
    pub fn name(&self) -> Option<&str> {
        self.detail.as_ref().map(Object::type_name)
    }
}

impl fmt::Display for SoapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.detail, one_line(&self.reason).as_str()) {
            (Some(detail), reason) => f.write_str(&in_words(reason, detail)),
            (None, "") => write!(f, "the server answered with the fault {} and no reason", one_line(&self.code)),
            (None, reason) => f.write_str(reason),
        }
    }
}

/// Something that a fault tells beside its message: the field, and its value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The field on the wire (`privilegeId`), with the one around it where it is inside of another value
    /// (`missingPrivileges.privilegeIds`).
    pub field: String,
    /// Its value on one line; several values with commas between them.
    pub value: String,
}

/// How many facts are told in words, and how long each may be in characters.
const MOST_FACTS: usize = 6;
const LONGEST_FACT: usize = 160;

/// How many values of a list are told.
const MOST_VALUES: usize = 8;

/// How many causes of causes are told.
const MOST_CAUSES: usize = 4;

/// A fault as one clause: the message, the type with what it tells, and its causes.
///
/// `Permission was denied (NoPermission: object VirtualMachine:vm-1, privilegeId VirtualMachine.Interact.PowerOn)`
pub fn in_words(message: &str, fault: &Object) -> String {
    let mut text = clause(message, fault);
    let mut at = cause_of(fault.data());
    for _ in 0..MOST_CAUSES {
        let Some((message, fault)) = at else { break };
        let cause = match clause(message.unwrap_or_default(), fault) {
            // Some servers repeat a fault as its own cause.
            cause if text.contains(&cause) => break,
            cause => cause,
        };
        text += "; caused by: ";
        text += &cause;
        at = cause_of(fault.data());
    }
    text
}

/// What the fault tells beside its message: all its own fields that are set, but for secrets.
pub fn facts(fault: &Object) -> Vec<Fact> {
    let mut facts = Vec::new();
    collect(fault.data(), "", &mut facts);
    for element in fault.unknown().iter().flat_map(|unknown| &unknown.elements) {
        collect_unknown(element, &mut facts);
    }
    facts
}

fn clause(message: &str, fault: &Object) -> String {
    let mut text = one_line(message);
    for more in messages(fault.data()) {
        if !text.contains(&more) {
            let joint = if text.is_empty() { "" } else { "; " };
            text = format!("{text}{joint}{more}");
        }
    }
    let told: Vec<String> =
        facts(fault).iter().take(MOST_FACTS).map(|fact| format!("{} {}", fact.field, fact.value)).collect();
    let name = match told.as_slice() {
        [] => fault.type_name().to_owned(),
        told => format!("{}: {}", fault.type_name(), told.join(", ")),
    };
    if text.is_empty() { name } else { format!("{text} ({name})") }
}

/// The text on one line, without the full stop at its end.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" ").trim_end_matches('.').to_owned()
}

/// The messages in `faultMessage`.
fn messages(fault: &dyn DataObject) -> Vec<String> {
    let Value::List(list) = value(fault, "faultMessage") else { return Vec::new() };
    let each = (0..list.count().min(MOST_VALUES)).filter_map(|index| object(list.at(index)));
    let texts = each.filter_map(|message| match value(message, "message") {
        Value::String(text) => Some(one_line(text)).filter(|text| !text.is_empty()),
        _ => None,
    });
    texts.collect()
}

/// The fault in `faultCause`, with its message.
fn cause_of(fault: &dyn DataObject) -> Option<(Option<&str>, &Object)> {
    let cause = object(value(fault, "faultCause"))?;
    let message = match value(cause, "localizedMessage") {
        Value::String(text) => Some(text),
        _ => None,
    };
    match value(cause, "fault") {
        Value::Poly(fault) => Some((message, fault)),
        _ => None,
    }
}

fn value<'o>(object: &'o dyn DataObject, field: &str) -> Value<'o> {
    object.info().index_of(field).map_or(Value::Unset, |index| object.get(index))
}

fn object(value: Value<'_>) -> Option<&dyn DataObject> {
    match value {
        Value::Data(data) => Some(data),
        Value::Poly(object) => Some(object.data()),
        _ => None,
    }
}

fn collect(object: &dyn DataObject, around: &str, facts: &mut Vec<Fact>) {
    for (index, field) in object.info().fields().iter().enumerate() {
        let said_elsewhere = around.is_empty() && matches!(field.name, "faultCause" | "faultMessage");
        if field.secret || said_elsewhere {
            continue;
        }
        let name = if around.is_empty() { field.name.to_owned() } else { format!("{around}.{}", field.name) };
        let values = match object.get(index) {
            Value::List(list) => (0..list.count().min(MOST_VALUES)).map(|index| list.at(index)).collect(),
            value => vec![value],
        };
        let texts: Vec<String> = values.iter().filter_map(|value| scalar(*value)).collect();
        if !texts.is_empty() {
            push(facts, name, &texts.join(", "));
        } else if around.is_empty() {
            // One level is enough: what faults tell is flat, but for the privileges per object of newer servers.
            values.into_iter().filter_map(self::object).for_each(|inner| collect(inner, &name, facts));
        }
    }
}

fn collect_unknown(element: &Element, facts: &mut Vec<Fact>) {
    if element.children.is_empty() && !element.text.trim().is_empty() {
        push(facts, element.name.clone(), &element.text);
    }
}

fn push(facts: &mut Vec<Fact>, field: String, value: &str) {
    let value = one_line(value);
    let value = match value.char_indices().nth(LONGEST_FACT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    };
    if !value.is_empty() {
        facts.push(Fact { field, value });
    }
}

fn scalar(value: Value<'_>) -> Option<String> {
    if value.is_unset() {
        return None;
    }
    Some(match value {
        Value::Boolean(v) => v.to_string(),
        Value::Byte(v) => v.to_string(),
        Value::Short(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Long(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::Double(v) => v.to_string(),
        Value::String(v) | Value::Enum(_, v) => v.to_owned(),
        Value::DateTime(v) => format_date_time(v),
        Value::Ref(v) => v.to_string(),
        // What is unknown is seen as itself again.
        Value::Any(any) if !matches!(any.as_value(), Value::Any(_)) => return scalar(any.as_value()),
        Value::Poly(fault) => return is_fault(fault).then(|| fault.type_name().to_owned()),
        Value::Unset | Value::Binary(_) | Value::Data(_) | Value::Any(_) | Value::List(_) => return None,
    })
}

/// A fault inside of a fault is told by its name.
fn is_fault(object: &Object) -> bool {
    object.data().info().lineage().any(|info| info.name() == "MethodFault")
}
