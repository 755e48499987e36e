"""Deploys an OVF and an OVA, and exports a VM, the way the pyvmomi community samples deploy_ovf, deploy_ova and export_vm do.
Makes the packages itself, and prints what it saw as JSON. It changes the inventory, and is for a simulated server alone.

Expects one datacenter, one cluster, the datastore `DC0_DS0` and the network `VM Network`."""

import hashlib
import json
import os
import random
import ssl
import struct
import tarfile
import tempfile
import threading
import time
from urllib.request import Request, urlopen

from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim, vmodl

DESCRIPTOR = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References>
    <File ovf:href="one.vmdk" ovf:id="file1" ovf:size="{sizes[0]}"/>
    <File ovf:href="two.vmdk" ovf:id="file2" ovf:size="{sizes[1]}"/>
  </References>
  <DiskSection><Info>Disks</Info>
    <Disk ovf:capacity="64" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1"/>
    <Disk ovf:capacity="32" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk2" ovf:fileRef="file2"/>
  </DiskSection>
  <NetworkSection><Info>Networks</Info><Network ovf:name="Front"><Description>Front</Description></Network></NetworkSection>
  <VirtualSystem ovf:id="py"><Info>A VM</Info><Name>py</Name>
    <OperatingSystemSection ovf:id="101"><Info>Guest</Info></OperatingSystemSection>
    <VirtualHardwareSection><Info>Hardware</Info>
      <Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk2</rasd:HostResource><rasd:InstanceID>5</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:Connection>Front</rasd:Connection><rasd:InstanceID>6</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""

unverified = ssl._create_unverified_context()


def disk(seed, length):
    """A disk for streaming by its first bytes; the rest can't be packed."""
    head = struct.pack("<4sIIQQQQIQQQ?4sH", b"KDMV", 3, 0x30001, 131072, 128, 1, 20, 512, 0, 2**64 - 1, 128, False, b"\n \r\n", 1)
    return head.ljust(512, b"\0") + random.Random(seed).randbytes(length - 512)


def find(content, kind, name=None):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return next(entity for entity in view.view if name is None or entity.name == name)
    finally:
        view.Destroy()


class KeepAlive(threading.Thread):
    def __init__(self, lease):
        super().__init__(daemon=True)
        self.lease = lease
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.2):
            try:
                self.lease.HttpNfcLeaseProgress(50)
            except vmodl.MethodFault:
                return

    def stop(self):
        self.ended.set()
        self.join()


def import_spec(content, descriptor, name):
    network = find(content, vim.Network, "VM Network")
    mapping = vim.OvfManager.NetworkMapping(name="Front", network=network)
    params = vim.OvfManager.CreateImportSpecParams(entityName=name, networkMapping=[mapping], diskProvisioning="thin")
    pool = find(content, vim.ClusterComputeResource).resourcePool
    store = find(content, vim.Datastore, "DC0_DS0")
    return pool, content.ovfManager.CreateImportSpec(descriptor, pool, store, params)


def deploy(content, descriptor, name, files):
    """As deploy_ova does: the files by their device's key, by POST."""
    pool, spec = import_spec(content, descriptor, name)
    assert not spec.error, spec.error
    lease = pool.ImportVApp(spec.importSpec, find(content, vim.Datacenter).vmFolder)
    while lease.state == vim.HttpNfcLease.State.initializing:
        time.sleep(0.05)
    assert lease.state == vim.HttpNfcLease.State.ready, lease.error
    alive = KeepAlive(lease)
    alive.start()
    for item in spec.fileItem:
        url = next(device.url for device in lease.info.deviceUrl if device.importKey == item.deviceId)
        body = files[item.path]
        request = Request(url, body, {"Content-length": len(body), "Content-Type": "application/x-vnd.vmware-streamVmdk"})
        urlopen(request, context=unverified).read()
    alive.stop()
    lease.HttpNfcLeaseComplete()
    vm = find(content, vim.VirtualMachine, name)
    return {"cpus": vm.config.hardware.numCPU, "network": vm.network[0].name, "state": str(lease.state)}


def ovf(content, folder, disks):
    with open(os.path.join(folder, "py.ovf"), "rb") as descriptor:
        return deploy(content, descriptor.read().decode(), "py-ovf", disks)


def ova(content, folder, disks):
    with tarfile.open(os.path.join(folder, "py.ova")) as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    return deploy(content, read.pop("py.ovf").decode(), "py-ova", read)


def export(content, folder, disks):
    vm = find(content, vim.VirtualMachine, "py-ova")
    lease = vm.ExportVm()
    while lease.state == vim.HttpNfcLease.State.initializing:
        time.sleep(0.05)
    alive = KeepAlive(lease)
    alive.start()
    files, sums = [], []
    for device in lease.info.deviceUrl:
        if not device.targetId:
            continue
        body = urlopen(device.url, context=unverified).read()
        if device.disk:
            sums.append(hashlib.sha1(body).hexdigest())
        files.append(vim.OvfManager.OvfFile(deviceId=device.key, path=device.targetId, size=len(body)))
    manifest = lease.HttpNfcLeaseGetManifest()
    params = vim.OvfManager.CreateDescriptorParams(name="py-ova", ovfFiles=files)
    created = content.ovfManager.CreateDescriptor(obj=vm, cdp=params)
    assert not created.error, created.error
    alive.stop()
    lease.HttpNfcLeaseComplete()
    parsed = content.ovfManager.ParseDescriptor(created.ovfDescriptor, vim.OvfManager.ParseDescriptorParams(locale="", deploymentOption=""))
    return {
        "same": sums == [hashlib.sha1(body).hexdigest() for body in disks.values()],
        "manifest": [entry.sha1 for entry in manifest if entry.disk] == sums,
        "networks": [network.name for network in parsed.network],
    }


def refusals(content, folder, disks):
    _, spec = import_spec(content, "<Envelope/>", "x")
    # A list of localized faults is one of faults here.
    seen = [type(error).__name__.rpartition(".")[2] for error in spec.error]
    vm = find(content, vim.VirtualMachine, "py-ova")
    lease = vm.ExportVm()
    try:
        vm.PowerOn()
    except vim.fault.TaskInProgress:
        seen.append("locked")
    lease.HttpNfcLeaseAbort()
    try:
        lease.HttpNfcLeaseComplete()
    except vim.fault.InvalidState:
        seen.append("ended")
    return seen


def main():
    service = connect()
    content = service.RetrieveContent()
    disks = {"one.vmdk": disk(1, 400_000), "two.vmdk": disk(2, 90_000)}
    with tempfile.TemporaryDirectory() as folder:
        descriptor = DESCRIPTOR.format(sizes=[len(body) for body in disks.values()])
        with open(os.path.join(folder, "py.ovf"), "w") as file:
            file.write(descriptor)
        for name, body in disks.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(body)
        with tarfile.open(os.path.join(folder, "py.ova"), "w") as archive:
            for name in ["py.ovf", *disks]:
                archive.add(os.path.join(folder, name), name)
        chapters = [ovf, ova, export, refusals]
        story = {chapter.__name__: chapter(content, folder, disks) for chapter in chapters}
    Disconnect(service)
    print(json.dumps(story))


main()
