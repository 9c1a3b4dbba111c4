"""What ``import tensorflow as tf`` is replaced by: ``from tfbundle.compat import tf``.

Example:
    >>> from tfbundle.compat import tf
    >>> tf.train.latest_checkpoint("no/such/directory") is None
    True
    >>> tf.as_dtype("half").as_numpy_dtype
    <class 'numpy.float16'>
"""

from __future__ import annotations

from typing import Any

from tfbundle.compat.modules import module_at


def __getattr__(name: str) -> Any:
    return getattr(module_at(""), name)


def __dir__() -> list[str]:
    return dir(module_at(""))
