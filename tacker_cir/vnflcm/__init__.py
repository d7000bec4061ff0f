# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests to Tacker's VNF LCM API, checked before they are sent.

Their shapes are written down here as Tacker's v1 API takes them (``tacker.api.schemas.vnf_lcm`` and
the objects that it makes of a body), and not taken from there: Tacker's schemas let unknown members
pass, which then have no effect, and say nothing that helps to mend a fault. So nothing of Tacker is
imported, and a request can be checked where no conductor is.
"""

from tacker_cir.vnflcm.check import find_request_faults
from tacker_cir.vnflcm.kinds import KINDS
from tacker_cir.vnflcm.named import named_vnf_instances

__all__ = ["KINDS", "find_request_faults", "named_vnf_instances"]
