"""How the scripts here reach the server that they are told of by their environment."""

import os

from pyVim.connect import SmartConnect


def connect():
    host, _, port = os.environ["VCENTER_HOST"].partition(":")
    return SmartConnect(
        host=host,
        port=int(port or 443),
        user=os.environ["VCENTER_USER"],
        pwd=os.environ["VCENTER_PASSWORD"],
        disableSslCertValidation=os.environ.get("VCENTER_INSECURE") == "true",
    )
