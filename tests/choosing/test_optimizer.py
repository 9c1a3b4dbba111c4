from __future__ import annotations

import os
import time

import pytest

import tfbundle
from tests.support.corpus import Item, v2_items
from tests.support.requirements import corpus_root
from tfbundle.bundle.reader import BundleReader
from tfbundle.casting.policy import CastPolicy
from tfbundle.choosing.deciding import decide
from tfbundle.choosing.decisions import Decisions
from tfbundle.choosing.names import read_names
from tfbundle.choosing.optimizer import find_optimizer_state
from tfbundle.choosing.select import Selection
from tfbundle.format.object_graph import SlotVariable, TrackableObject

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def decide_dropping(bundle: BundleReader) -> Decisions:
    """Decide about a bundle's tensors as ``optimizer="drop"`` does."""
    names, dtypes = read_names(bundle), bundle.index.columns.dtype[bundle.index.tensor_rows]
    state = find_optimizer_state(bundle, names.graph)
    return decide(names, dtypes, Selection(optimizer="drop"), CastPolicy(), state)


# TF1: names alone.


@pytest.mark.parametrize(
    ("weights", "state"),
    [
        pytest.param("w b", "w/Adam w/Adam_1 b/Adam b/Adam_1 beta1_power beta2_power", id="Adam"),
        pytest.param("w", "w/Adam_2 w/Adam_3 beta1_power_1 beta2_power_1", id="second Adam of a graph"),
        pytest.param("w", "w/Momentum", id="Momentum"),
        pytest.param("w", "w/RMSProp w/RMSProp_1", id="RMSProp"),
        pytest.param("w", "w/RMSProp w/RMSProp_1 w/RMSProp_2", id="centered RMSProp"),
        pytest.param("w", "w/Adagrad", id="Adagrad"),
        pytest.param("w", "w/AdagradDA w/AdagradDA_1", id="AdagradDA"),
        pytest.param("w", "w/Adadelta w/Adadelta_1", id="Adadelta"),
        pytest.param("w", "w/Ftrl w/Ftrl_1", id="Ftrl"),
        pytest.param("w", "w/ProximalAdagrad", id="ProximalAdagrad"),
        pytest.param("w", "w/AdamOptimizer w/AdamOptimizer_1", id="named after its class"),
        pytest.param("bert/w", "bert/w/adam_m bert/w/adam_v", id="BERT"),
        pytest.param("albert/w", "albert/w/lamb_m albert/w/lamb_v", id="ALBERT with LAMB"),
        pytest.param("w", "w/LARSOptimizer", id="LARS"),
        pytest.param("a/b/w", "a/b/w/Adam a/b/w/Adam_1", id="nested name"),
        pytest.param("w", "training/w/Adam training/w/Adam_1 training/beta1_power training/beta2_power", id="scope"),
        pytest.param("a/w", "x/y/a/w/Momentum", id="nested scope"),
        pytest.param(
            "w",
            "OptimizeLoss/w/Adam OptimizeLoss/w/Adam_1 OptimizeLoss/beta1_power OptimizeLoss/beta2_power "
            "OptimizeLoss/learning_rate",
            id="contrib optimize_loss",
        ),
        pytest.param(
            "dense/kernel",
            "training/Adam/dense/kernel/m training/Adam/dense/kernel/v training/Adam/iter training/Adam/decay "
            "training/Adam/learning_rate training/Adam/beta_1 training/Adam/beta_2",
            id="Keras optimizer in a graph",
        ),
        pytest.param(
            "dense/kernel",
            "Adam/iterations Adam/lr Adam/beta_1 Adam/beta_2 Adam/decay "
            "training/Adam/Variable training/Adam/Variable_1",
            id="Keras 2.0 to 2.2",
        ),
        pytest.param(
            "dense/kernel dense/bias",
            "SGD/iterations SGD/lr SGD/momentum SGD/decay training/SGD/Variable training/SGD/Variable_1",
            id="Keras SGD",
        ),
        pytest.param("dense/kernel", "training/SGD/dense/kernel/momentum", id="Keras SGD with named slots"),
        pytest.param("dense/kernel", "training_1/RMSprop/dense/kernel/rms RMSprop/rho", id="Keras RMSprop"),
        pytest.param("dense/kernel", "Adam_1/dense/kernel/m Adam_1/iterations", id="second Keras optimizer"),
        pytest.param(
            "linear/w",
            "training/Ftrl/linear/w/accumulator training/Ftrl/linear/w/linear training/Ftrl/l1_regularization_strength "
            "training/Ftrl/l2_regularization_strength training/Ftrl/learning_rate_power training/Ftrl/beta",
            id="Keras Ftrl",
        ),
        pytest.param("w", "w_slot_m w_slot_v", id="Mesh TensorFlow"),
        pytest.param("embedding/part_0", "embedding/part_0/Adagrad", id="part of a variable"),
        pytest.param("Adam", "Adam/Adam Adam/Adam_1", id="slots of a variable called Adam"),
    ],
)
def test_slots_of_tf1(weights: str, state: str) -> None:
    names = {*weights.split(), *state.split(), "global_step"}
    assert find_optimizer_state(names) == set(state.split())


@pytest.mark.parametrize(
    "names",
    [
        pytest.param("Adam", id="a variable called Adam"),
        pytest.param("w Adam/w", id="a scope called Adam"),
        pytest.param("w other/Adam", id="Adam without its variable"),
        pytest.param("w other/Adam_1 v/Momentum", id="slots without their variables"),
        pytest.param("w w/ExponentialMovingAverage", id="moving average"),
        pytest.param("losses_avg/problem_0/total_loss losses_avg/problem_0/training_loss", id="averages of losses"),
        pytest.param("global_step", id="global step"),
        pytest.param("bn/moving_mean bn/moving_variance bn/gamma bn/beta", id="batch normalization"),
        pytest.param("w w/Adam/extra", id="below a slot"),
        pytest.param("w w/Adamant w/MyAdam w/Adam_x", id="much like a slot"),
        pytest.param("momentum/kernel rho m v decoder/momentum", id="words of optimizers"),
        pytest.param("SGD/dense/kernel SGD/dense/bias", id="layers in a scope called SGD"),
        pytest.param("training/dense/kernel training/Variable", id="a scope called training"),
        pytest.param("encoder/beta1_powers x_beta1_power", id="much like a power of beta"),
        pytest.param("", id="no tensors"),
    ],
)
def test_weights_of_tf1(names: str) -> None:
    assert find_optimizer_state(set(names.split())) == set()


def test_names_need_not_be_text() -> None:
    assert find_optimizer_state({"w\udcff\n", "w\udcff\n/Adam", "", "/Adam"}) == {"w\udcff\n/Adam"}


# TF2: the object graph.


class Graph:
    """Builds an object graph; a node is known by the number that ``add`` gives."""

    def __init__(self) -> None:
        self._children: list[dict[str, int]] = []
        self._keys: list[tuple[str, ...]] = []
        self._slots: list[list[SlotVariable]] = []
        self.root = self.add()

    def add(self, key: str = "", /, **children: int) -> int:
        self._children.append(children)
        self._keys.append((key + VALUE,) if key else ())
        self._slots.append([])
        return len(self._children) - 1

    def link(self, node: int, **children: int) -> None:
        self._children[node].update(children)

    def slot(self, optimizer: int, variable: int, name: str, key: str) -> None:
        self._slots[optimizer].append(SlotVariable(variable, name, self.add(key)))

    def nodes(self) -> tuple[TrackableObject, ...]:
        return tuple(
            TrackableObject(tuple(children.items()), keys, tuple(slots))
            for children, keys, slots in zip(self._children, self._keys, self._slots, strict=True)
        )

    def state(self) -> set[str]:
        nodes = self.nodes()
        names = {key for node in nodes for key in node.checkpoint_keys}
        return {name.removesuffix(VALUE) for name in find_optimizer_state(names, nodes)}


def keras2_optimizer(graph: Graph, path: str) -> int:
    hyper = {name: graph.add(f"{path}/{name}") for name in ("iter", "learning_rate", "beta_1", "decay")}
    return graph.add(**hyper)


def keras3_optimizer(graph: Graph, path: str, weights: list[int]) -> int:
    """An optimizer of Keras 3, whose lists hold the step counter, the rate, two moments a weight, and the weights."""
    counter, rate = graph.add(f"{path}/_iterations"), graph.add(f"{path}/_learning_rate")
    moments = [graph.add(f"{path}/_variables/{number + 2}") for number in range(2 * len(weights))]
    variables = graph.add(**{str(number): node for number, node in enumerate([counter, rate, *moments])})
    trainable = graph.add(**{str(number): node for number, node in enumerate(weights)})
    return graph.add(_iterations=counter, _learning_rate=rate, _variables=variables, _trainable_variables=trainable)


def test_keras2_slots() -> None:
    graph = Graph()
    weight = graph.add("model/w")
    optimizer = keras2_optimizer(graph, "optimizer")
    graph.link(graph.root, model=graph.add(w=weight), optimizer=optimizer)
    graph.slot(optimizer, weight, "m", "model/w/.OPTIMIZER_SLOT/optimizer/m")
    assert graph.state() == {
        "optimizer/iter",
        "optimizer/learning_rate",
        "optimizer/beta_1",
        "optimizer/decay",
        "model/w/.OPTIMIZER_SLOT/optimizer/m",
    }


def test_slots_stored_under_any_key() -> None:
    graph = Graph()
    weight = graph.add("model/w")
    optimizer = graph.add()
    graph.link(graph.root, model=graph.add(w=weight), anything=optimizer)
    graph.slot(optimizer, weight, "m", "anything/7")
    assert graph.state() == {"anything/7"}


def test_optimizer_within_a_compiled_model() -> None:
    graph = Graph()
    weight = graph.add("w")
    graph.link(graph.root, w=weight, optimizer=keras2_optimizer(graph, "optimizer"))
    assert graph.state() == {f"optimizer/{name}" for name in ("iter", "learning_rate", "beta_1", "decay")}


def test_keras3_weights_stored_under_the_optimizer() -> None:
    graph = Graph()
    weights = [graph.add(f"optimizer/_trainable_variables/{number}") for number in range(2)]
    optimizer = keras3_optimizer(graph, "optimizer", weights)
    layers = graph.add(kernel=weights[0], bias=weights[1])
    graph.link(graph.root, model=graph.add(_layers=layers), optimizer=optimizer)
    moments = {f"optimizer/_variables/{number}" for number in range(2, 6)}
    assert graph.state() == {"optimizer/_iterations", "optimizer/_learning_rate", *moments}


def test_keras3_weights_that_only_the_optimizer_holds() -> None:
    graph = Graph()
    weights = [graph.add("optimizer/_trainable_variables/0")]
    graph.link(graph.root, optimizer=keras3_optimizer(graph, "optimizer", weights))
    moments = {f"optimizer/_variables/{number}" for number in range(2, 4)}
    assert graph.state() == {"optimizer/_iterations", "optimizer/_learning_rate", *moments}


def test_keras3_state_stored_under_the_model() -> None:
    graph = Graph()
    weights = [graph.add("model/kernel")]
    optimizer = keras3_optimizer(graph, "model/optimizer", weights)
    graph.link(graph.root, model=graph.add(kernel=weights[0], optimizer=optimizer))
    moments = {f"model/optimizer/_variables/{number}" for number in range(2, 4)}
    assert graph.state() == {"model/optimizer/_iterations", "model/optimizer/_learning_rate", *moments}


def test_two_optimizers() -> None:
    graph = Graph()
    weights = [graph.add("a"), graph.add("b")]
    first = keras3_optimizer(graph, "first", weights[:1])
    second = keras3_optimizer(graph, "second", weights[1:])
    graph.link(graph.root, a=weights[0], b=weights[1], first=first, second=second)
    expected = {f"{name}/{tail}" for name in ("first", "second") for tail in ("_iterations", "_learning_rate")}
    expected |= {f"{name}/_variables/{number}" for name in ("first", "second") for number in (2, 3)}
    assert graph.state() == expected


def test_model_without_optimizer() -> None:
    graph = Graph()
    model = graph.add(iterations=graph.add("model/iterations"), kernel=graph.add("model/kernel"))
    graph.link(graph.root, model=model, save_counter=graph.add("save_counter"))
    assert graph.state() == set()


def test_object_graph_with_a_cycle() -> None:
    graph = Graph()
    weight = graph.add("model/w")
    optimizer = keras2_optimizer(graph, "optimizer")
    model = graph.add(w=weight, optimizer=optimizer)
    graph.link(optimizer, model=model)
    graph.link(model, itself=model, parent=graph.root)
    graph.link(graph.root, model=model)
    assert "model/w" not in graph.state()
    assert "optimizer/iter" in graph.state()


def test_keys_that_the_bundle_lacks_are_not_named() -> None:
    graph = Graph()
    optimizer = keras2_optimizer(graph, "optimizer")
    graph.link(graph.root, optimizer=optimizer)
    assert find_optimizer_state({f"optimizer/iter{VALUE}"}, graph.nodes()) == {f"optimizer/iter{VALUE}"}


# Checkpoints of the corpus, each judged by a look at its names.


def is_state(name: str) -> bool:
    """What a reader of the corpus's names would call optimizer state; not a rule for other checkpoints."""
    if name.startswith("optimizer/_trainable_variables/"):
        return False
    start, last = name.split("/", maxsplit=1)[0], name.rsplit("/", maxsplit=1)[-1]
    by_last = last in ("Adam", "Adam_1", "Momentum", "beta1_power", "beta2_power")
    return by_last or start in ("optimizer", "training", "SGD") or "/.OPTIMIZER_SLOT/optimizer/" in name


def readable_items() -> list[Item]:
    return [item for item in v2_items() if not any(tensor.error for tensor in item.tensors.values())]


@pytest.mark.parametrize("item", readable_items() or [None], ids=lambda item: item.label if item else "no corpus")
def test_corpus(item: Item | None) -> None:
    if item is None:
        corpus_root()
        return
    with tfbundle.open(item.prefix) as bundle:
        decisions = decide_dropping(bundle)
        dropped = {name for name, decision in zip(bundle, decisions, strict=True) if decision.action == "drop"}
    assert dropped == {name for name in item.tensors if is_state(name)}


@pytest.mark.parametrize(
    ("path", "num_state", "num_other"),
    [
        ("real/pypi_chiron_DNA/final.ckpt-158301", 2 * 48 + 2, 69),
        ("real/pypi_musicnn_MTT/", 2 * 42 + 2, 64),
        ("real/tfx_chicago_taxi_ckpt1000/model.ckpt-1000", 39, 21),
        ("real/t2t_transformer_2shards/model.ckpt-1", 2 * 81 + 2, 86),
        ("real/tfdeploy_keras-1.12.0/variables/variables", 6, 4),
        ("real/pypi_basic_pitch/variables/variables", 2 * 18 + 5, 33),
        ("synth/tf2_ckpt_manager_optimizer/ckpt-4", 10, 7),
        ("synth/keras2_conv/weights/w", 12 + 4, 15),
        ("synth/keras3_sm_mha/sm_full/variables/variables", 0, 14),
    ],
)
def test_counts_in_the_corpus(path: str, num_state: int, num_other: int) -> None:
    """Counted by hand: slots a trainable variable, and what the optimizer holds besides."""
    prefix = os.path.join(corpus_root(), path)
    with tfbundle.open(prefix) as bundle:
        decisions = decide_dropping(bundle)
    actions = [decision.action for decision in decisions]
    assert (actions.count("drop"), len(actions) - actions.count("drop")) == (num_state, num_other)


@pytest.mark.parametrize("variable", ["a/" * 300_000 + "w", "/" * 600_000, "w" * 600_000])
def test_name_of_many_parts_takes_no_longer_than_one_of_many_letters(variable: str) -> None:
    start = time.process_time()
    assert find_optimizer_state({variable, f"{variable}/Adam"}) == {f"{variable}/Adam"}
    assert find_optimizer_state({"v", f"{variable}/Adam"}) == set()
    assert time.process_time() - start < 5


def test_variable_may_stand_in_many_scopes() -> None:
    assert find_optimizer_state({"w", "a/" * 30 + "w/Adam"}) == {"a/" * 30 + "w/Adam"}
