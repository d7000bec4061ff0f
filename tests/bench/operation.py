# SPDX-License-Identifier: Apache-2.0
"""The process that is measured: instantiate_end of the cluster's driver, twice, as tacker-conductor
calls it. Tacker's database and its VIMs are left out; Heat and the machines answer over sockets.

Usage: python -m tests.bench.operation WORK, a JSON object. For each line on its standard input it
does one run, and prints a JSON object.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from oslo_config import cfg

from tacker_cir import tacker_bridge
from tacker_cir.cluster import lifecycle
from tacker_cir.drivers.kubernetes_mgmt import PrivateRegistryKubernetesMgmtDriver
from tacker_cir.package import VnfPackage
from tacker_cir.tacker_bridge import V1Instance
from tests.bench.heat import STACK


def main() -> None:
    work = json.loads(sys.argv[1])
    cfg.CONF([], project="bench", default_config_files=[])
    conf = tacker_bridge.conf()
    conf.set_override("state_path", work["state_path"], group="tacker_cir")
    for name in ("api_timeout", "service_timeout", "registry_timeout", "node_ready_timeout"):
        conf.set_override(name, 30, group="tacker_cir")
    logging.basicConfig(filename=work["log"], level=logging.DEBUG, format="%(asctime)s %(message)s")
    # As a conductor logs: not what libraries say while they are debugged.
    for name in ("paramiko", "urllib3", "keystoneauth", "stevedore", "heatclient"):
        logging.getLogger(name).setLevel(logging.INFO)
    driver = PrivateRegistryKubernetesMgmtDriver()
    with mock.patch.multiple(
        V1Instance,
        package=lambda _self: VnfPackage(Path(work["package"])),
        _access_info=lambda _self: work["access_info"],
        keep=lambda _self: None,
        vim=mock.Mock(),
    ):
        # The package is read, as it is in instantiate_start; from here on the process is idle.
        given = work["request"]
        lifecycle.check(V1Instance(None, vnf_instance(given), request(given)))
        gc.collect()
        print("{}", flush=True)
        for _ in sys.stdin:
            print(json.dumps(measure(driver, given)), flush=True)


def vnf_instance(parameters: dict[str, Any]) -> Any:
    info = SimpleNamespace(instance_id=STACK, additional_params=parameters, flavour_id="simple")
    return SimpleNamespace(
        id="vnf", vnfd_id="vnfd", instantiated_vnf_info=info, vnf_metadata={}, tenant_id="t"
    )


def request(parameters: dict[str, Any]) -> Any:
    return SimpleNamespace(
        additional_params=parameters,
        flavour_id="simple",
        ext_virtual_links=[],
        ext_managed_virtual_links=[],
    )


def measure(driver: Any, parameters: dict[str, Any]) -> dict[str, float]:
    """Return wall and CPU seconds of one run."""
    start, cpu = time.monotonic(), time.process_time()
    driver.instantiate_end(None, vnf_instance(parameters), request(parameters), None, None)
    return {"wall": time.monotonic() - start, "cpu": time.process_time() - cpu}


if __name__ == "__main__":
    main()
