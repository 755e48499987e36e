"""Runs each command of check_vsphere against the inventory of vcsim, and prints the exit code and the line of each: 0 to 2 are
verdicts, all else says that the check did not work."""


import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HOST = ["--vihost", "DC0_H0"]
COMMANDS = [
    ["about"],
    ["cluster-health", "--cluster-name", "DC0_C0", "--cluster-threshold", "1:2"],
    ["datastores", "--warning", "90", "--critical", "95"],
    ["host-nic", *HOST],
    ["host-runtime", *HOST, "--mode", "con"],
    ["host-runtime", *HOST, "--mode", "health"],
    ["host-runtime", *HOST, "--mode", "issues"],
    ["host-runtime", *HOST, "--mode", "maintenance"],
    ["host-runtime", *HOST, "--mode", "status"],
    ["host-runtime", *HOST, "--mode", "temp"],
    ["host-runtime", *HOST, "--mode", "version"],
    ["host-service", *HOST],
    ["host-storage", *HOST, "--mode", "adapter"],
    ["host-storage", *HOST, "--mode", "lun"],
    ["host-storage", *HOST, "--mode", "path"],
    ["list-metrics"],
    ["media"],
    ["perf", "--vimtype", "HostSystem", "--vimname", "DC0_H0", "--perfcounter", "cpu:usage:average", "--critical", "90"],
    ["power-state"],
    ["snapshots", "--mode", "age", "--warning", "3", "--critical", "7"],
    ["snapshots", "--mode", "count", "--warning", "3", "--critical", "7"],
    ["vm-guestfs", "--vm-name", "DC0_H0_VM0", "--warning", "90", "--critical", "95"],
    ["vm-net-dev", "--mode", "start-unconnected"],
    ["vm-tools", "--not-installed"],
    ["vsan", "--mode", "objecthealth"],
    ["vsan", "--mode", "healthtest"],
    ["zertotag"],
]


def check(command):
    host, _, port = os.environ["VCENTER_HOST"].partition(":")
    told = ["-s", host, "-o", port, "-u", os.environ["VCENTER_USER"], "-p", os.environ["VCENTER_PASSWORD"], "-nossl"]
    program = [sys.executable, "-c", "import sys; from checkvsphere.cli import main; sys.exit(main())"]
    # These variables would count for more than `-nossl`.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_CA_BUNDLE")}
    ended = subprocess.run([*program, *command, *told], capture_output=True, text=True, timeout=50, env=environment)
    words = (ended.stdout.strip() or ended.stderr.strip()[-800:]).splitlines() or [""]
    return [" ".join(command), ended.returncode, words[0] if ended.stdout.strip() else words[-1]]


def main():
    with ThreadPoolExecutor(2) as pool:
        print(json.dumps(list(pool.map(check, COMMANDS))))


main()
