//! Tags that VMs get and lose.

use std::collections::HashMap;

use futures::stream::{self, StreamExt as _};
use serde::Serialize;
use vsphere_model::managed::VirtualMachine;

use super::wire::{AT_ONCE, CHANGED, ObjectId};
use super::{Cardinality, Tag, Tags};
use crate::error::{Circumstance, Error, ErrorKind, Result};
use crate::mo::Mo;
use crate::several::{Report, Vms};

/// What happens to the tag of the same category that a VM has already, where it may have one.
///
/// ```
/// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
/// use vsphere_ops::tags::InTheWay;
///
/// let (tags, vms) = (client.tags().await?, client.vms(&["web-01".to_owned()]).await);
/// let test = tags.find("Environment:test").await?;
/// let refused = tags.apply(&test, &vms, InTheWay::Kept).await?.remove(0).outcome.unwrap_err();
/// assert_eq!(refused.code(), "invalid_state"); // … "web-01": it has Environment:prod …
/// # Ok(())
/// # }
/// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
/// # sim::documented(run);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InTheWay {
    /// It stays, and the VM does not get the new one.
    Kept,
    /// It goes.
    Replaced,
}

/// What became of a tag on one VM.
///
/// ```
/// use vsphere_ops::tags::TagChange;
///
/// fn line(change: &TagChange) -> String {
///     format!("{} in the place of {:?}", change.tag, change.replaced)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TagChange {
    /// The tag, as `category:tag`.
    pub tag: String,
    /// The tags that went for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// Whether anything was changed; not where it was so already.
    pub changed: bool,
}

const APPLY: &str = "apply tag to";
const REMOVE: &str = "remove tag from";

impl Tags {
    /// Gives several VMs a tag.
    ///
    /// VMs that have it stay as they are. A tag that goes for it goes at once from 9.1 on; before that, it goes first and comes
    /// back where the new one is refused. It takes the privileges `InventoryService.Tagging.AttachTag` on the tag and
    /// `InventoryService.Tagging.ObjectAttachable` on the VMs.
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// use vsphere_ops::tags::InTheWay;
    ///
    /// let (tags, vms) = (client.tags().await?, client.vms(&["web-01".to_owned()]).await);
    /// let gdpr = tags.find("Compliance:gdpr").await?;
    /// for change in tags.apply(&gdpr, &vms, InTheWay::Kept).await? {
    ///     assert!(change.outcome?.changed);
    /// }
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// `invalid_argument` for a tag that is not for VMs, and those of the server. What concerns one VM is told in its report:
    /// `invalid_state` where it has another tag of the category and may have one.
    pub async fn apply(&self, tag: &Tag, vms: &Vms, in_the_way: InTheWay) -> Result<Vec<Report<TagChange>>> {
        if !tag.associable_types.is_empty() && !tag.associable_types.iter().any(|name| name == "VirtualMachine") {
            let text = format!("the tags of {} are for {}, not for VMs", tag.category, tag.associable_types.join(", "));
            return Err(Error::new("apply tag", ErrorKind::InvalidArgument(text)).on(tag.to_string()));
        }
        let (attached, known) = self.now(tag, vms).await.map_err(|error| about(error, APPLY, tag))?;
        let mut plain = Vec::new();
        let mut swaps = Vec::new();
        let mut outcomes = HashMap::new();
        for vm in vms.found() {
            let has = attached.get(vm.id()).map(Vec::as_slice).unwrap_or_default();
            if has.contains(&tag.id) {
                outcomes.insert(vm.id().to_owned(), Ok(TagChange::of(tag, false)));
                continue;
            }
            let single = tag.cardinality == Cardinality::Single;
            let others = has.iter().filter_map(|id| known.get(id)).filter(|other| other.category_id == tag.category_id);
            let others: Vec<&Tag> = others.filter(|_| single).collect();
            match (others.as_slice(), in_the_way) {
                ([], _) => plain.push(vm),
                (others, InTheWay::Replaced) => swaps.push((vm, others.iter().copied().cloned().collect())),
                (others, InTheWay::Kept) => drop(outcomes.insert(vm.id().to_owned(), Err(in_the_way_of(tag, others)))),
            }
        }
        outcomes.extend(self.change(tag, &plain, true).await);
        let replace = |(vm, others): (&Mo<VirtualMachine>, Vec<Tag>)| {
            let (id, object) = (vm.id().to_owned(), ObjectId::from(vm.reference()));
            async move { (id, self.replace(tag, object, &others).await) }
        };
        let swapped: Vec<_> = swaps.into_iter().map(replace).collect();
        outcomes.extend(stream::iter(swapped).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        Ok(reports(vms, outcomes, APPLY, tag).await)
    }

    /// Takes a tag off several VMs. Those that do not have it stay as they are. It takes the privileges of
    /// [`apply`](Self::apply).
    ///
    /// ```
    /// # async fn run(client: vsphere_ops::Client) -> vsphere_ops::Result<()> {
    /// let (tags, vms) = (client.tags().await?, client.vms(&["pg-01".to_owned(), "web-01".to_owned()]).await);
    /// let gdpr = tags.find("Compliance:gdpr").await?;
    /// let changed = |report: vsphere_ops::several::Report<vsphere_ops::tags::TagChange>| report.outcome.unwrap().changed;
    /// let changed: Vec<bool> = tags.remove(&gdpr, &vms).await?.into_iter().map(changed).collect();
    /// assert_eq!(changed, [true, false]);
    /// # Ok(())
    /// # }
    /// # mod sim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/documented.rs")); }
    /// # sim::documented(run);
    /// ```
    ///
    /// # Errors
    /// Those of the server; what concerns one VM is told in its report.
    pub async fn remove(&self, tag: &Tag, vms: &Vms) -> Result<Vec<Report<TagChange>>> {
        let objects: Vec<ObjectId> = vms.found().map(|vm| vm.reference().into()).collect();
        let attached = self.wire.attached(&objects).await.map_err(|error| about(error, REMOVE, tag))?;
        let has = |vm: &&Mo<VirtualMachine>| attached.get(vm.id()).is_some_and(|tags| tags.contains(&tag.id));
        let (with, without): (Vec<_>, Vec<_>) = vms.found().partition(has);
        let mut outcomes = self.change(tag, &with, false).await;
        outcomes.extend(without.iter().map(|vm| (vm.id().to_owned(), Ok(TagChange::of(tag, false)))));
        Ok(reports(vms, outcomes, REMOVE, tag).await)
    }

    /// The tags that VMs have, and what these are, as far as that matters.
    async fn now(&self, tag: &Tag, vms: &Vms) -> Result<(HashMap<String, Vec<String>>, HashMap<String, Tag>)> {
        if tag.cardinality == Cardinality::Single {
            return self.attached(vms).await;
        }
        let objects: Vec<ObjectId> = vms.found().map(|vm| vm.reference().into()).collect();
        Ok((self.wire.attached(&objects).await?, HashMap::new()))
    }

    /// Attaches or detaches a tag, in few requests where nothing is in the way.
    async fn change(&self, tag: &Tag, vms: &[&Mo<VirtualMachine>], attach: bool) -> HashMap<String, Result<TagChange>> {
        let objects: Vec<ObjectId> = vms.iter().map(|vm| vm.reference().into()).collect();
        let mut outcomes = HashMap::new();
        for some in objects.chunks(CHANGED) {
            outcomes.extend(self.change_some(tag, some, attach).await);
        }
        outcomes
    }

    async fn change_some(&self, tag: &Tag, objects: &[ObjectId], attach: bool) -> HashMap<String, Result<TagChange>> {
        let every = |outcome: Result<TagChange>| {
            objects.iter().map(|object| (object.id.clone(), outcome.clone())).collect::<HashMap<_, _>>()
        };
        let mut left: Vec<&ObjectId> = objects.iter().collect();
        let mut outcomes = HashMap::new();
        if objects.len() > 1 {
            match self.wire.change_all(&tag.id, objects, attach).await {
                Ok(true) => return every(Ok(TagChange::of(tag, true))),
                Ok(false) => {}
                Err(error) => return every(Err(error)),
            }
            // The server does not say which it has refused: these are asked for again, one at a time.
            let now = match self.wire.attached(objects).await {
                Ok(now) => now,
                Err(error) => return every(Err(error)),
            };
            let has = |object: &ObjectId| now.get(&object.id).is_some_and(|tags| tags.contains(&tag.id));
            let (done, refused): (Vec<_>, Vec<_>) = left.into_iter().partition(|object| has(object) == attach);
            outcomes.extend(done.into_iter().map(|object| (object.id.clone(), Ok(TagChange::of(tag, true)))));
            left = refused;
        }
        let change = |object: ObjectId| async move {
            let changed = self.wire.change(&tag.id, &object, attach).await;
            (object.id, changed.map(|()| TagChange::of(tag, true)))
        };
        let singly: Vec<_> = left.into_iter().cloned().map(change).collect();
        outcomes.extend(stream::iter(singly).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        outcomes
    }

    /// Gives an object a tag in the place of others.
    async fn replace(&self, tag: &Tag, object: ObjectId, others: &[Tag]) -> Result<TagChange> {
        let done = TagChange { replaced: others.iter().map(ToString::to_string).collect(), ..TagChange::of(tag, true) };
        if self.wire.swaps() {
            let off: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
            // One that is refused is tried in steps, which tell why.
            if let Some(true) = self.wire.swap(&object, &off, &tag.id).await? {
                return Ok(done);
            }
        }
        let mut gone = Vec::new();
        let mut failed = None;
        for other in others {
            match self.wire.change(&other.id, &object, false).await {
                Ok(()) => gone.push(other),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let failed = match failed {
            Some(error) => error,
            None => match self.wire.change(&tag.id, &object, true).await {
                Ok(()) => return Ok(done),
                Err(error) => error,
            },
        };
        let mut lost = Vec::new();
        for other in gone {
            if self.wire.change(&other.id, &object, true).await.is_err() {
                lost.push(other.to_string());
            }
        }
        if lost.is_empty() {
            return Err(failed);
        }
        Err(failed.with_circumstance(Circumstance::TagLost(lost.join(", "))))
    }
}

impl TagChange {
    fn of(tag: &Tag, changed: bool) -> Self {
        Self { tag: tag.to_string(), replaced: Vec::new(), changed }
    }
}

fn in_the_way_of(tag: &Tag, others: &[&Tag]) -> Error {
    let others: Vec<String> = others.iter().map(ToString::to_string).collect();
    let text = format!("it has {}, and may have one tag of {} at a time", others.join(", "), tag.category);
    Error::new(APPLY, ErrorKind::InvalidState(text)).with_circumstance(Circumstance::TagInTheWay(others.join(", ")))
}

fn about(error: Error, operation: &str, tag: &Tag) -> Error {
    error.in_operation(operation.rsplit_once(' ').map_or(operation, |(verb, _)| verb)).on(tag.to_string())
}

/// What is told of each VM, those that were not found among them.
async fn reports(
    vms: &Vms,
    outcomes: HashMap<String, Result<TagChange>>,
    operation: &str,
    tag: &Tag,
) -> Vec<Report<TagChange>> {
    let operation = operation.replacen("tag", &format!("tag {tag}"), 1);
    let gone = || Error::new(operation.as_str(), ErrorKind::NotFound("nothing is known of it any more".to_owned()));
    vms.each(|vm| {
        let outcome = outcomes.get(vm.id()).cloned().unwrap_or_else(|| Err(gone()));
        let named = |error: Error| error.in_operation(operation.as_str()).on(vm.label());
        std::future::ready(outcome.map_err(named))
    })
    .await
}
