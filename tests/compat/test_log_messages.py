"""Messages look as TensorFlow's do; each side in a process of its own, whose loggers nobody has touched."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.processes import environment
from tests.support.requirements import tensorflow

SAY = """
import sys, logging
if {ours}:
    from tfbundle.compat import install
    install(hide_tensorflow=True)
import tensorflow.compat.v1 as tf
import os
os.dup2(os.dup(1), 2)
log = tf.logging
print(log.get_verbosity(), [log.DEBUG, log.INFO, log.WARN, log.ERROR, log.FATAL], flush=True)
log.info("not shown")
log.warn("a %s", "warning")
log.set_verbosity(log.INFO)
log.info("%d of %d", 1, 2)
log.debug("not shown")
log.set_verbosity("DEBUG")
log.debug("shown")
log.vlog(log.INFO, "level")
log.log_if(log.ERROR, "if %s", True, "so")
log.log_if(log.ERROR, "not if %s", False, "so")
log.log(log.ERROR, "log")
log.error("error")
log.fatal("fatal")
log.TaskLevelStatusMessage("status")
print(tf.get_logger().name, tf.get_logger() is logging.getLogger("tensorflow"), log.get_verbosity(), flush=True)
"""


def said(*, ours: bool) -> str:
    command = [sys.executable, "-c", SAY.format(ours=json.dumps(ours).capitalize())]
    variables = environment(TF_CPP_MIN_LOG_LEVEL="3")
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


def test_same_messages() -> None:
    tensorflow()
    found = said(ours=True)
    assert found == said(ours=False)
    assert "WARNING:tensorflow:a warning\nINFO:tensorflow:1 of 2\nDEBUG:tensorflow:shown\n" in found
