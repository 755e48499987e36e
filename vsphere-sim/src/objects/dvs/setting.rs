//! What ports are like: the settings of a switch, and those of its port groups over them.

use vsphere_model::types::{
    BoolPolicy, DVPortSetting, DVSFailureCriteria, DVSMacLearningPolicy, DVSMacManagementPolicy, DVSSecurityPolicy,
    DVSTrafficShapingPolicy, DVSVendorSpecificConfig, DvsFilterPolicy, IntPolicy, LongPolicy, Poly, StringPolicy,
    VMwareDVSPortSetting, VMwareUplinkLacpPolicy, VMwareUplinkPortOrderPolicy,
    VmwareDistributedVirtualSwitchVlanIdSpec, VmwareUplinkPortTeamingPolicy,
};

/// Bits a second at which a port is held once shaping is on, and the bytes of a burst.
const BANDWIDTH: i64 = 100_000_000;
const BURST: i64 = 104_857_600;

/// How many addresses a port learns once it may.
const ADDRESSES: i32 = 4096;

fn switch(value: bool) -> Option<Box<BoolPolicy>> {
    Some(Box::new(BoolPolicy { value: Some(value), ..Default::default() }))
}

fn number(value: i32) -> Option<Box<IntPolicy>> {
    Some(Box::new(IntPolicy { value: Some(value), ..Default::default() }))
}

fn text(value: &str) -> Option<Box<StringPolicy>> {
    Some(Box::new(StringPolicy { value: Some(value.to_owned()), ..Default::default() }))
}

fn shaping() -> DVSTrafficShapingPolicy {
    let rate = |value| Some(Box::new(LongPolicy { value: Some(value), ..Default::default() }));
    DVSTrafficShapingPolicy {
        enabled: switch(false),
        average_bandwidth: rate(BANDWIDTH),
        peak_bandwidth: rate(BANDWIDTH),
        burst_size: rate(BURST),
        ..Default::default()
    }
}

fn teaming() -> VmwareUplinkPortTeamingPolicy {
    VmwareUplinkPortTeamingPolicy {
        policy: text("loadbalance_srcid"),
        reverse_policy: switch(true),
        notify_switches: switch(true),
        rolling_order: switch(false),
        failure_criteria: Some(Box::new(DVSFailureCriteria {
            check_speed: text("minimum"),
            speed: number(10),
            check_duplex: switch(false),
            full_duplex: switch(false),
            check_error_percent: switch(false),
            percentage: number(0),
            check_beacon: switch(false),
            ..Default::default()
        })),
        uplink_port_order: Some(Box::new(VMwareUplinkPortOrderPolicy {
            active_uplink_port: (1..=4).map(|number| format!("Uplink {number}")).collect(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// What the ports of a switch are like where nobody has said otherwise.
pub(super) fn default_setting() -> VMwareDVSPortSetting {
    VMwareDVSPortSetting {
        base: DVPortSetting {
            blocked: switch(false),
            vm_direct_path_gen2_allowed: switch(false),
            in_shaping_policy: Some(Box::new(shaping())),
            out_shaping_policy: Some(Box::new(shaping())),
            vendor_specific_config: Some(Box::new(DVSVendorSpecificConfig::default())),
            network_resource_pool_key: text("-1"),
            filter_policy: Some(Box::new(DvsFilterPolicy::default())),
        },
        vlan: Some(Poly::new(VmwareDistributedVirtualSwitchVlanIdSpec::default())),
        qos_tag: number(-1),
        uplink_teaming_policy: Some(Box::new(teaming())),
        security_policy: Some(Box::new(DVSSecurityPolicy {
            allow_promiscuous: switch(false),
            mac_changes: switch(false),
            forged_transmits: switch(false),
            ..Default::default()
        })),
        ipfix_enabled: switch(false),
        tx_uplink: switch(false),
        lacp_policy: Some(Box::new(VMwareUplinkLacpPolicy {
            enable: switch(false),
            mode: text("passive"),
            ..Default::default()
        })),
        mac_management_policy: Some(Box::new(DVSMacManagementPolicy {
            allow_promiscuous: Some(false),
            mac_changes: Some(false),
            forged_transmits: Some(false),
            mac_learning_policy: Some(Box::new(DVSMacLearningPolicy {
                enabled: false,
                allow_unicast_flooding: Some(true),
                limit: Some(ADDRESSES),
                limit_policy: Some("DROP".to_owned()),
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Takes what is set; the rest stays.
macro_rules! take {
    ($from:expr, $to:expr, $($field:ident),+) => {
        $(if $from.$field.is_some() { $to.$field = $from.$field.clone(); })+
    };
}

/// The same of policies, of which parts may be set.
macro_rules! take_parts {
    ($from:expr, $to:expr, $field:ident: $($part:ident),+) => {
        if let Some(from) = &$from.$field {
            let to = $to.$field.get_or_insert_default();
            to.base = from.base.clone();
            take!(from, to, $($part),+);
        }
    };
}

/// A setting of ports over another one: what it does not set is as there.
pub(super) fn over(own: Option<&Poly<DVPortSetting>>, outer: &Poly<DVPortSetting>) -> Poly<DVPortSetting> {
    let mut setting = outer.downcast_ref::<VMwareDVSPortSetting>().cloned().unwrap_or_default();
    let Some(own) = own else { return Poly::new(setting) };
    take!(own, setting, blocked, vm_direct_path_gen2_allowed, vendor_specific_config, network_resource_pool_key);
    take!(own, setting, filter_policy);
    take_parts!(own, setting, in_shaping_policy: enabled, average_bandwidth, peak_bandwidth, burst_size);
    take_parts!(own, setting, out_shaping_policy: enabled, average_bandwidth, peak_bandwidth, burst_size);
    if let Some(own) = own.downcast_ref::<VMwareDVSPortSetting>() {
        take!(own, setting, vlan, qos_tag, ipfix_enabled, tx_uplink, vni);
        take_parts!(own, setting, uplink_teaming_policy: policy, reverse_policy, notify_switches, rolling_order);
        take_parts!(own, setting, uplink_teaming_policy: failure_criteria, uplink_port_order);
        take_parts!(own, setting, lacp_policy: enable, mode);
        take_security(own, &mut setting);
    }
    Poly::new(setting)
}

/// Two policies say who may pretend to be another: the older one and, since switches of version 6.6, that of addresses. Each
/// follows the other.
fn take_security(own: &VMwareDVSPortSetting, setting: &mut VMwareDVSPortSetting) {
    take_parts!(own, setting, security_policy: allow_promiscuous, mac_changes, forged_transmits);
    take_parts!(own, setting, mac_management_policy: allow_promiscuous, mac_changes, forged_transmits);
    take_parts!(own, setting, mac_management_policy: mac_learning_policy);
    let (Some(older), Some(newer)) = (&mut setting.security_policy, &mut setting.mac_management_policy) else { return };
    if own.mac_management_policy.is_some() {
        older.allow_promiscuous = newer.allow_promiscuous.and_then(switch);
        older.mac_changes = newer.mac_changes.and_then(switch);
        older.forged_transmits = newer.forged_transmits.and_then(switch);
    } else if own.security_policy.is_some() {
        let value = |policy: &Option<Box<BoolPolicy>>| policy.as_ref().and_then(|policy| policy.value);
        newer.allow_promiscuous = value(&older.allow_promiscuous);
        newer.mac_changes = value(&older.mac_changes);
        newer.forged_transmits = value(&older.forged_transmits);
    }
}
