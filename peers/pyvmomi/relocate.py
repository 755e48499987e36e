"""Checks and relocates VMs the way scripts on pyVmomi do, and prints what it saw as JSON: one object, an entry a chapter. It
changes the inventory, and is for a simulated server alone.

Expects the demo inventory: `web-01` and `web-02` (on, in `prod-cluster`), `web-04` (off), and the older `esx-05` of the lab."""

import json

from connection import connect
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim


def find(content, kind, name):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return next(entity for entity in view.view if entity.name == name)
    finally:
        view.Destroy()


def fault_names(results):
    return [[type(error).__name__ for error in result.error] for result in results]


def done(task):
    WaitForTask(task)
    return task.info.result


def moved(content, lab):
    vm = find(content, vim.VirtualMachine, "web-04")
    datastore = find(content, vim.Datastore, "lab-ssd")
    network = find(content, vim.dvs.DistributedVirtualPortgroup, "lab")
    spec = vim.vm.RelocateSpec(host=lab, pool=lab.parent.resourcePool, datastore=datastore)
    for device in vm.config.hardware.device:
        if isinstance(device, vim.vm.device.VirtualDisk):
            backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
                fileName="", diskMode="persistent", thinProvisioned=False, eagerlyScrub=True
            )
            spec.disk.append(
                vim.vm.RelocateSpec.DiskLocator(diskId=device.key, datastore=datastore, diskBackingInfo=backing)
            )
        if isinstance(device, vim.vm.device.VirtualEthernetCard):
            port = vim.dvs.PortConnection(
                portgroupKey=network.key, switchUuid=network.config.distributedVirtualSwitch.uuid
            )
            device.backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
            operation = vim.vm.device.VirtualDeviceSpec.Operation.edit
            spec.deviceChange.append(vim.vm.device.VirtualDeviceSpec(operation=operation, device=device))
    done(vm.RelocateVM_Task(spec, vim.VirtualMachine.MovePriority.highPriority))
    disk = next(device for device in vm.config.hardware.device if isinstance(device, vim.vm.device.VirtualDisk))
    return {
        "host": vm.runtime.host.name,
        "cluster": vm.runtime.host.parent.name,
        "datastores": [datastore.name for datastore in vm.datastore],
        "network": vm.network[0].name,
        "thin": disk.backing.thinProvisioned,
        "eager": disk.backing.eagerlyScrub,
        "gb": disk.capacityInKB >> 20,
        "folder": vm.parent.name,
    }


def hot(content):
    vm = find(content, vim.VirtualMachine, "web-02")
    before = vm.runtime.host
    to = next(host for host in before.parent.host if host != before)
    done(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=to)))
    return {"power": str(vm.runtime.powerState), "moved": vm.runtime.host == to and vm in to.vm and vm not in before.vm}


def main():
    instance = connect()
    try:
        content = instance.RetrieveContent()
        checker = content.vmProvisioningChecker
        web = find(content, vim.VirtualMachine, "web-01")
        lab = find(content, vim.HostSystem, "esx-05.corp.example")
        everything = vim.vm.RelocateSpec(
            host=lab, pool=lab.parent.resourcePool, datastore=find(content, vim.Datastore, "lab-ssd")
        )
        story = {"check": fault_names(done(checker.CheckRelocate_Task(web, everything)))}
        story["compatible"] = fault_names(done(checker.QueryVMotionCompatibilityEx_Task([web], [lab])))
        try:
            done(web.RelocateVM_Task(everything))
        except vim.fault.VimFault as fault:
            story["refused"] = type(fault).__name__
        story["moved"] = moved(content, lab)
        story["hot"] = hot(content)
        print(json.dumps(story))
    finally:
        Disconnect(instance)


main()
