# SPDX-License-Identifier: Apache-2.0
"""Steps that bring one machine to its desired state.

Each is a function that takes a :class:`tacker_cir.host.machine.Machine` and what shall be there.
"""
