# SPDX-License-Identifier: Apache-2.0
"""MgmtDrivers for OpenStack Tacker that bring Docker private registries to VMs."""
