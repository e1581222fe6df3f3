"""PyTorch, eager and under ``inference_mode``: with oneDNN and without, since now one is quicker and now the other."""

import warnings

import numpy as np
import torch
from protocol import Unsupported, Way, serve, steps_of, threads_of
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

GATES = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2)}  # torch: i, f, g, o and r, z, n


def build(case, arrays, threads):
    if case.mode == "file":
        raise Unsupported("reads no Keras files")
    if (case.activation, case.recurrent_activation) != ("tanh", "sigmoid"):
        raise Unsupported("its LSTM has tanh and sigmoid only")
    make = {"sequence": _sequence, "start": _sequence, "ragged": _ragged, "step": _steps}[case.mode]
    settings = [(count, onednn) for count in sorted({1, threads}) for onednn in (True, False)]
    ways = make(case, arrays)
    return [
        way._replace(how=f"{threads_of(count)}, oneDNN {'on' if onednn else 'off'}", prepare=_setting(count, onednn))
        for count, onednn in settings
        for way in ways
    ]


def _setting(threads, onednn):
    def prepare():
        torch.set_num_threads(threads)
        with warnings.catch_warnings():  # of TF32 on GPUs
            warnings.simplefilter("ignore")
            torch.backends.mkldnn.set_flags(onednn)

    return prepare


def _sequence(case, arrays):
    layer = _fill(case, arrays, getattr(torch.nn, case.cell.upper())(case.features, case.units), "_l0")
    x = torch.from_numpy(np.ascontiguousarray(arrays["x"].swapaxes(0, 1)))
    return [Way("nn." + case.cell.upper(), lambda: layer(x), lambda: layer(x)[0].numpy().swapaxes(0, 1))]


def _ragged(case, arrays):
    layer = _fill(case, arrays, getattr(torch.nn, case.cell.upper())(case.features, case.units), "_l0")
    x = torch.from_numpy(np.ascontiguousarray(arrays["x"].swapaxes(0, 1)))
    lengths = torch.from_numpy(arrays["lengths"])

    def run():
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return pad_packed_sequence(layer(packed)[0], total_length=case.timesteps)[0]

    return [Way("PackedSequence", run, lambda: run().numpy().swapaxes(0, 1))]


def _steps(case, arrays):
    name = case.cell.upper()
    cell = _fill(case, arrays, getattr(torch.nn, name + "Cell")(case.features, case.units))
    layer = _fill(case, arrays, getattr(torch.nn, name)(case.features, case.units), "_l0")
    dense = torch.nn.Linear(case.units, case.dense) if case.dense else torch.nn.Identity()
    if case.dense:
        _set(dense, weight=arrays["dense_kernel"].T, bias=arrays["dense_bias"])
    steps = [torch.from_numpy(x_t) for x_t in steps_of(arrays["x"])]
    if case.cell == "gru":
        return [_stepping(name + "Cell", case, steps, lambda x, h: (dense(h := cell(x, h)), h), None)]

    def cell_step(x_t, state):
        state = cell(x_t, state)
        return dense(state[0]), state

    def layer_step(x_t, state):
        y, state = layer(x_t[None], state)
        return dense(y[0]), state

    return [_stepping(name + "Cell", case, steps, cell_step), _stepping("nn." + name, case, steps, layer_step, True)]


def _stepping(name, case, steps, step, stacked=False):
    zeros = torch.zeros((1, case.batch, case.units) if stacked else (case.batch, case.units))
    first = zeros if case.cell == "gru" else (zeros, zeros)
    x_t, state = steps[0], [first]

    def call():
        _, state[0] = step(x_t, state[0])

    def answer():
        state, found = first, []
        for each in steps:
            y, state = step(each, state)
            found.append(y.numpy())
        return np.stack(found, axis=1)

    return Way(name, call, answer)


# ---------------------------------------------------------------- weights
def _fill(case, arrays, module, suffix=""):
    bias = np.atleast_2d(arrays["bias"])
    bias = [_ordered(case, row) for row in bias] + [np.zeros(bias.shape[1], np.float32)] * (2 - len(bias))
    weights = {"weight_ih": _ordered(case, arrays["kernel"]).T, "bias_ih": bias[0]}
    weights |= {"weight_hh": _ordered(case, arrays["recurrent_kernel"]).T, "bias_hh": bias[1]}
    _set(module, **{name + suffix: array for name, array in weights.items()})
    return module.eval()


def _ordered(case, array):
    blocks = np.split(array, len(GATES[case.cell]), axis=-1)
    return np.concatenate([blocks[gate] for gate in GATES[case.cell]], axis=-1)


def _set(module, **arrays):
    for name, array in arrays.items():
        getattr(module, name).data = torch.from_numpy(np.ascontiguousarray(array))


if __name__ == "__main__":
    with torch.inference_mode():
        serve({"torch": torch.__version__}, build)
