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
from keras.models import Sequential  # noqa: E402

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


for case in sys.argv[1:] or sorted(CASES):
    record(case)
    print(case, "recorded with Keras", __version__)
