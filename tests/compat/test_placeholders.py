"""What is not stood in for can be named, imported and derived from, and says what it is when it is used."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Optional

import pytest

from tfbundle.compat import StandInError, tf
from tfbundle.compat.placeholders import placeholder

USES: dict[str, Callable[[Any], Any]] = {
    "call": lambda it: it(1, units=2),
    "truth": bool,
    "iteration": list,
    "length": len,
    "element": lambda it: it[0],
    "membership": lambda it: 1 in it,
    "equality of a constant": lambda it: it.A_NUMBER == 1,
    "difference": lambda it: it.a_number != "x",
    "order": lambda it: it < 1,
    "sum": lambda it: it + 1,
    "sum from the right": lambda it: 1 + it,
    "product": lambda it: it * 2,
    "negative": operator.neg,
    "matrix product": lambda it: it @ it,
    "text": str,
    "text within text": lambda it: f"{it}",
    "number": int,
    "float": float,
    "index": lambda it: [1, 2][it],
    "context": lambda it: it.__enter__(),
    "attribute's call": lambda it: it.part.of_it(),
    "lower case instance": lambda it: isinstance(1, it.lower),
    "lower case subclass": lambda it: issubclass(int, it.lower),
}


@pytest.mark.parametrize("use", USES)
def test_use_is_told(use: str) -> None:
    with pytest.raises(StandInError) as caught:
        USES[use](tf.keras.Model)
    text = str(caught.value)
    assert text.startswith("tensorflow.keras.Model")
    assert text.endswith("run this where TensorFlow is installed")
    assert "\n" not in text


def test_naming_is_free() -> None:
    layers = tf.keras.layers
    assert layers is tf.keras.layers
    assert tf.keras.Model != None  # noqa: E711 that is the use
    assert {tf.keras.Model: 1}[tf.keras.Model] == 1
    assert repr(layers.Dense) == "<tensorflow.keras.layers.Dense, which is not there>"
    assert Optional[tf.Tensor]  # noqa: UP045 likewise
    assert tf.Tensor | None
    assert tf.Tensor != 3
    assert callable(tf.nn.relu)


def test_classes_derive_and_decorators_decorate() -> None:
    class Model(tf.keras.Model):  # type: ignore[misc]
        size = 3

        @tf.function  # type: ignore[untyped-decorator]
        def call(self) -> None: ...

    class Small(Model):
        pass

    @tf.keras.utils.register_keras_serializable(package="mine")
    class Mine:
        pass

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step() -> None:
        """Make a step."""

    assert (Small.size, Mine.__name__, step.__name__, step.__doc__) == (3, "Mine", "step", "Make a step.")
    assert issubclass(Small, Model)
    assert not isinstance(3, Small)
    assert bool(Small) is True
    assert Small == Small
    assert Small != Mine
    assert isinstance(Mine(), Mine)
    assert "Small" in f"{Small}"
    for use in (Model, Small, Model.from_config, step):
        with pytest.raises(StandInError, match=r"tensorflow\.(keras\.Model|function)"):
            use()


def test_nothing_is_an_instance_of_a_class_that_is_not_there() -> None:
    assert not isinstance(1, tf.Tensor)
    assert not isinstance(1, (str, tf.Variable))
    assert not issubclass(int, tf.Module)


def test_names_of_python_are_no_names_of_tensorflow() -> None:
    assert not hasattr(tf.keras, "__wrapped__")
    with pytest.raises(AttributeError):
        placeholder("keras").__file__  # noqa: B018


def test_what_tensorflow_has_no_more_is_absent() -> None:
    assert not hasattr(tf, "models")
    assert not hasattr(tf.contrib, "slim")
    assert tf.contrib.framework.list_variables is tf.train.list_variables
