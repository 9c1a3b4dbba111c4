"""The protobuf messages of the format, in a descriptor pool of their own.

TensorFlow registers messages of the same names in protobuf's default pool, and a second registration there
makes ``import tensorflow`` fail. So nothing here touches the default pool: the committed descriptor set
``descriptors.binpb``, compiled from ``proto/*.proto``, is loaded into a private ``DescriptorPool``. That also works
on every protobuf runtime, where generated ``_pb2`` modules are bound to one major version.

Descriptor set: regenerate with ``python -m tests.make_descriptors`` after an edit in ``proto/``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from tfbundle.errors import FormatError

if TYPE_CHECKING:
    from google.protobuf import descriptor_pool

__all__ = ["message_class", "parse_message"]


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    import pkgutil

    from google.protobuf import descriptor_pb2, descriptor_pool

    pool = descriptor_pool.DescriptorPool()
    data = pkgutil.get_data(__name__, "descriptors.binpb")
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(data or b"")
    for file in descriptors.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def message_class(name: str) -> Any:
    r"""Return the class of the message ``tensorflow.<name>``.

    Example:
        >>> message_class("VersionDef")(producer=1).SerializeToString()
        b'\x08\x01'
    """
    from google.protobuf import message_factory

    descriptor = _pool().FindMessageTypeByName(f"tensorflow.{name}")
    factory: Any = message_factory
    if hasattr(factory, "GetMessageClass"):
        return factory.GetMessageClass(descriptor)
    return factory.MessageFactory(_pool()).GetPrototype(descriptor)  # protobuf before 4.22


def parse_message(name: str, data: bytes) -> Any:
    """Decode ``data`` as the message ``tensorflow.<name>``, unknown fields kept.

    Raises:
        FormatError: ``data`` is not a valid encoding of that message.
    """
    from google.protobuf.message import DecodeError, Message

    message: Message = message_class(name)()
    try:
        with _warnings_as_errors() if _only_warns() else nullcontext():
            message.ParseFromString(data)
    except (DecodeError, RuntimeError, UnicodeDecodeError, SystemError) as error:
        # UnicodeDecodeError comes from protobuf in plain Python, SystemError from a warning that is an error
        raise FormatError(f"{name} not parseable") from error
    return message


@cache
def _only_warns() -> bool:
    """Tell whether this protobuf takes a message that a stray 0 or end of a group cuts short, and only warns.

    Source: protobuf v3.20.3, python/google/protobuf/pyext/message.cc, "Not all data was converted".
    """
    from google.protobuf.internal import api_implementation

    return bool(api_implementation.Type() == "cpp")


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
