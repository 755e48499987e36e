//! The firewall of a host: which sets of ports are open.

use std::collections::BTreeMap;

use vsphere_model::types::{
    HostFirewallDefaultPolicy, HostFirewallInfo, HostFirewallRule, HostFirewallRuleDirection, HostFirewallRulePortType,
    HostFirewallRuleset, HostFirewallRulesetIpList, HostFirewallRulesetRulesetSpec, NotFound,
};

use super::part;
use crate::call::{Call, Handler, Methods, Reply};
use crate::fault::{Fault, Outcome};
use crate::world::World;

pub(crate) const METHODS: Methods = &[
    ("HostFirewallSystem", "EnableRuleset", Handler::Write(enable)),
    ("HostFirewallSystem", "DisableRuleset", Handler::Write(disable)),
    ("HostFirewallSystem", "UpdateRuleset", Handler::Write(update_ruleset)),
    ("HostFirewallSystem", "UpdateDefaultPolicy", Handler::Write(update_default)),
    ("HostFirewallSystem", "RefreshFirewall", Handler::Read(refresh)),
];

/// A set of ports that goes with a purpose.
struct Ruleset {
    key: &'static str,
    label: &'static str,
    enabled: bool,
    required: bool,
    service: Option<&'static str>,
    rules: &'static [Rule],
}

/// Direction, protocol, first and last port.
type Rule = (Way, &'static str, i32, i32);

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

use Way::{In, Out};

const fn ruleset(
    key: &'static str,
    label: &'static str,
    enabled: bool,
    service: Option<&'static str>,
    rules: &'static [Rule],
) -> Ruleset {
    Ruleset { key, label, enabled, required: false, service, rules }
}

const RULESETS: &[Ruleset] = &[
    ruleset("CIMHttpServer", "CIM Server", true, Some("sfcbd-watchdog"), &[(In, "tcp", 5988, 0)]),
    ruleset("CIMHttpsServer", "CIM Secure Server", true, Some("sfcbd-watchdog"), &[(In, "tcp", 5989, 0)]),
    ruleset("CIMSLP", "CIM SLP", true, None, &[(In, "udp", 427, 0), (Out, "udp", 427, 0), (In, "tcp", 427, 0)]),
    ruleset(
        "activeDirectoryAll",
        "Active Directory All",
        false,
        None,
        &[(Out, "tcp", 88, 0), (Out, "udp", 88, 0), (Out, "tcp", 389, 0), (Out, "tcp", 445, 0)],
    ),
    ruleset("dhcp", "DHCP Client", true, None, &[(In, "udp", 68, 0), (Out, "udp", 68, 0)]),
    ruleset("dns", "DNS Client", true, None, &[(In, "udp", 53, 0), (Out, "udp", 53, 0), (Out, "tcp", 53, 0)]),
    ruleset("fdm", "vSphere High Availability Agent", true, None, &[(In, "tcp", 8182, 0), (Out, "tcp", 8182, 0)]),
    ruleset("faultTolerance", "Fault Tolerance", true, None, &[(Out, "tcp", 80, 0), (In, "tcp", 8300, 0)]),
    ruleset("gdbserver", "gdbserver", false, None, &[(In, "tcp", 1000, 9999), (In, "tcp", 50000, 50999)]),
    ruleset("httpClient", "httpClient", false, None, &[(Out, "tcp", 80, 0), (Out, "tcp", 443, 0)]),
    ruleset("iSCSI", "Software iSCSI Client", false, None, &[(Out, "tcp", 3260, 0)]),
    ruleset("nfsClient", "NFS Client", false, None, &[(Out, "tcp", 0, 65535)]),
    ruleset("nfs41Client", "NFS 4.1 Client", false, None, &[(Out, "tcp", 2049, 0)]),
    ruleset("ntpClient", "NTP Client", true, Some("ntpd"), &[(Out, "udp", 123, 0)]),
    ruleset("ptpd", "PTP Client", false, Some("ptpd"), &[(In, "udp", 319, 320), (Out, "udp", 319, 320)]),
    ruleset("remoteSerialPort", "VM serial port connected over network", false, None, &[(Out, "tcp", 0, 65535)]),
    ruleset("snmp", "SNMP Server", true, Some("snmpd"), &[(In, "udp", 161, 0)]),
    ruleset("sshClient", "SSH Client", false, None, &[(Out, "tcp", 22, 0)]),
    ruleset("sshServer", "SSH Server", true, Some("TSM-SSH"), &[(In, "tcp", 22, 0)]),
    ruleset("syslog", "syslog", true, None, &[(Out, "udp", 514, 0), (Out, "tcp", 514, 0), (Out, "tcp", 1514, 0)]),
    ruleset("updateManager", "vSphere Lifecycle Manager", true, None, &[(Out, "tcp", 80, 0), (Out, "tcp", 9000, 9100)]),
    ruleset("vMotion", "vMotion", true, None, &[(In, "tcp", 8000, 0), (Out, "tcp", 8000, 0)]),
    Ruleset {
        key: "vSphereClient",
        label: "vSphere Web Client",
        enabled: true,
        required: true,
        service: None,
        rules: &[(In, "tcp", 902, 0), (In, "tcp", 443, 0)],
    },
    ruleset("vpxHeartbeats", "VMware vCenter Agent", true, Some("vpxa"), &[(Out, "udp", 902, 0)]),
    ruleset("webAccess", "vSphere Web Access", true, None, &[(In, "tcp", 80, 0)]),
];

/// What differs from the defaults in the firewall of a host.
#[derive(Default)]
pub(in crate::objects) struct Firewall {
    enabled: BTreeMap<&'static str, bool>,
    allowed: BTreeMap<&'static str, HostFirewallRulesetIpList>,
    policy: HostFirewallDefaultPolicy,
}

impl Firewall {
    pub(super) fn info(&self) -> HostFirewallInfo {
        let everyone = || HostFirewallRulesetIpList { all_ip: true, ..Default::default() };
        let describe = |set: &Ruleset| HostFirewallRuleset {
            key: set.key.to_owned(),
            label: set.label.to_owned(),
            required: set.required,
            rule: set.rules.iter().map(describe_rule).collect(),
            service: set.service.map(str::to_owned),
            enabled: self.enabled.get(set.key).copied().unwrap_or(set.enabled),
            allowed_hosts: Some(Box::new(self.allowed.get(set.key).cloned().unwrap_or_else(everyone))),
            user_controllable: Some(!set.required),
            ..Default::default()
        };
        HostFirewallInfo {
            default_policy: HostFirewallDefaultPolicy {
                incoming_blocked: self.policy.incoming_blocked.or(Some(true)),
                outgoing_blocked: self.policy.outgoing_blocked.or(Some(true)),
            },
            ruleset: RULESETS.iter().map(describe).collect(),
        }
    }
}

fn describe_rule(&(way, protocol, port, end): &Rule) -> HostFirewallRule {
    HostFirewallRule {
        port,
        end_port: (end > 0).then_some(end),
        direction: match way {
            In => HostFirewallRuleDirection::Inbound,
            Out => HostFirewallRuleDirection::Outbound,
        },
        port_type: Some(HostFirewallRulePortType::Dst),
        protocol: protocol.to_owned(),
    }
}

fn named(key: &str) -> Outcome<&'static Ruleset> {
    RULESETS
        .iter()
        .find(|set| set.key == key)
        .ok_or_else(|| Fault::new(NotFound::default(), format!("The firewall has no rule set '{key}'.")))
}

fn enable(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key = named(&call.arg::<String>("id")?)?.key;
    part::edit_host(world, call)?.firewall.enabled.insert(key, true);
    Ok(Reply::NONE)
}

fn disable(world: &mut World, call: &Call) -> Outcome<Reply> {
    let set = named(&call.arg::<String>("id")?)?;
    if set.required {
        return Err(Fault::invalid_argument("id"));
    }
    part::edit_host(world, call)?.firewall.enabled.insert(set.key, false);
    Ok(Reply::NONE)
}

fn update_ruleset(world: &mut World, call: &Call) -> Outcome<Reply> {
    let key = named(&call.arg::<String>("id")?)?.key;
    let spec: HostFirewallRulesetRulesetSpec = call.arg("spec")?;
    part::edit_host(world, call)?.firewall.allowed.insert(key, spec.allowed_hosts);
    Ok(Reply::NONE)
}

fn update_default(world: &mut World, call: &Call) -> Outcome<Reply> {
    let policy: HostFirewallDefaultPolicy = call.arg("defaultPolicy")?;
    part::edit_host(world, call)?.firewall.policy = policy;
    Ok(Reply::NONE)
}

fn refresh(world: &World, call: &Call) -> Outcome<Reply> {
    part::host_of(world, call)?;
    Ok(Reply::NONE)
}
