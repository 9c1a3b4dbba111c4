from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import tfbundle
from tests.support.corpus import iter_items
from tests.support.requirements import corpus_root
from tfbundle import BundleNotFoundError, Selection, halve
from tfbundle.choosing.names import TensorNames, read_names
from tfbundle.choosing.presets import PRESETS, find_preset

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

BATCH_NORM = """
    conv/BatchNorm/gamma conv/BatchNorm/beta conv/BatchNorm/moving_mean conv/BatchNorm/moving_variance
    InceptionV3/Mixed_5b/Branch_0/Conv2d_0a_1x1/BatchNorm/beta
    batch_normalization/gamma batch_normalization_12/beta tpu_batch_normalization_3/moving_mean
    sync_batch_normalization/gamma batch_normalization_v1_1/gamma BatchNorm_1/gamma block/SyncBatchNormalization/beta
    resnet50/bn2a_branch2a/gamma resnet50/bn2a_branch2a/moving_variance bn_2/scale conv1a_bn/offset conv1a_bn/pop_mean
    stage/BN/gamma layer_with_weights-7/gamma layer_with_weights-7/moving_mean
    layer1.0.bn1.weight layer1.0.bn1.running_var bn/gamma/ExponentialMovingAverage bn/renorm_mean
"""
OTHER_NORMS = """
    bert/embeddings/LayerNorm/gamma bert/encoder/layer_0/attention/output/LayerNorm/beta layer_normalization_4/gamma
    encoder/layer_norm/layer_norm_scale encoder/layer_norm/layer_norm_bias group_normalization/beta GroupNorm_1/gamma
    instance_norm_3/beta InstanceNorm/gamma rms_norm/scale rms_normalization_2/scale model/h0/ln_1/g model/ln_f/b
    gn2/scale layer_with_weights-8/gamma layer_with_weights-8/beta h.0.norm.weight pre_norm/bias
"""
TABLES = """
    bert/embeddings/word_embeddings bert/embeddings/token_type_embeddings position_embedding embedding/embeddings
    embedding_1/embeddings _operations/1/_embeddings model/wte model/wpe input_layer/city_embedding/embedding_weights
    emb encoder/Embedding/W word_embedding/kernel target_embedding_2/weights char_emb/table
    t/symbol_modality_16_16/shared/weights_3 t/symbol_modality_16_16/input_emb/weights_0
"""
OTHERS = """
    dense/kernel dense/bias conv1/weights conv1/biases global_step lstm/kernel bert/pooler/dense/kernel
    optimizer/beta_1 beta1_power training/Ftrl/beta SGD/momentum convnext/stage/gamma prelu/alpha scale offset
    bn/gamma/Adam conv/BatchNorm/gamma/Momentum a/word_embeddings/Adam_1 truncated_normal/bias normalizer/scale
    pre_norm_dense/bias q_emb_dense/kernel q_emb_dense/bias patch_embed/kernel vit/patch_embedding/kernel embedding/bias
    norm embedding_dense/kernel linear/company_xf/weights shared/weights_1 bn/conv/weights total/count abnormal/bias
"""


@pytest.mark.parametrize(
    ("word", "expected"),
    [("batchnorm", BATCH_NORM), ("norm", BATCH_NORM + OTHER_NORMS), ("embedding", TABLES)],
)
@pytest.mark.parametrize("ending", ["", VALUE])
def test_each_word_finds_its_own_and_nothing_else(word: str, expected: str, ending: str) -> None:
    names = [name + ending for name in (BATCH_NORM + OTHER_NORMS + TABLES + OTHERS).split()]
    assert sorted(find_preset(word, TensorNames(names))) == sorted(name + ending for name in expected.split())


def test_neighbours_tell_what_a_numbered_layer_is() -> None:
    names = TensorNames(["1/gamma", "1/beta", "2/gamma", "3/beta", "3/moving_mean", "4/gamma"])
    assert find_preset("batchnorm", names) == ["3/beta", "3/moving_mean"]
    assert find_preset("norm", names) == ["1/gamma", "1/beta", "3/beta", "3/moving_mean"]


def test_long_names_take_no_time() -> None:
    start = time.perf_counter()
    name = "bn" + "1" * 50_000 + "_" * 50_000 + "v1" * 20_000 + "/"
    for word in PRESETS:
        find_preset(word, TensorNames([name + "gamma", name + "weights" + "_1" * 50_000]))
    assert time.perf_counter() - start < 10


CHECKED_BY_EYE = {
    "pypi_basic_pitch": {"batchnorm": "layer_with_weights-[026]/{gamma,beta,moving_mean,moving_variance}"},
    "pypi_chiron_DNA": {
        "batchnorm": "res_layer[123]/branch[12]/conv*_bn/{scale,offset,pop_mean,pop_var}",
    },
    "pypi_musicnn_MTT": {"batchnorm": "batch_normalization*/{gamma,beta,moving_mean,moving_variance}"},
    "pypi_omnizart_index_only": {
        "batchnorm": "layer_with_weights-*/{gamma,beta,moving_mean,moving_variance} "
        "batch_norm_*/{gamma,beta,moving_mean,moving_variance}",
    },
    "pypi_omnizart_index_only:beat": {"norm": "layer_with_weights-*/{gamma,beta}"},
    "pypi_omnizart_index_only:chord": {"norm": "*/layer_norm/{gamma,beta}"},
    "swiftmodels_index_only": {
        "batchnorm": "batch_normalization*/{gamma,beta,moving_mean,moving_variance} "
        "*in[1-5].{weight,bias,running_mean,running_var}",
        "norm": "model/h*/ln_[12]/{g,b} model/ln_f/{g,b}",
        "embedding": "model/{wte,wpe}",
    },
    "t2t_transformer_2shards": {
        "norm": "*/layer_norm/layer_norm_{scale,bias}",
        "embedding": "transformer/body/target_space_embedding/kernel transformer/symbol_modality_*/shared/weights_*",
    },
    "tfranking_bert_lite": {
        "norm": "model/layer_with_weights-3/{gamma,beta} model/layer_with_weights-4/_*_layer_norm/{gamma,beta}",
        "embedding": "model/layer_with_weights-[012]/embeddings",
    },
    "keras2_conv": {"batchnorm": "layer_with_weights-1/{gamma,beta,moving_mean,moving_variance}"},
    "keras2_functional_bn": {
        "batchnorm": "layer_with_weights-1/{gamma,beta,moving_mean,moving_variance}",
        "norm": "layer_with_weights-2/{gamma,beta}",
    },
    "keras3_sm_functional_bn": {
        "batchnorm": "*_operations/2/{gamma,beta,moving_mean,moving_variance} variables/[2345] "
        "_all_variables/{0,7,10,11}",
        "norm": "*_operations/3/{gamma,beta} variables/[67] _all_variables/[28]",
    },
    "keras3_sm_mha": {
        "norm": "*_operations/4/{gamma,beta} variables/{9,10} _all_variables/{5,11}",
        "embedding": "*_operations/1/_embeddings variables/0 _all_variables/0",
    },
    "tf2_ckpt_sharded_variable": {"embedding": "emb"},
    "v1graph_convbn_infer_and_train": {"batchnorm": "conv[12]/BatchNorm/{gamma,beta,moving_mean,moving_variance}"},
}
"""What reading the names of every checkpoint of the corpus has found; ``norm`` is these and ``batchnorm``."""


def spell_out(patterns: str) -> list[str]:
    """Return shell globs without braces."""
    found = []
    for pattern in patterns.split():
        start, _, rest = pattern.partition("{")
        inner, _, end = rest.partition("}")
        found += [start + choice + end for choice in inner.split(",")]
    return found


def test_every_checkpoint_of_the_corpus() -> None:
    seen = set()
    for item in iter_items(corpus_root()):
        label = item.label.partition("/")[0]
        label = label if label in CHECKED_BY_EYE else item.directory
        checked = dict(CHECKED_BY_EYE.get(label, {}))
        checked["norm"] = f"{checked.get('batchnorm', '')} {checked.get('norm', '')}"
        try:
            with tfbundle.open(item.prefix) as bundle:
                names = read_names(bundle)
        except BundleNotFoundError:  # an index without data
            names = TensorNames(list(item.tensors))
        for word in PRESETS:
            globs = spell_out(checked.get(word, ""))
            short = {name: name.removesuffix(VALUE) for name in item.tensors}
            expected = {name for name in short if any(fnmatchcase(short[name], pattern) for pattern in globs)}
            assert set(find_preset(word, names)) == expected, (item.label, word)
            seen |= {(label, word)} if expected else set()
    wanted = {(directory, word) for directory, words in CHECKED_BY_EYE.items() for word in words}
    assert wanted <= seen


def test_batch_normalization_is_kept(tmp_path: Path) -> None:
    items = {item.directory: item for item in iter_items(corpus_root())}
    report = halve(
        items["v1graph_convbn_infer_and_train"].prefix,
        tmp_path / "h",
        selection=Selection(keep=("batchnorm",), optimizer="drop"),
    )
    with tfbundle.open(tmp_path / "h") as bundle:
        kept = [name for name in bundle if bundle.entries[name].dtype == "float32"]
    assert len(kept) == 8
    assert all("/BatchNorm/" in name for name in kept)
    assert report.count_reasons("keep") == {"--keep batchnorm": 8}
