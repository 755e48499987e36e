"""Browses a datastore, sends a file, moves it, and takes pictures of a screen, as scripts on pyVmomi do, and prints what it
saw as JSON: one object, an entry a chapter. It changes files, and is for a simulated server alone.

Expects the datastores `iso-library` and `nvme-01`, and `web-01` (on)."""

import http.client
import json
import os
import ssl
import struct
import urllib.parse

from connection import connect
from pyVim.connect import Disconnect
from pyVim.task import WaitForTask
from pyVmomi import vim

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def find(content, kind, name):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return next(entity for entity in view.view if entity.name == name)
    finally:
        view.Destroy()


def ask(service, method, path, body=None):
    """A request beside the API, with its session."""
    host, _, port = os.environ["VCENTER_HOST"].partition(":")
    trusting = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(host, int(port), context=trusting)
    connection.request(method, path, body=body, headers={"Cookie": service._stub.cookie.split(";")[0]})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def folder_path(path, datastore):
    query = urllib.parse.urlencode({"dcPath": "fra1", "dsName": datastore})
    return f"/folder/{urllib.parse.quote(path)}?{query}"


def search(datastore, folder, pattern="*", recursive=False):
    details = vim.host.DatastoreBrowser.FileInfo.Details(
        fileSize=True, fileType=True, modification=True, fileOwner=True
    )
    spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=[pattern], details=details)
    start = datastore.browser.SearchDatastoreSubFolders_Task if recursive else datastore.browser.SearchDatastore_Task
    task = start(f"[{datastore.name}] {folder}", spec)
    WaitForTask(task)
    found = task.info.result
    return [file for part in found for file in part.file] if recursive else list(found.file)


def browse(service, content):
    isos = find(content, vim.Datastore, "iso-library")
    folders = [file.path for file in search(isos, "") if isinstance(file, vim.host.DatastoreBrowser.FolderInfo)]
    images = search(isos, "", "*.iso", recursive=True)
    newest = max(file.modification for file in images)
    return {"folders": folders, "images": len(images), "newest": newest is not None}


def upload(service, content):
    sent = bytes(number % 251 for number in range(100_000))
    path = folder_path("tools/a.bin", "iso-library")
    status, _ = ask(service, "PUT", path, sent)
    _, back = ask(service, "GET", path)
    isos = find(content, vim.Datastore, "iso-library")
    return {"status": status, "size": search(isos, "tools", "a.bin")[0].fileSize, "same": back == sent}


def folders(service, content):
    files, datacenter = content.fileManager, find(content, vim.Datacenter, "fra1")
    isos = find(content, vim.Datastore, "iso-library")
    files.MakeDirectory("[iso-library] py/deep", datacenter, True)
    try:
        files.MakeDirectory("[iso-library] py/deep", datacenter, True)
        again = "nothing"
    except vim.fault.FileAlreadyExists as fault:
        again = type(fault).__name__
    moving = files.MoveDatastoreFile_Task(
        "[iso-library] tools/a.bin", datacenter, "[iso-library] py/deep/b.bin", datacenter, False
    )
    WaitForTask(moving)
    moved = [file.path for file in search(isos, "py/deep")]
    WaitForTask(files.DeleteDatastoreFile_Task("[iso-library] py", datacenter))
    return {"again": again, "moved": moved, "left": [file.path for file in search(isos, "", "py")]}


def screen(service, content):
    vm = find(content, vim.VirtualMachine, "web-01")
    status, png = ask(service, "GET", f"/screen?id={vm._moId}&width=360")
    width, height = struct.unpack(">II", png[16:24])
    return {"png": status == 200 and png.startswith(SIGNATURE), "width": width, "height": height}


def file(service, content):
    vm, datacenter = find(content, vim.VirtualMachine, "web-01"), find(content, vim.Datacenter, "fra1")
    task = vm.CreateScreenshot_Task()
    WaitForTask(task)
    written = task.info.result
    datastore, _, path = written[1:].partition("] ")
    _, png = ask(service, "GET", folder_path(path, datastore))
    WaitForTask(content.fileManager.DeleteDatastoreFile_Task(written, datacenter))
    left = search(find(content, vim.Datastore, datastore), path.rpartition("/")[0], "*.png")
    return {"png": png.startswith(SIGNATURE), "left": len(left)}


def keys(service, content):
    vm = find(content, vim.VirtualMachine, "web-01")
    spec = vim.UsbScanCodeSpec()
    for code in (0x04, 0x05, 0x28):
        spec.keyEvents.append(vim.UsbScanCodeSpec.KeyEvent(usbHidCode=(code << 16) | 7))
    return vm.PutUsbScanCodes(spec)


def main():
    service = connect()
    content = service.RetrieveContent()
    story = {}
    for chapter in [browse, upload, folders, screen, file, keys]:
        story[chapter.__name__] = chapter(service, content)
    Disconnect(service)
    print(json.dumps(story))


main()
