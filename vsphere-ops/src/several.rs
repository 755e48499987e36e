//! One operation on several machines: in parallel, with a report for each.
//!
//! ```
//! use vsphere_ops::several;
//!
//! # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
//! let names = ["web-01".to_owned(), "/fra1/vm/prod/db/pg-01".to_owned(), "vm-64".to_owned()];
//! let reports = several::each(&client, &names, async |_, machine| machine.power_on().await?.await).await;
//! for report in reports {
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
use crate::error::{Candidate, Result};
use crate::mo::Mo;

/// How many machines are worked on at a time.
const AT_ONCE: usize = 32;

/// How an operation ended for one of several machines.
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
    /// The machine's name, or what the caller named where it was not found.
    pub vm: String,
    /// Its managed object id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the operation says, or why it failed.
    #[serde(flatten, serialize_with = "in_one_object")]
    pub outcome: Result<T>,
}

/// Does something with machines, each given by name, path or id, several at a time. Names are looked up in one request.
/// A machine that is named twice is worked on once. `operation` is given what the caller called the machine, and the
/// machine.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::several;
///
/// let names = ["web-01".to_owned(), "web-02".to_owned()];
/// let reports = several::each(&client, &names, async |_, machine| machine.path().await).await;
/// assert_eq!(reports.len(), 2);
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
pub async fn each<'a, T, F>(
    client: &Client,
    vms: &'a [String],
    operation: impl Fn(&'a str, Mo<VirtualMachine>) -> F,
) -> Vec<Report<T>>
where
    F: Future<Output = Result<T>>,
{
    let whats: Vec<&str> = vms.iter().map(String::as_str).collect();
    let found = client.get_many::<VirtualMachine>(&whats).await;
    let found = found.unwrap_or_else(|error| vms.iter().map(|_| Err(error.clone())).collect());
    let mut begun = HashSet::new();
    let mut work = Vec::new();
    for (what, machine) in whats.into_iter().zip(found) {
        if machine.as_ref().is_ok_and(|machine| !begun.insert(machine.id().to_owned())) {
            continue;
        }
        let (vm, id) = match &machine {
            Ok(machine) => (machine.label().to_owned(), Some(machine.id().to_owned())),
            Err(_) => (what.to_owned(), None),
        };
        let outcome = machine.map(|machine| operation(what, machine));
        work.push(async move {
            let outcome = match outcome {
                Ok(work) => work.await,
                Err(error) => Err(error),
            };
            Report { vm, id, outcome }
        });
    }
    stream::iter(work).buffered(AT_ONCE).collect().await
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
