//! A handle of a managed object: to read it, to call its methods, to print it.

use std::fmt;
use std::ops::Deref;

use vsphere_model::types::{ManagedObjectNotFound, ManagedObjectReference, ObjectSpec, PropertyFilterSpec};
use vsphere_soap::request::ManagedObject;

use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::find::no_longer;
use crate::gaps::Gaps;
use crate::read::{self, As, Record, Select, Values, property_spec};

/// A managed object of type `M` on the server of a client.
///
/// It derefs to the API's own handle, so that every method of the API is there; the methods of this crate wait for
/// tasks, read typed properties, and name the object in their errors.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
///
/// let web = client.get::<VirtualMachine>("web-04").await?;
/// println!("{web} is {}, reference {}", web.label(), web.reference()); // vm-71 is web-04, …
/// let (cpus, host) = web.read((vm::NUM_CPU, vm::HOST)).await?;       // typed properties, one request
/// web.reset_guest_information().await?;                               // a method of the API
/// web.power_on().await?.await?;                                       // an operation of this crate
/// println!("{:?} {cpus:?} {host:?}", web.client());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Clone)]
pub struct Mo<M> {
    client: Client,
    raw: M,
    name: Option<String>,
}

impl<M: ManagedObject> Mo<M> {
    pub(crate) fn new(client: &Client, reference: &ManagedObjectReference, name: Option<String>) -> Self {
        Self { client: client.clone(), raw: client.raw(reference), name }
    }

    /// The reference (moref).
    pub fn reference(&self) -> &ManagedObjectReference {
        self.raw.handle().reference()
    }

    /// The managed object id (`vm-42`).
    pub fn id(&self) -> &str {
        &self.reference().value
    }

    /// The client that it belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What messages call it: its name if that is known, else its id.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.id())
    }

    /// Reads properties of this object.
    ///
    /// # Errors
    /// `not_found` if the object no longer exists, `permission` if a required property can't be read.
    pub async fn read<S: Select<M>>(&self, select: S) -> Result<S::Row> {
        Ok(self.read_known(select).await?.0)
    }

    /// The same, with the properties that could not be read.
    pub(crate) async fn read_known<S: Select<M>>(&self, select: S) -> Result<(S::Row, Gaps)> {
        let mut paths = Vec::new();
        select.paths(&mut paths);
        paths.sort_unstable();
        paths.dedup();
        let spec = PropertyFilterSpec {
            prop_set: vec![property_spec(M::NAME, &paths)],
            object_set: vec![ObjectSpec { obj: self.reference().clone(), ..Default::default() }],
            ..Default::default()
        };
        let operation = |error: Error| error.in_operation("read").on(self.label());
        let gone = || operation(Error::new("read", ErrorKind::NotFound(no_longer(M::NAME, self.id()))));
        let objects = match read::retrieve(&self.client, spec).await {
            Ok(objects) => objects,
            Err(error) if error.fault::<ManagedObjectNotFound>().is_some() => return Err(gone()),
            Err(error) => return Err(operation(error)),
        };
        let content = objects.into_iter().next().ok_or_else(gone)?;
        let mut values = Values::new(content.prop_set, content.missing_set);
        let row = select
            .row(&mut values)
            .map_err(|missing| operation(Error::new("read", ErrorKind::Unreadable(missing.to_string()))))?;
        Ok((row, values.into_gaps().into_iter().collect()))
    }

    /// Reads into your own struct; see [`properties!`](crate::properties).
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::managed::{VirtualMachine, virtual_machine as vm};
    ///
    /// vsphere_ops::properties! {
    ///     struct Size for VirtualMachine {
    ///         cpus: Option<i32> = vm::NUM_CPU,
    ///         memory_mb: Option<i32> = vm::MEMORY_SIZE_MB,
    ///     }
    /// }
    ///
    /// let size: Size = client.get::<VirtualMachine>("web-01").await?.read_as().await?;
    /// println!("{:?} CPUs, {:?} MiB", size.cpus, size.memory_mb);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub async fn read_as<R: Record<M>>(&self) -> Result<R> {
        self.read(As::default()).await
    }
}

impl<M> Deref for Mo<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.raw
    }
}

impl<M: ManagedObject> fmt::Display for Mo<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl<M: ManagedObject> fmt::Debug for Mo<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reference())
    }
}
