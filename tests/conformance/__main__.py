# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.conformance``."""

import sys

from tests.conformance import runner

sys.exit(runner.main())
