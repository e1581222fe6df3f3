"""Record what real Keras answers: tiny models with random weights, saved in every form, beside inputs and outputs.

    python record.py keras2 [case ...]      needs tf_keras  (Keras 2)
    python record.py keras3 [case ...]      needs keras >= 3 with the TensorFlow backend

Everything is written beside this file (or into $GOLDEN_DIR). Never record again to make a test pass: see README.md.

To add a case, write a function that returns a model and decorate it with `@case(...)`. Its inputs follow from the
names of the model's inputs (`values_for`): `padded...` holds masked timesteps, `ids...` integers with zeros as padding,
`mask...` booleans, `wide...` numbers up to +-6, `text...` words, `sentence...` several in a row, anything else plain normal numbers.
"""

import os
import re
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

WRITER = sys.argv[1] if len(sys.argv) > 1 else ""
if WRITER == "keras2":
    import tf_keras as k
elif WRITER == "keras3":
    import keras as k
else:
    raise SystemExit(__doc__)
L = k.layers
KERAS_2 = WRITER == "keras2"
FOLDER = Path(os.environ.get("GOLDEN_DIR", Path(__file__).resolve().parent))


# ---------------------------------------------------------------------------------------------------------------------
# Forms: the files one model can be saved as, and how Keras reads them back
# ---------------------------------------------------------------------------------------------------------------------

def save_json(model, path):
    Path(path).write_text(model.to_json())


def save_whole(model, path):
    model.save(path, **({"include_optimizer": False} if str(path).endswith(".h5") else {}))


def save_weights(model, path):
    model.save_weights(path)


def load_whole(path, json):
    return k.models.load_model(path, compile=False)


def load_weights(path, json):
    model = k.models.model_from_json(json)
    model.load_weights(path)
    return model


def load_json(path, json):
    return None  # no numbers inside: checked through the weights files


FORMS = {
    "h5": (save_whole, load_whole),
    "keras": (save_whole, load_whole),
    "json": (save_json, load_json),
    "weights.h5": (save_weights, load_weights),
    "legacy.h5": (save_weights, load_weights),  # Keras 2 only: its layout for names that do not end in .weights.h5
}
ALL = [form for form in FORMS if KERAS_2 or form != "legacy.h5"]
WHOLE = ["h5", "keras"]


# ---------------------------------------------------------------------------------------------------------------------
# Cases
# ---------------------------------------------------------------------------------------------------------------------

@dataclass
class Case:
    name: str
    build: Callable
    forms: list
    calls: int = 1             # how many predict calls in a row: more than one for stateful models
    rows: int | None = None    # batch size; default 3, 6 where timesteps are masked (one row per pattern)
    floatx: str = "float32"
    policy: str = ""
    weight_scale: float = 1.5
    named: bool = False        # inputs and outputs are dicts
    as_written: bool = False   # leave the .keras archive as Keras wrote it; see `deflate`
    settle: Callable | None = None  # what is done to the model once it has its weights
    weights: bool = False      # record `get_weights` too, and the answers after each float among them has grown
    keep: bool = False         # the files that Keras does not read back, in `keras_cannot_load`


CASES = {}


def case(name=None, *, forms=None, only=None, **settings):
    """Make it a case. `only`: the one Keras that has it; `forms`: by default .keras or, for a third, .h5."""
    def register(build):
        if only in (None, WRITER):
            title = name or build.__name__
            one = "h5" if zlib.crc32(title.encode()) % 3 == 0 else "keras"
            CASES[title] = Case(title, build, forms or [one], **settings)
        return build
    return register


def x(*shape, name="x", batch=None, dtype=None):
    return k.Input(shape, batch_size=batch, name=name, dtype=dtype)


def padded(steps=6, features=2, name="padded"):
    """Two tensors: an input that has masked timesteps, and the same after Masking."""
    raw = x(steps, features, name=name)
    return raw, L.Masking(name=f"masking_of_{name}")(raw)


def ids(*shape, name="ids", units=3, mask_zero=True):
    raw = x(*(shape or (6,)), name=name, dtype="int32")
    return raw, L.Embedding(8, units, mask_zero=mask_zero, name=f"embedding_of_{name}")(raw)


def flat(value):
    return [tensor for part in value for tensor in flat(part)] if isinstance(value, (list, tuple)) else [value]


def model(inputs, outputs):
    outputs = flat(outputs)
    return k.Model(inputs, outputs[0] if len(outputs) == 1 else outputs)


def all_rnns(*args, call=None, **options):
    """LSTM, GRU and SimpleRNN of three different sizes on the same tensors."""
    return [layer(units, **options)(*args, **(call or {}))
            for layer, units in ((L.LSTM, 3), (L.GRU, 2), (L.SimpleRNN, 5))]


# --- LSTM, GRU, SimpleRNN and their options ---------------------------------------------------------------------------

@case(forms=ALL, as_written=True)
def sequential():
    return k.Sequential([k.Input((5, 3)), L.LSTM(4, return_sequences=True), L.GRU(3, return_sequences=True),
                         L.SimpleRNN(5), L.Dense(2)])


@case(forms=WHOLE)
def sequential_built_late():
    late = k.Sequential([L.LSTM(3), L.Dense(2)])
    late.build((None, 4, 2))
    return late


@case(forms=WHOLE, only="keras2")
def sequential_input_shape_in_layer():
    return k.Sequential([L.LSTM(3, input_shape=(None, 2), return_sequences=True), L.LSTM(2)])


@case(forms=WHOLE, only="keras3")
def one_layer_in_several_places():
    shared, inputs = L.Dense(3), x(4, 2)
    return k.Model(inputs, [L.TimeDistributed(shared)(inputs), shared(inputs), L.LSTM(2)(shared(inputs))])


@case(forms=["keras"], keep=True)
def models_and_cells_in_several_places():
    inputs, cell, layer = x(4, 6), L.LSTMCell(6, name="cell"), L.Dense(6, name="layer")
    inner = k.Sequential([k.Input((4, 6)), L.Dense(6), L.LSTM(6, return_sequences=True)], name="inner")
    outer = k.Sequential([k.Input((4, 6)), inner, layer], name="outer")
    other = k.Sequential([k.Input((4, 6)), layer, L.GRU(6, return_sequences=True)], name="other")
    y = L.RNN([cell, L.GRUCell(6)], return_sequences=True)(other(inner(outer(inputs))))
    both = L.LSTM(3, return_sequences=True, name="both")
    return model(inputs, [L.RNN(cell)(y), L.TimeDistributed(layer)(y), L.Bidirectional(both)(y), both(y)])


@case(forms=["keras"], only="keras3", keep=True)
def cells_in_several_places_and_copied():
    """A Bidirectional has copies of the cell that its layer shares with others."""
    inputs, first, cell = x(4, 3), L.LSTMCell(3, name="first"), L.GRUCell(3, name="cell")
    y = L.RNN([first, cell], return_sequences=True)(L.RNN(first, return_sequences=True)(inputs))
    both = L.Bidirectional(L.RNN(cell, return_sequences=True))(y)
    return model(inputs, [L.RNN(cell, go_backwards=True)(y), both])


def rnn_case(name, *, steps=5, only=None, forms=None, **options):
    @case(f"rnn_{name}", only=only, forms=forms)
    def build():
        inputs = x(steps, 2)
        return model(inputs, all_rnns(inputs, **options))


rnn_case("last")
rnn_case("return_sequences", return_sequences=True)
rnn_case("return_state", return_state=True)
rnn_case("sequences_and_state", return_sequences=True, return_state=True, forms=ALL)
rnn_case("go_backwards", go_backwards=True, return_sequences=True, return_state=True)
rnn_case("go_backwards_last", go_backwards=True)
rnn_case("unroll", unroll=True, return_sequences=True)
rnn_case("no_bias", use_bias=False, return_sequences=True)
rnn_case("dropout", dropout=0.3, recurrent_dropout=0.2, return_sequences=True)
rnn_case("one_step", steps=1, return_sequences=True, return_state=True)
rnn_case("any_length", steps=None, return_sequences=True)
rnn_case("time_major", time_major=True, return_sequences=True, return_state=True, only="keras2")


@case()
def rnn_implementation():
    inputs = x(5, 2)
    return model(inputs, [layer(3, implementation=mode)(inputs) for layer in (L.LSTM, L.GRU) for mode in (1, 2)])


@case()
def rnn_training_arguments():
    """Arguments that mean nothing at inference, but stand in the file."""
    options = {"kernel_regularizer": "l2", "recurrent_regularizer": "l1", "bias_regularizer": "l2",
               "activity_regularizer": "l2", "kernel_constraint": "max_norm", "recurrent_constraint": "non_neg",
               "bias_constraint": "unit_norm", "kernel_initializer": "he_normal", "dropout": 0.1}
    inputs = x(4, 2)
    return model(inputs, [L.LSTM(3, unit_forget_bias=False, **options)(inputs), L.GRU(2, **options)(inputs)])


@case(forms=ALL)
def gru_reset_before():
    inputs = x(5, 2)
    return model(inputs, [L.GRU(units, reset_after=False, use_bias=bias, return_sequences=True)(inputs)
                          for units, bias in ((3, True), (5, False))])


@case()
def gru_reset_after():
    inputs = x(5, 2)
    return model(inputs, [L.GRU(3, reset_after=True, use_bias=bias, return_sequences=True, return_state=True)(inputs)
                          for bias in (True, False)])


@case()
def rnn_sizes():
    inputs = x(3, 17)
    return model(inputs, [L.LSTM(1)(inputs), L.LSTM(3)(inputs), L.LSTM(17)(inputs), L.GRU(17)(inputs)])


@case(rows=1)
def batch_of_one():
    inputs = x(7, 1)
    return model(inputs, all_rnns(inputs, return_sequences=True))


@case()
def one_feature_one_unit():
    return k.Sequential([k.Input((4, 1)), L.LSTM(1, return_sequences=True), L.GRU(1, return_sequences=True),
                         L.SimpleRNN(1)])


@case(rows=9, forms=WHOLE, weight_scale=3.0)
def lstm_large():
    inputs = x(30, 37)
    y, h, c = L.LSTM(100, return_sequences=True, return_state=True)(inputs)
    return model(inputs, [L.Dense(3)(y), h, c])


# --- stateful: calls in a row -----------------------------------------------------------------------------------------

@case(calls=3)
def stateful():
    inputs = x(4, 2, batch=3)
    return model(inputs, all_rnns(inputs, stateful=True, return_sequences=True, return_state=True))


@case(forms=ALL, calls=3)
def stateful_stack():
    return k.Sequential([k.Input((2, 2), batch_size=3), L.LSTM(3, stateful=True, return_sequences=True),
                         L.GRU(4, stateful=True), L.Dense(2)])


@case(calls=2)
def stateful_one_step():
    return k.Sequential([k.Input((1, 2), batch_size=1), L.LSTM(3, stateful=True), L.Dense(2)])


@case(calls=2, rows=2)
def stateful_any_length():
    inputs = x(None, 2, batch=2)
    return model(inputs, all_rnns(inputs, stateful=True))


@case(calls=2)
def stateful_bidirectional():
    inputs = x(4, 2, batch=3)
    return model(inputs, L.Bidirectional(L.LSTM(3, stateful=True, return_sequences=True))(inputs))


@case(calls=2)
def stateful_go_backwards():
    inputs = x(4, 2, batch=3)
    return model(inputs, all_rnns(inputs, stateful=True, return_sequences=True, go_backwards=True))


@case(calls=2)
def stateful_stacked_cells():
    inputs = x(4, 2, batch=3)
    cells = [L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)]
    return model(inputs, L.RNN(cells, stateful=True, return_sequences=True)(inputs))


@case(calls=3)
def stateful_masked():
    inputs = x(6, 2, name="padded", batch=6)
    return model(inputs, all_rnns(L.Masking()(inputs), stateful=True, return_sequences=True, return_state=True))


@case(calls=3)
def stateful_with_initial_state():
    inputs, h, c = x(3, 2, batch=2), x(3, name="h", batch=2), x(3, name="c", batch=2)
    return model([inputs, h, c], L.LSTM(3, stateful=True, return_sequences=True)(inputs, initial_state=[h, c]))


# --- activations ------------------------------------------------------------------------------------------------------

ACTIVATIONS = ["linear", "sigmoid", "tanh", "hard_sigmoid", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus",
               "softsign", "exponential", "swish", "silu", "gelu", "mish", "softmax", "log_softmax"]
if not KERAS_2:
    ACTIVATIONS += ["hard_swish", "hard_silu", "celu", "log_sigmoid", "tanh_shrink", "soft_shrink", "hard_shrink",
                    "hard_tanh", "squareplus", "sparse_plus", "sparse_sigmoid", "sparsemax"]


@case(forms=["keras"])
def activations_of_lstm():
    """Each activation once for the candidate and once for the gates, in pairs of two different ones."""
    inputs = x(2, 2)
    return model(inputs, [L.LSTM(2, activation=a, recurrent_activation=b, name=f"{a}_and_{b}")(inputs)
                          for a, b in zip(ACTIVATIONS, ACTIVATIONS[::-1])])


@case()
def activations_of_gru():
    inputs = x(3, 2)
    return model(inputs, [L.GRU(3, activation=name, recurrent_activation=gate, reset_after=after)(inputs)
                          for after, name, gate in ((True, "relu", "hard_sigmoid"), (False, "softsign", "hard_sigmoid"),
                                                    (True, "softmax", "softmax"), (False, "softmax", "linear"))])


@case()
def activations_of_simple_rnn():
    inputs = x(3, 2)
    return model(inputs, [L.SimpleRNN(3, activation=name)(inputs) for name in ("relu", "softmax", "hard_sigmoid")])


@case()
def activations_of_dense():
    inputs, names = x(4, name="wide"), ["relu", "softmax", "hard_sigmoid", "gelu", "selu", "swish"]
    return model(inputs, [L.Dense(3, activation=name, name=f"with_{name}")(inputs) for name in names])


@case()
def activation_layer():
    inputs = x(7, 5, name="wide")
    return model(inputs, [L.Activation(name, name=f"with_{name}")(inputs) for name in ACTIVATIONS])


@case()
def activation_layers_with_arguments():
    inputs = x(4, 3, name="wide")
    slope = "alpha" if KERAS_2 else "negative_slope"
    layers = [L.ReLU(), L.ReLU(max_value=1.5), L.ReLU(negative_slope=0.2), L.ReLU(threshold=0.7),
              L.ReLU(max_value=2.0, negative_slope=0.1, threshold=0.3),
              L.LeakyReLU(), L.LeakyReLU(**{slope: 0.05}), L.ELU(), L.ELU(alpha=0.6), L.Softmax(), L.Softmax(axis=1)]
    if KERAS_2:
        layers += [L.ThresholdedReLU(), L.ThresholdedReLU(theta=0.4)]
    return model(inputs, [layer(inputs) for layer in layers])


@case(forms=ALL)
def prelu():
    inputs = x(4, 3, name="wide")
    return model(inputs, [L.PReLU()(inputs), L.PReLU(shared_axes=[1])(inputs), L.PReLU(shared_axes=[1, 2])(inputs)])


@case(forms=WHOLE)
def activation_given_as_layer():
    inputs, slope = x(4, 3), "alpha" if KERAS_2 else "negative_slope"
    return model(inputs, [L.Dense(3, activation=L.LeakyReLU(**{slope: 0.1}))(inputs),
                          L.LSTM(2, activation=L.ReLU(max_value=0.5))(inputs)])


# --- cells under RNN --------------------------------------------------------------------------------------------------

def three_cells():
    return [L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)]


@case()
def cells():
    inputs = x(5, 2)
    every = [L.LSTMCell(3), L.GRUCell(2), L.GRUCell(3, reset_after=False), L.SimpleRNNCell(4)]
    return model(inputs, [L.RNN(cell, return_sequences=True, return_state=True)(inputs) for cell in every])


@case()
def cells_with_options():
    inputs = x(5, 2)
    return model(inputs, [
        L.RNN(L.LSTMCell(3, use_bias=False, recurrent_activation="hard_sigmoid", dropout=0.2))(inputs),
        L.RNN(L.GRUCell(3, activation="relu"), go_backwards=True, return_sequences=True)(inputs),
        L.RNN(L.SimpleRNNCell(3, activation="softsign"), unroll=True)(inputs)])


@case(forms=ALL)
def list_of_cells():
    inputs = x(5, 2)
    return model(inputs, L.RNN(three_cells(), return_sequences=True)(inputs))


@case()
def stacked_cells_return_state():
    inputs = x(5, 2)
    return model(inputs, L.RNN(L.StackedRNNCells(three_cells()), return_sequences=True, return_state=True)(inputs))


@case()
def stacked_cells_initial_state():
    inputs = x(5, 2)
    states = [x(units, name=name) for name, units in (("h1", 3), ("c1", 3), ("h2", 2), ("h3", 4))]
    nested = [states[:2], states[2], states[3]]
    return model([inputs, *states], L.RNN(three_cells(), return_sequences=True)(inputs, initial_state=nested))


@case()
def stacked_cells_masked():
    inputs, masked = padded()
    return model(inputs, [L.RNN(three_cells(), return_sequences=True, return_state=True)(masked),
                          L.RNN(three_cells(), go_backwards=True)(masked)])


# --- Bidirectional ----------------------------------------------------------------------------------------------------

MERGE_MODES = ["concat", "sum", "mul", "ave", None]


def bidirectional_case(name, **options):
    @case(f"bidirectional_merge_modes_{name}")
    def build():
        inputs, masked = padded()
        return model(inputs, [L.Bidirectional(L.LSTM(2, **options), merge_mode=mode)(masked) for mode in MERGE_MODES])


bidirectional_case("last")
bidirectional_case("sequences", return_sequences=True)


@case(forms=ALL)
def bidirectional():
    return k.Sequential([k.Input((5, 2)), L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="sum"),
                         L.Bidirectional(L.GRU(2))])


@case()
def bidirectional_simple_rnn():
    return k.Sequential([k.Input((5, 2)), L.Bidirectional(L.SimpleRNN(3)), L.Dense(2)])


@case()
def bidirectional_return_state():
    inputs = x(4, 2)
    return model(inputs, [L.Bidirectional(L.LSTM(2, return_sequences=True, return_state=True))(inputs),
                          L.Bidirectional(L.GRU(3, return_state=True), merge_mode="ave")(inputs),
                          L.Bidirectional(L.SimpleRNN(3, return_state=True), merge_mode=None)(inputs)])


@case()
def bidirectional_return_state_masked():
    inputs, masked = padded()
    return model(inputs, [L.Bidirectional(L.LSTM(2, return_sequences=True, return_state=True))(masked),
                          L.Bidirectional(L.GRU(3, return_state=True))(masked)])


@case()
def bidirectional_backward_layer():
    inputs = x(4, 2)
    backward = L.LSTM(3, activation="relu", go_backwards=True, return_sequences=True)
    return model(inputs, L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=backward)(inputs))


@case()
def bidirectional_backward_layer_of_another_class():
    inputs, masked = padded()
    backward = L.GRU(3, go_backwards=True)
    return model(inputs, L.Bidirectional(L.LSTM(3), backward_layer=backward, merge_mode="sum")(masked))


@case(only="keras2")
def bidirectional_of_go_backwards():
    inputs, masked = padded()
    return model(inputs, [L.Bidirectional(L.LSTM(2, return_sequences=sequences, go_backwards=True))(tensor)
                          for sequences in (False, True) for tensor in (inputs, masked)])


@case()
def bidirectional_of_cells():
    inputs = x(4, 2)
    return model(inputs, [L.Bidirectional(L.RNN(L.LSTMCell(3), return_sequences=True))(inputs),
                          L.Bidirectional(L.RNN([L.GRUCell(3), L.LSTMCell(2)]), merge_mode="ave")(inputs)])


@case()
def bidirectional_initial_state():
    inputs, states = x(4, 2), [x(3, name=name) for name in ("fh", "fc", "bh", "bc")]
    layer = L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True))
    return model([inputs, *states], layer(inputs, initial_state=states))


@case()
def bidirectional_stack_masked():
    inputs, y = ids()
    y = L.Bidirectional(L.LSTM(2, return_sequences=True))(y)
    return model(inputs, [y, L.Bidirectional(L.GRU(3))(y)])


@case()
def bidirectional_feeds_masks():
    inputs, masked = padded()
    forward, backward = L.Bidirectional(L.LSTM(2, return_sequences=True), merge_mode=None)(masked)
    return model(inputs, [L.LSTM(3, return_sequences=True)(forward), L.GRU(3, return_sequences=True)(backward)])


# --- TimeDistributed --------------------------------------------------------------------------------------------------

@case()
def time_distributed_dense():
    return k.Sequential([k.Input((4, 3)), L.LSTM(2, return_sequences=True),
                         L.TimeDistributed(L.Dense(3, activation="relu"))])


@case()
def time_distributed_inner_layers():
    inputs = x(3, 5, 2)
    return model(inputs, [L.TimeDistributed(layer)(inputs) for layer in (
        L.Conv1D(3, 2), L.LSTM(2), L.GRU(2, return_sequences=True), L.Flatten(), L.Dropout(0.2), L.BatchNormalization(),
        L.MaxPooling1D(2), L.GlobalAveragePooling1D(), L.Bidirectional(L.LSTM(2)), L.TimeDistributed(L.Dense(2)))])


@case(forms=WHOLE)
def time_distributed_model():
    inner = k.Sequential([k.Input((5, 2)), L.Conv1D(3, 2), L.LSTM(2)])
    inputs = x(3, 5, 2)
    return model(inputs, L.LSTM(3)(L.TimeDistributed(inner)(inputs)))


@case()
def time_distributed_masked():
    inputs, masked = padded()
    y = L.TimeDistributed(L.Dense(3))(masked)
    return model(inputs, [y, L.LSTM(2, return_sequences=True)(y)])


@case()
def time_distributed_masks_inside():
    """A hierarchical network: words make a sentence, sentences make a document."""
    sentence = x(6, name="ids_inner", dtype="int32")
    inner = k.Model(sentence, L.LSTM(3)(L.Embedding(8, 2, mask_zero=True)(sentence)))
    inputs = x(3, 6, name="ids", dtype="int32")
    y = L.TimeDistributed(inner)(inputs)
    return model(inputs, [y, L.GRU(2)(y)])


# --- masks ------------------------------------------------------------------------------------------------------------

def masked_case(name, *, forms=None, **options):
    @case(f"masked_{name}", forms=forms)
    def build():
        inputs, masked = padded()
        return model(inputs, all_rnns(masked, **options))


masked_case("last")
masked_case("sequences_and_state", return_sequences=True, return_state=True)
masked_case("go_backwards", return_sequences=True, return_state=True, go_backwards=True)
masked_case("unroll", return_sequences=True, return_state=True, unroll=True)
masked_case("zero_output", return_sequences=True, return_state=True, zero_output_for_mask=True)
masked_case("zero_output_last", zero_output_for_mask=True)
masked_case("zero_output_unroll", return_sequences=True, zero_output_for_mask=True, unroll=True)


@case(forms=ALL)
def masked_embedding():
    inputs, y = ids()
    return model(inputs, [L.Dense(2, activation="softmax")(L.LSTM(3)(y)), L.GRU(2, return_sequences=True)(y)])


@case()
def masked_by_another_value():
    inputs = x(6, 2, name="padded_with_-1")
    return model(inputs, all_rnns(L.Masking(mask_value=-1.0)(inputs)))


@case()
def masking_layer_alone():
    inputs = x(6, 2, name="padded_with_-1")
    return model(inputs, L.Masking(mask_value=-1.0)(inputs))


@case()
def masked_stack():
    inputs, y = padded()
    y = L.LSTM(3, return_sequences=True)(y)
    y = L.GRU(2, return_sequences=True)(y)
    return model(inputs, [y, L.SimpleRNN(3)(y)])


@case()
def masked_gru_reset_before():
    inputs, masked = padded()
    return model(inputs, L.GRU(3, reset_after=False, return_sequences=True, return_state=True)(masked))


@case()
def masked_go_backwards_feeds_another():
    inputs, masked = padded()
    y = L.LSTM(3, return_sequences=True, go_backwards=True)(masked)
    return model(inputs, [y, L.LSTM(2, return_sequences=True)(y), L.GRU(2, go_backwards=True)(y)])


@case(only="keras2")
def masked_time_major():
    """Rows are timesteps here, so the padding patterns stand over the batch."""
    inputs, masked = padded()
    return model(inputs, L.LSTM(3, time_major=True, return_sequences=True, return_state=True)(masked))


@case()
def masked_initial_state():
    inputs, masked = padded()
    h, c = x(3, name="h"), x(3, name="c")
    return model([inputs, h, c], [
        L.LSTM(3, return_sequences=True, return_state=True)(masked, initial_state=[h, c]),
        L.GRU(3, return_sequences=True)(masked, initial_state=h),
        L.SimpleRNN(3)(masked, initial_state=c)])


@case()
def masked_initial_state_bidirectional():
    inputs, masked = padded()
    h, c = x(3, name="h"), x(3, name="c")
    return model([inputs, h, c], L.Bidirectional(L.LSTM(3, return_sequences=True))(masked, initial_state=[h, c, c, h]))


@case()
def masked_by_tensor():
    inputs, mask = x(6, 2), x(6, name="mask", dtype="bool")
    return model([inputs, mask], [all_rnns(inputs, call={"mask": mask}, return_sequences=True),
                                  L.Bidirectional(L.LSTM(2))(inputs, mask=mask)])


@case()
def masked_by_tensor_and_initial_state():
    inputs, mask, h, c = x(6, 2), x(6, name="mask", dtype="bool"), x(3, name="h"), x(3, name="c")
    layer = L.LSTM(3, return_sequences=True, return_state=True)
    return model([inputs, mask, h, c], layer(inputs, mask=mask, initial_state=[h, c]))


@case()
def masked_twice():
    """An explicit mask wins over the one that the tensor carries."""
    inputs, masked = padded()
    mask = x(6, name="mask", dtype="bool")
    return model([inputs, mask], L.LSTM(3, return_sequences=True)(masked, mask=mask))


@case()
def masks_pass_through():
    """One long chain of layers that carry a mask on."""
    inputs, y = padded(features=4)
    for layer in (L.Dense(3), L.Activation("tanh"), L.Dropout(0.5), L.SpatialDropout1D(0.5), L.GaussianNoise(0.5),
                  L.GaussianDropout(0.5), L.AlphaDropout(0.5), L.ActivityRegularization(l2=0.1), L.BatchNormalization(),
                  L.LayerNormalization(), L.LeakyReLU(), L.PReLU(), L.ELU(), L.ReLU()):
        y = layer(y)
    return model(inputs, [y, *all_rnns(y, return_sequences=True)])


@case()
def masks_that_end():
    """One recurrent layer behind each layer that loses the mask."""
    inputs, masked = padded(features=4)
    layers = [L.Conv1D(2, 3, padding="same"), L.MaxPooling1D(2), L.Reshape((6, 4)), L.Permute((2, 1))]
    ends = [L.Flatten()(masked), L.GlobalMaxPooling1D()(masked), L.AveragePooling1D(2)(masked)]
    return model(inputs, [L.SimpleRNN(1, return_sequences=True)(layer(masked)) for layer in layers] + ends)


@case()
def masks_in_global_average():
    inputs = x(6, 2, name="padded_never_whole")
    masked = L.Masking()(inputs)
    return model(inputs, [L.GlobalAveragePooling1D()(masked), L.GlobalAveragePooling1D(keepdims=True)(masked),
                          L.GlobalAveragePooling1D()(L.LSTM(3, return_sequences=True)(masked))])


MERGES = {"add": L.Add, "subtract": L.Subtract, "multiply": L.Multiply, "average": L.Average, "maximum": L.Maximum,
          "minimum": L.Minimum, "concatenate": L.Concatenate}


@case()
def masks_merged():
    """Two different masks meet in every merge layer; the merged values and a recurrent layer behind each."""
    (first, a), (second, b) = padded(), padded(name="padded_2")
    merged = [layer()([a, b]) for layer in MERGES.values()]
    return model([first, second], merged + [L.SimpleRNN(1, return_sequences=True)(y) for y in merged])


@case()
def masks_merged_with_unmasked():
    (first, a), b = padded(), x(6, 2, name="plain")
    merged = [L.Add()([a, b]), L.Maximum()([b, a]), L.Concatenate()([a, b]), L.Concatenate()([b, a])]
    return model([first, b], merged + [L.SimpleRNN(1, return_sequences=True)(y) for y in merged])


@case()
def masks_merged_three():
    (first, a), (second, b), (third, c) = padded(), padded(name="padded_2"), padded(name="padded_3")
    merged = [layer()([a, b, c]) for layer in (L.Add, L.Maximum, L.Concatenate)]
    return model([first, second, third], merged + [L.SimpleRNN(1, return_sequences=True)(y) for y in merged])


@case()
def masks_joined_in_time():
    (first, a), (second, b) = padded(), padded(name="padded_2")
    return model([first, second], L.LSTM(2, return_sequences=True)(L.Concatenate(axis=1)([a, b])))


@case(only="keras3")
def masks_joined_in_time_with_unmasked():
    """Keras 2 cannot build this one."""
    (first, a), b = padded(), x(2, 2, name="plain")
    return model([first, b], L.LSTM(2, return_sequences=True)(L.Concatenate(axis=1)([a, b])))


@case()
def masks_merged_embeddings():
    (first, a), (second, b) = ids(), ids(name="ids_2")
    return model([first, second], [L.LSTM(3)(L.Concatenate()([a, b])), L.LSTM(3)(L.Add()([a, b]))])


@case()
def masks_through_a_model():
    inner_in = x(6, 2, name="inner")
    inner = k.Model(inner_in, L.LSTM(3, return_sequences=True)(L.Dense(2)(inner_in)))
    inputs, masked = padded()
    y = inner(masked)
    return model(inputs, [y, L.LSTM(2, return_sequences=True)(y)])


@case()
def masks_out_of_a_model():
    inner_in, masked = padded(name="padded_inner")
    inner = k.Model(inner_in, L.LSTM(3, return_sequences=True)(masked))
    inputs = x(6, 2, name="padded")
    return model(inputs, L.LSTM(2, return_sequences=True)(inner(inputs)))


@case()
def masks_out_of_a_sequential():
    inner = k.Sequential([x(6, name="ids_inner", dtype="int32"), L.Embedding(8, 3, mask_zero=True), L.Dropout(0.1)])
    inputs = x(6, name="ids", dtype="int32")
    return model(inputs, L.LSTM(2, return_sequences=True)(inner(inputs)))


@case()
def repeat_vector_after_mask():
    inputs, y = ids()
    return model(inputs, L.LSTM(2, return_sequences=True)(L.RepeatVector(3)(L.LSTM(3)(y))))


# --- graphs -----------------------------------------------------------------------------------------------------------

@case()
def initial_state():
    inputs, h, c = x(4, 2), x(3, name="h"), x(3, name="c")
    return model([inputs, h, c], [
        L.LSTM(3, return_sequences=True, return_state=True)(inputs, initial_state=[h, c]),
        L.GRU(3, return_sequences=True)(inputs, initial_state=h),
        L.SimpleRNN(3)(inputs, initial_state=[c])])


def seq2seq_parts():
    source, target = ids(5, name="ids_source"), ids(None, name="ids_target")
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(source[1])
    decoder = L.LSTM(3, return_sequences=True, return_state=True, name="decoder")
    last = L.Dense(8, activation="softmax")
    return source, target, [h, c], decoder, last


@case(forms=ALL)
def seq2seq():
    source, target, states, decoder, last = seq2seq_parts()
    return model([source[0], target[0]], last(decoder(target[1], initial_state=states)[0]))


@case()
def seq2seq_encoder():
    source, _, states, _, _ = seq2seq_parts()
    return model(source[0], states)


@case()
def seq2seq_decoder():
    _, target, _, decoder, last = seq2seq_parts()
    states = [x(3, name="h"), x(3, name="c")]
    y, h, c = decoder(target[1], initial_state=states)
    return model([target[0], *states], [last(y), h, c])


@case()
def seq2seq_gru_bidirectional():
    inputs, target = x(4, 2, name="source"), x(3, 2, name="target")
    y, forward, backward = L.Bidirectional(L.GRU(2, return_sequences=True, return_state=True))(inputs)
    state = L.Concatenate()([forward, backward])
    return model([inputs, target], [y, L.GRU(4, return_sequences=True)(target, initial_state=state)])


@case()
def shared_layers():
    a, b = x(4, 2, name="a"), x(5, 2, name="b")
    lstm, dense = L.LSTM(3), L.Dense(2)
    return model([a, b], [L.Concatenate()([dense(lstm(a)), dense(lstm(b))]), lstm(b)])


@case()
def shared_layer_applied_to_itself():
    inputs = x(4, 3)
    lstm = L.LSTM(3, return_sequences=True)
    return model(inputs, lstm(lstm(inputs)))


@case(forms=ALL, as_written=True)
def nested_twice():
    inner_in = x(4, 2, name="inner")
    inner = k.Model(inner_in, L.Dense(2)(L.LSTM(3)(inner_in)), name="tower")
    a, b = x(4, 2, name="a"), x(4, 2, name="b")
    return model([a, b], L.Subtract()([inner(a), inner(b)]))


@case()
def nested_as_output():
    inner_in = x(4, 2, name="inner")
    hidden = L.GRU(3, return_sequences=True)(inner_in)
    inner = k.Model(inner_in, [hidden, L.Dense(2)(hidden)], name="two_answers")
    inputs = x(4, 3)
    return model(inputs, inner(L.Dense(2)(inputs)))


@case()
def nested_three_deep():
    one = k.Sequential([k.Input((4, 2)), L.LSTM(3, return_sequences=True)], name="one")
    two_in = x(4, 2, name="two_in")
    two = k.Model(two_in, L.Dense(2)(one(two_in)), name="two")
    return k.Sequential([k.Input((4, 2)), L.Dense(2), two, L.GRU(2)], name="three")


@case(forms=ALL)
def sequential_in_functional():
    inner = k.Sequential([k.Input((4, 2)), L.Bidirectional(L.LSTM(2)), L.BatchNormalization()])
    inputs = x(4, 2)
    return model(inputs, [inner(inputs), L.Dense(3)(inner(inputs))])


@case()
def nested_with_states():
    inner_in, h, c = x(4, 2, name="inner"), x(3, name="inner_h"), x(3, name="inner_c")
    lstm = L.LSTM(3, return_sequences=True, return_state=True)
    inner = k.Model([inner_in, h, c], lstm(inner_in, initial_state=[h, c]))
    inputs, encoded = x(4, 2), x(5, 2, name="source")
    states = L.LSTM(3, return_state=True)(encoded)[1:]
    return model([inputs, encoded], inner([inputs, *states]))


@case(forms=ALL)
def many_inputs_many_outputs():
    series, static, (words, embedded) = x(4, 2, name="series"), x(3, name="static"), ids(units=2)
    joined = L.Concatenate()([L.LSTM(3)(series), L.Dense(2, activation="relu")(static), L.GRU(2)(embedded)])
    return model([series, static, words], [
        L.Dense(1, name="value")(joined), L.Dense(3, activation="softmax", name="kind")(joined)])


@case()
def input_as_output():
    inputs, h = x(4, 2), x(3, name="h")
    return model([inputs, h], [inputs, L.GRU(3)(inputs, initial_state=h), h])


@case(forms=WHOLE, named=True)
def dict_inputs_and_outputs():
    inputs = {"later": x(4, 2, name="later"), "first": x(3, name="first")}
    joined = L.Concatenate()([L.LSTM(3)(inputs["later"]), inputs["first"]])
    return k.Model(inputs, {"z": L.Dense(2, name="z")(joined), "a": L.Dense(1, name="a")(joined)})


@case()
def names_that_need_care():
    inputs = x(4, 2, name="input.1-b")
    y = L.LSTM(3, return_sequences=True, name="LSTM_Layer.1")(inputs)
    y = L.LSTM(2, return_sequences=True, name="lstm_2")(y)
    return model(inputs, L.Dense(2, name="dense")(L.LSTM(2, name="lstm_10")(y)))


# --- layers around ----------------------------------------------------------------------------------------------------

@case()
def dense():
    two, three, four = x(3, name="two"), x(4, 3, name="three"), x(2, 4, 3, name="four")
    layer = L.Dense(5)
    return model([two, three, four], [layer(two), layer(three), layer(four), L.Dense(1, use_bias=False)(four)])


@case()
def embedding():
    inputs, matrix = x(5, name="ids", dtype="int32"), x(2, 3, name="ids_matrix", dtype="int32")
    floats = x(5, name="ids_as_floats")
    layer = L.Embedding(8, 3)
    return model([inputs, matrix, floats], [layer(inputs), layer(matrix), layer(floats)])


@case()
def dropout_family():
    inputs = x(4, 3)
    layers = [L.Dropout(0.5), L.Dropout(0.5, noise_shape=(None, 1, 3)), L.SpatialDropout1D(0.5), L.GaussianDropout(0.5),
              L.GaussianNoise(0.5), L.AlphaDropout(0.5), L.ActivityRegularization(l1=0.1)]
    return model(inputs, [layer(inputs) for layer in layers])


@case()
def shapes():
    inputs, vector, cube = x(4, 6), x(3, name="vector"), x(2, 3, 4, name="cube")
    return model([inputs, vector, cube], [
        L.Flatten()(inputs), L.Flatten()(cube), L.Reshape((3, 8))(inputs), L.Reshape((-1, 3))(inputs),
        L.Reshape((24,))(inputs), L.Reshape((2, -1, 2))(cube), L.Permute((2, 1))(inputs), L.Permute((3, 1, 2))(cube),
        L.RepeatVector(3)(vector)])


@case()
def flatten_channels_first():
    inputs = x(2, 3, 4)
    return model(inputs, L.Flatten(data_format="channels_first")(inputs))


@case()
def merges():
    a, b = x(4, 3, name="a"), x(4, 3, name="b")
    outputs = [layer()([a, b]) for layer in MERGES.values()]
    outputs += [L.Concatenate(axis=1)([a, b]), L.Concatenate(axis=-2)([a, b, a]), L.Add()([a, b, a]),
                L.Maximum()([a, b, a])]
    return model([a, b], outputs)


@case()
def merges_broadcast():
    a, row, column, vector = x(4, 3, name="a"), x(1, 3, name="row"), x(4, 1, name="column"), x(3, name="vector")
    pairs = [[a, row], [a, column], [row, column], [row, a]]
    outputs = [layer()(pair) for layer in (L.Add, L.Multiply, L.Maximum) for pair in pairs]
    return model([a, row, column, vector], outputs + [L.Average()([vector, L.Flatten()(row)])])


@case()
def merges_of_different_ranks():
    a, vector = x(4, 3, name="a"), x(3, name="vector")
    return model([a, vector], [layer()(pair) for layer in (L.Add, L.Multiply) for pair in ([a, vector], [vector, a])])


@case()
def dot():
    a, b, c = x(4, 3, name="a"), x(5, 3, name="b"), x(3, name="c")
    d = x(3, name="d")
    return model([a, b, c, d], [
        L.Dot(axes=2)([a, b]), L.Dot(axes=(2, 2), normalize=True)([a, b]), L.Dot(axes=-1)([c, d]),
        L.Dot(axes=1, normalize=True)([c, d]), L.Dot(axes=(2, 1))([a, c]),
        L.Dot(axes=1)([L.Permute((2, 1))(a), L.Permute((2, 1))(b)])])


@case(forms=ALL)
def batch_normalization():
    inputs, flat_input = x(4, 3), x(3, name="flat")
    return model([inputs, flat_input], [
        L.BatchNormalization()(inputs), L.BatchNormalization(axis=1)(inputs), L.BatchNormalization(scale=False)(inputs),
        L.BatchNormalization(center=False, epsilon=0.1)(inputs),
        L.BatchNormalization(scale=False, center=False, momentum=0.5)(flat_input)])


@case()
def layer_normalization():
    inputs = x(4, 3)
    return model(inputs, [
        L.LayerNormalization()(inputs), L.LayerNormalization(axis=1)(inputs),
        L.LayerNormalization(scale=False)(inputs), L.LayerNormalization(center=False, epsilon=0.1)(inputs)])


@case(forms=["keras"])
def axes_in_pairs():
    inputs = x(4, 3)
    return model(inputs, [L.LayerNormalization(axis=[1, 2])(inputs), L.Softmax(axis=[1, 2])(inputs)])


@case(only="keras3")
def layer_normalization_rms():
    inputs = x(4, 3)
    return model(inputs, L.LayerNormalization(rms_scaling=True)(inputs))


CONV_OPTIONS = [{}, {"padding": "same"}, {"padding": "causal"}, {"strides": 2}, {"padding": "same", "strides": 2},
                {"padding": "same", "strides": 3}, {"padding": "causal", "strides": 2}, {"dilation_rate": 2},
                {"padding": "causal", "dilation_rate": 2}, {"padding": "same", "dilation_rate": 2}, {"groups": 2},
                {"use_bias": False, "activation": "relu"}]


@case()
def conv1d():
    inputs = x(7, 4)
    return model(inputs, [L.Conv1D(2, 3, **options)(inputs) for options in CONV_OPTIONS])


@case()
def conv1d_lstm():
    return k.Sequential([k.Input((7, 2)), L.Conv1D(3, 2, activation="relu"), L.BatchNormalization(), L.MaxPooling1D(2),
                         L.Dropout(0.2), L.LSTM(3), L.Dense(1)])


@case()
def pooling1d():
    inputs = x(7, 3)
    options = [{"pool_size": 2}, {"pool_size": 3, "strides": 1}, {"pool_size": 2, "padding": "same"},
               {"pool_size": 3, "strides": 2, "padding": "same"}, {"pool_size": 3, "strides": 1, "padding": "same"},
               {"pool_size": 2, "strides": 3}]
    return model(inputs, [layer(**option)(inputs) for layer in (L.MaxPooling1D, L.AveragePooling1D)
                          for option in options])


@case()
def global_pooling1d():
    inputs = x(5, 3)
    return model(inputs, [layer(keepdims=keep)(inputs) for layer in (L.GlobalMaxPooling1D, L.GlobalAveragePooling1D)
                          for keep in (False, True)])


@case()
def pooling1d_channels_first():
    inputs = x(3, 6)
    first = {"data_format": "channels_first"}
    return model(inputs, [L.GlobalMaxPooling1D(**first)(inputs), L.GlobalAveragePooling1D(**first)(inputs),
                          L.MaxPooling1D(2, **first)(inputs), L.AveragePooling1D(2, **first)(inputs)])


# --- preprocessing ----------------------------------------------------------------------------------------------------

WORDS = "the cat sat on a mat and saw two dogs".split()


@case(forms=ALL)
def normalization():
    inputs = x(4, 3)
    given = {"mean": [1.0, -1.0, 0.5], "variance": [2.0, 0.25, 0.0]}
    layers = [L.Normalization(), L.Normalization(axis=(1, 2)), L.Normalization(axis=None), L.Normalization(**given),
              L.Normalization(axis=1, invert=True), L.Rescaling(0.5, offset=-1.0), L.Rescaling([1.0, 2.0, 3.0])]
    for layer in layers[:3] + layers[4:5]:
        layer.adapt(np.random.default_rng(1).normal(2, 3, (9, 4, 3)).astype(np.float32))
    return model(inputs, [L.LSTM(2)(layers[0](inputs)), *(layer(inputs) for layer in layers)])


@case(forms=WHOLE)
def bins():
    inputs, one = x(4, name="wide"), x(1, name="wide_one")
    edges = [-3.0, -0.5, 0.0, 2.5]
    learnt = L.Discretization(num_bins=4)
    learnt.adapt(np.random.default_rng(1).normal(0, 3, (50, 4)).astype(np.float32))
    outputs = [L.Discretization(bin_boundaries=edges, output_mode=mode)(inputs) for mode in ("int", "multi_hot", "count")]
    return model([inputs, one], [*outputs, L.Discretization(bin_boundaries=edges, output_mode="one_hot")(one),
                                 learnt(inputs)])


@case(forms=WHOLE)
def encoded_categories():
    inputs, one = x(5, name="ids", dtype="int32"), x(1, name="ids_one", dtype="int32")
    return model([inputs, one], [L.CategoryEncoding(9, output_mode=mode)(inputs) for mode in ("multi_hot", "count")] + [
        L.CategoryEncoding(9, output_mode="one_hot")(one), L.Hashing(7)(inputs), L.Hashing(7, salt=133)(inputs),
        L.Hashing(7, mask_value=0, output_mode="count")(inputs),
        L.IntegerLookup(vocabulary=[3, 1, 7], mask_token=0)(inputs),
        L.IntegerLookup(vocabulary=[3, 1, 7], num_oov_indices=3, output_mode="count")(inputs)])


@case(forms=WHOLE)
def looked_up_words():
    inputs, one = x(5, name="text", dtype="string"), x(1, name="text_one", dtype="string")
    number = x(1, name="ids_number", dtype="int64")
    some = WORDS[:6]
    weights = [0.5, 1.0, 2.0, 0.25, 3.0, 1.5]
    lookups = [L.StringLookup(vocabulary=some), L.StringLookup(vocabulary=some, mask_token="dogs", num_oov_indices=3),
               L.StringLookup(vocabulary=some, output_mode="multi_hot", num_oov_indices=2),
               L.StringLookup(vocabulary=some, output_mode="tf_idf", idf_weights=weights),
               L.StringLookup(vocabulary=some, output_mode="count", max_tokens=12, pad_to_max_tokens=True)]
    embedded = L.Embedding(7, 3)(lookups[0](inputs))
    return model([inputs, one, number], [L.GRU(2)(embedded), *(lookup(inputs) for lookup in lookups), L.Hashing(9)(inputs),
                                         L.Hashing(9, salt=[5, 7], mask_value="cat", output_mode="one_hot")(one),
                                         L.HashedCrossing(11)([one, number])])


@case()
def learnt_words():
    """Vocabularies that are not in the config: the first layer of its class has one there, the second in a file."""
    inputs = x(5, name="text", dtype="string")
    learnt, numbers = L.StringLookup(mask_token=""), L.IntegerLookup(output_mode="count")
    learnt.adapt(np.array([WORDS[:7] * 2 + WORDS]))
    numbers.adapt(np.array([[1, 2, 2, 5]]))
    ids = L.StringLookup(vocabulary=WORDS[:5])(inputs)
    return model(inputs, [ids, learnt(inputs), numbers(ids)])


def vectorized(inputs, **options):
    layer = L.TextVectorization(**options)
    layer.adapt(["The cat sat on a mat.", "And the cat saw: two dogs!", "the mat, the cat"])
    return layer(inputs)


@case(as_written=True)
def text_lstm():
    inputs = x(1, name="sentence", dtype="string")
    y = vectorized(inputs, max_tokens=9, output_sequence_length=6)
    return model(inputs, L.Dense(2)(L.LSTM(3)(L.Embedding(9, 4, mask_zero=True)(y))))


@case()
def text_options():
    inputs = x(1, name="sentence", dtype="string")
    return model(inputs, [
        vectorized(inputs, ngrams=2, output_mode="count"), vectorized(inputs, standardize=None, output_mode="multi_hot"),
        vectorized(inputs, output_mode="tf_idf"), vectorized(inputs, split="character", output_sequence_length=4),
        vectorized(inputs, standardize="lower", output_mode="count", max_tokens=20, pad_to_max_tokens=True),
        L.TextVectorization(vocabulary=WORDS, ngrams=2 if KERAS_2 else (1, 3), standardize="strip_punctuation", output_sequence_length=5)(
            inputs)])


@case()
def text_in_a_nested_model():
    inner = x(1, name="sentence_inside", dtype="string")
    words = vectorized(inner, output_sequence_length=5)
    inner = k.Model(inner, L.Embedding(12, 3)(words))
    inputs = x(1, name="sentence", dtype="string")
    return model(inputs, [L.GRU(2)(inner(inputs)), vectorized(inputs, max_tokens=5, output_sequence_length=3)])


@case()
def augmentation():
    inputs = x(4, 5, 2, name="wide")
    y = L.RandomContrast(0.2)(L.RandomZoom(0.2)(L.RandomRotation(0.1)(L.RandomFlip()(inputs))))
    return model(inputs, L.Dense(3)(L.Flatten()(L.RandomTranslation(0.2, 0.1)(y))))


# --- operations that are recorded among the layers ---------------------------------------------------------------------

@case(forms=WHOLE, only="keras3")
def operations():
    o, inputs = k.ops, x(5, 4)
    h = L.LSTM(4, return_sequences=True)(inputs)
    return model(inputs, [
        h[:, -1], h[:, ::2, 1:], h[..., None, 0], 1 - h, h * 2.0 + 1, -h, h**2, 1 / (h * h + 1), o.tanh(h), o.exp(h),
        o.sqrt(o.abs(h)), o.maximum(h, 0.1), o.where(h > 0, h, 0.0), o.clip(h, -0.1, 0.1), o.cast(h > 0, "int32"),
        o.mean(h, axis=1), o.sum(h, axis=(1, 2)), o.max(h, axis=-1, keepdims=True), o.std(h, axis=1), o.argmax(h, axis=-1),
        o.logsumexp(h, axis=1), o.cumsum(h, axis=1), o.norm(h, axis=-1), o.softmax(h, axis=1), o.softmax(h),
        o.relu(h), o.gelu(h), o.silu(h), o.log_softmax(h), o.layer_normalization(h)])


@case(forms=WHOLE, only="keras3")
def operations_on_shapes():
    o, inputs = k.ops, x(5, 4)
    h = L.GRU(4, return_sequences=True)(inputs)
    return model(inputs, flat([
        o.reshape(h, (-1, 2, 10)), o.transpose(h, (0, 2, 1)), o.expand_dims(h, (1, -1)), o.squeeze(h[:, :1], 1),
        o.concatenate([h, inputs], axis=-1), o.stack([h, inputs], axis=1), o.split(h, [1, 3], axis=-1),
        o.unstack(h, axis=-1), o.tile(h, (1, 2, 1)), o.repeat(h, 2, axis=1), o.flip(h, axis=1), o.roll(h, 1, axis=1),
        o.pad(h, ((0, 0), (1, 0), (0, 2))), o.take(h, [2, 0], axis=1), o.sort(h, axis=1), o.top_k(h, 2),
        o.one_hot(o.argmax(h, axis=-1), 4), o.moveaxis(h, 1, 2)]))


@case(forms=WHOLE, only="keras3")
def operations_of_products():
    o, inputs = k.ops, x(5, 4)
    h = L.SimpleRNN(4, return_sequences=True)(inputs)
    scores = o.softmax(o.matmul(h, o.transpose(inputs, (0, 2, 1))) / 2.0)
    matrix = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    return model(inputs, [scores, scores @ h, o.einsum("btf,bsf->bts", h, inputs), o.einsum("btf,btf->b", h, inputs),
                          o.dot(h, matrix), o.tensordot(h, matrix, axes=1), o.normalize(h, axis=-1)])


@case(forms=["keras"], only="keras3")
def operations_in_space():
    o, inputs, image = k.ops, x(5, 4), x(4, 6, 2, name="image")
    rng = np.random.default_rng(2)
    kernel = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return model([inputs, image], [
        o.conv(inputs, kernel(3, 4, 2), padding="same"), o.conv(inputs, kernel(2, 4, 3), dilation_rate=2),
        o.conv(image, kernel(2, 3, 2, 2), strides=2), o.depthwise_conv(inputs, kernel(2, 4, 2)),
        o.separable_conv(image, kernel(2, 2, 2, 2), kernel(1, 1, 4, 3), padding="same"),
        o.max_pool(inputs, 3, strides=1, padding="same"), o.max_pool(image, 2), o.average_pool(inputs, 2, padding="same"),
        o.average_pool(image, (2, 3), strides=1), o.max_pool(inputs, 2, data_format="channels_first")])


@case(forms=["keras"], only="keras3")
def operations_of_norms():
    o, inputs = k.ops, x(5, 4)
    h = L.SimpleRNN(4, return_sequences=True)(inputs)
    return model(inputs, [
        *(o.norm(h, order, axis=1) for order in (1, 2, 3, 0, np.inf, -np.inf)), o.norm(h, axis=(1, 2), keepdims=True),
        *(o.norm(h, order, axis=(1, 2)) for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        o.norm(h[:, 0], 1, axis=(0, 1)), o.trace(h, axis1=1, axis2=2), o.diagonal(h, 1, 1, 2)])


@case(forms=["h5"], only="keras2")
def tf_operations_in_space():
    inputs, image = x(5, 4), x(4, 6, 2, name="image")
    rng, nn = np.random.default_rng(2), tf.nn
    kernel = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return model([inputs, image], [
        nn.conv1d(inputs, kernel(3, 4, 2), 1, "SAME"), nn.conv1d(inputs, kernel(2, 4, 3), 2, "VALID"),
        nn.conv1d(inputs, kernel(2, 4, 3), 1, "SAME", dilations=2), nn.conv1d(inputs, inputs[0, :3][..., None], 1, "VALID"),
        nn.conv2d(image, kernel(2, 3, 2, 2), [1, 2, 1, 1], "SAME"), nn.conv2d(image, kernel(2, 2, 2, 3), 1, "VALID"),
        nn.conv2d(image, kernel(2, 2, 2, 3), 1, [[0, 0], [1, 0], [2, 1], [0, 0]]),
        nn.depthwise_conv2d(image, kernel(2, 3, 2, 2), [1, 1, 1, 1], "SAME"),
        nn.max_pool1d(inputs, 3, 2, "SAME"), nn.avg_pool1d(inputs, [2], [1], "SAME"), nn.avg_pool2d(image, 2, 2, "VALID"),
        nn.max_pool2d(image, [1, 2, 3, 1], [1, 1, 2, 1], "SAME"), nn.max_pool(image, 2, 1, "VALID"),
        nn.pool(inputs, [2], "AVG", padding="SAME"), nn.pool(image, [2, 2], "MAX", strides=[1, 2]), nn.dropout(inputs, 0.0)])


@case(forms=["h5"], only="keras2")
def tf_operations_of_matrices():
    inputs, lengths = x(5, 4), x(1, name="lengths")
    h, linalg = L.GRU(4, return_sequences=True)(inputs), tf.linalg
    counts = tf.cast(tf.math.abs(lengths[:, 0]) * 2.0, tf.int32)
    return model([inputs, lengths], [
        *(tf.norm(h, order, axis=1) for order in ("euclidean", 1, 3.5, np.inf)), linalg.norm(h, "fro", [1, 2], True),
        *(linalg.norm(h, order, axis=[-2, -1]) for order in (1, 2, np.inf)), *linalg.normalize(h, axis=-1),
        *linalg.normalize(h, 1, axis=1), tf.clip_by_norm(h, 0.5, axes=[2]), tf.ensure_shape(h, [None, 5, 4]),
        linalg.band_part(h, 1, 2), linalg.band_part(h, -1, 0), linalg.diag(h), linalg.diag(h, k=-2, padding_value=3.0),
        linalg.diag(h, k=(-1, 3)), linalg.diag_part(h), linalg.diag_part(h, k=1), linalg.diag_part(h, k=(-1, 1)),
        linalg.diag_part(h, k=(-2, 1), padding_value=9.0, align="LEFT_RIGHT"), linalg.set_diag(h, inputs[:, 0]),
        linalg.tensor_diag(h[0, 0]), linalg.tensor_diag_part(h[0, :4]), linalg.trace(h), linalg.adjoint(h),
        linalg.inv(h[:, :4] + 2 * np.eye(4, dtype=np.float32)), linalg.det(h[:, 1:]),
        tf.math.count_nonzero(h > 0, axis=1), tf.math.count_nonzero(h, axis=[1, 2], keepdims=True, dtype=tf.int32),
        tf.reverse_sequence(h, counts, seq_axis=1, batch_axis=0), tf.reverse_sequence(h, counts, seq_axis=2),
        tf.math.xlogy(h, tf.abs(h)), tf.math.xdivy(h, inputs), tf.math.multiply_no_nan(h, inputs), tf.nn.crelu(h),
        *tf.nn.moments(h, [1]), tf.math.accumulate_n([h, inputs])])


@case(forms=WHOLE, only="keras2")
def tf_operations():
    inputs = x(5, 4)
    h = L.LSTM(4, return_sequences=True)(inputs)
    size = tf.shape(h)
    return model(inputs, flat([
        h[:, -1], h[:, ::2, 1:], h[..., tf.newaxis, 0], 1 - h, h * 2.0 + 1, -h, h**2, tf.tanh(h), tf.exp(h), h / 3.0,
        tf.where(h > 0, h, 0.0), tf.clip_by_value(h, -0.1, 0.1), tf.cast(h > 0, tf.int32), tf.reduce_mean(h, axis=1),
        tf.reduce_sum(h, axis=[1, 2]), tf.reduce_max(h, axis=-1, keepdims=True), tf.argmax(h, axis=-1), tf.nn.softmax(h),
        tf.nn.softmax(h, axis=1), tf.nn.gelu(h), tf.math.l2_normalize(h, axis=-1), tf.matmul(h, inputs, transpose_b=True),
        tf.reshape(h, tf.stack([size[0], size[1] * size[2]])), tf.concat([h, inputs], -1), tf.stack([h, inputs], axis=1),
        tf.split(h, 2, axis=-1), tf.unstack(h, axis=1)[0], tf.transpose(h, [0, 2, 1]), tf.gather(h, [2, 0], axis=1),
        tf.pad(h, [[0, 0], [1, 0], [0, 2]]), tf.tile(tf.expand_dims(h[:, 0], 1), [1, size[1], 1]),
        k.backend.mean(h, axis=1), k.backend.batch_dot(h, tf.transpose(inputs, [0, 2, 1])), k.backend.hard_sigmoid(h)]))


@case(only="keras2")
def tf_operations_forget_masks():
    inputs, y = ids()
    return model(inputs, [L.LSTM(2)(tf.tanh(y)), L.LSTM(2)(y)])


@case(only="keras3")
def operations_forget_masks():
    inputs, y = ids()
    return model(inputs, [L.LSTM(2)(k.ops.tanh(y)), L.LSTM(2)(y)])


# --- images and volumes -----------------------------------------------------------------------------------------------

FIRST = {"data_format": "channels_first"}


@case(forms=["keras"])
def conv2d():
    inputs = x(6, 5, 4)
    options = [{}, {"strides": (2, 1)}, {"padding": "same", "strides": 2}, {"dilation_rate": (1, 2)}, {"groups": 2},
               {"padding": "same", "use_bias": False, "activation": "relu"}]
    return model(inputs, [L.Conv2D(2, (3, 2), **option)(inputs) for option in options])


@case()
def conv2d_channels_first():
    inputs = x(3, 6, 5)
    options = [(4, "same", "tanh"), (5, "same", None), (3, "valid", "relu"), (2, "valid", "softmax")]
    return model(inputs, [L.Conv2D(filters, 3, padding=padding, activation=activation, **FIRST)(inputs)
                          for filters, padding, activation in options])


@case()
def conv3d():
    inputs = x(4, 5, 3, 2)
    return model(inputs, [L.Conv3D(3, (2, 3, 1), strides=(1, 2, 1))(inputs), L.Conv3D(2, 2, padding="same")(inputs),
                          L.Conv3D(2, 2, dilation_rate=(2, 1, 1), activation="tanh")(inputs)])


@case()
def conv_transpose():
    line, image, volume = x(4, 3, name="line"), x(3, 4, 2, name="image"), x(2, 3, 2, 2, name="volume")
    return model([line, image, volume], [
        L.Conv1DTranspose(2, 3, strides=2)(line), L.Conv1DTranspose(2, 2, padding="same", dilation_rate=2)(line),
        L.Conv2DTranspose(3, (3, 2), strides=(2, 3), padding="same", activation="relu")(image),
        L.Conv2DTranspose(3, 3, strides=2, output_padding=1)(image), L.Conv2DTranspose(3, 2, dilation_rate=2)(image),
        L.Conv3DTranspose(2, 2, strides=(2, 1, 2), padding="same")(volume),
        L.Conv3DTranspose(2, 2, dilation_rate=(2, 1, 1))(volume),  # Keras 2 saves this dilation, but does not follow it
    ])


@case()
def conv_separable():
    line, image = x(6, 3, name="line"), x(5, 6, 2, name="image")
    causal = [L.SeparableConv1D(3, 2, padding="causal")(line)] if KERAS_2 else []
    return model([line, image], [
        L.DepthwiseConv1D(3, depth_multiplier=2)(line), L.SeparableConv1D(4, 3, padding="same", strides=2)(line),
        *causal,
        L.DepthwiseConv2D((3, 2), depth_multiplier=3, padding="same", activation="relu")(image),
        L.DepthwiseConv2D(2, dilation_rate=2, use_bias=False)(image),
        L.SeparableConv2D(3, (2, 3), depth_multiplier=2, activation="tanh")(image),
    ])


@case(forms=["keras"])
def pooling_in_space():
    image, volume = x(5, 6, 2, name="image"), x(4, 3, 5, 2, name="volume")
    options = [{"pool_size": 2}, {"pool_size": (3, 2), "strides": (1, 2)},
               {"pool_size": 3, "strides": 2, "padding": "same"}]
    outputs = [layer(**option)(image) for layer in (L.MaxPooling2D, L.AveragePooling2D) for option in options]
    outputs += [layer((2, 1, 3), padding="same")(volume) for layer in (L.MaxPooling3D, L.AveragePooling3D)]
    for layers, data in (((L.GlobalMaxPooling2D, L.GlobalAveragePooling2D), image),
                         ((L.GlobalMaxPooling3D, L.GlobalAveragePooling3D), volume)):
        outputs += [layer(keepdims=keep)(data) for layer in layers for keep in (False, True)]
    return model([image, volume], outputs)


@case()
def pooling_in_space_channels_first():
    image = x(2, 5, 6)
    return model(image, [*(layer(2, **FIRST)(image) for layer in (L.MaxPooling2D, L.AveragePooling2D)),
                         *(layer(**FIRST)(image) for layer in (L.GlobalMaxPooling2D, L.GlobalAveragePooling2D))])


@case(only="keras3")
def pooling_adaptive():
    line, image, volume = x(7, 2, name="line"), x(5, 6, 2, name="image"), x(4, 3, 5, 2, name="volume")
    outputs = [layer(3)(line) for layer in (L.AdaptiveMaxPooling1D, L.AdaptiveAveragePooling1D)]
    outputs += [layer((2, 5))(image) for layer in (L.AdaptiveMaxPooling2D, L.AdaptiveAveragePooling2D)]
    outputs += [layer((3, 2, 4))(volume) for layer in (L.AdaptiveMaxPooling3D, L.AdaptiveAveragePooling3D)]
    return model([line, image, volume], outputs)


@case()
def resizing():
    line, image, volume = x(4, 2, name="line"), x(3, 4, 2, name="image"), x(2, 3, 4, 1, name="volume")
    return model([line, image, volume], [
        L.ZeroPadding1D(1)(line), L.ZeroPadding1D((0, 2))(line), L.Cropping1D((1, 2))(line), L.UpSampling1D(3)(line),
        L.ZeroPadding2D((1, 2))(image), L.ZeroPadding2D(((1, 0), (0, 2)))(image),
        L.Cropping2D(((1, 0), (0, 2)))(image), L.ZeroPadding3D((1, 0, 2))(volume),
        L.Cropping3D(((0, 1), (1, 1), (2, 1)))(volume), L.UpSampling3D((1, 2, 3))(volume),
    ])


@case(forms=["keras"])
def upsampling2d():
    image = x(3, 4, 2)
    ways = ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
    ways += ["area", "gaussian", "mitchellcubic"] if KERAS_2 else []
    return model(image, [L.UpSampling2D((2, 3), interpolation=way)(image) for way in ways])


@case(only="keras2", forms=["keras"])
def locally_connected():
    line, image = x(6, 3, name="line"), x(4, 3, 2, name="image")
    first = L.Permute((3, 1, 2))(image)
    return model([line, image], [
        *(L.LocallyConnected1D(2, 3, strides=2, implementation=way)(line) for way in (1, 2, 3)),
        L.LocallyConnected1D(2, 2, padding="same", implementation=3)(line),
        *(L.LocallyConnected2D(3, 2, implementation=way, **FIRST)(first) for way in (1, 2, 3)),
        L.LocallyConnected2D(3, (2, 3), padding="same", implementation=2, activation="relu")(image),
    ])


@case(forms=WHOLE)
def convlstm():
    line, image, volume = x(3, 5, 2, name="line"), x(4, 4, 5, 2, name="image"), x(3, 3, 2, 3, 2, name="volume")
    return model([line, image, volume], [
        L.ConvLSTM1D(3, 2, strides=2, return_sequences=True)(line),
        L.ConvLSTM1D(2, 3, padding="same", dilation_rate=2, use_bias=False)(line),
        L.ConvLSTM2D(2, (3, 2), return_state=True)(image),
        L.ConvLSTM2D(3, 3, padding="same", return_sequences=True, go_backwards=True, activation="relu",
                     recurrent_activation="hard_sigmoid")(image),
        L.ConvLSTM3D(2, 2, recurrent_activation="sigmoid")(volume),
    ])


@case()
def convlstm_channels_first():
    image = x(3, 2, 4, 3)
    return model(image, L.ConvLSTM2D(3, 2, return_sequences=True, activation="softmax", **FIRST)(image))


@case(rows=6)
def convlstm_masked():
    line, mask = x(6, 3, 2, name="line"), k.Input((6,), name="mask", dtype="bool")
    rnns = [L.ConvLSTM1D(2, 2, **options) for options in (
        {}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True},
        {"return_sequences": True, "zero_output_for_mask": True}, {"return_state": True})]
    both = L.Bidirectional(L.ConvLSTM1D(2, 2, return_sequences=True))
    return model([line, mask], [rnn(line, mask=mask) for rnn in (*rnns, both)])


@case(forms=["keras"])
def convlstm_states():
    image, h, c = x(3, 4, 3, 2, name="image"), x(3, 2, 2, name="h"), x(3, 2, 2, name="c")
    y, *states = L.ConvLSTM2D(2, 2, return_state=True)(image, initial_state=[h, c])
    return model([image, h, c], [y, *states, L.ConvLSTM2D(2, 2)(image, initial_state=states)])


@case(calls=3, forms=["keras"])
def convlstm_stateful():
    image = x(2, 4, 3, 2, batch=3)
    return model(image, L.ConvLSTM2D(2, 2, stateful=True, return_sequences=True)(image))


@case(forms=["keras"])
def convlstm_bidirectional():
    image = x(3, 4, 3, 2)
    return model(image, [L.Bidirectional(L.ConvLSTM2D(2, 2), merge_mode=mode)(image) for mode in ("concat", "ave")])


@case(forms=["h5"])
def convlstm_pooling3d():
    return k.Sequential([k.Input((3, 6, 5, 2)), L.ConvLSTM2D(3, 2, return_sequences=True), L.MaxPooling3D((1, 2, 2)),
                         L.TimeDistributed(L.Dropout(0.2)), L.BatchNormalization(), L.Flatten(), L.Dense(2)])


@case(forms=WHOLE)
def crnn():
    td = L.TimeDistributed
    return k.Sequential([k.Input((4, 6, 5, 2)), td(L.Conv2D(3, 3, padding="same", activation="relu")),
                         td(L.MaxPooling2D((2, 2))), td(L.BatchNormalization()), td(L.SeparableConv2D(4, 2)),
                         td(L.GlobalAveragePooling2D()), L.Bidirectional(L.GRU(3)), L.Dense(2, activation="softmax")])


@case(forms=WHOLE)
def crnn_of_models():
    first = k.Sequential([k.Input((5, 4, 2)), L.Conv2D(3, 2, activation="relu"), L.MaxPooling2D(2), L.Flatten()])
    second = x(5, 4, 2, name="inside")
    joined = L.Concatenate()([L.Conv2D(2, 1)(second), L.Conv2D(2, 3, padding="same")(second)])
    second = k.Model(second, L.GlobalMaxPooling2D()(joined))
    inputs = x(3, 5, 4, 2)
    both = L.Concatenate()([L.TimeDistributed(first)(inputs), L.TimeDistributed(second)(inputs)])
    return model(inputs, L.LSTM(3)(both))


@case()
def time_distributed_masks():
    words, sentences = ids(4, 6)  # masks inside each timestep
    y = L.TimeDistributed(L.LSTM(3))(sentences)
    late, inner = x(4, 6, name="ids_late", dtype="int32"), L.Embedding(8, 2, mask_zero=True)
    read = L.TimeDistributed(L.GRU(2))(L.TimeDistributed(inner)(late))  # made inside: Keras 3 loses it
    return model([words, late], [y, L.Dense(2)(read), L.LSTM(2)(read)])


# --- dtypes -----------------------------------------------------------------------------------------------------------

@case(floatx="float64")
def float64_everywhere():
    inputs, y = ids()
    y = L.Bidirectional(L.LSTM(3, return_sequences=True))(y)
    return model(inputs, [L.GRU(3, return_sequences=True)(y), L.Dense(2, activation="gelu")(L.SimpleRNN(2)(y))])


@case(forms=WHOLE)
def float64_layers():
    inputs = x(4, 2, dtype="float64")
    y = L.LSTM(3, return_sequences=True, dtype="float64")(inputs)
    return model(inputs, [y, L.Dense(2, activation="sigmoid", dtype="float64")(L.GRU(2, dtype="float64")(y))])


@case()
def float64_in_the_middle():
    inputs = x(4, 2)
    y = L.LSTM(3, return_sequences=True, dtype="float64")(inputs)
    return model(inputs, [y, L.Dense(2)(y)])


@case(policy="mixed_float16")
def mixed_float16():
    inputs = x(4, 2)
    y = L.LSTM(3, return_sequences=True)(inputs)
    y = L.Bidirectional(L.GRU(2))(L.LayerNormalization()(y))
    return model(inputs, [y, L.Dense(2, activation="softmax", dtype="float32")(y)])


@case(policy="mixed_bfloat16")
def mixed_bfloat16():
    inputs = x(4, 2)
    return model(inputs, L.Dense(2, activation="softmax", dtype="float32")(L.LSTM(3)(inputs)))


# --- attention --------------------------------------------------------------------------------------------------------

def two_sequences():
    """Query, value and key, the first two masked."""
    pairs = [padded(4, 3, "padded_query"), padded(5, 3, "padded_value")]
    (query, masked_query), (value, masked_value) = pairs
    key = x(5, 3, name="key")
    return [query, value, key], [masked_query, masked_value, key]


@case(forms=WHOLE)
def attention():
    inputs, (query, value, key) = two_sequences()
    outputs = [L.Attention(use_scale=scale, score_mode=mode)([query, value, key])
               for scale, mode in ((False, "dot"), (True, "dot"), (False, "concat"), (True, "concat"))]
    return model(inputs, [*outputs, L.Attention()([query, value], use_causal_mask=True, return_attention_scores=True)])


@case(forms=WHOLE)
def additive_attention():
    inputs, (query, value, key) = two_sequences()
    return model(inputs, [L.AdditiveAttention()([query, value, key]),
                          L.AdditiveAttention(use_scale=False)([query, value], use_causal_mask=True),
                          L.AdditiveAttention()([query, value], return_attention_scores=True)])


@case()
def attention_feeds_masks():
    inputs, (query, value, key) = two_sequences()
    attended = [L.Attention()([query, value]), L.MultiHeadAttention(2, 3)(query, value)]
    return model(inputs, [L.LSTM(2)(y) for y in attended] + [key])


def sequences(number):
    """Masked sequences, and the same after Masking."""
    pairs = [padded(4 + n % 2, 3, f"padded_{n}") for n in range(number)]
    return [raw for raw, _ in pairs], [masked for _, masked in pairs]


@case()
def attention_after_attention():
    """Keras 3.8 and later: the first attention takes the masks off what it is given, so later ones do not see them."""
    inputs, (query, value, key) = two_sequences()
    first = L.MultiHeadAttention(2, 3)(query, value, key)
    second = L.MultiHeadAttention(2, 3)(query, value)
    block = L.Add()([query, L.MultiHeadAttention(2, 3)(query, query)])
    block = L.LayerNormalization()(block)
    return model(inputs, [first, second, L.Attention()([query, value]), L.MultiHeadAttention(2, 2)(block, block),
                          L.LSTM(2)(block), L.MultiHeadAttention(1, 2)(L.LSTM(3, return_sequences=True)(value), value)])


@case(forms=ALL)
def multi_head_attention():
    inputs, (a, b, c, d, e) = sequences(5)
    key = x(5, 3, name="key")
    return model([*inputs, key], [L.MultiHeadAttention(2, 3)(a, b), L.MultiHeadAttention(3, 2, value_dim=4)(c, b, key),
                                  L.MultiHeadAttention(1, 2, use_bias=False, output_shape=5)(e, d),
                                  L.MultiHeadAttention(2, 2)(d, d, use_causal_mask=True)])


@case(forms=WHOLE)
def multi_head_attention_scores():
    inputs, (a, b, c) = sequences(3)
    key, mask = x(5, 3, name="key"), x(4, 5, name="mask_of_pairs", dtype="bool")
    return model([*inputs, key, mask], [
        L.MultiHeadAttention(2, 3, dropout=0.1)(a, b, key, attention_mask=mask),
        L.MultiHeadAttention(2, 3)(c, c, return_attention_scores=True, use_causal_mask=True)])


@case()
def multi_head_attention_over_axes():
    inputs = x(2, 3, 4)
    return model(inputs, [L.MultiHeadAttention(2, 3)(inputs, inputs),
                          L.MultiHeadAttention(2, 3, attention_axes=(2,))(inputs, inputs),
                          L.MultiHeadAttention(2, 3, attention_axes=(1,))(inputs, inputs)])


@case(forms=WHOLE, only="keras3")
def multi_head_attention_options():
    inputs, (a, b, c, d) = sequences(4)
    return model(inputs, [L.MultiHeadAttention(2, 3, use_gate=True)(a, b),
                          L.MultiHeadAttention(2, 3, sliding_window=2, output_shape=(2, 3))(c, d)])


@case(forms=WHOLE, only="keras3")
def group_query_attention():
    inputs, (query, value, key) = two_sequences()
    return model(inputs, [L.GroupQueryAttention(3, 4, 2)(query, value), L.GroupQueryAttention(2, 3, 1, use_bias=False)(
        query, value, key, use_causal_mask=True), L.GroupQueryAttention(3, 2, 2, use_gate=True)(query, value)])


@case(floatx="float64")
def multi_head_attention_float64():
    inputs = x(4, 3)
    return model(inputs, [L.MultiHeadAttention(2, 3)(inputs, inputs), L.Attention(use_scale=True)([inputs, inputs])])


# --- products along named axes, normalization -------------------------------------------------------------------------

@case(forms=WHOLE)
def einsum_dense():
    inputs = x(4, 3)
    two = x(2, 3, 4, name="two")
    return model([inputs, two], [
        L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", activation="tanh")(inputs),
        L.EinsumDense("...x,xy->...y", 2)(inputs), L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de")(inputs),
        L.EinsumDense("abc,bd->adc", (5, 3), bias_axes="d")(inputs), L.EinsumDense("abcd,cde->abe", (None, 2))(two)])


@case(forms=WHOLE)
def normalizations():
    raw, masked = padded(4, 6)
    return model(raw, [L.LSTM(2)(L.UnitNormalization()(masked)), L.UnitNormalization(axis=[1, 2])(raw),
                       L.GroupNormalization(3)(raw), L.GroupNormalization(2, axis=1, scale=False)(raw),
                       L.GroupNormalization(-1, center=False)(raw)])


@case(forms=WHOLE, only="keras3")
def rms_normalization():
    inputs = x(4, 3)
    return model(inputs, [L.RMSNormalization()(inputs), L.RMSNormalization(axis=[1, 2], epsilon=0.1)(inputs)])


@case(forms=WHOLE)
def batch_normalization_renorm():
    return k.Sequential([k.Input((4, 3)), L.BatchNormalization(renorm=True), L.LSTM(2, return_sequences=True),
                         L.BatchNormalization(renorm=True, scale=False)])


@case(forms=WHOLE, only="keras2")
def batch_normalization_over_axes():
    return k.Sequential([k.Input((4, 3)), L.BatchNormalization(axis=[1, 2]), L.LSTM(2)])


@case(forms=ALL, only="keras3")  # tf_keras 2.21 does not read back its own
def spectral_normalization():
    return k.Sequential([k.Input((4, 3)), L.SpectralNormalization(L.Dense(5)), L.LSTM(2, return_sequences=True),
                         L.SpectralNormalization(L.Conv1D(2, 2))])


@case(forms=WHOLE, only="keras3")
def reversible_embedding():
    raw = x(6, name="ids", dtype="int32")
    outputs = []
    for tied, cap in ((True, None), (False, 2.0)):
        layer = L.ReversibleEmbedding(8, 3, tie_weights=tied, logit_soft_cap=cap)
        outputs += [layer(raw), layer(L.LSTM(3, return_sequences=True)(layer(raw)), reverse=True)]
    return model(raw, outputs)


@case(forms=["keras"])
def whole_numbers():
    """Layers that keep them, and those whose answers about them differ between Kerases."""
    raw = x(4, 2, name="wide", dtype="int32")
    image, volume = L.Reshape((2, 2, 2))(raw), L.Reshape((2, 2, 1, 2))(raw)
    other = L.Permute((2, 1))(L.Reshape((2, 4))(raw))
    outputs = [pooled(value) for rank, value in ((1, raw), (2, image), (3, volume))
               for pooled in (getattr(L, f"GlobalAveragePooling{rank}D")(), getattr(L, f"GlobalMaxPooling{rank}D")())]
    outputs += [L.MaxPooling1D(2)(raw), L.MaxPooling1D(3, strides=1, padding="same")(raw), L.MaxPooling2D(2)(image),
                L.Flatten()(raw), L.RepeatVector(2)(L.Flatten()(raw)), L.ZeroPadding1D(1)(raw), L.Cropping1D(1)(raw),
                L.UpSampling1D(2)(raw), L.UpSampling2D(2, interpolation="bilinear")(image),
                L.ReLU()(raw), L.ReLU(max_value=3.0)(raw), L.ReLU(negative_slope=0.5)(raw), L.LeakyReLU()(raw),
                L.Activation("relu")(raw), L.Activation("linear")(raw), L.Dropout(0.5)(raw),
                L.TimeDistributed(L.Flatten())(image), L.Dot(2)([raw, other])]
    outputs += [join([raw, other]) for join in (L.Add(), L.Subtract(), L.Multiply(), L.Average(), L.Maximum(),
                                                L.Minimum(), L.Concatenate(axis=1))]
    masked, again = L.Masking(2)(raw), L.Masking(-1)(other)
    outputs += [L.GlobalAveragePooling1D()(masked), L.Dense(2)(L.GlobalAveragePooling1D()(raw))]
    return model(raw, outputs + [join([masked, again]) for join in (L.Multiply(), L.Maximum(), L.Average())])


@case(forms=["keras"])
def whole_numbers_rounded():
    """Arguments and answers that Keras rounds to whole numbers, and 64-bit answers that layers take in 32 bits."""
    raw = x(4, 2, name="wide", dtype="int32")
    relus = [{"max_value": 2.5}, {"threshold": 1.5}, {"max_value": 3.5, "threshold": 2.5}, {"max_value": 6}, {"max_value": 0.5}]
    if KERAS_2:  # Keras 3 refuses a slope beside another argument
        relus += [{"negative_slope": slope, **more} for slope in (0.3, 2.5) for more in (relus[0], relus[1], relus[2])]
    outputs = [L.ReLU(**words)(raw) for words in relus] + [L.ReLU(negative_slope=1.5)(raw)]
    normalizations = [L.LayerNormalization(axis=axis) for axis in (-1, 1)] + [L.BatchNormalization()]
    if not KERAS_2:
        both = L.GroupNormalization(2), L.GroupNormalization(-1, axis=1, center=False)
        normalizations += [L.LayerNormalization(axis=[1, 2]), L.LayerNormalization(scale=False), *both]
        normalizations += [L.RMSNormalization(), L.RMSNormalization(axis=(1, 2)), L.SpectralNormalization(L.Dense(3))]
        normalizations += [L.LayerNormalization(rms_scaling=True), L.TimeDistributed(L.LayerNormalization())]
        words = L.IntegerLookup(vocabulary=[1, 2], output_mode="multi_hot")(L.Flatten()(raw))
        outputs += [L.Masking(1.5)(raw), L.LayerNormalization()(words), words, L.Discretization([0.5, 2.5])(raw)]
    outputs += [layer(raw) for layer in normalizations]
    mean = L.Average()([raw, L.ReLU(max_value=1.5)(raw)])
    outputs += [L.Dropout(0.5)(mean), L.Activation("tanh")(mean), L.Dense(2)(L.LayerNormalization()(raw))]
    return model(raw, [*outputs, L.Dense(2)(L.ReLU(max_value=2.5)(raw))])


@case(forms=["keras"])
def whole_numbers_of_few_bits():
    raw = x(4, 2, name="wide", dtype="int8")
    other = L.Permute((2, 1))(L.Reshape((2, 4))(raw))
    outputs = [L.GlobalAveragePooling1D()(L.Masking(2)(raw)), L.Average()([raw, raw]), L.ReLU(max_value=2.5)(raw)]
    return model(raw, outputs if KERAS_2 else [*outputs, L.Dot(2)([raw, other]), L.LayerNormalization()(raw)])


@case(forms=["keras"], only="keras3")
def operations_on_whole_numbers():
    raw, few, none = x(4, 2, name="wide", dtype="int32"), x(4, 2, name="wide_few", dtype="int8"), x(4, 2, name="ids_u", dtype="uint8")
    o, more = k.ops, [k.activations.relu(raw, max_value=2.5), k.activations.relu(raw, threshold=1.5)]
    outputs = [o.layer_normalization(o.reshape(raw, (-1, 2, 4))), o.rms_normalization(raw), o.relu6(raw), o.relu(raw), o.leaky_relu(raw, 0.3),
               o.floor(raw), o.ceil(raw), o.trunc(raw), o.threshold(raw, 1, 2), o.median(raw, axis=1), o.median(raw),
               o.mean(raw, axis=1)]
    for value in (few, none):
        outputs += [o.sum(value, axis=1), o.prod(value, axis=1), o.cumsum(value, axis=1), o.relu6(value), o.square(value),
                    o.matmul(value, o.swapaxes(value, 1, 2)), o.trace(value, axis1=1, axis2=2), o.rms_normalization(value)]
    return model([raw, few, none], outputs[:-1] + more)


@case(forms=WHOLE)
def masks_pass_through_casts():
    """What gives back its input gives back its mask: so does a cast to the dtype that there is."""
    raw, masked = padded()
    cast = k.ops.cast if not KERAS_2 else tf.cast
    outputs = [L.SimpleRNN(3)(cast(masked, dtype)) for dtype in ("float32", "float64")]
    if not KERAS_2:
        outputs += [L.GRU(2)(k.ops.real(masked)), L.LSTM(2)(masked * 1.0)]
    return model(raw, outputs)


@case(forms=["h5"], only="keras3", weights=True)
def masks_that_nothing_needs():
    """They do not push the layers back that make them: `get_weights` tells the order."""
    raw = x(6, 4, name="wide", dtype="int32")
    ids = x(6, name="ids", dtype="int32")
    table = L.Embedding(8, 4, mask_zero=True)(ids)
    return model([raw, ids], L.Concatenate(axis=1)([L.Dense(4)(raw), table]))


@case(forms=["keras"], only="keras3")
def truths():
    raw = x(4, 2, name="mask", dtype="bool")
    layers = [L.Dense(3), L.Masking(0), L.Masking(1.5), L.BatchNormalization(), L.GlobalAveragePooling1D()]
    return model(raw, [layer(raw) for layer in [*layers, L.LayerNormalization(), L.LSTM(3), L.GlobalMaxPooling1D()]])


# --- fewer bits -------------------------------------------------------------------------------------------------------

def quantised_case(name, mode, config=None):
    """Quantised after the weights are drawn, by `settle`."""
    @case(f"quantised_{name}", forms=ALL, only="keras3",
          settle=lambda m: m.quantize(config=config()) if config else m.quantize(mode))
    def build():
        raw = x(6, name="ids", dtype="int32")
        y = L.LSTM(5, return_sequences=True)(L.Embedding(8, 5)(raw))
        outputs = [L.Dense(3, activation="relu")(y), L.TimeDistributed(L.Dense(2))(y)]
        return model(raw, [*outputs, L.EinsumDense("abc,cde->abde", (None, 3, 2), bias_axes="de")(y)])


def adapt_and_quantise(m):
    """Each layer as its name says, in that order."""
    for layer in m.layers:
        for word in layer.name.split("_"):
            if word == "lora":
                layer.enable_lora(2)
            elif word.startswith("int"):
                layer.quantize(word)


@case(forms=["h5"], only="keras3", settle=adapt_and_quantise, weights=True)
def weights_in_order():
    """Layers whose weights Keras lists in an order of their own, once they are quantised or have factors."""
    ids = x(5, name="ids", dtype="int32")
    y = L.Embedding(8, 6, name="table_int8_lora")(ids)
    for kind in ("lora", "int8_lora"):
        y = L.Dense(6, name=f"dense_{kind}")(y)
    y = L.EinsumDense("abc,cd->abd", (None, 6), bias_axes="d", name="einsum_lora_int4")(y)
    y = L.Conv1D(4, 2, padding="same", name="conv_lora")(y)
    return model(ids, L.LSTM(3)(L.SpectralNormalization(L.Dense(5), name="spectral")(y)))


quantised_case("int8", "int8")
quantised_case("int8_weights", "int8", lambda: k.quantizers.Int8QuantizationConfig(activation_quantizer=None))
quantised_case("int4", "int4")
quantised_case("int4_blocks", "int4", lambda: k.quantizers.Int4QuantizationConfig(block_size=2))
quantised_case("int4_no_blocks", "int4", lambda: k.quantizers.Int4QuantizationConfig(
    block_size=None, activation_quantizer=k.quantizers.AbsMaxQuantizer()))
quantised_case("float8", "float8")


def quantised_attention(mode):
    @case(f"quantised_attention_{mode}", forms=WHOLE if mode == "int8" else ["keras"], only="keras3", keep=True,
          settle=lambda m: m.quantize(mode))
    def build():
        inputs = x(4, 6)
        outputs = [L.MultiHeadAttention(2, 5, value_dim=4)(inputs, inputs),
                   L.MultiHeadAttention(2, 3, use_bias=False, output_shape=(3, 2))(inputs, inputs),
                   L.GroupQueryAttention(3, 4, 2)(inputs, inputs)]
        return model(inputs, outputs)


for quantisation in ("int8", "int4", "float8"):
    quantised_attention(quantisation)


@case(forms=["keras"], only="keras3", keep=True, settle=lambda m: m.quantize("int4"))
def spectral_normalization_of_quantised():
    return k.Sequential([k.Input((4, 3)), L.SpectralNormalization(L.Dense(5)),
                         L.SpectralNormalization(L.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d"))])


def low_rank_and_quantised(mode):
    """Keras 3.15 gives the factors of Dense and Embedding another weight than in the model that it saved."""
    def settle(m):
        for layer in m.layers[1:]:
            layer.enable_lora(2, lora_alpha=3)
        if mode:
            m.quantize(mode)

    @case(f"low_rank_factors_{mode or 'of_more_layers'}", forms=["h5"], only="keras3", keep=True, settle=settle)
    def build():
        raw = x(6, name="ids", dtype="int32")
        y = L.Embedding(8, 4)(raw)
        other = L.ReversibleEmbedding(8, 4, tie_weights=False)(raw) if not mode else y
        return model(raw, [L.Dense(3, activation="tanh")(y), L.Conv1D(3, 2)(y),
                           L.EinsumDense("abc,cde->abde", (None, 3, 2), bias_axes="de")(other)])


for quantisation in ("", "int8"):
    low_rank_and_quantised(quantisation)


@case(forms=ALL, only="keras3", settle=lambda m: [layer.enable_lora(2) for layer in m.layers[1:]])
def low_rank_factors():
    return k.Sequential([k.Input((6,), name="ids", dtype="int32"), L.Embedding(8, 4), L.Dense(3)])


@case(forms=WHOLE)
def policy_of_each_layer():
    inputs = x(4, 3)
    y = L.LSTM(3, dtype="mixed_float16", return_sequences=True)(inputs)
    y = L.GRU(3, dtype="float16", return_sequences=True)(y)
    return model(inputs, [L.Dense(2, dtype="float32")(y), L.Dense(2, dtype="float64")(y)])


@case(forms=ALL, policy="float16")
def float16_everywhere():
    return k.Sequential([k.Input((4, 3)), L.LSTM(3, return_sequences=True), L.BatchNormalization(), L.Dense(2)])


@case(forms=ALL, policy="bfloat16", only="keras3")
def bfloat16_everywhere():
    return k.Sequential([k.Input((4, 3)), L.Dense(5, activation="tanh"), L.LayerNormalization(), L.Dense(2)])


# ---------------------------------------------------------------------------------------------------------------------
# Weights, inputs, answers
# ---------------------------------------------------------------------------------------------------------------------

# One character per timestep, one row per pattern: 1 counts, 0 is masked.
PATTERNS = ["111111", "001111", "111000", "110011", "000000", "010110"]


def counting_steps(rows, steps, first, never_whole):
    patterns = [p for p in PATTERNS if not never_whole or "1" in p]
    rotated = [patterns[(row + first) % len(patterns)] for row in range(rows)]
    return np.array([[p[step % 6] == "1" for step in range(steps)] for p in rotated])


def values_for(tensor, rows, nth, rng):
    """Random values for one model input; `nth` (input, call) rotates the padding patterns, so that masks differ."""
    name = tensor.name.split(":")[0]
    shape = (rows, *(5 if size is None else int(size) for size in tensor.shape[1:]))
    if name.startswith(("text", "sentence")):
        words = rng.choice([*WORDS, "Cat!", "zebra", "", "\u00c4h-ha"], (*shape, 1 if name.startswith("text") else 7))
        return np.array([" ".join(some) for some in words.reshape(-1, words.shape[-1])]).reshape(shape)
    dtype = np.dtype(getattr(tensor.dtype, "name", tensor.dtype))
    if name.startswith(("ids", "mask")):
        keep = counting_steps(int(np.prod(shape[:-1])), shape[-1], nth, False).reshape(shape)
        return keep if dtype == bool else (rng.integers(1, 8, shape) * keep).astype(dtype)
    values = rng.uniform(-6, 6, shape) if name.startswith("wide") else rng.normal(0, 1, shape)
    if name.startswith("padded"):
        keep = counting_steps(*shape[:2], nth, name == "padded_never_whole")
        values = np.where(keep[:, :, None], values, -1 if name.endswith("-1") else 0)
    return values.astype(np.float32).astype(dtype)  # predict() rounds float64 data to floatx: let that change nothing


def random_weight(variable, scale, rng):
    """Biases and statistics are random too; large kernels are scaled down, so that nothing saturates."""
    name, shape = variable.name.split("/")[-1].split(":")[0], tuple(variable.shape)
    if name in ("mean", "variance", "count", "summary") or None in shape:
        return np.asarray(variable)  # learnt by `adapt`
    if name in ("moving_variance", "gamma"):
        return rng.uniform(0.5, 1.5, shape)
    if "kernel" in name:
        limit = np.sqrt(scale / np.prod(shape[:-1]))
        return rng.uniform(-limit, limit, shape)
    return rng.uniform(-0.7, 0.7, shape)


def arrays(answer):
    """Outputs in model order, which for a dict is the order of its sorted keys."""
    if isinstance(answer, dict):
        return [answer[key] for key in sorted(answer)]
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]



def answer(case, model, inputs):
    inputs = [tf.constant(array) if array.dtype.kind == "U" else array for array in inputs]
    fed = {tensor.name: array for tensor, array in zip(model.inputs, inputs)} if case.named else inputs
    fed = fed[0] if len(fed) == 1 else fed
    answers = [np.asarray(a) for a in arrays(model.predict(fed, batch_size=len(inputs[0]), verbose=0))]
    return [a.astype(np.float32) if a.dtype.name == "bfloat16" else a for a in answers]  # which .npz does not know


def reset_states(model):
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "stateful", False) and hasattr(layer, "cell"):
            for state in flat(layer.states or []):  # Keras 3.15's own reset_state() fails on stacked cells
                state.assign(np.zeros(state.shape))


def replay(case, model, calls):
    reset_states(model)
    return [answer(case, model, inputs) for inputs in calls]


def largest_difference(ours, theirs):
    pairs = [(np.asarray(a, float), np.asarray(b, float)) for one, two in zip(ours, theirs) for a, b in zip(one, two)]
    return max(float(np.max(np.abs(a - b) / (1 + np.abs(a)), initial=0)) for a, b in pairs)


def golden(calls, answers):
    """The layout of CHECKS: input_0, output_0, ..., with call0_, call1_, ... in front where there are several calls."""
    prefix = "call{}_" if len(calls) > 1 else ""
    named = {}
    for number, (inputs, outputs) in enumerate(zip(calls, answers)):
        named |= {f"{prefix.format(number)}input_{i}": array for i, array in enumerate(inputs)}
        named |= {f"{prefix.format(number)}output_{i}": array for i, array in enumerate(outputs)}
    return named


def listed(model, calls):
    """What `get_weights` returns, and the answers to the first call with larger weights."""
    before = model.get_weights()
    model.set_weights([w * np.float32(1.25) if w.dtype.kind == "f" else w for w in before])
    larger = {f"larger_{n}": np.asarray(a) for n, a in enumerate(arrays(model.predict(calls[0], verbose=0)))}
    model.set_weights(before)
    return {f"weight_{n}": w for n, w in enumerate(before)} | larger


def record(case):
    """Write one case; a form that Keras cannot write, or does not read back to the same numbers, is left out."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    k.backend.clear_session()
    k.backend.set_floatx(case.floatx)
    k.mixed_precision.set_global_policy(case.policy or case.floatx)
    model = case.build()
    for variable in model.weights:
        if hasattr(variable, "assign"):  # a vocabulary has none
            variable.assign(random_weight(variable, case.weight_scale, rng))
    if case.settle:
        case.settle(model)
        for variable in model.weights:
            if "lora" in variable.name:
                variable.assign(random_weight(variable, 1.0, rng))
    masked = any(re.match("ids|mask|padded", tensor.name) for tensor in model.inputs)
    rows = model.inputs[0].shape[0] or case.rows or (6 if masked else 3)
    calls = [[values_for(tensor, rows, i + c, rng) for i, tensor in enumerate(model.inputs)] for c in range(case.calls)]
    answers = replay(case, model, calls)
    assert all(np.isfinite(a).all() for outputs in answers for a in outputs), f"{case.name}: not finite"
    assert largest_difference(answers, replay(case, model, calls)) < 1e-5, f"{case.name}: differs after a reset"

    stem = f"{WRITER}_{case.name}"
    np.savez_compressed(FOLDER / f"{stem}.npz", **golden(calls, answers), **(listed(model, calls) if case.weights else {}))
    kept, skipped = [], []

    def try_form(form):
        path = FOLDER / f"{stem}.{form}"
        save, load = FORMS[form]
        try:
            save(model, str(path))
            again = load(str(path), model.to_json() if "json" in case.forms else "")
            difference = largest_difference(answers, replay(case, again, calls)) if again else 0.0
            if difference > (1e-2 if case.policy else 1e-5):
                raise ValueError(f"Keras reads it back to other numbers, off by {difference:.2g}")
            kept.append(form)
            if form == "keras" and not case.as_written:
                deflate(path)
        except Exception as problem:  # whatever Keras raises is a finding
            if (case.forms == ALL or case.keep) and path.exists():
                if form == "keras":
                    deflate(path)
                path.rename(FOLDER / "keras_cannot_load" / path.name)
            path.unlink(missing_ok=True)
            skipped.append(f"{form}: {one_line(problem)}")

    for form in case.forms:
        try_form(form)
    if not kept and not case.keep:
        try_form("keras" if case.forms == ["h5"] else "h5")
    return kept, skipped


def deflate(path):
    """The same members, compressed: Keras stores them as they are, and most of a small HDF5 file is empty."""
    with zipfile.ZipFile(path) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for info, content in members:
            archive.writestr(info, content, zipfile.ZIP_DEFLATED, 9)


def one_line(problem):
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:90]}"


def write_summary(new):
    """<writer>.txt: a line for each case with its forms, and below it why a form is absent; other cases keep theirs."""
    path, known, name = FOLDER / f"{WRITER}.txt", {}, None
    for line in path.read_text().splitlines()[2:] if path.exists() else []:
        name = name if line.startswith(" ") else line.split()[0]
        known.setdefault(name, []).append(line)
    blocks = [line for name in CASES for line in (known | new).get(name, [])]
    head = f"{len(CASES)} cases recorded with {k.__name__} {k.__version__} on {k.backend.backend()} {tf.__version__}"
    path.write_text("\n".join([head, "", *blocks]) + "\n")


def main():
    (FOLDER / "keras_cannot_load").mkdir(exist_ok=True)
    summary = {}
    for name in sys.argv[2:] or list(CASES):
        for old in FOLDER.glob(f"{WRITER}_{name}.*"):
            old.unlink()
        try:
            kept, skipped = record(CASES[name])
        except Exception as problem:  # a model this Keras cannot build or run
            kept, skipped = [], [f"not built: {one_line(problem)}"]
        summary[name] = [f"{name:48}{' '.join(kept)}".rstrip(), *(f"    - {reason}" for reason in skipped)]
        print("\n".join(summary[name]), flush=True)
    write_summary(summary)


if __name__ == "__main__":
    main()
