//! The guest operating systems that a machine can be made for.

use vsphere_model::types::VirtualMachineGuestOsIdentifier;
use vsphere_soap::object::EnumType as _;

/// A guest operating system.
pub(crate) struct GuestOs {
    pub(crate) id: &'static str,
    pub(crate) full_name: &'static str,
    /// `linuxGuest`, `windowsGuest`…
    pub(crate) family: &'static str,
}

const LINUX: &str = "linuxGuest";
const WINDOWS: &str = "windowsGuest";
const OTHER: &str = "otherGuestFamily";

/// Those that are offered for a new machine.
pub(crate) const COMMON: &[GuestOs] = &[
    row("windows2022srvNext_64Guest", "Microsoft Windows Server 2025 (64-bit)", WINDOWS),
    row("windows2019srvNext_64Guest", "Microsoft Windows Server 2022 (64-bit)", WINDOWS),
    row("windows2019srv_64Guest", "Microsoft Windows Server 2019 (64-bit)", WINDOWS),
    row("windows9Server64Guest", "Microsoft Windows Server 2016 (64-bit)", WINDOWS),
    row("windows8Server64Guest", "Microsoft Windows Server 2012 (64-bit)", WINDOWS),
    row("windows7Server64Guest", "Microsoft Windows Server 2008 R2 (64-bit)", WINDOWS),
    row("windows12_64Guest", "Microsoft Windows 12 (64-bit)", WINDOWS),
    row("windows11_64Guest", "Microsoft Windows 11 (64-bit)", WINDOWS),
    row("windows9_64Guest", "Microsoft Windows 10 (64-bit)", WINDOWS),
    row("windows9Guest", "Microsoft Windows 10 (32-bit)", WINDOWS),
    row("windows7_64Guest", "Microsoft Windows 7 (64-bit)", WINDOWS),
    row("rhel10_64Guest", "Red Hat Enterprise Linux 10 (64-bit)", LINUX),
    row("rhel9_64Guest", "Red Hat Enterprise Linux 9 (64-bit)", LINUX),
    row("rhel8_64Guest", "Red Hat Enterprise Linux 8 (64-bit)", LINUX),
    row("rhel7_64Guest", "Red Hat Enterprise Linux 7 (64-bit)", LINUX),
    row("rhel6_64Guest", "Red Hat Enterprise Linux 6 (64-bit)", LINUX),
    row("centos9_64Guest", "CentOS 9 (64-bit)", LINUX),
    row("centos8_64Guest", "CentOS 8 (64-bit)", LINUX),
    row("centos7_64Guest", "CentOS 7 (64-bit)", LINUX),
    row("centos64Guest", "CentOS 4/5 or later (64-bit)", LINUX),
    row("rockylinux_64Guest", "Rocky Linux (64-bit)", LINUX),
    row("almalinux_64Guest", "AlmaLinux (64-bit)", LINUX),
    row("oracleLinux9_64Guest", "Oracle Linux 9 (64-bit)", LINUX),
    row("oracleLinux8_64Guest", "Oracle Linux 8 (64-bit)", LINUX),
    row("sles16_64Guest", "SUSE Linux Enterprise 16 (64-bit)", LINUX),
    row("sles15_64Guest", "SUSE Linux Enterprise 15 (64-bit)", LINUX),
    row("sles12_64Guest", "SUSE Linux Enterprise 12 (64-bit)", LINUX),
    row("opensuse64Guest", "SUSE openSUSE (64-bit)", LINUX),
    row("ubuntu64Guest", "Ubuntu Linux (64-bit)", LINUX),
    row("ubuntuGuest", "Ubuntu Linux (32-bit)", LINUX),
    row("debian12_64Guest", "Debian GNU/Linux 12 (64-bit)", LINUX),
    row("debian11_64Guest", "Debian GNU/Linux 11 (64-bit)", LINUX),
    row("debian10_64Guest", "Debian GNU/Linux 10 (64-bit)", LINUX),
    row("fedora64Guest", "Red Hat Fedora (64-bit)", LINUX),
    row("coreos64Guest", "CoreOS Linux (64-bit)", LINUX),
    row("vmwarePhoton64Guest", "VMware Photon OS (64-bit)", LINUX),
    row("amazonlinux3_64Guest", "Amazon Linux 3 (64-bit)", LINUX),
    row("amazonlinux2_64Guest", "Amazon Linux 2 (64-bit)", LINUX),
    row("other6xLinux64Guest", "Other 6.x or later Linux (64-bit)", LINUX),
    row("other5xLinux64Guest", "Other 5.x or later Linux (64-bit)", LINUX),
    row("other4xLinux64Guest", "Other 4.x Linux (64-bit)", LINUX),
    row("other3xLinux64Guest", "Other 3.x Linux (64-bit)", LINUX),
    row("other26xLinux64Guest", "Other 2.6.x Linux (64-bit)", LINUX),
    row("otherLinux64Guest", "Other Linux (64-bit)", LINUX),
    row("otherLinuxGuest", "Other Linux (32-bit)", LINUX),
    row("darwin23_64Guest", "Apple macOS 14 (64-bit)", "darwinGuestFamily"),
    row("freebsd14_64Guest", "FreeBSD 14 or later versions (64-bit)", OTHER),
    row("freebsd13_64Guest", "FreeBSD 13 (64-bit)", OTHER),
    row("freebsd64Guest", "FreeBSD Pre-11 versions (64-bit)", OTHER),
    row("solaris11_64Guest", "Oracle Solaris 11 (64-bit)", "solarisGuest"),
    row("vmkernel8Guest", "VMware ESXi 8.0 or later", OTHER),
    row("vmkernel7Guest", "VMware ESXi 7.x", OTHER),
    row("vmkernel65Guest", "VMware ESXi 6.5", OTHER),
    row("windows8_64Guest", "Microsoft Windows 8.x (64-bit)", WINDOWS),
    row("windows8Guest", "Microsoft Windows 8.x (32-bit)", WINDOWS),
    row("windows7Guest", "Microsoft Windows 7 (32-bit)", WINDOWS),
    row("winLonghorn64Guest", "Microsoft Windows Server 2008 (64-bit)", WINDOWS),
    row("winLonghornGuest", "Microsoft Windows Server 2008 (32-bit)", WINDOWS),
    row("winNetEnterprise64Guest", "Microsoft Windows Server 2003 (64-bit)", WINDOWS),
    row("winNetEnterpriseGuest", "Microsoft Windows Server 2003 (32-bit)", WINDOWS),
    row("winVista64Guest", "Microsoft Windows Vista (64-bit)", WINDOWS),
    row("winXPPro64Guest", "Microsoft Windows XP Professional (64-bit)", WINDOWS),
    row("winXPProGuest", "Microsoft Windows XP Professional (32-bit)", WINDOWS),
    row("rhel7Guest", "Red Hat Enterprise Linux 7 (32-bit)", LINUX),
    row("rhel6Guest", "Red Hat Enterprise Linux 6 (32-bit)", LINUX),
    row("rhel5_64Guest", "Red Hat Enterprise Linux 5 (64-bit)", LINUX),
    row("rhel5Guest", "Red Hat Enterprise Linux 5 (32-bit)", LINUX),
    row("rhel4_64Guest", "Red Hat Enterprise Linux 4 (64-bit)", LINUX),
    row("centos7Guest", "CentOS 7 (32-bit)", LINUX),
    row("centos6_64Guest", "CentOS 6 (64-bit)", LINUX),
    row("centos6Guest", "CentOS 6 (32-bit)", LINUX),
    row("centosGuest", "CentOS 4/5 (32-bit)", LINUX),
    row("oracleLinux10_64Guest", "Oracle Linux 10 (64-bit)", LINUX),
    row("oracleLinux7_64Guest", "Oracle Linux 7 (64-bit)", LINUX),
    row("oracleLinux6_64Guest", "Oracle Linux 6 (64-bit)", LINUX),
    row("oracleLinux64Guest", "Oracle Linux 4/5 or later (64-bit)", LINUX),
    row("sles12Guest", "SUSE Linux Enterprise 12 (32-bit)", LINUX),
    row("sles11_64Guest", "SUSE Linux Enterprise 11 (64-bit)", LINUX),
    row("sles11Guest", "SUSE Linux Enterprise 11 (32-bit)", LINUX),
    row("sles10_64Guest", "SUSE Linux Enterprise 10 (64-bit)", LINUX),
    row("opensuseGuest", "SUSE openSUSE (32-bit)", LINUX),
    row("debian13_64Guest", "Debian GNU/Linux 13 (64-bit)", LINUX),
    row("debian12Guest", "Debian GNU/Linux 12 (32-bit)", LINUX),
    row("debian11Guest", "Debian GNU/Linux 11 (32-bit)", LINUX),
    row("debian10Guest", "Debian GNU/Linux 10 (32-bit)", LINUX),
    row("debian9_64Guest", "Debian GNU/Linux 9 (64-bit)", LINUX),
    row("debian9Guest", "Debian GNU/Linux 9 (32-bit)", LINUX),
    row("debian8_64Guest", "Debian GNU/Linux 8 (64-bit)", LINUX),
    row("debian7_64Guest", "Debian GNU/Linux 7 (64-bit)", LINUX),
    row("debian6_64Guest", "Debian GNU/Linux 6 (64-bit)", LINUX),
    row("fedoraGuest", "Red Hat Fedora (32-bit)", LINUX),
    row("asianux8_64Guest", "Asianux 8 (64-bit)", LINUX),
    row("asianux7_64Guest", "Asianux 7 (64-bit)", LINUX),
    row("miraclelinux_64Guest", "MIRACLE LINUX (64-bit)", LINUX),
    row("pardus_64Guest", "Pardus (64-bit)", LINUX),
    row("flatcar_64Guest", "Flatcar Container Linux (64-bit)", LINUX),
    row("other5xLinuxGuest", "Other 5.x or later Linux (32-bit)", LINUX),
    row("other4xLinuxGuest", "Other 4.x Linux (32-bit)", LINUX),
    row("other3xLinuxGuest", "Other 3.x Linux (32-bit)", LINUX),
    row("other26xLinuxGuest", "Other 2.6.x Linux (32-bit)", LINUX),
    row("other24xLinux64Guest", "Other 2.4.x Linux (64-bit)", LINUX),
    row("other24xLinuxGuest", "Other 2.4.x Linux (32-bit)", LINUX),
    row("darwin22_64Guest", "Apple macOS 13 (64-bit)", "darwinGuestFamily"),
    row("darwin21_64Guest", "Apple macOS 12 (64-bit)", "darwinGuestFamily"),
    row("darwin20_64Guest", "Apple macOS 11 (64-bit)", "darwinGuestFamily"),
    row("freebsd12_64Guest", "FreeBSD 12 (64-bit)", OTHER),
    row("freebsd11_64Guest", "FreeBSD 11 (64-bit)", OTHER),
    row("freebsdGuest", "FreeBSD Pre-11 versions (32-bit)", OTHER),
    row("solaris10_64Guest", "Oracle Solaris 10 (64-bit)", "solarisGuest"),
    row("vmkernel6Guest", "VMware ESXi 6.x", OTHER),
    row("dosGuest", "Microsoft MS-DOS", WINDOWS),
    row("otherGuest64", "Other (64-bit)", OTHER),
    row("otherGuest", "Other (32-bit)", OTHER),
];

const fn row(id: &'static str, full_name: &'static str, family: &'static str) -> GuestOs {
    GuestOs { id, full_name, family }
}

/// What a machine is made for that names nothing.
pub(super) const DEFAULT: &str = "otherGuest";

/// Whether the API knows the identifier.
pub(super) fn is_known(id: &str) -> bool {
    VirtualMachineGuestOsIdentifier::INFO.values.contains(&id)
}

/// The row of an identifier, where it is a common one.
pub(crate) fn find(id: &str) -> Option<&'static GuestOs> {
    COMMON.iter().find(|guest| guest.id == id)
}

/// The name that people read. An uncommon identifier stands for itself.
pub(crate) fn full_name(id: &str) -> &str {
    find(id).map_or(id, |guest| guest.full_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_guest_is_one_that_the_api_knows() {
        for guest in COMMON {
            assert!(is_known(guest.id), "{}", guest.id);
        }
        assert!(!is_known("amigaGuest"));
    }
}
