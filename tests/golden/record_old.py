"""Record what Keras before TensorFlow's own answers: spatial layers under their old names, in the old file layouts.

    python record_old.py [case ...]

Needs Python 3.6 with ``tensorflow==1.4.1 keras==1.2.2 h5py==2.8.0 numpy==1.16.6 "protobuf<3.18" "scipy<1.4" pyyaml``
(writes keras1_*) or with ``tensorflow==1.12.3 keras==2.2.4 h5py==2.10.0 numpy==1.16.6 "protobuf<3.18"`` (keras224_*).
Everything is written beside this file (or into $GOLDEN_DIR). Never record again to make a test pass: see README.md.
"""

import os
import sys
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import backend as K  # noqa: E402, N812
from keras import layers as L  # noqa: E402, N812
from keras.models import Model, Sequential  # noqa: E402

KERAS_1 = keras.__version__.startswith("1.")
FOLDER = os.environ.get("GOLDEN_DIR", os.path.dirname(os.path.abspath(__file__)))
WRITER = "keras1" if KERAS_1 else "keras224"
ROWS = 2
ONLY_CHANNELS_LAST = {"time_distributed"} if KERAS_1 else {"conv2d", "separable", "time_distributed"}
ONLY_CHANNELS_FIRST = {"conv2d", "conv2d_of_one_size", "conv3d", "locally_connected"} if KERAS_1 else {"convlstm"}


def of_keras_1(order):
    """Layers of a model, by case; `order` is th (channels first) or tf (channels last)."""
    def image(*sizes):
        return sizes if order == "tf" else sizes[-1:] + sizes[:-1]

    words = {"dim_ordering": order}
    timed = L.TimeDistributed
    first = {"input_shape": image(7, 6, 3)}
    return {
        "conv2d": [
            L.Convolution2D(4, 3, 2, border_mode="same", activation="tanh", **dict(words, **first)),
            L.MaxPooling2D((2, 1), **words), L.ZeroPadding2D((1, 2), **words),
            L.AtrousConvolution2D(3, 2, 2, atrous_rate=(2, 2), bias=False, **words),
            L.UpSampling2D((1, 2), **words), L.Cropping2D(((1, 0), (0, 1)), **words),
            L.AveragePooling2D((2, 2), strides=(1, 2), border_mode="same", **words),
        ],
        # as many filters and channels as the kernel has rows and columns: its shape does not tell its order
        "conv2d_of_one_size": [L.Convolution2D(3, 3, 3, subsample=(2, 1), **dict(words, **first)),
                               L.Convolution2D(3, 3, 3, border_mode="same", **words), L.GlobalMaxPooling2D(**words)],
        "conv3d": [L.Convolution3D(2, 2, 3, 2, border_mode="same", input_shape=image(4, 5, 3, 2), **words),
                   L.MaxPooling3D((1, 2, 1), **words), L.ZeroPadding3D((1, 0, 1), **words),
                   L.AveragePooling3D((2, 1, 1), **words)],
        "separable": [L.SeparableConvolution2D(4, 3, 2, depth_multiplier=2, activation="relu", **dict(words, **first)),
                      L.GlobalAveragePooling2D(**words)],
        "time_distributed": [
            timed(L.Convolution2D(4, 3, 3, border_mode="same", activation="relu", **words),
                  input_shape=(3,) + image(6, 5, 2)),
            timed(L.MaxPooling2D((2, 2), **words)), timed(L.Flatten()), L.LSTM(3), L.Dense(2),
        ],
        "convlstm": [L.ConvLSTM2D(3, 3, 2, border_mode="same", dim_ordering=order, return_sequences=True,
                                  input_shape=(3,) + image(5, 4, 2)),
                     L.ConvLSTM2D(2, 3, 3, border_mode="valid", dim_ordering=order, go_backwards=True)],
        "locally_connected": [L.LocallyConnected2D(3, 2, 3, subsample=(2, 1), **dict(words, **first))],
        "deconvolution2d": [  # outputs of every size that the strides allow
            L.Deconvolution2D(4, 3, 2, (None,) + image(16, 7, 4), subsample=(2, 1), activation="tanh", **dict(words, **first)),
            L.Deconvolution2D(2, 2, 4, (None,) + image(31, 20, 2), border_mode="same", subsample=(2, 3), bias=False, **words),
            L.Deconvolution2D(2, 3, 3, (None,) + image(31, 20, 2), border_mode="same", **words),
        ],
    }


def of_keras_1_in_time():
    return {
        "conv1d_family": [
            L.ZeroPadding1D(2, input_shape=(9, 3)), L.AtrousConvolution1D(4, 2, atrous_rate=2, activation="relu"),
            L.UpSampling1D(2), L.Cropping1D((1, 2)), L.LocallyConnected1D(3, 2), L.AveragePooling1D(2),
            L.SimpleRNN(2),
        ],
        "zero_padding_by_name": [L.ZeroPadding2D({"top_pad": 1, "left_pad": 2, "right_pad": 3}, input_shape=(7, 6, 3)),
                                 L.ZeroPadding2D((1, 0, 2, 1))],
        "zero_padding1d_by_name": [L.ZeroPadding1D({"left_pad": 2}, input_shape=(4, 3))],
    }


def of_keras_2(order):
    def image(*sizes):
        return sizes if order == "tf" else sizes[-1:] + sizes[:-1]

    words = {"data_format": "channels_last" if order == "tf" else "channels_first"}
    first = {"input_shape": image(7, 6, 3)}
    timed = L.TimeDistributed
    found = {
        "conv2d": [
            L.Conv2D(4, (3, 2), padding="same", activation="tanh", **dict(words, **first)),
            L.DepthwiseConv2D(2, depth_multiplier=2, **words), L.MaxPooling2D((2, 1), **words),
            L.Conv2DTranspose(3, 3, strides=2, padding="same", **words), L.ZeroPadding2D(((1, 0), (0, 2)), **words),
            L.UpSampling2D((1, 2), interpolation="bilinear" if order == "tf" else "nearest", **words),
        ],
        "separable": [L.SeparableConv2D(4, (3, 2), depth_multiplier=2, activation="relu", **dict(words, **first)),
                      L.GlobalAveragePooling2D(**words)],
        "time_distributed": [
            timed(L.Conv2D(4, 3, padding="same", activation="relu", **words), input_shape=(3,) + image(6, 5, 2)),
            timed(L.MaxPooling2D(2, **words)), timed(L.Flatten()), L.Bidirectional(L.GRU(3)), L.Dense(2),
        ],
        "convlstm": [
            L.Bidirectional(L.ConvLSTM2D(3, (3, 2), padding="same", return_sequences=True, **words),
                            input_shape=(3,) + image(5, 4, 2), merge_mode="sum"),
            L.BatchNormalization(), L.ConvLSTM2D(2, 2, strides=(2, 1), go_backwards=True, **words),
        ],
        "locally_connected": [L.LocallyConnected2D(3, (2, 3), strides=(2, 1), **dict(words, **first))],
    }
    if order == "tf":  # TensorFlow has the other one on GPUs only
        found["conv3d"] = [L.Conv3D(2, (2, 3, 2), padding="same", input_shape=image(4, 5, 3, 2), **words),
                           L.MaxPooling3D((1, 2, 1), **words), L.ZeroPadding3D((1, 0, 1), **words),
                           L.Conv3DTranspose(2, 2, strides=(1, 2, 1), **words)]
    return found


def of_keras_2_frozen():
    """A model inside a model, part of which is not trained: `get_weights` has an order of its own."""
    inner = Sequential([L.LSTM(3, return_sequences=True, input_shape=(4, 2)), L.BatchNormalization(), L.Dense(2)])
    inner.layers[0].trainable = False
    wrapped = Sequential([L.Dense(3, input_shape=(2,)), L.BatchNormalization()])
    wrapped.layers[0].trainable = False
    return {"frozen_inside": [L.Dense(2, input_shape=(4, 2)), inner, L.TimeDistributed(wrapped), L.GRU(2)]}


def of_keras_2_whole():
    """Whole numbers whose means have 64 bits, which layers without weights keep."""
    x = L.Input((4, 3), dtype="int32")
    mean = Model(x, L.Average()([x, L.ReLU()(x)]))
    after = [L.ReLU(max_value=2.25), L.MaxPooling1D(2), L.Activation("tanh"), L.Softmax(), L.Dropout(0.5), L.Flatten()]
    return {"whole_means": [L.InputLayer((4, 3), dtype="int32"), mean] + after}


def cases():
    """Titles and functions that make their layers: most cases with one order of axes, to keep the files few."""
    make = of_keras_1 if KERAS_1 else of_keras_2
    for order, ending, absent in (("tf", "", ONLY_CHANNELS_FIRST), ("th", "_channels_first", ONLY_CHANNELS_LAST)):
        for name in sorted(set(make(order)) - absent):
            yield name + ending, lambda order=order, name=name: make(order)[name]
    for name in () if KERAS_1 else of_keras_2_frozen():
        yield name, lambda name=name: of_keras_2_frozen()[name]
    for name in () if KERAS_1 else of_keras_2_whole():
        yield name, lambda name=name: of_keras_2_whole()[name]
    if KERAS_1:
        for name in of_keras_1_in_time():
            yield name, lambda name=name: of_keras_1_in_time()[name]


def record(title, make):
    K.clear_session()
    rng = np.random.RandomState(zlib.crc32(title.encode()))
    model = Sequential()
    for layer in make():
        model.add(layer)
    weights = [rng.normal(size=w.shape, scale=0.5).astype("float32") for w in model.get_weights()]
    model.set_weights([np.abs(w) + 0.1 if w.ndim == 1 else w for w in weights])  # a variance must be positive
    x = rng.normal(size=(ROWS,) + tuple(model.input_shape[1:])).astype("float32")
    x = np.round(4 * x).astype("int32") if "whole" in title else x
    y = model.predict(x)
    assert np.isfinite(y).all() and y.size
    stem = os.path.join(FOLDER, WRITER + "_" + title)
    more = {"weight_%d" % n: w for n, w in enumerate(model.get_weights())} if "frozen" in title else {}
    np.savez_compressed(stem + ".npz", input_0=x, output_0=y, **more)
    if "whole" not in title:  # for Keras 1, which saves no other model; 64 bits have no loss
        model.compile("sgd", "mse")
    model.save(stem + ".h5", include_optimizer=False) if not KERAS_1 else model.save(stem + ".h5")
    return y.shape


if __name__ == "__main__":
    for title, make in cases():
        if title in (sys.argv[1:] or [title]):
            try:
                print(title, record(title, make), flush=True)
            except Exception as problem:  # what this Keras cannot build or run
                print(title, "not built:", type(problem).__name__, " ".join(str(problem).split())[:90], flush=True)
