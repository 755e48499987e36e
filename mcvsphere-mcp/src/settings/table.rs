//! The table of settings: one row makes a field, its accessor, its option on the command line, its entry in `--help` and
//! in docs/settings.md, and the check of its value.

use super::kinds::Kind;

/// A row of the table, as the command line, the file and the documentation see it.
#[derive(Debug)]
pub(super) struct Setting {
    /// The environment variable, and the key in the file.
    pub(super) name: &'static str,
    /// What stands for its value in `--help`.
    pub(super) value: &'static str,
    help: &'static str,
    pub(super) default: Option<&'static str>,
    /// Whether its value is never shown, and never taken from the command line.
    pub(super) secret: bool,
    /// Whether its option may stand without a value, which then is `true`.
    pub(super) switch: bool,
    /// Whether a file may list its parts.
    pub(super) list: bool,
}

impl Setting {
    pub(super) const fn new<K: Kind>(
        name: &'static str,
        value: &'static str,
        help: &'static str,
        default: Option<&'static str>,
    ) -> Self {
        Self { name, value, help: help.trim_ascii(), default, secret: K::SECRET, switch: K::SWITCH, list: K::LIST }
    }

    /// What it is, in one line.
    pub(super) fn help(&self) -> &'static str {
        self.help
    }

    /// The name of its option: without the `MCP_` that sets variables of this program apart from others.
    ///
    /// The users of a machine see each other's command lines, so that a secret has no option.
    pub(super) fn option(&self) -> Option<String> {
        let short = ["MCP_", "MCVSPHERE_"].iter().find_map(|prefix| self.name.strip_prefix(prefix));
        (!self.secret).then(|| short.unwrap_or(self.name).to_lowercase().replace('_', "-"))
    }
}

/// Makes `Settings`, its accessors, the table `ALL` and the names of the settings from rows:
///
/// ```text
/// /// What `--help` and docs/settings.md say of it, in one line; an accessor has the same text.
/// VARIABLE <VALUE> field: Kind = "default";
/// ```
///
/// Without a default the accessor answers an `Option`. A default is written as a user would write it.
macro_rules! settings {
    ($($(#[doc = $help:literal])+ $name:ident <$value:ident> $field:ident: $kind:ty $(= $default:literal)?;)+) => {
        /// Checked settings.
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($field: settings!(@type $kind $(, $default)?),)+
            guest_credentials: GuestCredentials,
            bearer_tokens: Vec<Token>,
            policy: Policy,
            in_force: Vec<InForce>,
        }

        impl Settings {
            /// Reads each setting by itself.
            fn read(sources: &Sources<'_>) -> Result<Self, SettingsError> {
                Ok(Self { $($field: settings!(@read sources, $name, $kind $(, $default)?),)+ guest_credentials: sources.guest_credentials()?, bearer_tokens: sources.bearer_tokens()?, policy: sources.policy()?, in_force: sources.in_force()? })
            }

            $(settings!(@accessor $($help)+, $field, $kind $(, $default)?);)+
        }

        /// All settings, in the order in which they are shown.
        const ALL: &[Setting] = &[
            $(Setting::new::<$kind>(
                stringify!($name),
                stringify!($value),
                concat!($($help),+),
                settings!(@default $($default)?),
            ),)+
        ];

        /// The names of the settings, for messages that speak of them.
        #[allow(dead_code, reason = "no message speaks of some of them")]
        pub(crate) mod name {
            $(pub(crate) const $name: &str = stringify!($name);)+
        }
    };

    (@type $kind:ty) => { Option<$kind> };
    (@type $kind:ty, $default:literal) => { $kind };

    (@read $sources:ident, $name:ident, $kind:ty) => {
        $sources.get(name::$name)?.map(|text| value::<$kind>(name::$name, &text)).transpose()?
    };
    (@read $sources:ident, $name:ident, $kind:ty, $default:literal) => {
        value::<$kind>(name::$name, $sources.get(name::$name)?.as_deref().unwrap_or($default))?
    };

    (@accessor $($help:literal)+, $field:ident, $kind:ty) => {
        $(#[doc = $help])+
        pub(crate) fn $field(&self) -> Option<<$kind as Kind>::Seen<'_>> {
            self.$field.as_ref().map(Kind::seen)
        }
    };
    (@accessor $($help:literal)+, $field:ident, $kind:ty, $default:literal) => {
        $(#[doc = $help])+
        pub(crate) fn $field(&self) -> <$kind as Kind>::Seen<'_> {
            Kind::seen(&self.$field)
        }
    };

    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

pub(super) use settings;
