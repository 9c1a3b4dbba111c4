"""The tree of errors is TensorFlow's."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tests.support.requirements import tensorflow
from tfbundle.compat import op_errors, tf
from tfbundle.compat.op_errors import CODES, OpError

NAMES = [name for name, cls in vars(op_errors).items() if isinstance(cls, type(OpError)) and name[0].isupper()]
NAMES = [name for name in NAMES if issubclass(getattr(op_errors, name), OpError)]
CODED = [name for name in NAMES if name != "OpError"]


@pytest.fixture(scope="module")
def real() -> Any:
    return tensorflow().errors


def test_same_classes_and_codes(real: Any) -> None:
    theirs = {name for name in dir(real) if isinstance(getattr(real, name), type)}
    assert {*NAMES, "OperatorNotAllowedInGraphError"} == theirs
    assert {name: getattr(real, name) for name in CODES} == CODES


@pytest.mark.parametrize("name", CODED)
def test_instances_are_alike(real: Any, name: str) -> None:
    theirs, ours = getattr(real, name)(None, None, "what"), getattr(tf.errors, name)(None, None, "what")
    for attribute in ("message", "error_code", "node_def", "op", "args", "experimental_payloads"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert (str(ours), repr(ours)) == (str(theirs), repr(theirs))
    assert [cls.__name__ for cls in type(ours).__mro__ if cls.__name__[0] != "_"] == [
        cls.__name__ for cls in type(theirs).__mro__
    ]


@pytest.mark.parametrize("name", CODED)
def test_relations(name: str) -> None:
    cls = getattr(tf.errors, name)
    assert issubclass(cls, tf.errors.OpError)
    assert [other for other in CODED if issubclass(cls, getattr(tf.errors, other))] == [name]
    assert tf.errors.exception_type_from_error_code(cls(None, None, "").error_code) is cls
    assert tf.errors.error_code_from_exception_type(cls) == cls(None, None, "").error_code


@pytest.mark.parametrize("error", [tf.errors.NotFoundError(None, None, "m"), OpError(None, None, "m", 2)], ids=repr)
def test_pickles(error: OpError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.error_code) == (type(error), "m", error.error_code)


def test_one_class_at_every_path() -> None:
    paths = (tf.errors, tf.compat.v1.errors, tf.python.framework.errors_impl, tf.python.framework.errors)
    assert len({id(module.NotFoundError) for module in paths}) == 1
    assert tf.OpError is tf.errors.OpError
    with pytest.raises(tf.errors.NotFoundError) as caught:
        tf.train.load_checkpoint("no/such/checkpoint")
    assert caught.value.error_code == tf.errors.NOT_FOUND
    assert isinstance(caught.value, tf.errors.OpError)
    with pytest.raises(KeyError):
        tf.errors.error_code_from_exception_type(OpError)
