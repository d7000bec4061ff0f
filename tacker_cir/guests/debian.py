# SPDX-License-Identifier: Apache-2.0
"""Debian and Ubuntu."""

from __future__ import annotations

from tacker_cir.guests.base import Guest


class Debian(Guest):
    """Debian and what is made of it."""

    name = "debian"
    releases = {
        ("debian", "12"): "Debian 12",
        ("ubuntu", "20.04"): "Ubuntu 20.04",
        ("ubuntu", "22.04"): "Ubuntu 22.04",
        ("ubuntu", "24.04"): "Ubuntu 24.04",
    }
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    state = r"""
printf 'arch\t%s\n' "$(dpkg --print-architecture)"
audit=$(dpkg --audit)
printf 'interrupted\t%s\n' "${audit%%"$newline"*}"
"""
    packages = r"""
  dpkg-query -W -f 'package\t${Package}\t${Version}\t${db:Status-Status}\n' $packages 2>/dev/null
"""
    defaults = "/etc/default"
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    # Ubuntu uses the same file.
    hosts_template = "/etc/cloud/templates/hosts.debian.tmpl"
    # A kernel with AppArmor starts no container without its parser, and a pull over HTTPS needs
    # certificates.
    runtime_companions = ("apparmor", "ca-certificates")
