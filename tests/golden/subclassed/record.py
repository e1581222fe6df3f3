"""Record a subclassed model of Keras 3, whose file holds arrays under the names of attributes, and no architecture.

    python record.py        needs keras >= 3 with the TensorFlow backend
"""

import os
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

FOLDER, L = Path(__file__).resolve().parent, keras.layers


class Encoder(L.Layer):
    def __init__(self, **config):
        super().__init__(**config)
        self.bi, self.proj = L.Bidirectional(L.LSTM(3, return_sequences=True)), L.Dense(4)

    def call(self, x):
        return self.proj(self.bi(x))


class Tagger(keras.Model):
    def __init__(self, **config):
        super().__init__(**config)
        self.encoder, self.adapter = Encoder(), L.Dense(9, "tanh")
        self.rnn, self.rnn_2 = L.GRU(4, return_sequences=True), L.GRU(5)  # saved under "layers": r comes after l
        self.out = L.Dense(7)

    def call(self, x):
        return self.out(self.rnn_2(self.rnn(self.adapter(self.encoder(x)))))


random, model = np.random.default_rng(0), Tagger()
x = random.normal(size=(3, 5, 2)).astype("float32")
model(x)
for variable in model.weights:
    variable.assign(random.normal(size=variable.shape) / 3)
path = FOLDER / "keras3.keras"
model.save(path)
np.savez_compressed(FOLDER / "keras3.npz", input_0=x, output_0=model(x))
with zipfile.ZipFile(path) as archive:
    members = {name: archive.read(name) for name in archive.namelist()}
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in members.items():
        archive.writestr(name, data)
