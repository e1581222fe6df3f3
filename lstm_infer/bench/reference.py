"""LSTM and GRU in float64, as slow and plain as the formulas: what every engine's answer is compared with.

Not the tests' own oracle, so that the benchmark runs where the tests are not installed.
"""

import numpy as np

TOLERANCE = 1e-4
"""How far, relative to ``1 + |reference|``, an honest float32 engine may be."""


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),  # Keras 3's
}


def lstm(x, kernel, recurrent_kernel, bias, activation, recurrent_activation):
    """Return the outputs of every timestep, (batch, timesteps, units)."""
    h = c = np.zeros((len(x), len(recurrent_kernel)))
    outputs = []
    for x_t in x.swapaxes(0, 1):
        i, f, g, o = np.split(x_t @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
        c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h = recurrent_activation(o) * activation(c)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def gru(x, kernel, recurrent_kernel, bias, activation, recurrent_activation):
    """Return the outputs of every timestep, with the reset gate applied after the product (Keras's default)."""
    h = np.zeros((len(x), len(recurrent_kernel)))
    outputs = []
    for x_t in x.swapaxes(0, 1):
        z, r, g = np.split(x_t @ kernel + bias[0], 3, axis=1)
        z_h, r_h, g_h = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)
        z, r = recurrent_activation(z + z_h), recurrent_activation(r + r_h)
        h = z * h + (1 - z) * activation(g + r * g_h)
        outputs.append(h)
    return np.stack(outputs, axis=1)


def answer(case, arrays):
    """Return what `case` computes from its arrays, (batch, timesteps, units) in float64."""
    layer = {"lstm": lstm, "gru": gru}[case.cell]
    weights = [arrays[name].astype(np.float64) for name in ("x", "kernel", "recurrent_kernel", "bias")]
    y = layer(*weights, ACTIVATIONS[case.activation], ACTIVATIONS[case.recurrent_activation])
    return y @ arrays["dense_kernel"].astype(np.float64) + arrays["dense_bias"] if case.dense else y


def deviation(case, y, expected):
    """Return the largest ``|y - expected| / (1 + |expected|)`` over real timesteps; infinite if that is no number."""
    if y.shape != expected.shape:
        return np.inf
    off = np.abs(y - expected) / (1 + np.abs(expected))
    if case.mode == "ragged":  # what engines emit after a row's end differs
        off = off[np.arange(case.timesteps) < case.lengths[:, None]]
    worst = off.max()
    return float(worst) if np.isfinite(worst) else np.inf
