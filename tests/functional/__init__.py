# SPDX-License-Identifier: Apache-2.0
"""The SSH layer against a real OpenSSH server on loopback; no root needed."""
