//! The certificate that a host shows to vCenter.

use chrono::Duration;
use vsphere_model::types::{DateTime, HostCertificateManagerCertificateInfo};

use super::{Host, part};
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::Outcome;
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostCertificateManager", "ListCACertificates", Handler::Read(none)),
    ("HostCertificateManager", "ListCACertificateRevocationLists", Handler::Read(none)),
    ("HostCertificateManager", "RetrieveCertificateInfoList", Handler::Read(list)),
];

/// vCenter's own authority issued it when the host came in, for five years.
pub(super) fn info(host: &Host, now: DateTime) -> HostCertificateManagerCertificateInfo {
    let from = host.runtime.boot_time.map(|time| time - Duration::days(90));
    let until = host.ailments.certificate_ends.or(from.map(|time| time + Duration::days(1825)));
    // The times that a vCenter takes by default.
    let status = match until.map_or(i64::MAX, |until| (until - now).num_days()) {
        _ if until.is_some_and(|until| until <= now) => "expired",
        ..60 => "expirationImminent",
        60..240 => "expiringShortly",
        _ => "good",
    };
    let name = host.net.host_name();
    HostCertificateManagerCertificateInfo {
        kind: Some("Machine".to_owned()),
        issuer: Some("O=vcenter.example.com,ST=California,C=US,DC=local,DC=vsphere,CN=CA".to_owned()),
        not_before: from,
        not_after: until,
        subject: Some(format!("CN={name},OU=VMware Engineering,O=VMware,L=Palo Alto,ST=California,C=US")),
        status: status.to_owned(),
    }
}

/// The SHA-1 thumbprint of the certificate. No certificate is behind it: it follows from the host's name, so that a
/// client can pin it.
pub(super) fn thumbprint(name: &str) -> String {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let bytes = (0..20).map(|at: u8| {
        for byte in name.bytes().chain([at]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        format!("{:02X}", state >> 56)
    });
    bytes.collect::<Vec<_>>().join(":")
}

fn list(world: &World, call: &Call) -> Outcome<Reply> {
    Ok(Reply::list(vec![info(part::host(world, call)?, world.now())]))
}

fn none(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::list(Vec::<String>::new()))
}
