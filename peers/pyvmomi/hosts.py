"""Prints what pyVmomi sees of one host, as JSON: its services, clock, state and adapters. It changes nothing.

The environment variable `HOST` names the host."""

import json
import os

from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim


def main():
    service = connect()
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.HostSystem], True)
    host = next(host for host in view.view if host.name == os.environ["HOST"])
    view.Destroy()
    known = host.configManager.serviceSystem.serviceInfo.service
    clock = host.configManager.dateTimeSystem.dateTimeInfo
    network = host.config.network
    print(json.dumps({
        "services": {one.key: [one.running, one.policy] for one in known},
        "ntp": list(clock.ntpConfig.server),
        "protocol": clock.systemClockProtocol,
        "maintenance": host.runtime.inMaintenanceMode,
        "connection": str(host.runtime.connectionState),
        "power": str(host.runtime.powerState),
        "vms": sorted(vm.name for vm in host.vm),
        "serial": host.hardware.systemInfo.serialNumber,
        "links": [nic.linkSpeed.speedMb if nic.linkSpeed else None for nic in network.pnic],
        "addresses": [nic.spec.ip.ipAddress for nic in network.vnic],
        "ipv6": [nic.spec.ip.ipV6Config.ipV6Address[0].ipAddress for nic in network.vnic],
        "switches": [switch.name for switch in network.vswitch] + [switch.dvsName for switch in network.proxySwitch],
    }))
    Disconnect(service)


main()
