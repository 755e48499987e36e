//! Kinds of arguments. Each brings its meaning for a model with it, so that a tool repeats none of it.

use std::{fmt, ops::Deref};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use vsphere_ops::{Mo, managed::VirtualMachine};

use crate::{ToolError, cx::Cx, error::Result};

macro_rules! texts {
    ($($(#[$meta:meta])* $name:ident;)+) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(transparent)]
        $(#[$meta])*
        pub(crate) struct $name(String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    )+};
}

texts! {
    /// VM.
    VmName;
    /// Template.
    TemplateName;
    /// Host.
    HostName;
    /// Pool; the only root pool by default.
    PoolName;
    /// Pool.
    ThisPool;
    /// Folder.
    FolderName;
    /// Cluster.
    ClusterName;
    /// Datastore.
    DatastoreName;
    /// Network or port group.
    NetName;
    /// Disk: label or key.
    DiskName;
    /// Network adapter: label or key.
    NicName;
    /// Label or key, where there are several.
    PortName;
    /// Snapshot: name, path (/base/patched) or id.
    SnapshotName;
    /// Key, as TSM-SSH.
    ServiceKey;
    /// Tag: category:tag or id.
    TagName;
    /// Unique in its folder.
    NewName;
    /// Free text, which is kept letter by letter; an empty one takes away what is there.
    #[schemars(extend("x-mcvsphere" = "text"))]
    Text;
}

impl VmName {
    /// The VM.
    ///
    /// # Errors
    /// `not_found` or `ambiguous`, and those of the server.
    pub(crate) async fn find(&self, cx: &Cx) -> Result<Mo<VirtualMachine>> {
        Ok(cx.client().await?.get::<VirtualMachine>(self).await?)
    }
}

/// One VM or several.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Vms {
    /// VM.
    vm: Option<String>,
    // What it is the instructions say.
    vms: Option<Vec<String>>,
}

impl Vms {
    /// What they are called, at least one.
    ///
    /// # Errors
    /// `invalid_argument` where none is given.
    pub(crate) fn names(self) -> Result<Vec<String>> {
        let mut vms = self.vms.unwrap_or_default();
        vms.extend(self.vm);
        if vms.is_empty() {
            return Err(ToolError::invalid_argument("`vm` or `vms` is needed: which virtual machines?"));
        }
        Ok(vms)
    }

    /// The one that is named by `vm`, where no list is given.
    pub(crate) fn only(&self) -> Option<&str> {
        self.vm.as_deref().filter(|_| self.vms.is_none())
    }
}

/// A value that appears in no log, audit line, preview, error or debug output.
#[derive(Clone, JsonSchema)]
#[schemars(transparent, extend("x-mcvsphere" = "secret"))]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// The value, for where it has to go in clear.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        // serde quotes what it can't read.
        T::deserialize(deserializer).map(Self).map_err(|_| serde::de::Error::custom("not of the type that is wanted"))
    }
}

/// JSON in a text: clients refuse an object whose fields are not declared. A model may send the value itself. It is a secret
/// as far as the server knows.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-mcvsphere" = "json"))]
pub(crate) struct JsonText(String);

impl Deref for JsonText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Text of which only the beginning is logged, such as a command line for a guest: it may hold what nobody meant to be logged.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-mcvsphere" = "cut"))]
pub struct Cut<T = String>(pub T);
