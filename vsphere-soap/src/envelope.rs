//! The SOAP envelope around requests and answers.

use crate::codec::{DecodeError, Decoder, EncodeError, Encoder, Tag};
use crate::fault::SoapFault;
use crate::object::{Any, Array, FieldInfo, ManagedObjectReference, Object, Registry, Type, Value};
use crate::request::Method;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
     xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
     xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>";
const TAIL: &str = "</soapenv:Body></soapenv:Envelope>";

/// Writes the envelope of a request.
///
/// # Errors
/// A text has a character that XML can't carry.
pub fn write_request(
    method: &Method,
    this: &ManagedObjectReference,
    values: &[Value<'_>],
) -> Result<String, EncodeError> {
    let mut out = Encoder::new();
    out.raw(HEAD);
    out.raw(&format!("<{} xmlns=\"urn:vim25\">", method.name));
    out.field(&FieldInfo::req("_this", Type::Ref), Value::Ref(this));
    for (field, value) in method.params.iter().zip(values) {
        out.field(field, *value);
    }
    out.raw(&format!("</{}>", method.name));
    out.raw(TAIL);
    out.finish()
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
/// The document is not SOAP or not well-formed, there is no such operation, or an argument is not a value of its type.
pub fn read_request(
    document: &[u8],
    registry: &'static Registry,
    method: impl Fn(&str) -> Option<&'static Method>,
) -> Result<Received, DecodeError> {
    let mut decoder = Decoder::new(document, registry);
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
/// The document is not SOAP or not well-formed, or a text in it is not a value of its type.
pub fn read_answer(
    document: &[u8],
    registry: &'static Registry,
    method: Option<&Method>,
) -> Result<Answer, DecodeError> {
    let mut decoder = Decoder::new(document, registry);
    let not_soap = |what: &str| DecodeError::new(format!("not a SOAP document: {what}"), 0);
    let Some(root) = decoder.enter()? else { return Err(not_soap("it has no element")) };
    if root.name() != "Envelope" {
        return Err(not_soap(&format!("its root is <{}>", root.name())));
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
                answer = Some(Answer::Fault(fault(&mut decoder, registry)?));
            } else {
                let operation = content.name().strip_suffix("Response").unwrap_or(content.name()).to_owned();
                let result = match method {
                    Some(method) => method.result,
                    None => registry.method(&operation).and_then(|method| method.result),
                };
                let value = returned(&mut decoder, result)?;
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
            // SOAP 1.1, and what gateways before a server write in SOAP 1.2.
            "faultcode" | "Code" => fault.code = decoder.text()?.trim().to_owned(),
            "faultstring" | "Reason" => fault.reason = decoder.text()?.trim().to_owned(),
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
