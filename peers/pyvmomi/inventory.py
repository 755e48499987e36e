"""Reads five properties of all virtual machines the way pyVmomi's own samples do, and prints how many there are and a
checksum of the values. It is the peer that `cargo xtask bench inventory` measures beside ours."""


from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim, vmodl

PROPERTIES = [
    "name",
    "runtime.powerState",
    "summary.config.numCpu",
    "summary.config.memorySizeMB",
    "summary.config.guestFullName",
]


def pages(content, view):
    """The server's answer, page by page."""
    collector = vmodl.query.PropertyCollector
    traversal = collector.TraversalSpec(name="view", path="view", skip=False, type=type(view))
    spec = collector.FilterSpec(
        objectSet=[collector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=PROPERTIES, all=False)],
    )
    page = content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
    while page is not None:
        yield page.objects
        page = content.propertyCollector.ContinueRetrievePropertiesEx(page.token) if page.token else None


def main():
    service = connect()
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    machines = [
        {prop.name: prop.val for prop in machine.propSet}
        for objects in pages(content, view)
        for machine in objects
    ]
    checksum = sum(
        len(value.encode()) if isinstance(value, str) else value for machine in machines for value in machine.values()
    )
    print(len(machines), checksum)
    view.Destroy()
    Disconnect(service)


main()
