# SPDX-License-Identifier: Apache-2.0
"""oslo.log's loggers, whose lines have text of others only as :mod:`tacker_cir.text` shows it."""

from __future__ import annotations

import logging
from typing import Any

from oslo_log import log as oslo_log

from tacker_cir.text import printable

DEBUG, INFO = logging.DEBUG, logging.INFO


class _Printable(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = printable(record.getMessage()), ()
        return True


_PRINTABLE = _Printable()


def getLogger(name: str) -> logging.LoggerAdapter[Any]:
    """Return the logger of a module, ours or of a library that logs what a machine says."""
    logger = oslo_log.getLogger(name)
    logger.logger.addFilter(_PRINTABLE)
    return logger
