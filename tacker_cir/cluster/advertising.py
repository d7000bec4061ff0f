# SPDX-License-Identifier: Apache-2.0
"""The registry that a cluster tells its users of, in an object that other tools may write too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tacker_cir import log as logging
from tacker_cir.cluster.kubectl import Kubectl
from tacker_cir.params.registry_connection import RegistryConnection
from tacker_cir.reading import reader
from tacker_cir.render.local_registry import (
    DATA_KEY,
    NAME,
    NAMESPACE,
    OWNER,
    config_map,
    hosting,
)

LOG = logging.getLogger(__name__)

#: The object as :mod:`tacker_cir.cluster.state` names what it found.
OBJECT = f"ConfigMap/{NAME}"


def ensure_advertised(
    kubectl: Kubectl,
    registries: Iterable[RegistryConnection],
    known: Mapping[str, Mapping[str, Any]] | None,
) -> None:
    """Have the cluster tell of the registry that shall be advertised, and of none else of ours.

    What others wrote stays: only a warning says that it does. Who may write there is not who runs
    the cluster's VNF, and must not be able to make its operations fail.

    :param known: objects of the cluster; None where it has to be asked
    :raises HostError: a step failed
    """
    server = next((registry.server for registry in registries if registry.advertise), None)
    found = known.get(OBJECT) if known is not None else kubectl.get("configmap", NAME, NAMESPACE)
    is_ours, told = True, None
    if found is not None:
        is_ours, told = kubectl.read(f"read configmap {NAME}", lambda: _read(found))
    if not is_ours:
        if server is not None:
            _tell_of_others(kubectl, server)
    elif server is not None and told != hosting(server):
        kubectl.apply(json.dumps(config_map(server)), "advertise the registry")
        LOG.info("%s: registry %s is advertised", kubectl.host, server)
    elif server is None and found is not None:
        _withdraw(kubectl)


def _tell_of_others(kubectl: Kubectl, server: str) -> None:
    LOG.warning(
        "%s: registry %s is not advertised: ConfigMap %s/%s is there, written by somebody else. "
        "To do: delete it, then update the VNF instance; or leave advertise out",
        kubectl.host,
        server,
        NAMESPACE,
        NAME,
    )


def _withdraw(kubectl: Kubectl) -> None:
    """Take our object away; by its label, as somebody may have replaced it meanwhile."""
    ((label, value),) = OWNER.items()
    words = ["delete", "configmap", f"--namespace={NAMESPACE}", f"--selector={label}={value}"]
    kubectl.call([*words, f"--field-selector=metadata.name={NAME}"], "withdraw the registry")
    LOG.info("%s: no registry is advertised any more", kubectl.host)


@reader("a ConfigMap of Kubernetes")
def _read(found: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Return whether we wrote the object, and what it tells.

    :raises Unreadable: it has another form
    """
    labels = found["metadata"].get("labels") or {}
    return OWNER.items() <= labels.items(), (found.get("data") or {}).get(DATA_KEY)
