"""A pytest plugin for runs in which TensorFlow, slow to import, shall not count: tests that need it are skipped."""

import sys

sys.modules["tensorflow"] = None  # type: ignore[assignment]
