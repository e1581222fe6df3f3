"""Record what real Keras answers with Lambda layers: one model with many, saved beside its inputs and outputs.

    python tests/golden/lambdas/models.py keras2      needs tf_keras  (Keras 2), writes keras2.h5
    python tests/golden/lambdas/models.py keras3      needs keras >= 3 with the TensorFlow backend, writes keras3.keras

Every output comes from a Lambda whose name is that of the function in ``lstm_infer.custom`` that stands for it. Keras 3
writes attention.keras too: a layer and an activation that are somebody's own. Never record again to make a test
pass.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

WRITER = sys.argv[1]
if WRITER == "keras2":
    import tf_keras as k
else:
    import keras as k
FOLDER = Path(__file__).resolve().parent

LAMBDAS = {
    "last_timestep": lambda x: x[:, -1, :],
    "reverse_time": lambda x: tf.reverse(x, axis=[1]),
    "timesteps": lambda x: x[:, -1:, :],
    "sum_over": lambda x: tf.reduce_sum(x, axis=1),
    "mean_over": lambda x: tf.reduce_mean(x, axis=1, keepdims=True),
    "max_over": lambda x: tf.reduce_max(x, axis=1),
    "expand_dims": lambda x: tf.expand_dims(x, axis=-1),
    "reshape": lambda x: tf.reshape(x, (-1, 15)),
    "l2_normalize": lambda x: tf.math.l2_normalize(x, axis=-1),
    "scale": lambda x: x * 2.5,
    "as_it_stands": lambda x: (x + 1.5) / 255.0,
}


def build():
    x, ids = k.Input((5, 3), name="x"), k.Input((5,), name="ids")
    h = k.layers.LSTM(3, return_sequences=True, name="lstm")(k.layers.Masking(name="masking")(x))
    outputs = [k.layers.Lambda(function, name=name)(h) for name, function in LAMBDAS.items()]
    squeezed = k.layers.Lambda(lambda x: tf.squeeze(x, axis=2), name="squeeze")
    outputs.append(squeezed(k.layers.Reshape((5, 1, 3), name="with_an_axis")(x)))
    outputs.append(k.layers.Lambda(lambda x: tf.one_hot(tf.cast(x, "int32"), 4), name="one_hot")(ids))
    masked = k.layers.Lambda(lambda x: x * 1.0, name="the_mask_ends")(h)
    outputs.append(k.layers.GlobalAveragePooling1D(name="average")(masked))
    return k.Model([x, ids], outputs)


@k.saving.register_keras_serializable("mine")
class WeightedSum(k.layers.Layer):
    """A sum over time, with weights that a vector and a factor make."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape):
        self.vector = self.add_weight(shape=(shape[-1],), name="vector")

    def call(self, inputs):
        scores = tf.reduce_sum(inputs * self.vector, axis=-1, keepdims=True) * self.factor
        return tf.reduce_sum(inputs * tf.nn.softmax(scores, axis=1), axis=1)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@k.saving.register_keras_serializable("mine")
def steep(x):
    return tf.tanh(3.0 * x)


def record_own():
    rng = np.random.default_rng(8)
    layers = [k.Input((5, 3)), k.layers.LSTM(4, activation=steep, return_sequences=True), WeightedSum(0.5, name="weighted_sum")]
    model = k.Sequential([*layers, k.layers.Dense(2)])
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    np.savez_compressed(FOLDER / "attention.npz", input_0=x, output_0=model.predict(x, verbose=0))
    model.save(FOLDER / "attention.keras")


def main():
    if WRITER == "keras3":
        record_own()
    rng = np.random.default_rng(7)
    model = build()
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    inputs = [rng.normal(size=(4, 5, 3)).astype("float32"), rng.integers(-1, 6, (4, 5)).astype("float32")]
    inputs[0][1, 3:] = 0
    inputs[0][2, :2] = 0
    outputs = model.predict(inputs, verbose=0)
    golden = {f"input_{n}": array for n, array in enumerate(inputs)}
    golden |= {f"output_{n}": array for n, array in enumerate(outputs)}
    np.savez_compressed(FOLDER / f"{WRITER}.npz", **golden)
    if WRITER == "keras2":
        model.save(FOLDER / "keras2.h5", include_optimizer=False)
    else:
        model.save(FOLDER / "keras3.keras")


main()
