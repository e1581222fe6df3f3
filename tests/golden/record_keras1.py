"""Record what Keras 1 answers: layers that later Keras does not have, or has differently.

    python record_keras1.py [case ...]      needs Python 3.6, keras==1.2.2, tensorflow==1.4.1, h5py==2.8.0, numpy<1.17

Everything is written beside this file, as by record.py: a whole model, and its inputs and outputs.
"""

import os
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
from keras import __version__  # noqa: E402
from keras.layers import (  # noqa: E402
    LSTM, BatchNormalization, Dense, Highway, MaxoutDense, ParametricSoftplus, SReLU,
)  # fmt: skip
from keras.layers import Flatten, Input, merge  # noqa: E402
from keras.models import Model, Sequential  # noqa: E402

FOLDER = os.path.dirname(os.path.abspath(__file__))
CASES = {
    "highway": lambda: [Highway(activation="tanh", input_shape=(4,)), Highway(bias=False), Dense(2)],
    "maxout_dense": lambda: [MaxoutDense(3, nb_feature=2, input_shape=(4,)), MaxoutDense(2, bias=False)],
    "srelu": lambda: [LSTM(3, return_sequences=True, input_shape=(4, 2)), SReLU(), SReLU(shared_axes=[1])],
    "parametric_softplus": lambda: [
        LSTM(3, return_sequences=True, input_shape=(4, 2)), ParametricSoftplus(), ParametricSoftplus(shared_axes=[1]),
    ],
    "batch_normalization_modes": lambda: [
        BatchNormalization(mode=0, axis=1, input_shape=(4, 2)), BatchNormalization(mode=0, epsilon=0.1),
        BatchNormalization(mode=1, epsilon=0.1), LSTM(3),
    ],
}  # fmt: skip


def record(name):
    rng = np.random.RandomState(zlib.crc32(name.encode()) % (1 << 32))
    model = Sequential(CASES[name]())
    for layer in model.layers:
        arrays = []
        for variable in layer.weights:
            low = 0.5 if "running_std" in variable.name or "gamma" in variable.name else -1
            arrays.append(rng.uniform(low, 1.5, variable.get_shape().as_list()))
        layer.set_weights(arrays)
    x = rng.normal(size=(3,) + model.input_shape[1:]).astype("float32")
    stem = os.path.join(FOLDER, "keras1_" + name)
    np.savez_compressed(stem + ".npz", input_0=x, output_0=model.predict(x))
    model.save(stem + ".h5")


def record_merges():
    """Every kind of cos and dot; between matrices cos is none, and divides by 1e-7 where a root would be imaginary."""
    rng = np.random.RandomState(5)
    x, y, a, b = inputs = [Input(shape) for shape in ((5,), (5,), (4, 3), (4, 3))]
    outputs = [merge([x, y], mode="cos"), Dense(2)(merge([x, y], mode="cos", dot_axes=1)), merge([a, b], mode="cos"),
               Flatten()(merge([a, b], mode="cos", dot_axes=1)), merge([a, b], mode="dot", dot_axes=1),
               merge([x, y], mode="dot", dot_axes=1), merge([a, b], mode="dot", dot_axes=[2, 2])]
    model = Model(inputs, outputs)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    values = [rng.normal(size=(3,) + variable._keras_shape[1:]).astype("float32") for variable in inputs]
    values[0][1] = 0
    named = {"output_%d" % n: answer for n, answer in enumerate(model.predict(values))}
    named.update({"input_%d" % n: value for n, value in enumerate(values)})
    stem = os.path.join(FOLDER, "keras1_merges")
    np.savez_compressed(stem + ".npz", **named)
    model.save(stem + ".h5")


for case in sys.argv[1:] or [*sorted(CASES), "merges"]:
    record_merges() if case == "merges" else record(case)
    print(case, "recorded with Keras", __version__)
