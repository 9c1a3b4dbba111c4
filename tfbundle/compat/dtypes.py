"""``tf.DType`` and its instances, made from the table of element types.

Source: TensorFlow ``python/framework/dtypes.py``, ``python/framework/dtypes.cc``, ``core/framework/types.h``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbundle.compat.placeholders import StandInError
from tfbundle.format.dtypes import DATA_TYPES, DataType

_REF = 100  # added to the number of a type, that of references to its elements

_LIMITED = frozenset(
    ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
)
_NOT_NUMERIC = frozenset(("string", "bool", "resource", "variant"))
_ALIASES = {"half": "float16", "float": "float32", "double": "float64"}
_EXPERIMENTAL = 24  # the first of those that came after TensorFlow 2 and count as experimental
_REAL = {"complex64": "float32", "complex128": "float64"}


class DType:
    """The type of a tensor's elements, as TensorFlow has it; the same object for the same type.

    Attributes:
        as_datatype_enum: its number.
        name: such as ``"float32"``.
        size: bytes of an element; 0 where that varies.

    Example:
        >>> as_dtype(np.float32), as_dtype(19).name
        (tf.float32, 'float16')
    """

    as_datatype_enum: int
    name: str
    size: int
    _type: DataType

    def __new__(cls, type_enum: int) -> DType:
        """Return the type with that number."""
        number = int(type_enum)
        if number not in _BY_NUMBER:
            raise TypeError(f"{number} does not correspond to a valid tensorflow::DataType")
        return _BY_NUMBER[number]

    @property
    def base_dtype(self) -> DType:
        """The type of the elements themselves, for a type of references to them."""
        return _BY_NUMBER[self._type.number]

    @property
    def real_dtype(self) -> DType:
        """The type of a complex number's parts; of all others the type itself."""
        return DTYPES[_REAL[self._type.name]] if self._type.name in _REAL else self

    @property
    def as_numpy_dtype(self) -> Any:
        """The class of numpy's scalars, or for quantised types the dtype, that stands for it.

        Raises:
            KeyError: there is none.
            StandInError: it is a class of ``ml_dtypes``, which is not installed.
        """
        kind = self._type
        if kind.name == "string":
            return np.object_ if self.as_datatype_enum > _REF else object
        if kind.nbytes == 0:
            raise KeyError(self.as_datatype_enum)
        if self.is_quantized:
            return np.dtype([(kind.name, kind.storage)])
        return np.dtype(kind.storage).type if kind.native else ml_type(kind)

    @property
    def is_bool(self) -> bool:
        """Whether the elements are truth values."""
        return self._type.name == "bool"

    @property
    def is_floating(self) -> bool:
        """Whether they are floating-point numbers, complex ones not included."""
        return self._type.name.startswith(("float", "bfloat"))

    @property
    def is_complex(self) -> bool:
        """Whether they are complex numbers."""
        return self._type.name.startswith("complex")

    @property
    def is_integer(self) -> bool:
        """Whether they are integers, quantised ones not included."""
        return self._type.name.startswith(("int", "uint"))

    @property
    def is_unsigned(self) -> bool:
        """Whether they are unsigned integers."""
        return self._type.name.startswith("uint")

    @property
    def is_quantized(self) -> bool:
        """Whether they are quantised numbers."""
        return self._type.name.startswith("q")

    @property
    def is_numeric(self) -> bool:
        """Whether they are what TensorFlow calls numeric, which the types that count as experimental are not."""
        return self._type.name not in _NOT_NUMERIC and self._type.number < _EXPERIMENTAL

    @property
    def is_numpy_compatible(self) -> bool:
        """Whether arrays can hold them."""
        return self._type.name not in ("resource", "variant")

    @property
    def min(self) -> Any:
        """The least of them."""
        return self._extreme("min", "minimum")

    @property
    def max(self) -> Any:
        """The greatest of them."""
        return self._extreme("max", "maximum")

    @property
    def limits(self) -> tuple[Any, Any]:
        """The range of intensities of a pixel that is never negative."""
        if self.is_numpy_compatible and self._type.name not in _LIMITED:
            raise ValueError(f"{self} does not have defined limits.")
        if self.is_bool:
            return 0, True
        return 0, 1 if self.is_floating else np.iinfo(self.as_numpy_dtype).max

    def _extreme(self, which: str, word: str) -> Any:
        if not (self.is_floating or self.is_integer):
            raise TypeError(f"Cannot find {word} value of {self}.")
        kind = self._type
        source: Any = np if kind.native else _ml_dtypes(kind)
        described = (source.finfo if self.is_floating else source.iinfo)(self.as_numpy_dtype)
        return getattr(described, which)

    def is_compatible_with(self, other: Any) -> bool:
        """Tell whether elements of another type, or references to them, will do for this one."""
        other = as_dtype(other)
        return self.as_datatype_enum in (other.as_datatype_enum, other.base_dtype.as_datatype_enum)

    def is_subtype_of(self, other: Any) -> bool:
        """Tell whether it is the same type."""
        return bool(self == other)

    def most_specific_common_supertype(self, types: Any) -> DType | None:
        """Return the type if all others are the same, else None."""
        return self if all(self == other for other in types) else None

    def __eq__(self, other: object) -> bool:
        if other is None:
            return False
        try:
            return self is as_dtype(other)
        except TypeError:
            return False

    def __hash__(self) -> int:
        return self.as_datatype_enum

    def __int__(self) -> int:
        return self.as_datatype_enum

    def __repr__(self) -> str:
        return f"tf.{self.name}"

    def __str__(self) -> str:
        return f"<dtype: {self.name!r}>"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return as_dtype, (self.name,)


def _make(kind: DataType, *, is_ref: bool) -> DType:
    made = object.__new__(DType)
    made.as_datatype_enum = kind.number + (_REF if is_ref else 0)
    made.name = f"{kind.name}_ref" if is_ref else kind.name
    made.size = kind.nbytes
    made._type = kind
    return made


_MADE = [_make(kind, is_ref=is_ref) for is_ref in (False, True) for kind in DATA_TYPES.values()]
_BY_NUMBER = {made.as_datatype_enum: made for made in _MADE}

DTYPES = {made.name: made for made in _MADE}
"""Every type by name, aliases included."""
DTYPES.update({f"{alias}{end}": DTYPES[f"{name}{end}"] for alias, name in _ALIASES.items() for end in ("", "_ref")})

QUANTIZED_DTYPES = frozenset(made for made in _MADE if made.is_quantized)

NAMES = [made.name for made in _MADE[: len(DATA_TYPES)] if made.as_datatype_enum < _EXPERIMENTAL]
EXPERIMENTAL_NAMES = [made.name for made in _MADE[: len(DATA_TYPES)] if made.as_datatype_enum >= _EXPERIMENTAL]

_PYTHON_TYPES: dict[Any, str] = {float: "float32", bool: "bool", object: "string"}
_TEXT_KINDS = "OSU"


def as_dtype(type_value: Any) -> DType:
    """Return the type that a number, a name, a class, or something with a ``dtype`` stands for.

    Raises:
        TypeError: it stands for none.

    Example:
        >>> as_dtype("float"), as_dtype(np.zeros(2, np.int8))
        (tf.float32, tf.int8)
    """
    if isinstance(type_value, DType):
        return type_value
    found = _find(type_value)
    if found is None and hasattr(type_value, "dtype"):
        try:
            found = _find(np.dtype(type_value.dtype))
        except TypeError:
            found = None
    if found is None:
        raise TypeError(f"Cannot convert the argument `type_value`: {type_value!r} to a TensorFlow DType.")
    return found


def _find(value: Any) -> DType | None:
    try:
        if value in _PYTHON_TYPES:
            return DTYPES[_PYTHON_TYPES[value]]
        if isinstance(value, str) and value in DTYPES:
            return DTYPES[value]
        if value in _BY_NUMBER:  # also a float that equals a number
            return _BY_NUMBER[value]
    except TypeError:  # not hashable
        return None
    if isinstance(value, type) and issubclass(value, np.generic) and value is not np.void:
        value = np.dtype(value)
    return _find_numpy(value) if isinstance(value, np.dtype) else None


def _find_numpy(dtype: np.dtype[Any]) -> DType | None:
    if dtype.names is not None:
        (name, *others) = dtype.names
        found = DTYPES.get(name)
        return found if not others and found is not None and found.is_quantized else None
    if dtype.kind in _TEXT_KINDS:
        return DTYPES["string"]
    return DTYPES.get(dtype.name)


def ml_type(kind: DataType) -> Any:
    """Return the class of ``ml_dtypes`` for a type that numpy lacks.

    Raises:
        StandInError: the package is not installed, or is too old to have it.
    """
    found = getattr(_ml_dtypes(kind), kind.name, None)
    if found is None:
        raise StandInError(f"numpy has no {kind.name}, nor has this ml_dtypes; pip install -U ml_dtypes")
    return found


def _ml_dtypes(kind: DataType) -> Any:
    try:
        import ml_dtypes
    except ImportError:
        raise StandInError(f"numpy has no {kind.name}; pip install 'tfbundle[dtypes]'") from None
    return ml_dtypes


def __getattr__(name: str) -> DType:
    if name not in DTYPES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return DTYPES[name]
