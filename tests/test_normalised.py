"""Kernels that weight normalization keeps as a direction and lengths; against real TensorFlow Addons: test_golden."""

import h5files
import h5py
import numpy as np
import pytest

from lstm_infer import hdf5, layouts
from lstm_infer.errors import LoadError
from lstm_infer.spec import Handle, RawModel, RawWeights

RNG = np.random.default_rng(11)
V, G, BIAS, RECURRENT = (RNG.normal(size=shape) for shape in ((3, 8), (8,), (8,), (2, 8)))


def handle(values):
    values = np.asarray(values)
    return Handle("array", values.shape, values.dtype.name, lambda: values)


def spec_of(inner, data_init=False, **wrapper):
    config = {"name": "w", "layer": inner, "data_init": data_init, "batch_input_shape": [None, 5, 3]}
    item = {"class_name": "Addons>WeightNormalization", "config": config, **wrapper}
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [item]}}
    return layouts.canonical(RawModel("m.h5", config, None, "2.15.0"))


DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 8}}
LSTM = {"class_name": "LSTM", "config": {"name": "l", "units": 2}}


def legacy(g=G, flag=True, **more):
    own = {"w/g:0": g, "w/kernel:0": V, "w/bias:0": BIAS, "w/initialized:0": np.bool_(flag), **more}
    return RawWeights("w.h5", "legacy", {"w": tuple((name, handle(a)) for name, a in own.items())}, {}, None, None)


def stored(*arrays):
    return tuple((str(n), handle(a)) for n, a in enumerate(arrays))


def kernel_of(found, name="kernel"):
    return found["w",][name].read()


EXPECTED = V / np.sqrt((V**2).sum(axis=0)) * G


def test_the_kernel_is_made_of_direction_and_lengths():
    spec = spec_of(DENSE)
    assert (spec.layers[1].class_name, spec.layers[1].name) == ("Dense", "w")
    found = layouts.match(spec, legacy())
    assert found["w",].keys() == {"kernel", "bias"}
    np.testing.assert_allclose(kernel_of(found), EXPECTED, rtol=1e-14)
    groups = {"layers/weight_normalization": stored(G, V, np.bool_(True)),
              "layers/weight_normalization/layer": stored(BIAS)}  # fmt: skip
    found = layouts.match(spec, RawWeights("w", "objects", groups))
    np.testing.assert_allclose(kernel_of(found), EXPECTED, rtol=1e-14)
    np.testing.assert_array_equal(kernel_of(found, "bias"), BIAS)


def test_of_a_recurrent_layer_the_recurrent_kernel_is_normalised():
    groups = {"layers/weight_normalization": stored(G, RECURRENT, np.bool_(True)),
              "layers/weight_normalization/layer/cell": stored(V, BIAS)}  # fmt: skip
    found = layouts.match(spec_of(LSTM), RawWeights("w", "objects", groups))
    expected = RECURRENT / np.sqrt((RECURRENT**2).sum(axis=0)) * G
    np.testing.assert_allclose(kernel_of(found, "recurrent_kernel"), expected, rtol=1e-14)
    np.testing.assert_array_equal(kernel_of(found), V)


def test_before_the_first_batch_the_lengths_are_those_of_the_direction():
    np.testing.assert_allclose(kernel_of(layouts.match(spec_of(DENSE), legacy(flag=False))), V, rtol=1e-14)
    copy = {"w/data_dep_init/kernel:0": V, "w/data_dep_init/bias:0": BIAS}
    found = layouts.match(spec_of(DENSE, data_init=True), legacy(**copy))
    np.testing.assert_allclose(kernel_of(found), EXPECTED, rtol=1e-14)
    found = layouts.match(spec_of(DENSE, data_init=True), legacy(flag=False, **copy))
    with pytest.raises(LoadError, match="data_init is true.*its first batch would set its weights"):
        kernel_of(found)


def test_a_column_of_zeros_stays_zero():
    flat = {"w/kernel:0": np.zeros((3, 8))}
    assert not kernel_of(layouts.match(spec_of(DENSE), legacy(**flat))).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": G[:5]}, r"has the shape \(5,\), expected \(8,\)"),
        ({"flag": [True]}, r"has the shape \(1,\), expected \(\)"),
        ({"more:0": BIAS}, "holds the arrays.*more"),
    ],
)
def test_arrays_that_do_not_fit(change, message):
    with pytest.raises(LoadError, match=message):
        layouts.match(spec_of(DENSE), legacy(**change))


def test_a_store_without_the_three_arrays():
    with pytest.raises(LoadError, match="holds 1 arrays, expected 3"):
        layouts.match(spec_of(DENSE), RawWeights("w", "objects", {"layers/weight_normalization": stored(G)}))


def test_somebody_elses_wrapper_of_that_name_is_not_looked_through():
    mine = {"class_name": "WeightNormalization", "registered_name": "mine>WeightNormalization"}
    for wrapper in (mine, {"class_name": "WeightNormalization"}):
        assert spec_of(DENSE, **wrapper).layers[1].class_name.endswith("WeightNormalization")


def test_truths_are_read_whatever_bytes_stand_for_them():
    def fill(file):
        flags = file.create_dataset("layers/dense/vars/0", (4,), dtype=bool)
        kind = h5py.h5t.py_create(np.dtype(bool), logical=True)
        flags.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([0, 1, 7, 255], np.uint8).view(bool), kind)

    found = hdf5.read(h5files.hdf5(fill)).weights.groups["layers/dense"][0][1]
    assert found.dtype == "bool"
    assert found.read().view(np.uint8).tolist() == [0, 1, 1, 1]
    assert [part.tolist() for _, part in found.pieces()] == [[False, True, True, True]]
