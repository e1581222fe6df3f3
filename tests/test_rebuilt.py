"""Strangers' weights without an architecture, which their authors' code describes: rebuilt with our classes.

As test_strangers: the files lie in the folder that LSTM_INFER_FILES names.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import lstm_infer as li
from lstm_infer.verify import verify

FOLDER = os.environ.get("LSTM_INFER_FILES")
if not FOLDER:
    pytest.skip("LSTM_INFER_FILES does not name the folder of strangers' files", allow_module_level=True)


def check(model, name, file):
    folder, golden = Path(FOLDER) / "cases" / name, {}
    model.load_weights(folder / file)
    for part in ("inputs.npz", "outputs.npz"):
        with np.load(folder / part) as recorded:
            golden.update(recorded)
    assert [found for found in verify(model, golden) if not found.agrees] == []


class AttentionWeightedAverage(li.Layer):
    """textgenrnn's: the mean over time, weighted by a softmax."""

    def weight_shapes(self, input_shape):
        return {"W": (input_shape[-1], 1)}

    def call(self, x):
        logits = (x @ self.weights["W"])[..., 0]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True) + 1e-7
        return (x * weights[..., None]).sum(axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


def test_textgenrnn():
    """Weights of CuDNNLSTM layers whose class no file names."""
    inputs = li.Input((40,), name="input", dtype="int32")
    values = [li.Embedding(465, 100, name="embedding")(inputs)]
    for name in ("rnn_1", "rnn_2"):
        layer = li.LSTM(128, return_sequences=True, recurrent_activation="sigmoid", name=name)
        values.append(layer(values[-1]))
    y = AttentionWeightedAverage(name="attention")(li.Concatenate(name="rnn_concat")(values))
    model = li.Model(inputs, li.Dense(465, "softmax", name="output")(y))
    check(model, "w-textgenrnn-cudnn", "textgenrnn_weights.hdf5")


class InstantLayerNormalization(li.Layer):
    """DTLN's: over the features of each frame."""

    def weight_shapes(self, input_shape):
        return {"gamma": input_shape[-1:], "beta": input_shape[-1:]}

    def call(self, x):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        return centred / np.sqrt(variance + np.float32(1e-7)) * self.weights["gamma"] + self.weights["beta"]

    def compute_output_shape(self, input_shape):
        return input_shape


def spectrum(x):
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(x, 512, axis=1)[:, ::128])


def inverse(magnitude_and_phase):
    magnitude, phase = magnitude_and_phase
    return np.fft.irfft(magnitude * np.exp(1j * phase)).astype(np.float32)


def overlap_add(frames):
    y = np.zeros((len(frames), 128 * (frames.shape[1] - 1) + 512), np.float32)
    for k in range(frames.shape[1]):
        y[:, 128 * k : 128 * k + 512] += frames[:, k]
    return y


def mask_of(x, units, suffixes, end):
    """Two LSTMs and a sigmoid: what of x to keep."""
    for suffix in suffixes:
        x = li.LSTM(128, return_sequences=True, name=f"lstm{suffix}")(x)
    return li.Activation("sigmoid", name=f"activation{end}")(li.Dense(units, name=f"dense{end}")(x))


def test_dtln():
    """Noise suppression: a mask on the spectrum, then one on a learned transform; Fourier transforms as functions."""
    signal = li.Input((4096,), name="input_1")
    magnitude = li.Lambda(lambda x: np.abs(spectrum(x)).astype(np.float32), name="lambda")(signal)
    phase = li.Lambda(lambda x: np.angle(spectrum(x)).astype(np.float32), name="phase")(signal)
    logarithm = li.Lambda(lambda x: np.log(x + np.float32(1e-7)), name="logarithm")(magnitude)
    kept = mask_of(InstantLayerNormalization(name="instant_layer_normalization")(logarithm), 257, ("", "_1"), "")
    frames = li.Lambda(inverse, name="lambda_1")([li.Multiply(name="multiply")([magnitude, kept]), phase])
    encoded = li.Conv1D(256, 1, use_bias=False, name="conv1d")(frames)
    kept = mask_of(InstantLayerNormalization(name="instant_layer_normalization_1")(encoded), 256, ("_2", "_3"), "_1")
    decoded = li.Conv1D(512, 1, use_bias=False, name="conv1d_1")(li.Multiply(name="multiply_1")([encoded, kept]))
    check(li.Model(signal, li.Lambda(overlap_add, name="lambda_2")(decoded)), "w-dtln-norm-500h", "DTLN_norm_500h.h5")
