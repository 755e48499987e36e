"""Prints as JSON what a script on pyVmomi sees of folders, resource pools, and the rules and groups of clusters. It changes
nothing."""

import json

from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim


def each(content, kind):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return list(view.view)
    finally:
        view.Destroy()


def cpu(pool):
    allocation = pool.config.cpuAllocation
    return [allocation.reservation, allocation.limit, allocation.expandableReservation, allocation.shares.shares]


def cluster(found):
    config = found.configurationEx
    # The name of the type without its module's wrapper.
    rules = [[rule.name, type(rule).__name__, rule.enabled, bool(rule.mandatory)] for rule in config.rule]
    groups = {
        group.name: [member.name for member in (group.vm if isinstance(group, vim.cluster.VmGroup) else group.host)]
        for group in config.group
    }
    return {"rules": rules, "groups": groups}


def facts(found):
    config, summary = found.configurationEx, found.summary
    return {
        "hosts": sorted(host.name for host in found.host),
        "usable": summary.numEffectiveHosts,
        "cores": summary.numCpuCores,
        "mhz": summary.totalCpu,
        "bytes": summary.totalMemory,
        "drs": [config.drsConfig.enabled, config.drsConfig.defaultVmBehavior],
        "ha": config.dasConfig.enabled,
        "recommended": {one.key: [step.target.name for step in one.action] for one in found.recommendation},
        "where": {vm.name: vm.runtime.host.name for host in found.host for vm in host.vm},
    }


def main():
    service = connect()
    try:
        content = service.RetrieveContent()
        folders = {folder.name: [child.name for child in folder.childEntity] for folder in each(content, vim.Folder)}
        pools = {
            pool.name: {"parent": pool.parent.name, "vms": [vm.name for vm in pool.vm], "cpu": cpu(pool)}
            for pool in each(content, vim.ResourcePool)
            if pool.name != "Resources"
        }
        clusters = {found.name: cluster(found) for found in each(content, vim.ClusterComputeResource)}
        all_facts = {found.name: facts(found) for found in each(content, vim.ClusterComputeResource)}
        print(json.dumps({"folders": folders, "pools": pools, "clusters": clusters, "facts": all_facts}))
    finally:
        Disconnect(service)


main()
