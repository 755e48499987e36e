"""Reads every property of every managed object that can be reached from the service content, each type by the list of its
properties in pyVmomi, and prints how many there were and what the server refused. Whatever pyVmomi can't read is an error."""


import json
from collections import Counter

from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import DataObject, ManagedObject


def references(value):
    """The managed objects in a value, at any depth."""
    if isinstance(value, ManagedObject):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, DataObject):
        for prop in value._GetPropertyList():
            yield from references(getattr(value, prop.name))


def read(collector, objects):
    """All properties of objects of one type."""
    kind = type(objects[0])
    paths = [prop.name for prop in kind._GetPropertyList()]
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=it) for it in objects],
        propSet=[vmodl.query.PropertyCollector.PropertySpec(type=kind, pathSet=paths, all=False)],
    )
    page = collector.RetrievePropertiesEx([spec], vmodl.query.PropertyCollector.RetrieveOptions())
    while page is not None:
        yield from page.objects
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None


def main():
    service = connect()
    content = service.RetrieveContent()
    collector = content.propertyCollector
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.ManagedEntity], True)
    # The collector and the service instance have no properties that it would tell of itself.
    known = {(type(it), it._moId): it for it in [*references(content), *view.view]}
    todo = list(known.values())
    objects, entities, properties, refused = Counter(), 0, 0, Counter()
    while todo:
        kind = type(todo[0])
        batch, todo = [it for it in todo if type(it) is kind], [it for it in todo if type(it) is not kind]
        if not kind._GetPropertyList():
            objects[kind.__name__] += len(batch)
            continue
        for item in read(collector, batch):
            objects[kind.__name__] += 1
            entities += isinstance(item.obj, vim.ManagedEntity)
            for missing in item.missingSet:
                refused[f"{kind.__name__}.{missing.path}: {type(missing.fault.fault or missing.fault).__name__}"] += 1
            for prop in item.propSet:
                properties += 1
                for it in references(prop.val):
                    if known.setdefault((type(it), it._moId), it) is it:
                        todo.append(it)
    # One object of each type the way scripts do it, a request for each property.
    single = 0
    for it in {type(it): it for it in known.values()}.values():
        for prop in it._GetPropertyList():
            getattr(it, prop.name)
            single += 1
    print(json.dumps({
        "objects": sum(objects.values()),
        "types": len(objects),
        "entities": entities,
        "properties": properties,
        "one_by_one": single,
        "refused": refused,
    }))
    view.Destroy()
    Disconnect(service)


main()
