//! The names of sheets and columns, against those of RVTools and against what other tools read of its files.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

use vsphere_ops::export::Sheet;

/// The columns of RVTools 4 in its order, without those of custom attributes, as the first lines of its files have them (`RVTools
/// -c ExportAll2csv`).
const RVTOOLS: &[(&str, &str)] = &[
    (
        "vInfo",
        "VM,Powerstate,Template,SRM Placeholder,Config status,DNS Name,Connection state,Guest state,Heartbeat,\
         Consolidation Needed,PowerOn,Suspended To Memory,Suspend time,Suspend Interval,Creation date,Change Version,CPUs,\
         Overall Cpu Readiness,Memory,Active Memory,NICs,Disks,Total disk capacity MiB,Fixed Passthru HotPlug,\
         min Required EVC Mode Key,Latency Sensitivity,Op Notification Timeout,EnableUUID,CBT,Primary IP Address,Network #1,\
         Network #2,Network #3,Network #4,Network #5,Network #6,Network #7,Network #8,Num Monitors,Video Ram KiB,\
         Resource pool,Folder ID,Folder,vApp,DAS protection,FT State,FT Role,FT Latency,FT Bandwidth,FT Sec. Latency,\
         Vm Failover In Progress,Provisioned MiB,In Use MiB,Unshared MiB,HA Restart Priority,HA Isolation Response,\
         HA VM Monitoring,Cluster rule(s),Cluster rule name(s),Boot Required,Boot delay,Boot retry delay,Boot retry enabled,\
         Boot BIOS setup,Reboot PowerOff,EFI Secure boot,Firmware,HW version,HW upgrade status,HW upgrade policy,HW target,\
         Path,Log directory,Snapshot directory,Suspend directory,Annotation,Datacenter,Cluster,Host,\
         OS according to the configuration file,OS according to the VMware Tools,Customization Info,Guest Detailed Data,\
         VM ID,SMBIOS UUID,VM UUID,VI SDK Server type,VI SDK API Version,VI SDK Server,VI SDK UUID",
    ),
    (
        "vCPU",
        "VM,Powerstate,Template,SRM Placeholder,CPUs,Sockets,Cores p/s,Max,Overall,Level,Shares,Reservation,Entitlement,\
         DRS Entitlement,Limit,Hot Add,Hot Remove,Numa Hotadd Exposed,TAIL",
    ),
    (
        "vMemory",
        "VM,Powerstate,Template,SRM Placeholder,Size MiB,Memory Reservation Locked To Max,Overhead,Max,Consumed,\
         Consumed Overhead,Private,Shared,Swapped,Ballooned,Active,Entitlement,DRS Entitlement,Level,Shares,Reservation,\
         Limit,Hot Add,TAIL",
    ),
    (
        "vDisk",
        "VM,Powerstate,Template,SRM Placeholder,Disk,Disk Key,Disk UUID,Disk Path,Capacity MiB,Raw,Disk Mode,Sharing mode,\
         Thin,Eagerly Scrub,Split,Write Through,Level,Shares,Reservation,Limit,Controller,Label,SCSI Unit #,Unit #,\
         Shared Bus,Path,Raw LUN ID,Raw Comp. Mode,Internal Sort Column,TAIL",
    ),
    (
        "vPartition",
        "VM,Powerstate,Template,SRM Placeholder,Disk Key,Disk,Capacity MiB,Consumed MiB,Free MiB,Free %,\
         Internal Sort Column,TAIL",
    ),
    (
        "vNetwork",
        "VM,Powerstate,Template,SRM Placeholder,NIC label,Adapter,Network,Switch,Connected,Starts Connected,Mac Address,\
         Type,IPv4 Address,IPv6 Address,Direct Path IO,Internal Sort Column,TAIL",
    ),
    (
        "vSnapshot",
        "VM,Powerstate,Name,Description,Date / time,Filename,Size MiB (vmsn),Size MiB (total),Quiesced,State,TAIL",
    ),
    (
        "vHost",
        "Host,Datacenter,Cluster,Config status,Compliance Check State,in Maintenance Mode,in Quarantine Mode,\
         vSAN Fault Domain Name,CPU Model,Speed,HT Available,HT Active,# CPU,Cores per CPU,# Cores,CPU usage %,# Memory,\
         Memory Tiering Type,Memory usage %,Console,# NICs,# HBAs,# VMs total,# VMs,VMs per Core,# vCPUs,vCPUs per Core,vRAM,\
         VM Used memory,VM Memory Swapped,VM Memory Ballooned,VMotion support,Storage VMotion support,Current EVC,Max EVC,\
         Assigned License(s),ATS Heartbeat,ATS Locking,Current CPU power man. policy,Supported CPU power man.,\
         Host Power Policy,ESX Version,Boot time,DNS Servers,DHCP,Domain,Domain List,DNS Search Order,NTP Server(s),\
         NTPD running,Time Zone,Time Zone Name,GMT Offset,Vendor,Model,Serial number,Service tag,OEM specific string,\
         BIOS Vendor,BIOS Version,BIOS Date,Certificate Issuer,Certificate Start Date,Certificate Expiry Date,\
         Certificate Status,Certificate Subject,Object ID,UUID,VI SDK Server,VI SDK UUID",
    ),
    (
        "vDatastore",
        "Name,Config status,Address,Accessible,Type,# VMs total,# VMs,Capacity MiB,Provisioned MiB,In Use MiB,Free MiB,\
         Free %,SIOC enabled,SIOC Threshold,# Hosts,Hosts,Cluster name,Cluster capacity MiB,Cluster free space MiB,\
         Block size,Max Blocks,# Extents,Major Version,Version,VMFS Upgradeable,MHA,URL,Object ID,VI SDK Server,VI SDK UUID",
    ),
];

/// What stands at the end of the sheets of what belongs to a VM.
const TAIL: &str = "Annotation,Datacenter,Cluster,Host,Folder,OS according to the configuration file,\
     OS according to the VMware Tools,VM ID,VM UUID,VI SDK Server,VI SDK UUID";

/// What tools for migrations and licences read of such files, by its source.
const READ: &[(&str, &str, &str)] = &[
    // Azure Migrate, which takes `In use MiB` for `In Use MiB`:
    // https://learn.microsoft.com/azure/migrate/tutorial-import-vmware-using-rvtools-xlsx
    // https://github.com/MicrosoftDocs/azure-docs (articles/migrate)
    (
        "Azure Migrate",
        "vInfo",
        "VM,Powerstate,Disks,CPUs,Memory,Provisioned MiB,In Use MiB,OS according to the configuration file,VM UUID",
    ),
    (
        "Azure Migrate",
        "vHost",
        "Host,Cluster,Datacenter,Config status,in Maintenance Mode,in Quarantine Mode,CPU Model,Speed,# CPU,Cores per CPU,\
         # Cores,CPU usage %,# Memory,Memory usage %,VM Used memory,VM Memory Swapped,VM Memory Ballooned,# NICs,# vCPUs,vRAM,\
         ESX Version,Vendor,Model,Object ID,UUID",
    ),
    ("Azure Migrate", "vDatastore", "Name,Object ID,Type,Hosts,Capacity MiB,Provisioned MiB,In Use MiB"),
    (
        "Azure Migrate",
        "vSnapshot",
        "VM,VM UUID,Powerstate,Size MiB (vmsn),Size MiB (total),Quiesced,Datacenter,Cluster,Host",
    ),
    ("Azure Migrate", "vPartition", "VM,VM UUID,Capacity MiB,Consumed MiB"),
    ("Azure Migrate", "vMemory", "VM,VM UUID,Size MiB,Reservation"),
    ("Azure Migrate", "vDisk", "VM,VM UUID,Capacity MiB,Shared Bus,Controller"),
    ("Azure Migrate", "vNetwork", "VM,VM UUID,Switch,Connected"),
    // Red Hat's migration planner: https://github.com/kubev2v/migration-planner
    (
        "migration-planner",
        "vInfo",
        "VM ID,VM,Folder ID,Host,SMBIOS UUID,Firmware,Powerstate,Connection state,FT State,CPUs,Memory,\
         OS according to the configuration file,OS according to the VMware Tools,DNS Name,Primary IP Address,In Use MiB,Template,\
         CBT,EnableUUID,Datacenter,Cluster,HW version,Total disk capacity MiB,Provisioned MiB,Resource pool,Network #1",
    ),
    ("migration-planner", "vCPU", "VM ID,Hot Add,Hot Remove,Sockets,Cores p/s"),
    ("migration-planner", "vMemory", "VM ID,Hot Add,Ballooned"),
    (
        "migration-planner",
        "vDisk",
        "VM ID,Disk Key,Unit #,Path,Capacity MiB,Sharing mode,Raw,Shared Bus,Disk Mode,Disk UUID,Thin,Controller,Label,SCSI Unit #",
    ),
    (
        "migration-planner",
        "vNetwork",
        "VM ID,Network,Mac Address,NIC label,Adapter,Switch,Connected,Starts Connected,Type,IPv4 Address,IPv6 Address",
    ),
    // RVToolsMerge, which puts the files of several vCenters together: https://github.com/sbroenne/RVToolsMerge
    (
        "RVToolsMerge",
        "vInfo",
        "Template,SRM Placeholder,Powerstate,VM,CPUs,Memory,In Use MiB,OS according to the configuration file",
    ),
    (
        "RVToolsMerge",
        "vHost",
        "Host,Datacenter,Cluster,CPU Model,Speed,# CPU,Cores per CPU,# Cores,CPU usage %,# Memory,Memory usage %",
    ),
    // AWS's sample that consolidates and anonymizes such files goes by `VM ID`:
    // https://github.com/aws-samples/sample-rvtools-processor
    ("AWS", "vInfo", "VM ID,VM,DNS Name,Primary IP Address,Folder,Datacenter,Cluster,VI SDK Server"),
    ("AWS", "vDisk", "VM ID,VM,Path,Annotation,Host"),
    // Google's Migration Center names RVTools among the formats that it imports (CSV and XLSX), and no columns:
    // https://cloud.google.com/migration-center/docs/reference/rest/v1alpha1/ImportJobFormat
];

fn sheet(name: &str) -> Sheet {
    name.parse().unwrap()
}

fn split(columns: &str) -> Vec<&str> {
    columns.split(',').flat_map(|name| if name == "TAIL" { TAIL.split(',').collect() } else { vec![name] }).collect()
}

#[test]
fn each_column_is_one_of_rvtools_in_its_order() {
    assert_eq!(RVTOOLS.iter().map(|(name, _)| *name).collect::<Vec<_>>(), Sheet::ALL.map(Sheet::name));
    for (name, columns) in RVTOOLS {
        let mut theirs = split(columns).into_iter();
        for ours in sheet(name).columns() {
            assert!(theirs.any(|column| column == ours), "{name} of RVTools has no {ours:?} at this place");
        }
    }
}

#[test]
fn what_other_tools_read_is_there() {
    for (tool, name, columns) in READ {
        let ours = sheet(name).columns();
        for column in split(columns) {
            assert!(ours.contains(&column), "{tool} reads {column:?} of {name}");
        }
    }
}
