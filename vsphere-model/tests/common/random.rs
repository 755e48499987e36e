//! Random values of any type, the same for the same seed.
#![allow(clippy::unwrap_used, reason = "what is made here fits; else the test has failed")]

use vsphere_model::registry;
use vsphere_model::types::*;
use vsphere_soap::object::{DataObject, DataType as _, Element, EnumValue, FieldInfo, Slot, Text, Type, TypeInfo};

/// How deep objects nest: what is optional is left out below.
const DEPTH: usize = 4;

/// A source of random values.
pub(crate) struct Random {
    state: u64,
    /// Whether only what the schema allows is made: known enumeration values, every required field.
    valid: bool,
}

impl Random {
    /// Values of all sorts.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, valid: false }
    }

    /// Values that the schema allows.
    pub(crate) fn valid(seed: u64) -> Self {
        Self { state: seed, valid: true }
    }

    /// An object of exactly this type.
    pub(crate) fn object(&mut self, info: &'static TypeInfo) -> Object {
        self.object_at(info, 0)
    }

    fn object_at(&mut self, info: &'static TypeInfo, depth: usize) -> Object {
        let mut object = Object::with_unknown(info.instance(), None);
        self.fill(object.data_mut(), depth);
        object
    }

    fn fill(&mut self, object: &mut dyn DataObject, depth: usize) {
        for (index, field) in object.info().fields().iter().enumerate() {
            let deep = depth >= DEPTH;
            if field.optional && (deep || self.below(3) == 0) {
                continue;
            }
            let count = if field.array { 1 + self.below(if deep { 1 } else { 3 }) } else { 1 };
            for _ in 0..count {
                self.put(object.slot(index), field, depth);
            }
        }
    }

    fn put(&mut self, slot: Slot<'_>, field: &FieldInfo, depth: usize) {
        match slot {
            Slot::Scalar(scalar) => {
                let text = self.text_of(field.ty);
                let reference_type = matches!(field.ty, Type::Ref).then(|| "VirtualMachine".into());
                scalar.put(Text { content: text.into(), reference_type }).unwrap();
            }
            Slot::Data(data) => self.fill(data, depth + 1),
            Slot::List(list) => self.fill(list.push_new(), depth + 1),
            Slot::Poly(poly) => {
                let info = self.descendant(poly.base(), depth);
                let object = self.object_at(info, depth + 1);
                assert!(poly.put(object).is_ok());
            }
            Slot::Any(any) => any.put(self.any(field.name, depth + 1)),
            Slot::None => panic!("{} has no slot", field.name),
        }
    }

    /// The type itself or one that extends it; below some depth the one with the fewest required fields.
    fn descendant(&mut self, base: &'static TypeInfo, depth: usize) -> &'static TypeInfo {
        let types: Vec<_> = registry().types().iter().copied().filter(|info| info.is_a(base)).collect();
        if depth < DEPTH {
            return types[self.below(types.len())];
        }
        let required = |info: &TypeInfo| info.fields().iter().filter(|field| !field.optional).count();
        types.into_iter().min_by_key(|info| required(info)).unwrap_or(base)
    }

    fn any(&mut self, name: &str, depth: usize) -> Any {
        const SCALARS: [&str; 12] = [
            "boolean",
            "byte",
            "short",
            "int",
            "long",
            "float",
            "double",
            "string",
            "anyURI",
            "dateTime",
            "base64Binary",
            "ManagedObjectReference",
        ];
        if depth >= DEPTH {
            return Any::Int(self.next() as i32);
        }
        match self.below(if self.valid { 14 } else { 16 }) {
            12 => {
                let types = registry().types();
                let info = types[self.below(types.len())];
                Any::Object(self.object_at(info, depth))
            }
            13 => {
                let info = registry().enums()[self.below(registry().enums().len())];
                let value = self.text_of(Type::Enum(info));
                Any::Enum(EnumValue { info, value })
            }
            14 => {
                let item = ["AnyType", "String", "Int", "ManagedObjectReference", "VirtualDevice"][self.below(5)];
                let items = (0..self.below(4)).map(|_| match item {
                    "AnyType" => self.any("anyType", depth + 1),
                    "VirtualDevice" => {
                        let info = self.descendant(VirtualDevice::INFO, depth + 1);
                        Any::Object(self.object_at(info, depth + 1))
                    }
                    item => self.scalar(registry().find(&lower_first(item)).or(registry().find(item)).unwrap()),
                });
                Any::Array(Array { item: item.to_owned(), items: items.collect() })
            }
            15 => Any::Unknown(Box::new(Element {
                name: name.to_owned(),
                type_name: Some("Unheard".to_owned()),
                text: self.text_of(Type::String),
                ..Default::default()
            })),
            n => self.scalar(registry().find(SCALARS[n]).unwrap()),
        }
    }

    fn scalar(&mut self, ty: Type) -> Any {
        let text = self.text_of(ty);
        match ty {
            Type::Boolean => Any::Boolean(text == "true"),
            Type::Byte => Any::Byte(text.parse().unwrap()),
            Type::Short => Any::Short(text.parse().unwrap()),
            Type::Int => Any::Int(text.parse().unwrap()),
            Type::Long => Any::Long(text.parse().unwrap()),
            Type::Float => Any::Float(text.parse().unwrap_or(f32::INFINITY)),
            Type::Double => Any::Double(text.parse().unwrap_or(f64::NEG_INFINITY)),
            Type::Uri => Any::Uri(text),
            Type::DateTime => Any::DateTime(DateTime::parse_from_rfc3339(&text).unwrap()),
            Type::Binary => Any::Binary(text.into_bytes().into()),
            Type::Ref => Any::Ref(ManagedObjectReference::new("HostSystem", text)),
            _ => Any::String(text),
        }
    }

    fn text_of(&mut self, ty: Type) -> String {
        let number = self.next();
        match ty {
            Type::Boolean => ["true", "false"][self.below(2)].to_owned(),
            Type::Byte => self.pick(&[i8::MIN, i8::MAX, 0, number as i8]).to_string(),
            Type::Short => self.pick(&[i16::MIN, i16::MAX, 0, number as i16]).to_string(),
            Type::Int => self.pick(&[i32::MIN, i32::MAX, 0, number as i32]).to_string(),
            Type::Long => self.pick(&[i64::MIN, i64::MAX, 0, number as i64]).to_string(),
            Type::Float => match self.below(3) {
                0 => "INF".to_owned(),
                1 => self.pick(&[f32::MIN, f32::MAX, f32::MIN_POSITIVE, -0.0]).to_string(),
                _ => (number as f32 / 7.0).to_string(),
            },
            Type::Double => match self.below(3) {
                0 => "-INF".to_owned(),
                1 => self.pick(&[f64::MIN, f64::MAX, f64::MIN_POSITIVE, -0.0]).to_string(),
                _ => (number as f64 / 7.0).to_string(),
            },
            Type::DateTime => {
                let texts = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-02-03T04:05:06.7+05:30"];
                match self.below(4) {
                    3 => format!("{}-07-08T09:10:11.{:06}Z", 1970 + number % 100, number % 1_000_000),
                    n => texts[n].to_owned(),
                }
            }
            Type::Binary => Binary(number.to_le_bytes()[..self.below(9)].to_vec()).to_base64(),
            Type::Ref => format!("vm-{}", number % 1_000),
            Type::Enum(info) => match self.below(4) {
                0 if !self.valid => format!("newValue{}", number % 10),
                _ => info.values[self.below(info.values.len())].to_owned(),
            },
            Type::Uri if self.valid => format!("urn:x:{}", number % 100),
            _ => {
                let texts =
                    ["", " ", "a b", "<&>\"'", "  lead\r\n\ttrail\n", "äöü 漢字 🦀", "]]>", "\u{7f}\u{85}\u{a0}", "-1"];
                self.pick(&texts).to_owned()
            }
        }
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn lower_first(name: &str) -> String {
    name[..1].to_ascii_lowercase() + &name[1..]
}
