"""``tf.version``: the release whose results the stand-in gives, and by whom."""

from __future__ import annotations

VERSION = "2.21.0"
"""What scripts compare to tell how to read a checkpoint: the TensorFlow whose answers these are."""
GIT_VERSION = "tfbundle"
"""Tells the stand-in from the real one."""
COMPILER_VERSION = "none"
