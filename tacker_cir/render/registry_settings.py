# SPDX-License-Identifier: Apache-2.0
"""Settings of the registry as variables of its environment (distribution, "Override specific
configuration options").

Registry 2.8 and 3 keep their configuration at different places (/etc/docker/registry/config.yml,
/etc/distribution/config.yml) and take these variables alike. None holds a secret, as everybody who
may ask Docker sees them: files do.
"""

from __future__ import annotations

#: Where the container has the directory with what the registry reads.
DIRECTORY = "/etc/tacker-cir"
CERTIFICATE, KEY, HTPASSWD = "server.crt", "server.key", "htpasswd"
#: What clients show who is asked for a login.
REALM = "private registry"


def environment(*, tls: bool = False, users: bool = False, delete: bool = False) -> dict[str, str]:
    """Return the variables that differ from the image's own configuration.

    :param tls: whether it serves HTTPS
    :param users: whether it asks for a login
    :param delete: whether images may be deleted
    """
    values = {}
    if tls:
        values["REGISTRY_HTTP_TLS_CERTIFICATE"] = f"{DIRECTORY}/{CERTIFICATE}"
        values["REGISTRY_HTTP_TLS_KEY"] = f"{DIRECTORY}/{KEY}"
        # The default of 2.8 is TLS 1.2 as well, but not what every older image has.
        values["REGISTRY_HTTP_TLS_MINIMUMTLS"] = "tls1.2"
    if users:
        values["REGISTRY_AUTH"] = "htpasswd"
        values["REGISTRY_AUTH_HTPASSWD_REALM"] = REALM
        values["REGISTRY_AUTH_HTPASSWD_PATH"] = f"{DIRECTORY}/{HTPASSWD}"
    if delete:
        values["REGISTRY_STORAGE_DELETE_ENABLED"] = "true"
    return values
