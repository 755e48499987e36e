"""Runs vmware_exporter, which tells Prometheus of a vCenter, with all that it can collect; has it asked once, and prints how many
samples each family of metrics has."""


import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def scraped(port, exporter):
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=50) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            exporter.terminate()
            sys.exit(f"{error}: {error.read().decode()}\n{exporter.communicate()[1]}")
        except OSError:
            if exporter.poll() is not None:
                sys.exit(f"the exporter has ended: {exporter.communicate()[1]}")
            time.sleep(0.1)
    sys.exit("the exporter does not listen")


def main():
    port = free_port()
    # These variables would count for more than what the exporter is told of certificates.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_CA_BUNDLE")} | {
        "VSPHERE_HOST": os.environ["VCENTER_HOST"],
        "VSPHERE_USER": os.environ["VCENTER_USER"],
        "VSPHERE_PASSWORD": os.environ["VCENTER_PASSWORD"],
        "VSPHERE_IGNORE_SSL": "True",
        "VSPHERE_FETCH_CUSTOM_ATTRIBUTES": "True",
        "VSPHERE_FETCH_TAGS": "True",
        "VSPHERE_FETCH_ALARMS": "True",
    }
    program = [sys.executable, "-m", "vmware_exporter.vmware_exporter", "-a", "127.0.0.1", "-p", str(port)]
    exporter = subprocess.Popen(
        [*program, "-l", "ERROR"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        metrics = scraped(port, exporter)
    finally:
        exporter.terminate()
    families, name = {}, None
    for line in metrics.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            families[name] = 0
        elif line and not line.startswith("#"):
            families[name] += 1
    print(json.dumps({"families": families, "complaints": exporter.communicate()[1]}))


main()
