//! What happens to the inventory when a test wants it to: a host that fails, a datastore that fills up, a question.

use std::io;
use std::time::Duration;

use crate::Sim;
use crate::fault::Outcome;
use crate::objects::compute::Compute;
use crate::objects::datacenter::Datacenter;
use crate::objects::datastore::{self, Datastore, files::File};
use crate::objects::host::{Host, failure};
use crate::objects::vm::{Vm, question};
use crate::world::{Managed, Moref, World};

/// The file that fills a datastore up.
const BALLAST: &str = "ballast.bin";

impl Sim {
    /// A host fails, as by a loss of power: it responds no more, and its machines are disconnected. Where its cluster has HA,
    /// they are restarted on other hosts 30 s later, times the model's [pace](crate::Model::pace).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim, Size};
    ///
    /// let sim = Sim::start(Model::sized(Size::default())).await?;
    /// sim.fail_host("DC0_C0_H0")?;
    /// // What a client does then is the test's matter.
    /// sim.recover_host("DC0_C0_H0")
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no host has this name or id; the text lists those that there are.
    pub fn fail_host(&self, host: &str) -> io::Result<()> {
        self.happens::<Host>("host", host, failure::fail)
    }

    /// A host that has failed starts again. Machines that were not restarted elsewhere are off then.
    ///
    /// # Errors
    /// As [`Sim::fail_host`].
    pub fn recover_host(&self, host: &str) -> io::Result<()> {
        self.happens::<Host>("host", host, failure::recover)
    }

    /// Leaves this many bytes free on a datastore, by a file that takes the rest: `ballast.bin`. With more than there ever
    /// was, the file is gone again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.fill_datastore("nvme-01", 0)?;
    /// // A clone ends in `NoDiskSpace` now.
    /// sim.fill_datastore("nvme-01", u64::MAX)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no datastore has this name or id; the text lists those that there are.
    pub fn fill_datastore(&self, datastore: &str, free: u64) -> io::Result<()> {
        self.happens::<Datastore>("datastore", datastore, |world, datastore| {
            let datastore = world.edit::<Datastore>(datastore)?;
            if datastore.find(BALLAST).is_some() {
                datastore.remove_tree(BALLAST)?;
            }
            let excess = datastore.free().saturating_sub(i64::try_from(free).unwrap_or(i64::MAX));
            if excess > 0 { datastore.put_file(BALLAST, File::made(excess)) } else { Ok(()) }
        })
    }

    /// A datastore can be accessed by no host any more, or by all again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.set_datastore_accessible("iso-library", false)?;
    /// // Its files can't be listed now.
    /// sim.set_datastore_accessible("iso-library", true)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Sim::fill_datastore`].
    pub fn set_datastore_accessible(&self, datastore: &str, accessible: bool) -> io::Result<()> {
        self.happens::<Datastore>("datastore", datastore, |world, datastore| {
            world.edit::<Datastore>(datastore)?.set_accessible(accessible);
            Ok(())
        })
    }

    /// The hosts of a datacenter get a datastore of this kind, as a summary has it (`vsan`, `NFS`), of so many bytes.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.add_datastore("fra1", "vsan-01", "vsan", 1 << 40)
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no datacenter has this name or id; the text lists those that there are.
    pub fn add_datastore(&self, datacenter: &str, name: &str, kind: &str, bytes: u64) -> io::Result<()> {
        self.happens::<Datacenter>("datacenter", datacenter, |world, datacenter| {
            let computes = world.all::<Compute>().into_iter().map(|(reference, _)| reference.clone());
            let here = |compute: &Moref| world.nearest::<Datacenter>(compute).is_some_and(|(at, _)| at == *datacenter);
            let computes: Vec<Moref> = computes.filter(here).collect();
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            datastore::add(world, name, kind, bytes, datacenter, &computes).map(drop)
        })
    }

    /// A virtual machine asks this, and waits for one of the answers: each is the key that a client sends, and its label. Nothing
    /// comes of the answer.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.ask("web-01", "The disk is full. Retry?", &[("0", "Retry"), ("1", "Cancel")])
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) where no virtual machine has this name or id; the text lists those that there are.
    pub fn ask(&self, vm: &str, text: &str, answers: &[(&str, &str)]) -> io::Result<()> {
        self.happens::<Vm>("virtual machine", vm, |world, vm| {
            let asked = question::question("msg.sim.question", text.to_owned(), answers, 0);
            world.edit::<Vm>(vm)?.runtime.question = Some(Box::new(asked));
            Ok(())
        })
    }

    /// Lets the server's clock go ahead, so that what ends by time ends now: sessions, tickets, what is remembered of
    /// programs in guests.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// use vsphere_sim::{Model, Sim};
    ///
    /// let sim = Sim::start(Model::demo()).await?;
    /// sim.pass_time(Duration::from_secs(10 * 60));
    /// # Ok(())
    /// # }
    /// ```
    pub fn pass_time(&self, time: Duration) {
        let time = chrono::TimeDelta::from_std(time).unwrap_or(chrono::TimeDelta::zero());
        self.core.write().pass(time);
    }

    fn happens<T: Managed>(
        &self,
        kind: &str,
        name: &str,
        what: impl FnOnce(&mut World, &Moref) -> Outcome<()>,
    ) -> io::Result<()> {
        let mut world = self.core.write();
        let all: Vec<&Moref> = world.all::<T>().into_iter().map(|(reference, _)| reference).collect();
        let named = |reference: &&Moref| reference.value == name || world.name_of(reference) == name;
        let Some(found) = all.iter().copied().find(named).cloned() else {
            let known: Vec<String> = all.into_iter().map(|reference| world.name_of(reference)).collect();
            let message = format!("there is no {kind} {name:?}, only {}", known.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        };
        what(&mut world, &found).map_err(|fault| io::Error::other(format!("{kind} {name:?}: {:?}", fault.localized())))
    }
}
