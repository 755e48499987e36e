//! Drives and ports: what they are connected to, outside the machine.

use vsphere_model::types::{
    Poly, VirtualCdromIsoBackingInfo, VirtualCdromRemotePassthroughBackingInfo, VirtualDevice,
    VirtualDeviceFileBackingInfo, VirtualDevicePipeBackingInfo, VirtualDeviceURIBackingInfo,
    VirtualFloppyRemoteDeviceBackingInfo, VirtualSerialPort,
};

use super::super::draft::Draft;
use super::apply::At;
use super::kind::Kind;
use crate::fault::Outcome;
use crate::world::World;

/// Checks what is behind a drive or a port, and completes it.
pub(super) fn check(
    world: &World,
    draft: &Draft,
    device: &mut Poly<VirtualDevice>,
    kind: Kind,
    at: At<'_>,
) -> Outcome<()> {
    let connects = device.connectable.as_ref().is_some_and(|info| info.connected);
    match (kind, device.backing.as_mut()) {
        // A drive without anything behind it is one at the client's.
        (Kind::Cdrom, None) => device.backing = Some(Poly::new(VirtualCdromRemotePassthroughBackingInfo::default())),
        (Kind::Floppy, None) => device.backing = Some(Poly::new(VirtualFloppyRemoteDeviceBackingInfo::default())),
        (Kind::Serial | Kind::Parallel, None) => return Err(at.invalid_backing()),
        (_, None) => {}
        (_, Some(backing)) => {
            let is_iso = backing.is::<VirtualCdromIsoBackingInfo>();
            if let Some(file) = backing.downcast_mut::<VirtualDeviceFileBackingInfo>() {
                let place = world.place_among(&draft.datastores, &file.file_name).map_err(|_| at.invalid_backing())?;
                // While the machine is off nobody looks whether the file is there.
                if is_iso && draft.running && connects {
                    world.get::<crate::objects::datastore::Datastore>(&place.datastore)?.file(&place.path)?;
                }
                file.file_name = world.place_text(&place);
                file.datastore = Some(place.datastore);
            } else if let Some(uri) = backing.downcast_ref::<VirtualDeviceURIBackingInfo>() {
                if uri.service_uri.is_empty() {
                    return Err(at.invalid("backing.serviceURI"));
                }
                if !["client", "server"].contains(&uri.direction.as_str()) {
                    return Err(at.invalid("backing.direction"));
                }
            } else if let Some(pipe) = backing.downcast_ref::<VirtualDevicePipeBackingInfo>()
                && pipe.pipe_name.is_empty()
            {
                return Err(at.invalid("backing.pipeName"));
            }
        }
    }
    Ok(())
}

/// Whether two serial ports differ in nothing but their lines.
pub(super) fn is_same_port(one: &Poly<VirtualDevice>, other: &Poly<VirtualDevice>) -> bool {
    let yields =
        |device: &Poly<VirtualDevice>| device.downcast_ref::<VirtualSerialPort>().map(|port| port.yield_on_poll);
    one.backing == other.backing && yields(one) == yields(other)
}
