# SPDX-License-Identifier: Apache-2.0
"""``python -m tacker_cir`` is ``tacker-cir``."""

import sys

from tacker_cir.cli import main

if __name__ == "__main__":
    sys.exit(main())
