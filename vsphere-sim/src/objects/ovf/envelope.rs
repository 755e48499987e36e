//! An OVF descriptor, as far as the simulated server reads it.

use std::collections::HashMap;

use roxmltree::{Document, Node};

/// What a descriptor says.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    pub(super) files: Vec<FileReference>,
    pub(super) disks: Vec<DiskDeclaration>,
    pub(super) networks: Vec<(String, String)>,
    pub(super) options: Vec<DeploymentOption>,
    pub(super) systems: Vec<System>,
    /// The virtual systems are in a collection, a vApp.
    pub(super) is_collection: bool,
}

/// A file beside the descriptor.
#[derive(Debug, Clone, Default)]
pub(super) struct FileReference {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) size: Option<i64>,
    pub(super) compression: Option<String>,
    pub(super) chunk_size: Option<i64>,
}

/// A virtual disk.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskDeclaration {
    pub(super) id: String,
    /// The file with its content; none where it is empty.
    pub(super) file: Option<String>,
    /// In bytes.
    pub(super) capacity: i64,
    pub(super) populated: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct DeploymentOption {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) description: String,
    pub(super) is_default: bool,
}

/// A virtual machine.
#[derive(Debug, Default)]
pub(super) struct System {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) eulas: Vec<String>,
    pub(super) annotation: String,
    pub(super) products: Vec<Product>,
    pub(super) properties: Vec<Property>,
    /// The guest by its number in CIM, and by its name at VMware.
    pub(super) os: (i32, Option<String>),
    pub(super) version: Option<String>,
    pub(super) transports: Vec<String>,
    pub(super) hardware: Vec<Item>,
    /// What `vmw:Config` and `vmw:ExtraConfig` say.
    pub(super) config: Vec<(String, String)>,
    pub(super) extra_config: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Product {
    pub(super) class: String,
    pub(super) instance: String,
    pub(super) name: String,
    pub(super) vendor: String,
    pub(super) version: String,
    pub(super) full_version: String,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Property {
    pub(super) class: String,
    pub(super) instance: String,
    pub(super) id: String,
    pub(super) category: String,
    pub(super) label: String,
    pub(super) description: String,
    pub(super) type_: String,
    pub(super) default: String,
    pub(super) user_configurable: bool,
}

/// A piece of virtual hardware.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    pub(super) line: i32,
    pub(super) instance: String,
    pub(super) parent: Option<String>,
    pub(super) type_: i32,
    pub(super) sub_type: String,
    pub(super) address: Option<i32>,
    pub(super) address_on_parent: Option<i32>,
    pub(super) name: String,
    pub(super) quantity: Option<i64>,
    pub(super) units: String,
    pub(super) host_resource: Option<String>,
    pub(super) connection: Option<String>,
    pub(super) required: bool,
    pub(super) cores_per_socket: Option<i32>,
}

impl Property {
    /// The name by which a value is mapped: `class.id.instance`.
    pub(super) fn key(&self) -> String {
        let mut key = String::new();
        if !self.class.is_empty() {
            key.push_str(&self.class);
            key.push('.');
        }
        key.push_str(&self.id);
        if !self.instance.is_empty() {
            key.push('.');
            key.push_str(&self.instance);
        }
        key
    }
}

impl Envelope {
    /// Reads a descriptor as it is in a deployment option; the default one where none is named.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(super) fn read(text: &str, option: &str) -> Result<Self, String> {
        // Entities are not expanded: a document type is refused.
        let document = Document::parse(text).map_err(|error| error.to_string())?;
        let root = document.root_element();
        if root.tag_name().name() != "Envelope" {
            return Err(format!("the root element is {}, not Envelope", root.tag_name().name()));
        }
        let messages = messages(root);
        let mut envelope = Self::default();
        for section in root.children().filter(Node::is_element) {
            match section.tag_name().name() {
                "References" => envelope.files = elements(section, "File").map(file).collect(),
                "DiskSection" => {
                    envelope.disks = elements(section, "Disk").map(disk).collect::<Result<_, _>>()?;
                }
                "NetworkSection" => {
                    let network = |node: Node<'_, '_>| (attribute(node, "name"), said(node, "Description", &messages));
                    envelope.networks = elements(section, "Network").map(network).collect();
                }
                "DeploymentOptionSection" => {
                    let option = |node: Node<'_, '_>| DeploymentOption {
                        id: attribute(node, "id"),
                        label: said(node, "Label", &messages),
                        description: said(node, "Description", &messages),
                        is_default: attribute(node, "default") == "true",
                    };
                    envelope.options = elements(section, "Configuration").map(option).collect();
                }
                _ => {}
            }
        }
        let chosen = envelope.option(option)?;
        for system in root.children().filter(Node::is_element) {
            match system.tag_name().name() {
                "VirtualSystem" => envelope.systems.push(system_of(system, &chosen, &messages)?),
                "VirtualSystemCollection" => {
                    envelope.is_collection = true;
                    for inner in elements(system, "VirtualSystem") {
                        envelope.systems.push(system_of(inner, &chosen, &messages)?);
                    }
                }
                _ => {}
            }
        }
        if envelope.systems.is_empty() {
            return Err("there is no virtual system".to_owned());
        }
        Ok(envelope)
    }

    /// The default deployment option; empty where there are none.
    pub(super) fn default_option(&self) -> String {
        let marked = self.options.iter().find(|option| option.is_default);
        marked.or(self.options.first()).map(|option| option.id.clone()).unwrap_or_default()
    }

    fn option(&self, asked: &str) -> Result<String, String> {
        if asked.is_empty() {
            return Ok(self.default_option());
        }
        match self.options.iter().any(|option| option.id == asked) {
            true => Ok(asked.to_owned()),
            false => Err(format!("there is no deployment option '{asked}'")),
        }
    }

    /// The file with this id.
    pub(super) fn file(&self, id: &str) -> Option<&FileReference> {
        self.files.iter().find(|file| file.id == id)
    }

    /// The disk that `ovf:/disk/id` means.
    pub(super) fn disk(&self, resource: &str) -> Option<&DiskDeclaration> {
        let id = resource.rsplit('/').next()?;
        self.disks.iter().find(|disk| disk.id == id)
    }
}

fn system_of(node: Node<'_, '_>, option: &str, messages: &HashMap<String, String>) -> Result<System, String> {
    let mut system = System { id: attribute(node, "id"), ..System::default() };
    for section in node.children().filter(Node::is_element) {
        match section.tag_name().name() {
            "Name" => system.name = section.text().map(|text| text.trim().to_owned()),
            "EulaSection" => system.eulas.push(said(section, "License", messages)),
            "AnnotationSection" => system.annotation = said(section, "Annotation", messages),
            "OperatingSystemSection" => {
                let name = Some(attribute(section, "osType")).filter(|name| !name.is_empty());
                system.os = (attribute(section, "id").parse().unwrap_or_default(), name);
            }
            "ProductSection" => product(section, option, messages, &mut system),
            "VirtualHardwareSection" => hardware(section, option, &mut system)?,
            _ => {}
        }
    }
    Ok(system)
}

fn product(section: Node<'_, '_>, option: &str, messages: &HashMap<String, String>, system: &mut System) {
    let (class, instance) = (attribute(section, "class"), attribute(section, "instance"));
    system.products.push(Product {
        class: class.clone(),
        instance: instance.clone(),
        name: said(section, "Product", messages),
        vendor: said(section, "Vendor", messages),
        version: said(section, "Version", messages),
        full_version: said(section, "FullVersion", messages),
    });
    let mut category = String::new();
    for node in section.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "Category" => category = text_of(node, messages),
            "Property" => {
                let of_option = elements(node, "Value").find(|value| attribute(*value, "configuration") == option);
                let default = of_option.map_or_else(|| attribute(node, "value"), |value| attribute(value, "value"));
                system.properties.push(Property {
                    class: class.clone(),
                    instance: instance.clone(),
                    id: attribute(node, "key"),
                    category: category.clone(),
                    label: said(node, "Label", messages),
                    description: said(node, "Description", messages),
                    type_: property_type(node),
                    default,
                    user_configurable: attribute(node, "userConfigurable") == "true",
                });
            }
            _ => {}
        }
    }
}

/// The type of a property as vSphere writes it: `string(1..20)`, `password`, `int(0..10)`.
fn property_type(node: Node<'_, '_>) -> String {
    let type_ = attribute(node, "type");
    let qualifiers = attribute(node, "qualifiers");
    let bound = |name: &str| {
        let (_, rest) = qualifiers.split_once(name)?;
        rest.split_once('(')?.1.split_once(')').map(|(number, _)| number.trim().to_owned())
    };
    let range = |min: &str, max: &str| match (bound(min), bound(max)) {
        (None, None) => String::new(),
        (min, max) => format!("({}..{})", min.unwrap_or_default(), max.unwrap_or_default()),
    };
    if let Some((_, values)) = qualifiers.split_once("ValueMap{") {
        let values: Vec<&str> = values.split('}').next().unwrap_or_default().split(',').map(str::trim).collect();
        return format!("string[{}]", values.join(", "));
    }
    match type_.as_str() {
        "boolean" => "boolean".to_owned(),
        "string" if attribute(node, "password") == "true" => format!("password{}", range("MinLen", "MaxLen")),
        "string" => format!("string{}", range("MinLen", "MaxLen")),
        "real32" | "real64" => format!("real{}", range("MinValue", "MaxValue")),
        _ if type_.contains("int") => {
            let unsigned = if type_.starts_with('u') { "(0..)".to_owned() } else { String::new() };
            let ranged = range("MinValue", "MaxValue");
            format!("int{}", if ranged.is_empty() { unsigned } else { ranged })
        }
        _ => type_,
    }
}

fn hardware(section: Node<'_, '_>, option: &str, system: &mut System) -> Result<(), String> {
    let transports = attribute(section, "transport");
    system.transports = transports.split_whitespace().map(str::to_owned).collect();
    for node in section.children().filter(Node::is_element) {
        match node.tag_name().name() {
            "System" => {
                let version = elements(node, "VirtualSystemType").find_map(|node| node.text());
                system.version = version.and_then(|text| text.split_whitespace().next_back()).map(str::to_owned);
            }
            "Item" | "StorageItem" | "EthernetPortItem" if applies(node, option) => system.hardware.push(item(node)?),
            "Config" => system.config.push((attribute(node, "key"), attribute(node, "value"))),
            "ExtraConfig" => system.extra_config.push((attribute(node, "key"), attribute(node, "value"))),
            _ => {}
        }
    }
    Ok(())
}

/// Whether an element is there in a deployment option.
fn applies(node: Node<'_, '_>, option: &str) -> bool {
    let options = attribute(node, "configuration");
    options.is_empty() || options.split_whitespace().any(|one| one == option)
}

fn item(node: Node<'_, '_>) -> Result<Item, String> {
    let line = i32::try_from(node.document().text_pos_at(node.range().start).row).unwrap_or(i32::MAX);
    let text = |name: &str| elements(node, name).find_map(|node| node.text()).map(|text| text.trim().to_owned());
    let number = |name: &str| match text(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| format!("Line {line}: Invalid value '{text}' for element '{name}'.")),
    };
    let small = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
    let configs = elements(node, "CoresPerSocket").find_map(|node| node.text());
    Ok(Item {
        line,
        instance: text("InstanceID").unwrap_or_default(),
        parent: text("Parent"),
        type_: small(number("ResourceType")?).unwrap_or_default(),
        sub_type: text("ResourceSubType").unwrap_or_default(),
        address: small(text("Address").and_then(|text| text.parse().ok())),
        address_on_parent: small(number("AddressOnParent")?),
        name: text("ElementName").unwrap_or_default(),
        quantity: number("VirtualQuantity")?,
        units: text("AllocationUnits").unwrap_or_default(),
        host_resource: text("HostResource"),
        connection: text("Connection"),
        required: attribute(node, "required") != "false",
        cores_per_socket: configs.and_then(|text| text.trim().parse().ok()),
    })
}

fn file(node: Node<'_, '_>) -> FileReference {
    FileReference {
        id: attribute(node, "id"),
        href: attribute(node, "href"),
        size: attribute(node, "size").parse().ok(),
        compression: Some(attribute(node, "compression")).filter(|method| !method.is_empty() && method != "identity"),
        chunk_size: attribute(node, "chunkSize").parse().ok(),
    }
}

fn disk(node: Node<'_, '_>) -> Result<DiskDeclaration, String> {
    let capacity = attribute(node, "capacity");
    let number: i64 = capacity.parse().map_err(|_| format!("the capacity '{capacity}' of a disk is no number"))?;
    let unit = unit(&attribute(node, "capacityAllocationUnits"));
    Ok(DiskDeclaration {
        id: attribute(node, "diskId"),
        file: Some(attribute(node, "fileRef")).filter(|id| !id.is_empty()),
        capacity: number.checked_mul(unit).ok_or("a disk is too large")?,
        populated: attribute(node, "populatedSize").parse().ok(),
    })
}

/// How many bytes a unit has: `byte * 2^30`, `MegaBytes`.
pub(super) fn unit(text: &str) -> i64 {
    let text = text.to_ascii_lowercase();
    if let Some((_, power)) = text.split_once('^') {
        return power.trim().parse::<u32>().ok().filter(|power| *power < 60).map_or(1, |power| 1 << power);
    }
    match text.get(..1) {
        Some("k") => 1 << 10,
        Some("m") => 1 << 20,
        Some("g") => 1 << 30,
        Some("t") => 1 << 40,
        _ => 1,
    }
}

/// The texts of the descriptor by their keys, in its first language.
fn messages(root: Node<'_, '_>) -> HashMap<String, String> {
    let strings = elements(root, "Strings").next();
    let all = strings.into_iter().flat_map(|strings| elements(strings, "Msg"));
    all.map(|node| (attribute(node, "msgid"), node.text().unwrap_or_default().to_owned())).collect()
}

/// The text of the first element of this name in a node.
fn said(node: Node<'_, '_>, name: &str, messages: &HashMap<String, String>) -> String {
    elements(node, name).next().map(|node| text_of(node, messages)).unwrap_or_default()
}

fn text_of(node: Node<'_, '_>, messages: &HashMap<String, String>) -> String {
    let translated = messages.get(&attribute(node, "msgid")).cloned();
    translated.unwrap_or_else(|| node.text().unwrap_or_default().trim().to_owned())
}

fn elements<'a, 'i: 'a>(node: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> + use<'a, 'i> {
    let name = name.to_owned();
    node.children().filter(move |child| child.tag_name().name() == name)
}

/// An attribute, whatever its name space: descriptors write `ovf:id`, and some `id`.
fn attribute(node: Node<'_, '_>, name: &str) -> String {
    node.attributes().find(|attribute| attribute.name() == name).map(|it| it.value().to_owned()).unwrap_or_default()
}
