"""Works in the guest of a VM the way pyVmomi's community samples execute_program_in_vm.py and upload_file_to_vm.py do, and
prints what came of it as JSON."""

import json
import os
import re
import ssl
import time
import urllib.request

from connection import connect
from pyVim.connect import Disconnect
from pyVmomi import vim

NAME = "web-01"


def transfer(url, method, host, data=None):
    """What the samples do by `requests`: the URL's `*` is the server that one is connected to."""
    url = re.sub(r"^https://\*", "https://" + host, url)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = urllib.request.Request(url, data=data, method=method)
    with urllib.request.urlopen(request, context=context) as answer:
        return answer.status, answer.read()


def wait(processes, vm, creds, pid):
    """Polls until the program has ended."""
    while True:
        process = processes.ListProcessesInGuest(vm, creds, [pid]).pop()
        if process.endTime is not None:
            return process.exitCode
        time.sleep(0.1)


def main():
    address = os.environ["VCENTER_HOST"]
    service = connect()
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    vm = next(vm for vm in view.view if vm.name == NAME)
    told = {"tools": vm.guest.toolsStatus}
    creds = vim.vm.guest.NamePasswordAuthentication(
        username=os.environ["GUEST_USER"], password=os.environ["GUEST_PASSWORD"]
    )

    # execute_program_in_vm.py
    processes = content.guestOperationsManager.processManager
    spec = vim.vm.guest.ProcessManager.ProgramSpec(
        programPath="/bin/sh", arguments="-c 'hostname >/tmp/py.out; exit 4'"
    )
    pid = processes.StartProgramInGuest(vm, creds, spec)
    told["exit_code"] = wait(processes, vm, creds, pid)

    # upload_file_to_vm.py
    files = content.guestOperationsManager.fileManager
    data = b"by pyVmomi\n"
    attributes = vim.vm.guest.FileManager.PosixFileAttributes(permissions=0o640)
    url = files.InitiateFileTransferToGuest(vm, creds, "/srv/py.txt", attributes, len(data), True)
    told["upload"] = transfer(url, "PUT", address, data)[0]
    information = files.InitiateFileTransferFromGuest(vm, creds, "/srv/py.txt")
    told["download"] = transfer(information.url, "GET", address)[1].decode()
    told["attributes"] = [type(information.attributes).__name__, information.attributes.permissions, information.size]
    information = files.InitiateFileTransferFromGuest(vm, creds, "/tmp/py.out")
    told["output"] = transfer(information.url, "GET", address)[1].decode()

    listing = files.ListFilesInGuest(vm, creds, "/srv", 0, 50, None)
    told["listing"] = [[entry.path, entry.type] for entry in listing.files]
    told["environment"] = processes.ReadEnvironmentVariableInGuest(vm, creds, ["HOME"])
    told["running"] = any(process.name == "nginx" for process in processes.ListProcessesInGuest(vm, creds, None))
    temporary = files.CreateTemporaryFileInGuest(vm, creds, "py", ".tmp", None)
    files.DeleteFileInGuest(vm, creds, temporary)
    files.MakeDirectoryInGuest(vm, creds, "/srv/py/deep", True)
    files.DeleteDirectoryInGuest(vm, creds, "/srv/py", True)
    faults = []
    wrong = vim.vm.guest.NamePasswordAuthentication(username="root", password="wrong")
    for act in [
        lambda: processes.ListProcessesInGuest(vm, wrong, []),
        lambda: files.DeleteFileInGuest(vm, creds, temporary),
        lambda: files.MakeDirectoryInGuest(vm, creds, "/srv", True),
        lambda: processes.TerminateProcessInGuest(vm, creds, 99999),
    ]:
        try:
            act()
            faults.append("none")
        except Exception as fault:  # noqa: BLE001 -- each is told
            faults.append(type(fault).__name__)
    told["faults"] = faults
    Disconnect(service)
    print(json.dumps(told))


main()
