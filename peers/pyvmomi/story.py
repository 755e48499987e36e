"""Works with a vCenter the way scripts on pyVmomi do, and prints what it saw as JSON: one object, an entry a chapter. It
changes the inventory, and is for a simulated server alone.

Expects `prod-cluster`, `web-01` (on, with Tools), `tpl-ubuntu-24.04` and the datastore `nvme-01`."""

import datetime
import json
import threading

from connection import connect
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

collector = vmodl.query.PropertyCollector


def find(content, kind, name):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return next(entity for entity in view.view if entity.name == name)
    finally:
        view.Destroy()


def about(content):
    return {"api": content.about.apiType, "version": content.about.apiVersion}


def listing(content):
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    traversal = collector.TraversalSpec(name="view", path="view", skip=False, type=type(view))
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["name", "config.hardware.numCPU"])],
    )
    seen = {}
    page = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions(maxObjects=10))
    pages = 0
    while page is not None:
        pages += 1
        for item in page.objects:
            values = {value.name: value.val for value in item.propSet}
            seen[values["name"]] = values["config.hardware.numCPU"]
        page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    view.Destroy()
    return {"machines": len(seen), "pages": pages, "web-01": seen["web-01"]}


def reads(content):
    vm = find(content, vim.VirtualMachine, "web-01")
    devices = vm.config.hardware.device
    disks = [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
    cards = [device for device in devices if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    return {
        "power": str(vm.runtime.powerState),
        "tools": str(vm.guest.toolsRunningStatus),
        "address": vm.guest.ipAddress,
        "host": vm.runtime.host.name,
        "cluster": vm.runtime.host.parent.name,
        "disk": disks[0].deviceInfo.label,
        "card": type(cards[0]).__name__,
        "summary": [vm.summary.config.numCpu, vm.summary.config.memorySizeMB],
        "datastore": vm.datastore[0].summary.type,
    }


def clone(content):
    template = find(content, vim.VirtualMachine, "tpl-ubuntu-24.04")
    cluster = find(content, vim.ClusterComputeResource, "prod-cluster")
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=cluster.resourcePool), powerOn=True, template=False)
    task = template.Clone(template.parent, "py-clone", spec)
    WaitForTask(task)
    vm = task.info.result
    return {"name": vm.name, "power": str(vm.runtime.powerState), "template": vm.config.template}


def reconfigure(content):
    vm = find(content, vim.VirtualMachine, "py-clone")
    controller = next(d for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualSCSIController))
    disk = vim.vm.device.VirtualDisk(
        key=-1,
        controllerKey=controller.key,
        unitNumber=5,
        capacityInKB=4 * 1024 * 1024,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode="persistent", thinProvisioned=True),
    )
    change = vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk)
    WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="by pyVmomi", deviceChange=[change])))
    added = next(d for d in vm.config.hardware.device if getattr(d, "unitNumber", None) == 5 and d.controllerKey == controller.key)
    taken = "nothing"
    try:
        WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    except vmodl.MethodFault as fault:
        taken = type(fault).__name__
    return {
        "annotation": vm.config.annotation,
        "label": added.deviceInfo.label,
        "kb": added.capacityInKB,
        "file": added.backing.fileName.endswith(".vmdk"),
        "taken_unit": taken,
    }


def snapshots(content):
    vm = find(content, vim.VirtualMachine, "py-clone")
    WaitForTask(vm.CreateSnapshot_Task("first", "", False, False))
    WaitForTask(vm.CreateSnapshot_Task("second", "", False, False))
    tree = vm.snapshot.rootSnapshotList
    names = [tree[0].name, tree[0].childSnapshotList[0].name]
    WaitForTask(tree[0].snapshot.RemoveSnapshot_Task(True))
    return {"names": names, "left": vm.snapshot is None}


def updates(content):
    """A filter on a machine, changed meanwhile by another thread."""
    vm = find(content, vim.VirtualMachine, "py-clone")
    own = content.propertyCollector.CreatePropertyCollector()
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=vm)],
        propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState", "name"])],
    )
    own.CreateFilter(spec, True)
    first = own.WaitForUpdatesEx("", collector.WaitOptions(maxWaitSeconds=10))
    changes = []
    threading.Thread(target=lambda: WaitForTask(vm.PowerOff())).start()
    version = first.version
    while not any(value == "poweredOff" for _, value in changes):
        update = own.WaitForUpdatesEx(version, collector.WaitOptions(maxWaitSeconds=10))
        if update is None:
            break
        version = update.version
        for filter_update in update.filterSet:
            for item in filter_update.objectSet:
                changes += [(change.name, str(change.val)) for change in item.changeSet]
    own.Destroy()
    return {"first": len(first.filterSet[0].objectSet[0].changeSet), "changes": changes}


def faults(content):
    vm = find(content, vim.VirtualMachine, "py-clone")
    try:
        WaitForTask(vm.PowerOff())
        return "no fault"
    except vim.fault.InvalidPowerState as fault:
        return [type(fault).__name__, str(fault.existingState)]


def events(content):
    vm = find(content, vim.VirtualMachine, "py-clone")
    by_entity = vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")
    found = content.eventManager.QueryEvents(vim.event.EventFilterSpec(entity=by_entity))
    return sorted({type(event).__name__.rpartition(".")[2] for event in found})


def performance(content):
    manager = content.perfManager
    names = {f"{c.groupInfo.key}.{c.nameInfo.key}.{c.rollupType}": c.key for c in manager.perfCounter}
    host = find(content, vim.VirtualMachine, "web-01").runtime.host
    metric = vim.PerformanceManager.MetricId(counterId=names["cpu.usage.average"], instance="")
    query = vim.PerformanceManager.QuerySpec(entity=host, metricId=[metric], intervalId=20, maxSample=5)
    answer = manager.QueryPerf(querySpec=[query])
    values = answer[0].value[0].value
    return {"samples": len(values), "plausible": all(0 < value <= 10000 for value in values)}


def files(content):
    browser = find(content, vim.Datastore, "nvme-01").browser
    spec = vim.host.DatastoreBrowser.SearchSpec(
        matchPattern=["*.vmdk"], details=vim.host.DatastoreBrowser.FileInfo.Details(fileSize=True, fileType=True)
    )
    task = browser.SearchDatastore_Task("[nvme-01] web-01", spec)
    WaitForTask(task)
    return [[entry.path, type(entry).__name__.rpartition(".")[2]] for entry in task.info.result.file]


def destroy(content):
    vm = find(content, vim.VirtualMachine, "py-clone")
    WaitForTask(vm.Destroy_Task())
    try:
        return vm.name
    except vmodl.fault.ManagedObjectNotFound:
        return "gone"


def main():
    service = connect()
    content = service.RetrieveContent()
    skew = datetime.datetime.now(datetime.timezone.utc) - service.CurrentTime()
    story = {"clock_skew_seconds": abs(round(skew.total_seconds()))}
    chapters = [about, listing, reads, clone, reconfigure, snapshots, updates, faults, events, performance, files, destroy]
    for chapter in chapters:
        story[chapter.__name__] = chapter(content)
    Disconnect(service)
    print(json.dumps(story))


main()
