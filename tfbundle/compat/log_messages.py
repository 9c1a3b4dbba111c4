"""``tf.logging``: messages of the logger ``tensorflow`` on standard error.

Source: TensorFlow ``python/platform/tf_logging.py``.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from typing import Any

DEBUG, INFO, WARN, ERROR, FATAL = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.FATAL


@cache
def get_logger() -> logging.Logger:
    """Return the logger, which prints ``LEVEL:tensorflow:message`` unless the root logger prints already."""
    logger = logging.getLogger("tensorflow")
    if not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        logger.addHandler(handler)
    return logger


def log(level: int, msg: Any, *args: Any, **options: Any) -> None:
    """Log a message."""
    get_logger().log(level, msg, *args, **options)


def debug(msg: Any, *args: Any, **options: Any) -> None:
    """Log a message for who looks for bugs."""
    log(DEBUG, msg, *args, **options)


def info(msg: Any, *args: Any, **options: Any) -> None:
    """Log a message about what goes as it should."""
    log(INFO, msg, *args, **options)


def warning(msg: Any, *args: Any, **options: Any) -> None:
    """Log a warning."""
    log(WARN, msg, *args, **options)


def error(msg: Any, *args: Any, **options: Any) -> None:
    """Log an error."""
    log(ERROR, msg, *args, **options)


def fatal(msg: Any, *args: Any, **options: Any) -> None:
    """Log an error that nobody will recover from."""
    log(FATAL, msg, *args, **options)


def log_if(level: int, msg: Any, condition: Any, *args: Any) -> None:
    """Log a message if a condition holds."""
    if condition:
        log(level, msg, *args)


def vlog(level: int, msg: Any, *args: Any, **options: Any) -> None:
    """Log a message of a level of the logging library."""
    log(level, msg, *args, **options)


def get_verbosity() -> int:
    """Return the least level that is printed."""
    return get_logger().getEffectiveLevel()


def set_verbosity(v: int | str) -> None:
    """Print messages of this level and above."""
    get_logger().setLevel(v)
