"""Manages tags by the vSphere Automation SDK for Python, which speaks JSON-RPC, and prints what came of it as JSON."""

import json
import os
import warnings

warnings.simplefilter("ignore")

import requests
import urllib3
from com.vmware.cis.tagging_client import Category, CategoryModel, Tag, TagAssociation
from com.vmware.vapi.std.errors_client import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    OperationNotFound,
    Unauthenticated,
    Unauthorized,
)
from com.vmware.vapi.std_client import DynamicID
from com.vmware.vcenter.tagging_client import Associations, Categories, Tags
from vmware.vapi.vsphere.client import create_vsphere_client

urllib3.disable_warnings()
HOST, USER, PASSWORD = (os.environ["VCENTER_" + key] for key in ("HOST", "USER", "PASSWORD"))
FIRST, SECOND = (DynamicID(type="VirtualMachine", id=id) for id in os.environ["VMS"].split(","))


def session():
    session = requests.session()
    session.verify = False
    # A bundle of certificates in the environment would be preferred to that.
    session.trust_env = False
    return session


def failure(call, *args, **named):
    """The name of the error that a call ends in, and what it says."""
    try:
        call(*args, **named)
    except (AlreadyExists, InvalidArgument, NotFound, OperationNotFound, Unauthenticated, Unauthorized) as error:
        return [type(error).__name__, error.messages[0].default_message if error.messages else ""]
    return None


story = {}
story["wrong_password"] = failure(
    create_vsphere_client, server=HOST, username=USER, password="wrong", session=session()
)
client = create_vsphere_client(server=HOST, username=USER, password=PASSWORD, session=session())
info = client.session_svc.get()
story["session"] = {"user": info.user, "times": info.created_time <= info.last_accessed_time}

categories, tags, associations = client.tagging.Category, client.tagging.Tag, client.tagging.TagAssociation
tier = categories.create(
    Category.CreateSpec(
        name="Tier",
        description="How much it matters",
        cardinality=CategoryModel.Cardinality.SINGLE,
        associable_types={"VirtualMachine"},
    )
)
gold = tags.create(Tag.CreateSpec(name="gold", description="", category_id=tier))
silver = tags.create(Tag.CreateSpec(name="silver", description="", category_id=tier))
model = categories.get(tier)
story["category"] = [model.name, model.description, str(model.cardinality), sorted(model.associable_types)]
story["ids"] = [tier.split(":")[2], gold.split(":")[2]]
tags.update(silver, Tag.UpdateSpec(description="less"))
story["tag"] = [tags.get(silver).name, tags.get(silver).description, tags.get(silver).category_id == tier]
story["of_category"] = sorted(tags.get(id).name for id in tags.list_tags_for_category(tier))
story["all"] = [tier in categories.list(), {gold, silver} <= set(tags.list())]

before = set(associations.list_attached_tags(FIRST))
associations.attach(gold, FIRST)
associations.attach(gold, FIRST)
story["attached"] = [tags.get(id).name for id in associations.list_attached_tags(FIRST) if id not in before]
story["objects"] = [[id.type, id.id == FIRST.id] for id in associations.list_attached_objects(gold)]
story["second"] = failure(associations.attach, silver, FIRST)
batch = associations.attach_tag_to_multiple_objects(silver, [FIRST, SECOND])
story["batch"] = [batch.success, [message.default_message for message in batch.error_messages]]
rows = associations.list_attached_tags_on_objects([FIRST, SECOND])
story["bulk"] = sorted([row.object_id.id == FIRST.id, gold in row.tag_ids, silver in row.tag_ids] for row in rows)
rows = associations.list_attached_objects_on_tags([gold, silver])
story["reverse"] = sorted([row.tag_id == gold, len(row.object_ids)] for row in rows)
story["attachable"] = silver in associations.list_attachable_tags(FIRST)
associations.detach(silver, SECOND)
story["no_host"] = failure(associations.attach, gold, DynamicID(type="HostSystem", id=os.environ["ESX"]))
story["gone"] = failure(associations.list_attached_tags, DynamicID(type="VirtualMachine", id="vm-0"))
story["unknown"] = failure(tags.get, "urn:vmomi:InventoryServiceTag:0:GLOBAL")
story["twice"] = failure(tags.create, Tag.CreateSpec(name="gold", description="", category_id=tier))

# Many at a time, which is new in 9.0, and all or nothing, which is new in 9.1.
stubs = client.vcenter.tagging
names = stubs.Tags.list(filter=Tags.FilterSpec(names={"gold"}))
story["by_name"] = [[item.tag == gold, item.info.category == tier] for item in names.items]
paged, marker = [], None
while True:
    page = stubs.Tags.list(iterate=Tags.IterationSpec(marker=marker, page_size=2))
    paged += [item.info.name for item in page.items]
    marker = page.marker
    if marker is None:
        break
story["paged"] = len(paged) == len(tags.list())
story["categories"] = "Tier" in [item.info.name for item in stubs.Categories.list(iterate=Categories.IterationSpec(page_size=100)).items]
pairs = stubs.Associations.list()
story["pairs"] = [str(pairs.status), any(pair.tag == gold and pair.object.id == FIRST.id for pair in pairs.associations)]
change = lambda operation, tag: Associations.TagSpec(operation=operation, tag_id=tag)
swap = Associations.UpdateSpec(
    object=FIRST,
    tag_spec_list=[change(Associations.Operation.DETACH, gold), change(Associations.Operation.ATTACH, silver)],
)
done = stubs.Associations.update(swap)
story["swap"] = [done.success, [[str(item.operation), item.tag_category_name_info.tag_name] for item in done.results]]
refused = stubs.Associations.update(
    Associations.UpdateSpec(object=FIRST, tag_spec_list=[change(Associations.Operation.ATTACH, gold)])
)
story["refused"] = [refused.success, [message.default_message for message in refused.errors]]

tags.delete(gold)
categories.delete(tier)
story["deleted"] = [failure(tags.get, silver)[0], set(associations.list_attached_tags(FIRST)) == before]
client.session_svc.delete()
story["logged_out"] = failure(categories.list)[0]
print(json.dumps(story))
