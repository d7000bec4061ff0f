# SPDX-License-Identifier: Apache-2.0
"""Settings of a registry that fetches another one's images (distribution, "Registry as a pull
through cache"), for 2.8 and 3 alike."""

from __future__ import annotations

import json

from tacker_cir.command import Secret
from tacker_cir.params.proxy import Proxy
from tacker_cir.params.registry_proxy_of import ProxyOf


def environment(proxy_of: ProxyOf, proxy: Proxy | None) -> dict[str, str]:
    """Return the variables of a registry that fetches, none of them a secret.

    :param proxy: that the registry has to go through, without a login
    """
    values = {"REGISTRY_PROXY_REMOTEURL": proxy_of.url}
    urls = {"HTTP_PROXY": proxy.http, "HTTPS_PROXY": proxy.https} if proxy else {}
    values.update({name: url.reveal() for name, url in urls.items() if url is not None})
    if proxy and proxy.no_proxy:
        values["NO_PROXY"] = proxy.no_proxy
    return values


def configuration(proxy_of: ProxyOf, login: tuple[str, Secret]) -> Secret:
    """Return the configuration of a registry that fetches with a login.

    The password is the reason for the file: variables are seen by everybody who may ask Docker. It
    takes the place of the one that the image has, so it says what that says, too. JSON is YAML.
    """
    username, password = login
    document = {
        "version": "0.1",
        "log": {"fields": {"service": "registry"}},
        "storage": {
            "cache": {"blobdescriptor": "inmemory"},
            "filesystem": {"rootdirectory": "/var/lib/registry"},
        },
        "http": {"addr": ":5000", "headers": {"X-Content-Type-Options": ["nosniff"]}},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
        "proxy": {
            "remoteurl": proxy_of.url,
            "username": username,
            "password": password.reveal(),
        },
    }
    return Secret(json.dumps(document, indent=2) + "\n")
