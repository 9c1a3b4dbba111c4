"""``tfbundle run SCRIPT``."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from tfbundle.cli.output import escape
from tfbundle.cli.process import restore_defaults
from tfbundle.cli.status import UNSUPPORTED
from tfbundle.cli.streams import complain, print_traceback, restore_streams

_DESCRIPTION = """\
Run a Python script that reads checkpoints, with `import tensorflow` meaning a stand-in that reads
them without TensorFlow: tf.train.list_variables, load_variable, load_checkpoint,
NewCheckpointReader, latest_checkpoint, get_checkpoint_state and what goes with them. In all else
the script runs as `python SCRIPT ARGS` would run it. If it uses anything else of TensorFlow, one
line says what and where."""

_EPILOG = """\
exit status: that of the script; 2 if it cannot be started, 5 if it needs more of TensorFlow

examples:
  tfbundle run convert.py model.ckpt-1000 weights.npz
  tfbundle run -m converters.bert --checkpoint model.ckpt-1000"""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser(
        "run",
        parents=[common],
        help="run a script that reads checkpoints with TensorFlow, without it",
        usage="tfbundle run [-h] [--debug] [--hide-tensorflow] (SCRIPT | -m MODULE) [ARGS ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hide-tensorflow", action="store_true", help="do so even if TensorFlow is installed")
    parser.add_argument("-m", metavar="MODULE", dest="module", nargs=argparse.REMAINDER, help="run a module")
    parser.add_argument("script", metavar="SCRIPT", nargs="?", help="the script to run")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="its command line")
    parser.set_defaults(run=run, hosts_script=True)


def run(options: argparse.Namespace) -> int:
    """Run the script, and leave the process as it would have left its own."""
    from tfbundle.compat.hosting import ScriptStoppedError, run_module, run_script
    from tfbundle.compat.installing import find_tensorflow, install

    if options.script is None and not options.module:
        raise ValueError("give a SCRIPT to run, or -m MODULE")
    if not options.hide_tensorflow and (place := find_tensorflow()):
        raise ValueError(f"TensorFlow is installed in {place}: run the script with it, or give --hide-tensorflow")
    install(hide_tensorflow=True)
    restore_defaults()
    restore_streams()
    try:
        if options.module:
            status = run_module(options.module[0], options.module[1:])
        else:
            status = run_script(options.script, options.arguments)
    except ScriptStoppedError as stop:
        if options.debug and stop.__cause__ is not None:
            print_traceback(type(stop.__cause__), stop.__cause__, stop.__cause__.__traceback__)
        complain(f"tfbundle: {escape(stop.line)}")
        status = UNSUPPORTED
    sys.exit(status)  # not to return: threads of the script may go on, and signals have to end them
