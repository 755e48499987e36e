//! The SOAP envelope around requests and answers.

use std::borrow::Cow;
use std::fmt;

use crate::codec::{DecodeError, Decoder, EncodeError, Encoder, Notes, Tag};
use crate::fault::SoapFault;
use crate::object::{Any, Array, Element, FieldInfo, ManagedObjectReference, Object, Registry, Type, Value};
use crate::operation_id::OperationId;
use crate::request::{Items, Method};
use crate::secrets::Secrets;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
     xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
     xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>";
const BODY: &str = "<soapenv:Body>";
const TAIL: &str = "</soapenv:Body></soapenv:Envelope>";

/// A request as it is sent.
#[derive(Clone)]
pub struct Written {
    /// The SOAP document.
    pub document: String,
    /// The values of its secret fields: what no error about it may show.
    pub secrets: Secrets,
}

/// Writes the envelope of a request.
///
/// # Errors
/// A text has a character that XML can't carry.
pub fn write_request(
    method: &Method,
    this: &ManagedObjectReference,
    values: &[Value<'_>],
) -> Result<Written, EncodeError> {
    let mut out = Encoder::new();
    out.raw(HEAD);
    out.raw(&format!("<{} xmlns=\"urn:vim25\">", method.name));
    out.field(&FieldInfo::req("_this", Type::Ref), Value::Ref(this));
    for (field, value) in method.params.iter().zip(values) {
        out.field(field, *value);
    }
    out.raw(&format!("</{}>", method.name));
    out.raw(TAIL);
    let secrets = out.secrets().clone();
    Ok(Written { document: out.finish()?, secrets })
}

/// The document of a request with an operation ID in its header.
pub(crate) fn with_operation_id(document: &str, id: &OperationId) -> String {
    let head = HEAD.len() - BODY.len();
    let (before, after) = document.split_at_checked(head).unwrap_or((document, ""));
    // An ID has no character that XML would have escaped.
    format!("{before}<soapenv:Header><operationID>{id}</operationID></soapenv:Header>{after}")
}

/// The document may hold secrets: it is not shown.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Written({} bytes)", self.document.len())
    }
}

/// A request as a server reads it.
#[derive(Debug, Clone)]
pub struct Received {
    /// The method.
    pub method: &'static Method,
    /// The object that it is called on.
    pub target: ManagedObjectReference,
    /// A value per parameter of the method; [`Any::Unset`] where none was given.
    pub arguments: Vec<Any>,
}

/// Reads a request, as a server does. `method` finds the operation by its name: that of the registry, or one of those that
/// servers have beside their WSDL.
///
/// # Errors
/// The document is not SOAP or not well-formed, a text has a character that XML does not have, there is no such operation,
/// or an argument is not a value of its type.
pub fn read_request(
    document: &[u8],
    registry: &'static Registry,
    method: impl Fn(&str) -> Option<&'static Method>,
) -> Result<Received, DecodeError> {
    // A server keeps what it reads, and has to write it again.
    let mut decoder = Decoder::new(document, registry).only_writable()?;
    let not_soap = |what: &str| DecodeError::new(format!("not a SOAP request: {what}"), 0);
    match decoder.enter()? {
        Some(root) if root.name() == "Envelope" => {}
        Some(root) => return Err(not_soap(&format!("its root is <{}>", root.name()))),
        None => return Err(not_soap("it has no element")),
    }
    while let Some(part) = decoder.enter()? {
        if part.name() != "Body" {
            decoder.skip()?;
            continue;
        }
        let Some(operation) = decoder.enter()? else { break };
        let method = method(operation.name())
            .ok_or_else(|| DecodeError::new(format!("there is no operation {}", operation.name()), 0))?;
        return arguments(&mut decoder, method);
    }
    Err(not_soap("its body is empty"))
}

fn arguments(decoder: &mut Decoder<'_>, method: &'static Method) -> Result<Received, DecodeError> {
    let mut target = ManagedObjectReference::default();
    let mut arguments = vec![Any::Unset; method.params.len()];
    while let Some(element) = decoder.enter()? {
        if element.name() == "_this" {
            if let Any::Ref(reference) = decoder.value(&element, Type::Ref)? {
                target = reference;
            }
            continue;
        }
        let known = method.params.iter().zip(&mut arguments).find(|(param, _)| param.name == element.name());
        let Some((param, argument)) = known else {
            decoder.skip()?;
            continue;
        };
        let value = decoder.value(&element, param.ty)?;
        match (param.array, &mut *argument) {
            (true, Any::Array(array)) => array.items.push(value),
            (true, argument) => *argument = Any::Array(Array { item: param.ty.item_name(), items: vec![value] }),
            (false, argument) => *argument = value,
        }
    }
    Ok(Received { method, target, arguments })
}

/// Writes the answer to a request, as a server does. `body` writes the elements `returnval`.
///
/// # Errors
/// A text has a character that XML can't carry.
pub fn write_answer(method: &Method, body: impl FnOnce(&mut Encoder)) -> Result<String, EncodeError> {
    let mut out = Encoder::new();
    out.raw(HEAD);
    out.raw(&format!("<{}Response xmlns=\"urn:vim25\">", method.name));
    body(&mut out);
    out.raw(&format!("</{}Response>", method.name));
    out.raw(TAIL);
    out.finish()
}

/// Writes a fault, as a server does.
///
/// # Errors
/// A text has a character that XML can't carry.
pub fn write_fault(fault: &SoapFault) -> Result<String, EncodeError> {
    let mut out = Encoder::new();
    out.raw(HEAD);
    out.raw("<soapenv:Fault>");
    out.field(&FieldInfo::req("faultcode", Type::String), Value::String(&fault.code));
    out.field(&FieldInfo::req("faultstring", Type::String), Value::String(&fault.reason));
    if let Some(detail) = &fault.detail {
        // The element is named by the type, and bound to the namespace that its fields are in.
        let name = format!("{}Fault", detail.type_name());
        out.raw(&format!("<detail><{name} xmlns=\"urn:vim25\" xsi:type=\"{}\">", detail.type_name()));
        out.fields(detail.data());
        out.raw(&format!("</{name}></detail>"));
    }
    out.raw("</soapenv:Fault>");
    out.raw(TAIL);
    out.finish()
}

/// What a SOAP document holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The answer of an operation.
    Result {
        /// The operation.
        operation: String,
        /// Its `returnval`: [`Any::Unset`] where there is none, an array where it repeats.
        value: Any,
    },
    /// A fault.
    Fault(SoapFault),
}

/// Reads the answer of `method`, or of any method of the registry where none is given.
///
/// # Errors
/// The document is not SOAP or not well-formed, it is the answer of another method, or a text in it is not a value of its
/// type.
pub fn read_answer(
    document: &[u8],
    registry: &'static Registry,
    method: Option<&Method>,
) -> Result<Answer, DecodeError> {
    answer(&mut Decoder::new(document, registry), registry, method)
}

/// Reads the answer of `method` as a client does, which is to show all that can be read.
///
/// A leaf whose text is not of its type is left unset and noted, bytes that are not UTF-8 become `U+FFFD`, and `secrets`
/// are struck out of a fault, which may quote the request.
///
/// # Errors
/// The document is not SOAP or not well-formed, or it is the answer of another method.
pub fn read_leniently(
    document: &[u8],
    registry: &'static Registry,
    method: &Method,
    secrets: impl FnOnce() -> Secrets,
    items: Option<Items<'_>>,
) -> Result<(Answer, Notes), DecodeError> {
    let text = match std::str::from_utf8(document) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(document),
    };
    let is_lossy = matches!(text, Cow::Owned(_));
    let mut decoder = Decoder::lenient(&text, is_lossy, registry).with_items(items);
    let read = answer(&mut decoder, registry, Some(method));
    match read {
        Ok(Answer::Result { .. }) => read.map(|answer| (answer, decoder.notes())),
        Ok(Answer::Fault(_)) => {
            let secrets = secrets();
            let mut decoder = Decoder::lenient(&text, is_lossy, registry).striking(&secrets);
            answer(&mut decoder, registry, Some(method)).map(|answer| (answer, decoder.notes()))
        }
        Err(error) => {
            let (message, offset) = error.into_parts();
            Err(DecodeError::new(secrets().strike(&message), offset))
        }
    }
}

fn answer(
    decoder: &mut Decoder<'_>,
    registry: &'static Registry,
    method: Option<&Method>,
) -> Result<Answer, DecodeError> {
    let not_soap = |what: &str| DecodeError::new(format!("not a SOAP document: {what}"), 0);
    let Some(root) = decoder.enter()? else { return Err(not_soap("it has no element")) };
    if root.name() != "Envelope" {
        return Err(not_soap(&format!("its root is <{}>", start_of(root.name()))));
    }
    let mut answer = None;
    while let Some(part) = decoder.enter()? {
        if part.name() != "Body" || answer.is_some() {
            decoder.skip()?;
            continue;
        }
        while let Some(content) = decoder.enter()? {
            if answer.is_some() {
                decoder.skip()?;
            } else if content.name() == "Fault" {
                answer = Some(Answer::Fault(fault(decoder, registry)?));
            } else {
                let operation = content.name().strip_suffix("Response").unwrap_or(content.name()).to_owned();
                let result = match method {
                    Some(method) if content.name().strip_suffix("Response") != Some(method.name) => {
                        let (found, wanted) = (start_of(content.name()), method.name);
                        let message = format!("the answer is <{found}>, not <{wanted}Response>");
                        return Err(decoder.error(message));
                    }
                    Some(method) => method.result,
                    None => registry.method(&operation).and_then(|method| method.result),
                };
                let value = returned(decoder, result)?;
                answer = Some(Answer::Result { operation, value });
            }
        }
    }
    // What follows the envelope must be well-formed too: a cut there is a cut answer.
    while decoder.enter()?.is_some() {
        decoder.skip()?;
    }
    answer.ok_or_else(|| not_soap("its body is empty"))
}

/// The start of a name that a server gave.
fn start_of(name: &str) -> String {
    const LONGEST: usize = 80;
    name.chars().take(LONGEST).flat_map(char::escape_debug).collect()
}

fn returned(decoder: &mut Decoder<'_>, result: Option<FieldInfo>) -> Result<Any, DecodeError> {
    let ty = result.map_or(Type::Any, |field| field.ty);
    let mut values = Vec::new();
    while let Some(element) = decoder.enter()? {
        if element.name() == "returnval" {
            match decoder.value(&element, ty)? {
                Any::Unset => {}
                value => values.push(value),
            }
        } else {
            decoder.skip()?;
        }
    }
    let array = result.is_some_and(|field| field.array);
    if array || values.len() > 1 {
        return Ok(Any::Array(Array { item: ty.item_name(), items: values }));
    }
    Ok(values.pop().unwrap_or_default())
}

fn fault(decoder: &mut Decoder<'_>, registry: &'static Registry) -> Result<SoapFault, DecodeError> {
    let mut fault = SoapFault { code: String::new(), reason: String::new(), detail: None };
    while let Some(part) = decoder.enter()? {
        match part.name() {
            "faultcode" => fault.code = decoder.text()?.trim().to_owned(),
            "faultstring" => fault.reason = decoder.text()?.trim().to_owned(),
            // SOAP 1.2, which gateways before a server write: codes in codes, and the reason in several languages.
            "Code" => fault.code = texts(&decoder.element(&part)?).join("/"),
            "Reason" => fault.reason = texts(&decoder.element(&part)?).first().copied().unwrap_or_default().to_owned(),
            "detail" | "Detail" => {
                while let Some(detail) = decoder.enter()? {
                    if fault.detail.is_some() {
                        decoder.skip()?;
                        continue;
                    }
                    fault.detail = typed_fault(decoder, registry, &detail)?;
                }
            }
            _ => decoder.skip()?,
        }
    }
    Ok(fault)
}

/// The texts in an element, from front to back.
fn texts(element: &Element) -> Vec<&str> {
    if element.children.is_empty() {
        return Some(element.text.trim()).filter(|text| !text.is_empty()).into_iter().collect();
    }
    element.children.iter().flat_map(texts).collect()
}

/// The fault in a detail element. The element is named by the fault plus `Fault`; most servers also say `xsi:type`.
fn typed_fault<'a>(
    decoder: &mut Decoder<'a>,
    registry: &'static Registry,
    detail: &Tag<'a>,
) -> Result<Option<Object>, DecodeError> {
    let by_element = detail.name().strip_suffix("Fault").unwrap_or(detail.name()).to_owned();
    let base = registry.data("MethodFault");
    let declared = match detail.type_name() {
        // With a type of its own, the common base is enough: an unknown type falls back to it.
        Some(_) => base,
        None => registry.data(&by_element).filter(|named| base.is_some_and(|base| named.is_a(base))).or(base),
    };
    let Some(declared) = declared else {
        decoder.skip()?;
        return Ok(None);
    };
    match decoder.value(detail, Type::Data(declared))? {
        Any::Object(object) => Ok(Some(object)),
        _ => Ok(None),
    }
}
