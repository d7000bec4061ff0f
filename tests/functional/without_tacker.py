# SPDX-License-Identifier: Apache-2.0
"""The life of two VNF instances made of plain data, in a process that has no Tacker.

The machines are those of the bench: roots of their own behind one real sshd.

Usage: python -m tests.functional.without_tacker

Prints what was found after each operation, a JSON object.
"""

from __future__ import annotations

import sys

# Whatever would import Tacker fails.
sys.modules["tacker"] = None  # type: ignore[assignment]

import contextlib  # noqa: E402 - Tacker goes first
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from oslo_config import cfg  # noqa: E402

from tacker_cir import config  # noqa: E402
from tacker_cir.cluster import lifecycle  # noqa: E402
from tacker_cir.exceptions import InventoryError, OperationNotSupported  # noqa: E402
from tacker_cir.instance import Leaving  # noqa: E402
from tacker_cir.registry import lifecycle as registry_lifecycle  # noqa: E402
from tests.bench import machines  # noqa: E402
from tests.bench.cluster import Site  # noqa: E402
from tests.bench.heat import STACK, Heat  # noqa: E402
from tests.plain_instance import PlainInstance  # noqa: E402


def main() -> None:
    machines.isolate()
    with contextlib.ExitStack() as stack:
        site = Site(stack, 3)
        site.machines.make_blank(0)
        addresses = site.machines.addresses
        heat = Heat(addresses[:1], addresses[1:])
        stack.callback(heat.stop)
        found = {
            "cluster": live(site, instance(site, heat, site.request())),
            "registry": registry(site, instance(site, heat, registry_request(site))),
        }
    print(json.dumps(found))


def instance(site: Site, heat: Heat, parameters: dict[str, Any]) -> PlainInstance:
    given = heat.access_info
    access_info = {
        "username": given["username"],
        "password": given["password"],
        "region": given["region"],
        "project": given["project_name"],
        "projectDomain": given["project_domain_name"],
        "userDomain": given["user_domain_name"],
    }
    vim = {
        "vimType": "ETSINFV.OPENSTACK_KEYSTONE.V_3",
        "interfaceInfo": {"endpoint": given["auth_url"]},
        "accessInfo": access_info,
    }
    inst = {
        "id": "11111111-2222-3333-4444-555555555555",
        "vimConnectionInfo": {"vim1": vim},
        "instantiatedVnfInfo": {"flavourId": "simple", "metadata": {"stack_id": STACK}},
    }
    request = {
        "flavourId": "simple",
        "additionalParams": parameters,
        "extVirtualLinks": [{"id": "link", "resourceId": "network"}],
    }
    conf = config.register_opts(cfg.ConfigOpts())
    conf([], project="plain", default_config_files=[])
    conf.set_override("state_path", str(machines.TOP / "state"), group=config.GROUP)
    return PlainInstance(inst, request, site.package, conf)


def live(site: Site, plain: PlainInstance) -> dict[str, Any]:
    """Take a cluster from its request to its end."""
    found: dict[str, Any] = {}
    params = lifecycle.check_new(plain)
    lifecycle.build_new(plain, params)
    found["built"], found["kept"] = nodes(site), plain.metadata
    found["url"], found["vims"] = plain.access[-1].url, sorted(plain.inst["vimConnectionInfo"])
    site.machines.forget_commands()
    lifecycle.build(plain, params)
    found["commands again"] = max(map(len, site.machines.commands()))
    worker = site.machines.addresses[2]
    leaving = Leaving(servers=frozenset([f"server-{worker.replace('.', '-')}"]))
    lifecycle.before_heal(plain, params, leaving)
    found["without the worker"] = nodes(site)
    lifecycle.build(plain, params)
    found["healed"] = nodes(site)
    lifecycle.before_scale_in(plain, params, "worker_instance", leaving)
    found["scaled in"] = nodes(site)
    found["masters are not scaled"] = refusal(
        lambda: lifecycle.before_scale_in(plain, params, "master_instance", leaving)
    )
    pins = Path(plain.conf.tacker_cir.state_path) / "host_keys" / plain.id
    found["pins"] = [pins.exists()]
    lifecycle.before_terminate(plain)
    lifecycle.after_terminate(plain)
    found["pins"].append(pins.exists())
    found["vims in the end"] = sorted(plain.inst["vimConnectionInfo"])
    return found


def registry_request(site: Site) -> dict[str, Any]:
    login = {"ssh_username": "root", "ssh_private_key": site.machines.sshd.user_key}
    return {"private_registry_installation_param": {"ssh_cp_name": "workerNode_CP2", **login}}


def registry(site: Site, plain: PlainInstance) -> dict[str, Any]:
    """Ask for a registry on a stack that has two machines."""
    params = registry_lifecycle.check(plain)
    found = {
        "cp": params.ssh_cp_name,
        "deployed": refusal(lambda: registry_lifecycle.deploy(plain)),
        "scaled in": refusal(lambda: registry_lifecycle.refuse_scale_in("SCALE_IN")),
    }
    registry_lifecycle.forget(plain)
    return found


def nodes(site: Site) -> list[str]:
    """Return the cluster's nodes."""
    return sorted(node.name for node in (site.machines.top / "shared/nodes").iterdir())


def refusal(work: Any) -> str:
    try:
        work()
    except (InventoryError, OperationNotSupported) as error:
        return str(error)
    return "not refused"


if __name__ == "__main__":
    main()
