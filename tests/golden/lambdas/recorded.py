"""Record models with calls of functions that lstm_infer does not have, which ``custom_objects`` supplies.

    python tests/golden/lambdas/recorded.py keras2      needs tf_keras  (Keras 2), writes recorded_keras2.h5
    python tests/golden/lambdas/recorded.py keras3      needs keras >= 3 with the TensorFlow backend, recorded_keras3.keras

Never record again to make a test pass.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

WRITER = sys.argv[1]
FOLDER = Path(__file__).resolve().parent
if WRITER == "keras2":
    import tf_keras as k
else:
    import keras as k

rng = np.random.default_rng(7)
x = k.Input((5, 3), name="x")
h = k.layers.LSTM(3, return_sequences=True, name="lstm")(x)
if WRITER == "keras2":
    outputs = [tf.math.cumulative_logsumexp(h, axis=1, reverse=True), tf.math.polyval([0.5, 2.0, -1.0], h),
               tf.math.cumulative_logsumexp(h, axis=2)]
else:
    outputs = [k.ops.categorical_crossentropy(k.ops.softmax(x), h, from_logits=True, axis=-1)]
model = k.Model(x, outputs)
model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
data = rng.normal(size=(4, 5, 3)).astype("float32")
answers = model.predict(data, verbose=0)
answers = answers if isinstance(answers, list) else [answers]
named = {f"output_{n}": answer for n, answer in enumerate(answers)}
np.savez_compressed(FOLDER / f"recorded_{WRITER}.npz", input_0=data, **named)
model.save(FOLDER / f"recorded_{WRITER}.{'h5' if WRITER == 'keras2' else 'keras'}")
