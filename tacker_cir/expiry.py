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
    found = [_end(certificate) for certificate in x509.load_pem_x509_certificates(pem)]
    assert found
    return found


def is_soon(end: datetime) -> bool:
    """Tell whether it is time to think of a new certificate, or too late."""
    return end - datetime.now(timezone.utc) < timedelta(days=WARNING_DAYS)


def told(end: datetime) -> str:
    """Return an end as it is told, e.g. ``2027-11-27 (in 364 days)``."""
    days = (end - datetime.now(timezone.utc)).days
    return f"{end:%Y-%m-%d} " + (f"(in {days} days)" if days >= 0 else f"({-days} days ago)")


def _end(certificate: x509.Certificate) -> datetime:
    # cryptography before 42 has only the one without its time zone.
    end = getattr(certificate, "not_valid_after_utc", None)
    return end or certificate.not_valid_after.replace(tzinfo=timezone.utc)
