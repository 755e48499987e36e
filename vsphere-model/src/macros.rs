//! The parts of the generated code that are the same for every type.

/// A type that extends another: the inherited fields shine through.
macro_rules! inherit {
    ($name:ident, $base:ident) => {
        impl std::ops::Deref for $name {
            type Target = $base;

            #[inline]
            fn deref(&self) -> &$base {
                &self.base
            }
        }

        impl std::ops::DerefMut for $name {
            #[inline]
            fn deref_mut(&mut self) -> &mut $base {
                &mut self.base
            }
        }

        root!($name);
    };
}

/// A type with nothing to inherit. `Debug` rides on the object protocol to hide secrets; `Clone` and `PartialEq` do,
/// because they would be the most expensive part of a type if they were derived.
macro_rules! root {
    ($name:ident) => {
        impl Clone for $name {
            #[inline]
            fn clone(&self) -> Self {
                vsphere_soap::object::copied(self)
            }
        }

        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                vsphere_soap::object::equal(self, other)
            }
        }

        impl std::fmt::Debug for $name {
            #[inline]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                vsphere_soap::object::debug(self, f)
            }
        }
    };
}

/// An enumeration. A value that it does not know is kept as text; the default is the empty text, which is unset.
macro_rules! enum_type {
    ($(#[$doc:meta])* $name:ident = $wire:literal { $($variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $value, "`.")] $variant,)*
            /// A value that these bindings do not know; empty where it is not set.
            Unrecognized(String),
        }

        impl $name {
            /// The value on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Unrecognized(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            #[inline]
            fn from(text: &str) -> Self {
                match text {
                    $($value => Self::$variant,)*
                    text => Self::Unrecognized(text.to_owned()),
                }
            }
        }

        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl std::hash::Hash for $name {
            #[inline]
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                std::hash::Hash::hash(self.as_str(), state)
            }
        }

        impl Default for $name {
            #[inline]
            fn default() -> Self {
                Self::Unrecognized(String::new())
            }
        }

        impl std::fmt::Display for $name {
            #[inline]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl From<$name> for String {
            #[inline]
            fn from(value: $name) -> String {
                value.as_str().to_owned()
            }
        }

        impl vsphere_soap::object::Item for $name {
            fn value(&self) -> Value<'_> {
                Value::Enum($wire, self.as_str())
            }
        }

        impl vsphere_soap::object::Leaf for $name {
            fn parse(
                text: vsphere_soap::object::Text<'_>,
            ) -> Result<Option<Self>, vsphere_soap::object::BadText> {
                Ok(if text.content.is_empty() { None } else { Some(Self::from(&*text.content)) })
            }

            fn from_value(value: Value<'_>) -> Option<Self> {
                if let Value::Enum(_, text) = value { Some(Self::from(text)) } else { None }
            }
        }

        impl EnumType for $name {
            const INFO: &'static EnumInfo = {
                static INFO: EnumInfo = EnumInfo { name: $wire, values: &[$($value),*] };
                &INFO
            };
        }

        impl vsphere_soap::object::FromAny for $name {
            #[inline]
            fn from_any(any: Any) -> Result<Self, vsphere_soap::object::Mismatch> {
                match vsphere_soap::object::enum_text(any, Self::INFO) {
                    Ok(text) => Ok(Self::from(&*text)),
                    Err(mismatch) => Err(mismatch),
                }
            }
        }

        impl From<$name> for Any {
            #[inline]
            fn from(value: $name) -> Any {
                vsphere_soap::object::any_from_enum($name::INFO, value.as_str())
            }
        }
    };
}

/// A managed object: a handle, and by `Deref` the methods of what it extends.
macro_rules! managed_object {
    ($name:ident, Handle, $wire:literal, [$($property:expr),*]) => {
        managed_object!(
            @common $name, Handle, $wire, None, [$($property),*],
            |handle| $name { base: handle },
            |object| &object.base
        );
    };
    ($name:ident, $base:ident, $wire:literal, [$($property:expr),*]) => {
        managed_object!(
            @common $name, $base, $wire, Some(<$base as vsphere_soap::object::ManagedType>::INFO), [$($property),*],
            |handle| $name { base: vsphere_soap::request::ManagedObject::from_handle(handle) },
            |object| vsphere_soap::request::ManagedObject::handle(&object.base)
        );
    };
    (@common $name:ident, $base:ident, $wire:literal, $parent:expr, [$($property:expr),*], |$handle:ident| $make:expr, |$object:ident| $get:expr) => {
        impl vsphere_soap::object::ManagedType for $name {
            const INFO: &'static ManagedInfo = {
                static INFO: ManagedInfo =
                    ManagedInfo { name: $wire, base: $parent, own_properties: &[$($property),*] };
                &INFO
            };
        }

        impl vsphere_soap::request::ManagedObject for $name {
            fn from_handle($handle: Handle) -> Self {
                $make
            }

            fn handle(&self) -> &Handle {
                let $object = self;
                $get
            }
        }

        impl std::ops::Deref for $name {
            type Target = $base;

            fn deref(&self) -> &$base {
                &self.base
            }
        }
    };
}
