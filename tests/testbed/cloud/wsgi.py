# SPDX-License-Identifier: Apache-2.0
"""Serves the WSGI application of an OpenStack service on the loopback with waitress.

Run as: python -m tests.testbed.cloud.wsgi PORT THREADS APPLICATION [ARGUMENT ...]
It works on THREADS requests at once. The application is MODULE:NAME, or settings of Paste Deploy,
FILE.ini. The arguments are what the service finds as its command line: Keystone and Heat parse
sys.argv when they are loaded.
"""

import importlib
import sys

import waitress
from paste import deploy


def main() -> None:
    """Load the application and serve it until the process is ended."""
    port, threads, application, *arguments = sys.argv[1:]
    sys.argv = [application, *arguments]
    if application.endswith(".ini"):
        loaded = deploy.loadapp(f"config:{application}")
    else:
        module, _, name = application.partition(":")
        loaded = getattr(importlib.import_module(module), name)
    waitress.serve(loaded, host="127.0.0.1", port=int(port), threads=int(threads), ident=None)


if __name__ == "__main__":
    main()
