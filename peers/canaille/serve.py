"""A provider of identities (canaille), until it is killed.

    python3 serve.py PORT BASE '{"viewer": ["vsphere-viewers"], ...}'

BASE is the URL of the server that users log in at, which is the client `mcvsphere`, whose secret is in PEERS_SECRET. The users are
in the groups named.
"""

import datetime
import json
import os
import sys

# Its client library refuses plain HTTP, also to this computer.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc.jwk import RSAKey

PASSWORD = "a password of the peers"


def app(port):
    # Without `alg` its metadata names no algorithm that clients must know.
    key = RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True, alg="RS256", use="sig")
    return create_app(
        {
            "SECRET_KEY": "a secret for the cookies of the peers",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"DATABASE": "memory"},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key]},
        }
    )


def fill(base, groups):
    save = Backend.instance.save
    users = {}
    for name in groups:
        users[name] = models.User(
            user_name=name, family_name=name, emails=[f"{name}@corp.example"], password=PASSWORD
        )
        save(users[name])
    for group in sorted({group for of_one in groups.values() for group in of_one}):
        members = [user for name, user in users.items() if group in groups[name]]
        save(models.Group(display_name=group, members=members))
    client = models.Client(
        client_id="mcvsphere",
        client_secret=os.environ["PEERS_SECRET"],
        client_name="mcvsphere",
        client_id_issued_at=datetime.datetime.now(datetime.timezone.utc),
        redirect_uris=[f"{base}/auth/callback"],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups", "offline_access"],
        token_endpoint_auth_method="client_secret_basic",
    )
    save(client)
    # An id_token is for nobody unless the client is its audience.
    client.audience = [client]
    save(client)


port, base, given = sys.argv[1:]
server = app(int(port))
with server.app_context():
    fill(base, json.loads(given))
server.run("127.0.0.1", int(port), threaded=True)
