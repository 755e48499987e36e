//! Who a clone is: its host name and address, without a specification that vCenter keeps.

use std::net::Ipv4Addr;

use vsphere_model::types::{
    CustomizationAdapterMapping, CustomizationDhcpIpGenerator, CustomizationFixedIp, CustomizationFixedName,
    CustomizationGlobalIPSettings, CustomizationGuiUnattended, CustomizationIPSettings, CustomizationIdentification,
    CustomizationIdentitySettings, CustomizationIpGenerator, CustomizationLinuxPrep, CustomizationName,
    CustomizationOptions, CustomizationSpec, CustomizationSysprep, CustomizationSysprepRebootOption,
    CustomizationUserData, CustomizationWinOptions, Poly,
};

use crate::error::{Result, invalid};

const OPERATION: &str = "customize";

/// GMT in Sysprep's list of time zones.
const GMT: i32 = 85;

/// Who a clone is on the network. VMware Tools in its source carry it out at the first start.
///
/// ```
/// use vsphere_ops::customization::Identity;
///
/// let web = Identity {
///     address: Some("10.1.20.31/24".into()),
///     gateway: Some("10.1.20.1".into()),
///     dns: vec!["10.1.0.53".into()],
///     ..Identity::named("web-05.corp.example")
/// };
/// assert_eq!(web.host_name.as_deref(), Some("web-05.corp.example"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The host name, with its domain where that matters; the VM's name by default.
    pub host_name: Option<String>,
    /// The IPv4 address of the first network adapter with its prefix, as `10.1.20.31/24`; by DHCP by default, as all other adapters.
    pub address: Option<String>,
    /// The gateway of that adapter.
    pub gateway: Option<String>,
    /// The name servers.
    pub dns: Vec<String>,
}

impl Identity {
    /// That of a host with this name and an address by DHCP.
    ///
    /// ```
    /// use vsphere_ops::customization::Identity;
    ///
    /// assert_eq!(Identity::named("web-05").address, None);
    /// ```
    pub fn named(host_name: &str) -> Self {
        Self { host_name: Some(host_name.to_owned()), ..Self::default() }
    }

    /// What the server is told, for a clone of this name with so many network adapters, in which `guest_id` runs.
    ///
    /// # Errors
    /// `invalid_argument` for what is no host name or address, and for an address of a clone without adapters.
    pub(crate) fn spec(&self, clone: &str, guest_id: &str, adapters: usize) -> Result<CustomizationSpec> {
        let is_windows = guest_id.starts_with("win");
        let given = self.host_name.as_deref().unwrap_or(clone);
        let (host, domain) = given.split_once('.').unwrap_or((given, "localdomain"));
        // Windows has NetBIOS names.
        let longest = if is_windows { 15 } else { 63 };
        let is_label = |label: &str| {
            let good = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            good && !label.is_empty() && label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-')
        };
        if !is_label(host) || host.len() > longest || !domain.split('.').all(is_label) {
            let text = format!(
                "{given:?} is no host name for its guest: it has letters, digits and hyphens, at most {longest} up to the first dot"
            );
            return Err(invalid(OPERATION, text).on(clone));
        }
        let name =
            || Poly::<CustomizationName>::new(CustomizationFixedName { name: host.to_owned(), ..Default::default() });
        let (options, identity) = if is_windows { windows(name()) } else { linux(name(), domain) };
        let first = self.settings(clone)?;
        if adapters == 0 && self.address.is_some() {
            return Err(invalid(OPERATION, "it has no network adapter that could have an address").on(clone));
        }
        let others = std::iter::repeat_with(|| CustomizationIPSettings { ip: by_dhcp(), ..Default::default() });
        let settings = std::iter::once(first).chain(others).take(adapters);
        Ok(CustomizationSpec {
            options,
            identity,
            global_ip_settings: CustomizationGlobalIPSettings {
                dns_server_list: self.servers(clone)?,
                ..Default::default()
            },
            nic_setting_map: settings
                .map(|adapter| CustomizationAdapterMapping { adapter, ..Default::default() })
                .collect(),
            ..Default::default()
        })
    }

    /// Those of the first adapter.
    fn settings(&self, clone: &str) -> Result<CustomizationIPSettings> {
        let wrong = |text: String| Err(invalid(OPERATION, text).on(clone));
        let Some(given) = &self.address else {
            return match &self.gateway {
                Some(_) => wrong("a gateway goes with an address, and without one it comes by DHCP".to_owned()),
                None => Ok(CustomizationIPSettings {
                    ip: by_dhcp(),
                    dns_server_list: self.servers(clone)?,
                    ..Default::default()
                }),
            };
        };
        let parts = given.split_once('/').and_then(|(address, prefix)| {
            let address: Ipv4Addr = address.trim().parse().ok()?;
            let prefix: u32 = prefix.trim().parse().ok().filter(|prefix| (1..=32).contains(prefix))?;
            Some((address, Ipv4Addr::from(u32::MAX << (32 - prefix))))
        });
        let Some((address, mask)) = parts else {
            return wrong(format!("{given:?} is no IPv4 address with a prefix, such as 10.1.20.31/24"));
        };
        let gateway = match &self.gateway {
            None => None,
            Some(gateway) => match gateway.trim().parse::<Ipv4Addr>() {
                Ok(gateway) if (gateway & mask) == (address & mask) => Some(gateway.to_string()),
                Ok(gateway) => return wrong(format!("the gateway {gateway} is not in the network of {given}")),
                Err(_) => return wrong(format!("{gateway:?} is no IPv4 address of a gateway")),
            },
        };
        Ok(CustomizationIPSettings {
            ip: Poly::<CustomizationIpGenerator>::new(CustomizationFixedIp {
                ip_address: address.to_string(),
                ..Default::default()
            }),
            subnet_mask: Some(mask.to_string()),
            gateway: gateway.into_iter().collect(),
            dns_server_list: self.servers(clone)?,
            ..Default::default()
        })
    }

    fn servers(&self, clone: &str) -> Result<Vec<String>> {
        let server = |text: &String| match text.trim().parse::<std::net::IpAddr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err(invalid(OPERATION, format!("{text:?} is no address of a name server")).on(clone)),
        };
        self.dns.iter().map(server).collect()
    }
}

fn by_dhcp() -> Poly<CustomizationIpGenerator> {
    Poly::new(CustomizationDhcpIpGenerator::default())
}

type Settings = (Option<Poly<CustomizationOptions>>, Poly<CustomizationIdentitySettings>);

fn linux(host_name: Poly<CustomizationName>, domain: &str) -> Settings {
    let linux =
        CustomizationLinuxPrep { host_name, domain: domain.to_owned(), hw_clock_utc: Some(true), ..Default::default() };
    (None, Poly::new(linux))
}

/// A new security identifier, and a workgroup. The password of the administrator stays that of the source.
fn windows(computer_name: Poly<CustomizationName>) -> Settings {
    let options = CustomizationWinOptions {
        change_sid: true,
        reboot: Some(CustomizationSysprepRebootOption::Reboot),
        ..Default::default()
    };
    let sysprep = CustomizationSysprep {
        gui_unattended: CustomizationGuiUnattended { time_zone: GMT, ..Default::default() },
        user_data: CustomizationUserData {
            full_name: "Administrator".to_owned(),
            org_name: "Organization".to_owned(),
            computer_name,
            ..Default::default()
        },
        identification: CustomizationIdentification {
            join_workgroup: Some("WORKGROUP".to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    (Some(Poly::new(options)), Poly::new(sysprep))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure report")]

    use super::*;

    fn fixed() -> Identity {
        Identity {
            host_name: None,
            address: Some("10.1.20.31/22".into()),
            gateway: Some("10.1.23.1".into()),
            dns: vec!["10.1.0.53".into(), "fd00::53".into()],
        }
    }

    #[test]
    fn the_first_adapter_has_the_address_and_the_others_ask() {
        let spec = fixed().spec("web-05", "ubuntu64Guest", 2).unwrap();
        let linux = spec.identity.downcast_ref::<CustomizationLinuxPrep>().unwrap();
        assert_eq!(linux.host_name.downcast_ref::<CustomizationFixedName>().unwrap().name, "web-05");
        assert_eq!((linux.domain.as_str(), spec.options.is_none()), ("localdomain", true));
        let [first, second] = spec.nic_setting_map.as_slice() else { panic!("{spec:?}") };
        assert_eq!(first.adapter.ip.downcast_ref::<CustomizationFixedIp>().unwrap().ip_address, "10.1.20.31");
        assert_eq!(first.adapter.subnet_mask.as_deref(), Some("255.255.252.0"));
        assert_eq!(first.adapter.gateway, ["10.1.23.1"]);
        assert!(second.adapter.ip.downcast_ref::<CustomizationDhcpIpGenerator>().is_some());
        assert_eq!(spec.global_ip_settings.dns_server_list, ["10.1.0.53", "fd00::53"]);
    }

    #[test]
    fn windows_is_prepared_by_sysprep() {
        let spec = Identity::named("crm.corp.example").spec("x", "windows2022srvNext_64Guest", 1).unwrap();
        let sysprep = spec.identity.downcast_ref::<CustomizationSysprep>().unwrap();
        assert_eq!(sysprep.user_data.computer_name.downcast_ref::<CustomizationFixedName>().unwrap().name, "crm");
        assert_eq!(sysprep.identification.join_workgroup.as_deref(), Some("WORKGROUP"));
        assert!(spec.options.unwrap().downcast_ref::<CustomizationWinOptions>().unwrap().change_sid);
    }

    #[test]
    fn what_can_not_be_says_why() {
        let with = |change: fn(&mut Identity)| {
            let mut identity = fixed();
            change(&mut identity);
            identity
        };
        for (identity, guest, adapters, says) in [
            (with(|it| it.host_name = Some("web_05".into())), "ubuntu64Guest", 1, "no host name"),
            (with(|it| it.host_name = Some("-web".into())), "ubuntu64Guest", 1, "no host name"),
            (with(|it| it.host_name = Some("a-long-windows-name".into())), "windows9_64Guest", 1, "at most 15"),
            (with(|it| it.address = Some("10.1.20.31".into())), "ubuntu64Guest", 1, "with a prefix"),
            (with(|it| it.address = Some("10.1.20.31/33".into())), "ubuntu64Guest", 1, "with a prefix"),
            (with(|it| it.address = Some("fd00::1/64".into())), "ubuntu64Guest", 1, "with a prefix"),
            (with(|it| it.gateway = Some("10.9.0.1".into())), "ubuntu64Guest", 1, "not in the network"),
            (with(|it| it.address = None), "ubuntu64Guest", 1, "a gateway goes with an address"),
            (with(|it| it.dns = vec!["ns1".into()]), "ubuntu64Guest", 1, "no address of a name server"),
            (fixed(), "ubuntu64Guest", 0, "no network adapter"),
        ] {
            let error = identity.spec("web-05", guest, adapters).unwrap_err();
            assert_eq!(error.code(), "invalid_argument");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
