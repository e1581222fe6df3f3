"""Keras on TensorFlow: a layer inside ``tf.function``, compiled by XLA or not; and ``model.predict`` to compare."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
from importlib import metadata  # noqa: E402

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from protocol import Way, serve, steps_of  # noqa: E402

keras = tf.keras  # imported when it is first used


def build(case, arrays, threads):
    _set_threads(threads)
    if case.mode == "file":
        return [_file(case, arrays)]
    keras.backend.clear_session()
    return (_steps if case.mode == "step" else _sequence)(case, arrays)


def _set_threads(threads):
    """Threads are a process's own here: they can be set only before the first operation."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def _file(case, arrays):
    try:
        import tf_keras as reader  # files of Keras 2
    except ImportError:
        reader = keras
    model, x = reader.models.load_model(case.file, compile=False), arrays["x"]
    return Way("load_model, predict", lambda: model.predict(x, verbose=0), lambda: model.predict(x, verbose=0))


def _layer(case, **options):
    activations = {"activation": case.activation, "recurrent_activation": case.recurrent_activation}
    return {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[case.cell](case.units, **activations, **options)


def _sequence(case, arrays):
    model = keras.Sequential([keras.Input((None, case.features)), _layer(case, return_sequences=True)])
    model.set_weights([arrays[name] for name in ("kernel", "recurrent_kernel", "bias")])
    x, given = arrays["x"], [tf.constant(arrays["x"])]
    if case.mode == "ragged":
        given.append(tf.constant(np.arange(case.timesteps) < arrays["lengths"][:, None]))
    layer = model.layers[0]
    run = (lambda x: layer(x)) if len(given) == 1 else (lambda x, mask: layer(x, mask=mask))  # a default costs 150 µs

    def way(jit, how):
        signature = [tf.TensorSpec(array.shape, array.dtype) for array in given]
        function = tf.function(run, input_signature=signature, jit_compile=jit).get_concrete_function()
        return Way("tf.function", lambda: function(*given), lambda: function(*given).numpy(), how)

    ways = [way(False, "graph"), way(True, "XLA")]
    if case.mode == "sequence":
        predict = Way("model.predict", lambda: model.predict(x, verbose=0), lambda: model.predict(x, verbose=0))
        ways.append(predict._replace(counts=False))
    return ways


def _steps(case, arrays):
    cell = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell}[case.cell](
        case.units, activation=case.activation, recurrent_activation=case.recurrent_activation
    )
    cell.build((case.batch, case.features))
    cell.set_weights([arrays[name] for name in ("kernel", "recurrent_kernel", "bias")])
    dense = keras.layers.Dense(case.dense) if case.dense else None
    if dense:
        dense.build((case.batch, case.units))
        dense.set_weights([arrays["dense_kernel"], arrays["dense_bias"]])

    def step(x_t, *state):
        y, state = cell(x_t, list(state))
        return (dense(y) if dense else y), state

    return [_stepping(case, arrays, step, jit, how) for jit, how in ((False, "graph"), (True, "XLA"))]


def _stepping(case, arrays, step, jit, how):
    first = [tf.zeros((case.batch, case.units))] * (2 if case.cell == "lstm" else 1)
    shapes = [(case.batch, case.features), *(state.shape for state in first)]
    signature = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    function = tf.function(step, input_signature=signature, jit_compile=jit).get_concrete_function()
    steps = [tf.constant(x_t) for x_t in steps_of(arrays["x"])]
    x_t, state = steps[0], [first]

    def call():
        _, state[0] = function(x_t, *state[0])

    def answer():
        state, found = first, []
        for each in steps:
            y, state = function(each, *state)
            found.append(y.numpy())
        return np.stack(found, axis=1)

    return Way("tf.function", call, answer, how)


if __name__ == "__main__":
    serve({"tensorflow": tf.__version__, "keras": metadata.version("keras")}, build)
