"""Quantised layers: how weights are packed and activations rounded. Their numbers: test_golden."""

import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.layers.quantization import Scheme, policy_of, round_activations, unpack

GOLDEN = Path(__file__).resolve().parent / "golden"
RNG = np.random.default_rng(11)


def nibbles(values, axis):
    """Pack whole numbers from -8 to 7, or from 0 to 15, two in a byte: the first in the low half."""
    values = np.moveaxis(np.asarray(values, np.int64) & 15, axis, 0)
    values = np.concatenate([values, np.zeros((len(values) % 2, *values.shape[1:]), np.int64)])
    return np.moveaxis(values[::2] | values[1::2] << 4, 0, axis)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("signed", [False, True])
def test_unpack(axis, signed):
    values = RNG.integers(-8 if signed else 0, 8 if signed else 16, (5, 3))
    stored = nibbles(values, axis)
    for kind in (np.float32, np.int8 if signed else np.uint8):  # a byte above 127 may come back as a negative number
        np.testing.assert_array_equal(unpack(stored.astype(kind), values.shape[axis], axis, signed), values)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("float32", None), ("mixed_float16", None), ("int8_from_float32", ("int8", 8, None)),
        ("int4_from_mixed_bfloat16", ("int4", 4, None)), ("int4/-1_from_float32", ("int4", 4, -1)),
        ("int4/128_from_float64", ("int4", 4, 128)), ("float8_from_float32", ("float8", 8, None)),
        ("gptq/3/64_from_float32", ("gptq", 3, 64)), ("awq/4/-1_from_float32", ("awq", 4, -1)),
    ],
)  # fmt: skip
def test_policies(policy, expected):
    scheme = Scheme.of(policy, None)
    assert (scheme and scheme[:3]) == expected


def test_activations_are_rounded_by_default_where_keras_does_so():
    rounded = {policy for policy in ("int8_from_float32", "int4_from_float32", "int4/-1_from_float32")
               if Scheme.of(policy, None).rounding}  # fmt: skip
    assert rounded == {"int8_from_float32", "int4_from_float32"}
    assert Scheme.of("int8_from_float32", {"class_name": "Int8QuantizationConfig", "config": {
        "activation_quantizer": None}}).rounding is None  # fmt: skip
    quantizer = {"class_name": "AbsMaxQuantizer", "config": {"value_range": [-7, 7], "epsilon": 0.5}}
    config = {"class_name": "Int4QuantizationConfig", "config": {"activation_quantizer": quantizer}}
    assert Scheme.of("int4/-1_from_float32", config).rounding == (-7, 7, 0.5)


def test_rounding_of_activations():
    x = np.array([[1.0, -0.26, 0.0], [0.0, 0.0, 0.0]])
    found = round_activations(x, -1, (-4, 4, 1e-9))
    np.testing.assert_allclose(found, [[1.0, -0.25, 0.0], [0.0, 0.0, 0.0]], atol=1e-8)


def test_dense_of_4_bits():
    kernel, scale = RNG.integers(-8, 8, (5, 3)), RNG.uniform(1, 2, (2, 3))
    zero, group = RNG.integers(-3, 4, (2, 3)), np.array([0, 0, 0, 1, 1])
    plain = (kernel - zero[group]) * scale[group]
    x, bias = RNG.normal(size=(4, 5)), RNG.normal(size=3)
    blocks = li.Dense(3, dtype="int4/3_from_float64")
    blocks.build((None, 5))
    blocks.set_weights([bias, nibbles(kernel, 1), scale, zero, group])
    np.testing.assert_allclose(blocks(x), x @ plain + bias, rtol=1e-12)
    gptq = li.Dense(3, dtype="gptq/4/3_from_float64")
    gptq.build((None, 5))
    unsigned = kernel + 8
    gptq.set_weights([bias, nibbles(unsigned.T, 0), scale.T, (zero + 8).T, group])
    np.testing.assert_allclose(gptq(x), x @ plain + bias, rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "expected"),
    [(1.0, 1.0), (1.06, 1.0), (1.07, 1.125), (-17.0, -16.0), (-17.1, -18.0), (1e6, 448.0), (0.0009, 0), (0.001, 2**-9)],
)
def test_float8(x, expected):
    layer = li.Dense(1, use_bias=False, dtype="float8_from_float64")
    layer.build((None, 1))
    layer.set_weights([*[np.ones(()) if n % 2 == 0 else np.zeros(4) for n in range(6)], np.ones((1, 1))])
    assert layer(np.array([[x]])).item() == expected


def test_a_quantised_layer_inside_time_distributed_forgets_its_scale():
    """As Keras does, which calls the plain way of the layer inside."""
    layer = li.TimeDistributed(li.Dense(1, use_bias=False, dtype="int8_from_float32"))
    layer.build((None, 2, 1))
    layer.set_weights([[[10.0]], [5.0]])
    assert layer(np.ones((1, 2, 1))).ravel().tolist() == [10.0, 10.0]


def test_groups_that_do_not_exist_are_refused():
    layer = li.Dense(2, use_bias=False, dtype="int4/2_from_float32")
    layer.build((None, 4))
    with pytest.raises(li.InputError, match="found a group 2"):
        layer.set_weights([np.zeros((4, 1)), np.ones((2, 2)), np.zeros((2, 2)), [0, 0, 1, 2]])


def test_a_policy_of_float64():
    assert li.Dense(2, dtype="int8_from_float64").dtype == np.float64
    assert li.Dense(2, dtype="int8_from_mixed_float16").dtype == np.float32


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised_attention(mode, tmp_path):
    """Keras writes nothing of it into the config, and does not read such a file back itself."""
    path = GOLDEN / "keras_cannot_load" / f"keras3_quantised_attention_{mode}.keras"
    with zipfile.ZipFile(path) as archive:
        architecture, weights = archive.read("config.json"), archive.read("model.weights.h5")
    (tmp_path / "m.json").write_bytes(architecture)
    (tmp_path / "m.weights.h5").write_bytes(weights)
    model = li.load_model(tmp_path / "m.json", weights=tmp_path / "m.weights.h5")
    with np.load(GOLDEN / f"keras3_quantised_attention_{mode}.npz") as golden:
        x = golden["input_0"]
        for n, y in enumerate(model.predict(x)):
            np.testing.assert_allclose(y, golden[f"output_{n}"], rtol=1e-4, atol=1e-5)
    many = RNG.normal(size=(40, 4, 6)).astype(np.float32)
    together, alone = model.predict(many), model.predict(many[7:8])
    again = pickle.loads(pickle.dumps(model)).predict(many)
    for y, one, same in zip(together, alone, again, strict=True):
        np.testing.assert_array_equal(y[7:8], one)
        np.testing.assert_array_equal(y, same)


def test_low_rank_factors_beside_a_quantised_kernel():
    path = GOLDEN / "keras_cannot_load" / "keras3_low_rank_factors_int8.h5"
    model = li.load_model(path)
    with np.load(GOLDEN / "keras3_low_rank_factors_int8.npz") as golden:
        for n, y in enumerate(model.predict(golden["input_0"])):
            np.testing.assert_allclose(y, golden[f"output_{n}"], rtol=1e-5, atol=1e-5)
    many = RNG.integers(0, 8, (40, 6))
    for y, one in zip(model.predict(many), model.predict(many[7:8]), strict=True):
        np.testing.assert_array_equal(y[7:8], one)


@pytest.mark.parametrize(("shapes", "policy"), [
    ({"kernel": (6, 2, 5)}, None),
    ({"kernel": (6, 2, 5), "kernel_scale": (1, 1, 2, 5)}, "int8_from_float32"),
    ({"kernel": (3, 2, 5), "kernel_scale": (1, 1, 2, 5)}, "int4_from_float32"),
    ({"kernel": (6, 5), "kernel_scale": (10,)}, "int4/-1_from_float32"),
    ({"kernel": (6, 5), "kernel_scale": (3, 10), "kernel_zero": (3, 10), "g_idx": (6,)}, "int4/2_from_float32"),
    ({"kernel": (5, 6), "kernel_scale": (10, 3), "kernel_zero": (10, 3), "g_idx": (6,)}, "gptq/4/2_from_float32"),
    ({"kernel": (10, 6), "kernel_scale": (10, 1), "kernel_zero": (10, 1), "awq_scales": (6,), "g_idx": (6,)},
     "awq/8/6_from_float32"),
    ({"kernel": (6, 2, 5), "inputs_scale": ()}, "float8_from_float32"),
])
def test_what_arrays_tell_of_a_projection(shapes, policy):
    assert policy_of(shapes, (6, 2, 5), "float32") == policy


def as_text(name):
    return name.decode() if isinstance(name, bytes) else name


def test_factors_in_attention_without_their_scale(tmp_path):
    """Keras writes the factors of attention into .h5 files, but not `lora_alpha`."""
    path = tmp_path / "adapted.h5"
    shutil.copy(GOLDEN / "keras3_multi_head_attention.h5", path)
    with h5py.File(path, "r+") as file:
        groups = file["model_weights"].values()
        group = next(g for g in groups if any("query" in str(name) for name in g.attrs["weight_names"]))
        names = list(group.attrs["weight_names"])
        first = next(name for name in map(as_text, names) if "query/kernel" in name)
        for side, shape in (("a", (2, 2)), ("b", (2, 2))):
            name = first.replace("kernel", f"lora_kernel_{side}")
            group.create_dataset(name, data=np.zeros(shape, np.float32))
            names.append(name)
        group.attrs["weight_names"] = names
    with pytest.raises(li.LoadError, match=r"low-rank factors .*expected the same model saved as \.keras"):
        li.load_model(path)
