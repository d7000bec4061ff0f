# SPDX-License-Identifier: Apache-2.0
"""When certificates end, and whether that is soon."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cryptography import x509

from tacker_cir.reading import reader

#: Days before the end of a certificate from which on it is warned of.
WARNING_DAYS = 60


@reader("certificates in PEM")
def ends(pem: bytes) -> list[datetime]:
    """Return when each certificate of a text ends, in their order.

    :raises Unreadable: there is none, or one that cannot be read
    """
    found = [validity(certificate)[1] for certificate in x509.load_pem_x509_certificates(pem)]
    assert found
    return found


def is_soon(end: datetime) -> bool:
    """Tell whether it is time to think of a new certificate, or too late."""
    return end - datetime.now(timezone.utc) < timedelta(days=WARNING_DAYS)


def told(end: datetime) -> str:
    """Return an end as it is told, e.g. ``2027-11-27 (in 364 days)``."""
    days = (end - datetime.now(timezone.utc)).days
    return f"{end:%Y-%m-%d} " + (f"(in {days} days)" if days >= 0 else f"({-days} days ago)")


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """Return from when to when a certificate holds."""
    begin, end = (_time(certificate, f"not_valid_{side}") for side in ("before", "after"))
    return begin, end


def _time(certificate: x509.Certificate, name: str) -> datetime:
    # cryptography before 42 has only the one without its time zone.
    found: datetime | None = getattr(certificate, f"{name}_utc", None)
    if found is not None:
        return found
    naive: datetime = getattr(certificate, name)
    return naive.replace(tzinfo=timezone.utc)
