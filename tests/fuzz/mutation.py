"""Mutations of bytes and of protobuf messages, each driven by a random number generator alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from tests.support.tables import varint
from tfbundle.errors import BundleError
from tfbundle.sstable.varint import decode_varint

NUMBERS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 14, 19, 20, 21, 33, 63, 64, 65, 101, 127, 128, 254, 255, 256, 16383, 16384, 65535]
NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]
"""At and around the borders of what formats and machines can hold."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Change some bytes, somewhere."""
    out = bytearray(data)
    at = rng.randint(0, len(out))
    choice = rng.randint(0, 7)
    if choice == 0 and at < len(out):
        out[at] ^= 1 << rng.randint(0, 7)
    elif choice == 1 and at < len(out):
        out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randint(0, 255)))
    elif choice == 2:
        out[at:at] = bytes(rng.choices((0, 1, 0x7F, 0xFF, rng.randint(0, 255)), k=rng.randint(1, 8)))
    elif choice == 3:
        del out[at : at + rng.choice((1, 1, 2, 4, 8, 64))]
    elif choice == 4:
        piece = out[at : at + rng.randint(1, 32)]
        to = rng.randint(0, len(out))
        out[to:to] = piece
    elif choice == 5:
        out[at : at + rng.randint(0, 9)] = varint(any_number(rng))
    elif choice == 6:
        width = rng.choice((4, 8))
        out[at : at + width] = (any_number(rng) & (256**width - 1)).to_bytes(width, "little")
    else:
        del out[at:]
    return bytes(out)


def any_number(rng: random.Random, near: int = 0) -> int:
    """Return a number without sign of up to 64 bits; often one near another."""
    if rng.random() < 0.4:
        return (near + rng.choice((-8, -4, -2, -1, 1, 2, 4, 8))) % 2**64
    return rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(rng.randint(1, 64))


class Field(NamedTuple):
    """One field of a message; ``value`` is a number for wire types 0, 1 and 5, else bytes."""

    number: int
    wire: int
    value: int | bytes


def split_fields(data: bytes) -> list[Field] | None:
    """Return the fields of a message, None for bytes that are none."""
    fields = []
    position = 0
    try:
        while position < len(data):
            key, position = decode_varint(data, position, len(data))
            number, wire = key >> 3, key & 7
            value: int | bytes
            if wire == VARINT:
                value, position = decode_varint(data, position, len(data))
            elif wire in (FIXED64, FIXED32):
                width = 8 if wire == FIXED64 else 4
                value, position = int.from_bytes(data[position : position + width], "little"), position + width
            elif wire == BYTES:
                nbytes, position = decode_varint(data, position, len(data))
                value, position = data[position : position + nbytes], position + nbytes
            else:
                return None
            fields.append(Field(number, wire, value))
    except BundleError:
        return None
    return fields if position == len(data) else None


def join_fields(fields: list[Field]) -> bytes:
    """Return the message with these fields."""
    return b"".join(map(_encode, fields))


def _encode(field: Field) -> bytes:
    key = varint(field.number << 3 | field.wire)
    if isinstance(field.value, bytes):
        return key + varint(len(field.value)) + field.value
    if field.wire == VARINT:
        return key + varint(field.value % 2**64)
    width = 8 if field.wire == FIXED64 else 4
    return key + (field.value % (1 << 8 * width)).to_bytes(width, "little")


def mutate_message(data: bytes, rng: random.Random) -> bytes:
    """Change a field of a message, or of one within it."""
    fields = split_fields(data)
    if not fields or rng.random() < 0.05:
        return mutate_bytes(data, rng)
    at = rng.randrange(len(fields))
    field = fields[at]
    choice = rng.randint(0, 9)
    if choice == 0:
        del fields[at]
    elif choice == 1:
        fields.insert(rng.randint(0, len(fields)), field)
    elif choice == 2:
        other = rng.randrange(len(fields))
        fields[at], fields[other] = fields[other], field
    elif choice == 3:
        number, wire = rng.randint(1, 10), rng.choice((VARINT, BYTES, FIXED32, FIXED64))
        fields.insert(at, Field(number, wire, b"" if wire == BYTES else any_number(rng)))
    elif choice == 4:
        fields[at] = field._replace(number=rng.choice((rng.randint(1, 12), field.number + 1, 2**29 - 1)))
    elif isinstance(field.value, bytes):
        fields[at] = field._replace(value=mutate_message(field.value, rng))
    else:
        fields[at] = field._replace(value=any_number(rng, field.value))
    return join_fields(fields)


def mutate_items(items: list[bytes], rng: random.Random, mutate: Callable[[bytes, random.Random], bytes]) -> None:
    """Change one of some items, or their order, or how many there are."""
    if not items:
        items.append(b"")
        return
    at = rng.randrange(len(items))
    choice = rng.randint(0, 9)
    if choice == 0 and len(items) > 1:
        del items[at]
    elif choice == 1:
        items.insert(rng.randint(0, len(items)), items[at])
    elif choice == 2:
        other = rng.randrange(len(items))
        items[at], items[other] = items[other], items[at]
    else:
        items[at] = mutate(items[at], rng)
