"""Record models of somebody's own class whose files hold all their layers, as those with a `train_step` of their own.

    python plain.py keras       Keras 3: an archive
    python plain.py tf_keras    Keras 2: HDF5
"""

import importlib
import os
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

FOLDER = Path(__file__).resolve().parent
keras = importlib.import_module(sys.argv[1])
L, KIND = keras.layers, {"keras": "keras3", "tf_keras": "keras2"}[sys.argv[1]]


@keras.saving.register_keras_serializable("mine")
class Trainer(keras.Model):
    def train_step(self, data):
        return super().train_step(data)


@keras.saving.register_keras_serializable("mine")
class Stack(keras.Sequential):
    pass


inputs, random = L.Input((5, 2)), np.random.default_rng(0)
first, last = (L.Input((5, 2)) for _ in range(2))
encoder = Trainer(first, L.LSTM(3, return_sequences=True)(first), name="encoder")
head = Stack([L.Input((5, 3)), L.GRU(4), L.Dense(2)], name="head")
model = Trainer(inputs, head(encoder(inputs)), name="whole")
model.set_weights([random.normal(size=w.shape) / 2 for w in model.get_weights()])
x = random.normal(size=(3, 5, 2)).astype("float32")
path = FOLDER / {"keras3": "keras3_plain.keras", "keras2": "keras2_plain.h5"}[KIND]
model.save(path)
if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
np.savez_compressed(FOLDER / f"{KIND}_plain.npz", input_0=x, output_0=model.predict(x, verbose=0))
