# SPDX-License-Identifier: Apache-2.0
"""``proxy``, which both drivers' parameters have."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from tacker_cir.command import Secret, url_password


@dataclass(frozen=True)
class Proxy:
    """Proxy for apt and the container runtime. The URLs are secrets: they may hold a password."""

    http: Secret | None = None
    https: Secret | None = None
    no_proxy: str = ""

    @property
    def has_credentials(self) -> bool:
        return any(u is not None and "@" in urlsplit(u.reveal()).netloc for u in self._urls)

    @property
    def passwords(self) -> tuple[Secret, ...]:
        found = (url_password(url.reveal()) for url in self._urls if url is not None)
        return tuple(password for password in found if password is not None)

    @property
    def _urls(self) -> tuple[Secret | None, ...]:
        return self.http, self.https
