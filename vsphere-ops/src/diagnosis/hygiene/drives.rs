//! ISO images that were left in CD drives.

use std::collections::HashMap;

use vsphere_model::types::{ManagedObjectReference, Poly, VirtualCdrom, VirtualDevice};

use super::super::{Subject, vms};
use super::{ChoreKind, Detail, Found};
use crate::client::Client;
use crate::find;
use crate::gaps::Gaps;
use crate::media;
use crate::read::Values;

const DEVICES: &str = "config.hardware.device";
const WHAT: &str = "CD drives";

/// Adds the images in the drives of these VMs. Devices are the longest part of a VM: they are read in portions, each of which is
/// forgotten before the next.
pub(super) async fn add(
    client: &Client,
    vms: &HashMap<ManagedObjectReference, Subject>,
    found: &mut Found,
    gaps: &mut Gaps,
) {
    let references: Vec<&ManagedObjectReference> = vms.keys().collect();
    for some in references.chunks(vms::PORTION) {
        let contents = find::details(client, some.iter().copied().cloned(), &[DEVICES]).await;
        let contents = gaps.part(WHAT, contents);
        gaps.append(Gaps::of(&contents));
        for content in contents {
            let Some(subject) = vms.get(&content.obj) else { continue };
            let mut values = Values::new(content.prop_set, content.missing_set);
            let devices: Vec<Poly<VirtualDevice>> =
                values.take::<Option<_>>(DEVICES).ok().flatten().unwrap_or_default();
            for drive in devices.iter().filter_map(|device| device.downcast_ref::<VirtualCdrom>()) {
                let Some(image) = media::image(drive) else { continue };
                let detail = Detail { path: Some(image.to_owned()), ..Detail::default() };
                found.add(ChoreKind::IsoLeft, subject, None, detail);
            }
        }
    }
}
