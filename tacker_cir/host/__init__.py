# SPDX-License-Identifier: Apache-2.0
"""Steps that bring one machine to its desired state."""
