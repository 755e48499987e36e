//! One operation on several VMs: in parallel, with a report for each.
//!
//! ```
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let names = ["web-01".to_owned(), "/fra1/vm/prod/db/pg-01".to_owned(), "vm-64".to_owned()];
//! let vms = client.vms(&names).await; // names end here: what follows is about these VMs, whatever they are called then
//! for report in vms.each(|vm| async move { vm.power_on().await?.await }).await {
//!     match report.outcome {
//!         Ok(()) => println!("{} runs", report.vm),
//!         Err(error) => println!("{}: {error}", report.vm), // the others run all the same
//!     }
//! }
//! # Ok(())
//! # }
//! # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
//! # sim::documented(run);
//! ```

use std::collections::HashSet;

use futures::stream::{self, StreamExt as _};
use serde::{Serialize, Serializer};
use vsphere_model::managed::VirtualMachine;

use crate::client::Client;
use crate::error::{Candidate, Error, Result};
use crate::mo::Mo;

/// How many VMs are worked on at a time.
const AT_ONCE: usize = 32;

/// Several VMs, each once, and what was asked for and not found.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::several::Vms;
/// use vsphere_ops::managed::VirtualMachine;
///
/// let named = client.vms(&["web-01".to_owned(), "no-such-vm".to_owned()]).await;
/// assert_eq!((named.len(), named.found().count()), (2, 1));
/// let held = Vms::from(vec![client.get::<VirtualMachine>("web-02").await?]);
/// assert!(!held.is_empty());
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone)]
pub struct Vms(Vec<(String, Result<Mo<VirtualMachine>>)>);

impl From<Vec<Mo<VirtualMachine>>> for Vms {
    fn from(vms: Vec<Mo<VirtualMachine>>) -> Self {
        Self::once(vms.into_iter().map(|vm| (vm.label().to_owned(), Ok(vm))))
    }
}

impl Client {
    /// The VMs with these names, paths or ids, which are looked up in one request. One that is named twice is there once;
    /// what is not found, or cannot be looked up, becomes the report of its own when something is done with [`Vms::each`].
    pub async fn vms(&self, whats: &[String]) -> Vms {
        let names: Vec<&str> = whats.iter().map(String::as_str).collect();
        let found = self.get_many::<VirtualMachine>(&names).await;
        let found = found.unwrap_or_else(|error| whats.iter().map(|_| Err(error.clone())).collect());
        Vms::once(whats.iter().cloned().zip(found))
    }
}

impl Vms {
    fn once(all: impl IntoIterator<Item = (String, Result<Mo<VirtualMachine>>)>) -> Self {
        let mut seen = HashSet::new();
        let first = |(_, vm): &(String, Result<Mo<VirtualMachine>>)| {
            vm.as_ref().map_or(true, |vm| seen.insert(vm.id().to_owned()))
        };
        Self(all.into_iter().filter(first).collect())
    }

    /// Those that were found.
    pub fn found(&self) -> impl Iterator<Item = &Mo<VirtualMachine>> {
        self.0.iter().filter_map(|(_, vm)| vm.as_ref().ok())
    }

    /// What was asked for and not found, or could not be looked up, and why.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let vms = client.vms(&["web-01".to_owned(), "no-such-vm".to_owned()]).await;
    /// let missing: Vec<&str> = vms.missing().map(|(what, _)| what).collect();
    /// assert_eq!(missing, ["no-such-vm"]);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub fn missing(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.0.iter().filter_map(|(what, vm)| vm.as_ref().err().map(|error| (what.as_str(), error)))
    }

    /// How many there are, with those that were not found.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does something with each, several at a time.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let vms = client.vms(&["web-01".to_owned(), "web-02".to_owned()]).await;
    /// let reports = vms.each(|vm| async move { vm.path().await }).await;
    /// assert_eq!(reports.len(), 2);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    pub async fn each<T, F>(&self, operation: impl Fn(Mo<VirtualMachine>) -> F) -> Vec<Report<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let found = self.0.iter().map(|(what, found)| match found {
            Ok(vm) => Report { vm: vm.label().to_owned(), id: Some(vm.id().to_owned()), outcome: Ok(vm.clone()) },
            Err(error) => Report { vm: what.clone(), id: None, outcome: Err(error.clone()) },
        });
        carry_out(found.collect(), operation).await
    }
}

/// Goes on with each of several plans that could be made, several at a time; what could not be planned keeps its error.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::several;
/// use vsphere_ops::vm::Changes;
///
/// let changes = Changes { annotation: Some("moves on Friday".into()), ..Default::default() };
/// let vms = client.vms(&["web-01".to_owned(), "web-02".to_owned()]).await;
/// let plans = vms.each(|vm| { let changes = &changes; async move { vm.reconfiguration(changes).await } }).await;
/// // Here somebody may look at the plans, and agree.
/// for report in several::carry_out(plans, |plan| plan.carry_out()).await {
///     println!("{}: {}", report.vm, if report.outcome.is_ok() { "done" } else { "failed" });
/// }
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn carry_out<P, T, F>(planned: Vec<Report<P>>, operation: impl Fn(P) -> F) -> Vec<Report<T>>
where
    F: Future<Output = Result<T>>,
{
    let work: Vec<_> = planned
        .into_iter()
        .map(|Report { vm, id, outcome }| {
            let begun = outcome.map(&operation);
            async move {
                let outcome = match begun {
                    Ok(work) => work.await,
                    Err(error) => Err(error),
                };
                Report { vm, id, outcome }
            }
        })
        .collect();
    stream::iter(work).buffered(AT_ONCE).collect().await
}

/// How an operation ended for one of several VMs.
///
/// As JSON it is one object: `vm`, `id`, and what the operation says where it succeeded, or else `error` with `code`,
/// `message` and `candidates`.
///
/// ```
/// use vsphere_ops::several::Report;
/// use vsphere_ops::{Error, ErrorKind};
///
/// let error = Error::new("power on", ErrorKind::NotFound("there is none".into())).on("web");
/// let report: Report<()> = Report { vm: "web".to_owned(), id: None, outcome: Err(error) };
/// let json = serde_json::to_value(&report).unwrap();
/// assert_eq!(json["error"]["code"], "not_found");
/// assert_eq!(json["error"]["message"], "power on \"web\": there is none");
/// ```
#[derive(Debug, Serialize)]
#[serde(bound(serialize = "T: Serialize"))]
pub struct Report<T> {
    /// The VM's name, or what the caller named where it was not found.
    pub vm: String,
    /// Its managed object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the operation says, or why it failed.
    #[serde(flatten, serialize_with = "in_one_object")]
    pub outcome: Result<T>,
}

fn in_one_object<T: Serialize, S: Serializer>(outcome: &Result<T>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: Failure<'a>,
    }

    #[derive(Serialize)]
    struct Failure<'a> {
        code: &'static str,
        message: String,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        candidates: &'a [Candidate],
    }

    match outcome {
        Ok(done) => done.serialize(to),
        Err(error) => {
            let (code, message, candidates) = (error.code(), error.to_string(), error.candidates());
            Failed { error: Failure { code, message, candidates } }.serialize(to)
        }
    }
}
