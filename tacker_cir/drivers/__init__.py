# SPDX-License-Identifier: Apache-2.0
"""MgmtDrivers: Tacker's hooks only. These files go into the CSARs."""
