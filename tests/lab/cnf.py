# SPDX-License-Identifier: Apache-2.0
"""A containerized VNF that Tacker runs on a cluster: what a cluster VNF's VIM is for."""

from __future__ import annotations

import hashlib
import uuid
import zipfile
from pathlib import Path
from typing import Any

from tacker_cir.csar.sources import samples_dir, sol001_definitions
from tests.lab import manifests
from tests.lab.cluster_vnf import Vim
from tests.lab.vnf import Vnf
from tests.testbed.stand import CloudStand

MANIFEST = "Files/kubernetes/app.json"
#: Name of the Deployment, which Tacker finds by the VDU's name.
APP = "cnf-app"

_FLAVOUR = f"""
tosca_definitions_version: tosca_simple_yaml_1_2
imports: [etsi_nfv_sol001_common_types.yaml, etsi_nfv_sol001_vnfd_types.yaml,
          private_registry_types.yaml]
topology_template:
  inputs:
    descriptor_id: {{type: string}}
    descriptor_version: {{type: string}}
    provider: {{type: string}}
    product_name: {{type: string}}
    software_version: {{type: string}}
    vnfm_info: {{type: list, entry_schema: {{type: string}}}}
    flavour_id: {{type: string}}
    flavour_description: {{type: string}}
  substitution_mappings:
    node_type: tacker_cir.nodes.PrivateRegistryVnf
    properties: {{flavour_id: simple}}
    requirements:
      virtual_link_external: []
  node_templates:
    VNF:
      type: tacker_cir.nodes.PrivateRegistryVnf
      properties: {{flavour_description: one pod}}
    VDU1:
      type: tosca.nodes.nfv.Vdu.Compute
      properties:
        name: {APP}
        description: one pod
        vdu_profile: {{min_number_of_instances: 1, max_number_of_instances: 1}}
"""


def build_csar(directory: Path, image: str) -> Path:
    """Make a package with one Deployment; its node type is the registry's, which has all it needs.

    :param directory: where to
    :param image: of the pod, which serves at an address given as its last word
    """
    number = str(uuid.uuid4())  # Tacker wants each VNFD only once.
    sample = samples_dir() / "private_registry_vnf_package_basehot"
    pod = {"containers": [manifests.echo(image, name=APP)]}
    files = {
        MANIFEST: manifests.workload("Deployment", APP, pod, replicas=1),
        "Definitions/private_registry_df_simple.yaml": _FLAVOUR,
    }
    known = (sample / "Definitions/private_registry_types.yaml").read_text()
    descriptor = known.partition("default: ")[2].partition("\n")[0]
    for name in ("private_registry_types.yaml", "private_registry_top.vnfd.yaml"):
        text = (sample / "Definitions" / name).read_text()
        files[f"Definitions/{name}"] = text.replace(descriptor, number)
    for name, path in sol001_definitions().items():
        files[f"Definitions/{name}"] = path.read_text()
    files["TOSCA-Metadata/TOSCA.meta"] = (
        "TOSCA-Meta-File-Version: 1.0\nCreated-by: lab\nCSAR-Version: 1.1\n"
        "Entry-Definitions: Definitions/private_registry_top.vnfd.yaml\n\n"
        f"Name: {MANIFEST}\nContent-Type: application/json\nAlgorithm: SHA-256\n"
        f"Hash: {hashlib.sha256(files[MANIFEST].encode()).hexdigest()}\n"
    )
    output = directory / f"cnf-{number[:8]}.zip"
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in files.items():
            package.writestr(name, text)
    return output


class Cnf(Vnf):
    """A VNF instance of one pod on a cluster.

    :param csar: its package
    """

    def __init__(self, stand: CloudStand, csar: Path):
        super().__init__(stand, csar, "cnf")

    def instantiate(self, vim: Vim) -> dict[str, Any]:
        """Instantiate on a cluster and return the operation, whatever it came to."""
        connection = {"id": str(uuid.uuid4()), "vimId": vim.id, "vimType": "kubernetes"}
        body = {
            "flavourId": "simple",
            "additionalParams": {
                "lcm-kubernetes-def-files": [MANIFEST],
                "namespace": "default",
            },
            "vimConnectionInfo": [connection],
        }
        return self.tacker.wait(self.tacker.instantiate(self.id, body))
