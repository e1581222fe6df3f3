"""OpenVINO on the CPU in float32 (its own default may be bfloat16): an LSTMSequence or, for steps, an LSTMCell."""

import numpy as np
import openvino
from openvino import opset13 as op
from protocol import Unsupported, Way, serve, steps_of, threads_of

GATES = {"lstm": (1, 0, 2, 3), "gru": (0, 1, 2)}  # OpenVINO: f, i, c, o and z, r, h


def build(case, arrays, threads):
    if case.mode == "file":
        raise Unsupported("reads no Keras files")
    make = _steps if case.mode == "step" else _sequence
    return [make(case, arrays, threads) for threads in sorted({1, threads})]


def _compile(model, threads):
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    return openvino.Core().compile_model(model, "CPU", options)


def _sequence(case, arrays, threads):
    compiled = _compile(_sequence_model(case, arrays), threads)
    request = compiled.create_infer_request()
    inputs = [arrays["x"], *([arrays["lengths"].astype(np.int32)] if case.mode == "ragged" else [])]
    y = np.empty((case.batch, case.timesteps, case.units), np.float32)
    for place, array in enumerate(inputs):
        request.set_input_tensor(place, _tensor(array))
    request.set_output_tensor(0, _tensor(y))

    def answer(inputs=inputs):  # OpenVINO does not keep the arrays alive
        request.infer()
        return y

    return Way("infer", request.infer, answer, threads_of(threads))


def _steps(case, arrays, threads):
    compiled = _compile(_step_model(case, arrays), threads)
    steps = steps_of(arrays["x"])
    x_t = steps[0].copy()
    sizes = [case.units] * (2 if case.cell == "lstm" else 1)
    states = [[np.zeros((case.batch, size), np.float32) for size in sizes] for _ in range(2)]
    requests = []
    for old, new in (states, states[::-1]):  # preallocated states take turns as input and output
        request = compiled.create_infer_request()
        for place, array in enumerate([x_t, *old]):
            request.set_input_tensor(place, _tensor(array))
        for place, array in enumerate(new):
            request.set_output_tensor(place, _tensor(array))
        requests.append(request)

    def step():
        requests[0].infer()
        requests.reverse()

    def answer():
        for array in (*states[0], *states[1]):
            array[:] = 0
        found = []
        for each in steps:
            x_t[:] = each
            request = requests[0]
            step()
            found.append(request.get_output_tensor(len(sizes) if case.dense else 0).data.copy())
        return np.stack(found, axis=1)

    return Way("infer", step, answer, threads_of(threads))


def _tensor(array):
    return openvino.Tensor(array, shared_memory=True)


# ---------------------------------------------------------------- the model
def _sequence_model(case, arrays):
    x = op.parameter([case.batch, case.timesteps, case.features], np.float32)
    zeros = op.constant(np.zeros((case.batch, 1, case.units), np.float32))
    lengths = op.constant(np.full(case.batch, case.timesteps, np.int32))
    if case.mode == "ragged":
        lengths = op.parameter([case.batch], np.int32)
    weights = [op.constant(array[None]) for array in _weights(case, arrays)]
    if case.cell == "lstm":
        node = op.lstm_sequence(x, zeros, zeros, lengths, *weights, case.units, "forward", **_activations(case))
    else:
        node = op.gru_sequence(
            x, zeros, lengths, *weights, case.units, "forward", linear_before_reset=True, **_activations(case)
        )
    y = op.squeeze(node.output(0), op.constant(np.array([1])))
    return openvino.Model([y], [x, lengths] if case.mode == "ragged" else [x])


def _step_model(case, arrays):
    x = op.parameter([case.batch, case.features], np.float32)
    count = 2 if case.cell == "lstm" else 1
    states = [op.parameter([case.batch, case.units], np.float32) for _ in range(count)]
    weights = [op.constant(array) for array in _weights(case, arrays)]
    if case.cell == "lstm":
        node = op.lstm_cell(x, *states, *weights, case.units, **_activations(case))
    else:
        node = op.gru_cell(x, *states, *weights, case.units, linear_before_reset=True, **_activations(case))
    outputs = [node.output(place) for place in range(count)]
    if case.dense:
        product = op.matmul(outputs[0], op.constant(arrays["dense_kernel"]), False, False)
        outputs.append(op.add(product, op.constant(arrays["dense_bias"][None])).output(0))
    return openvino.Model(outputs, [x, *states])


def _weights(case, arrays):
    def transposed(array):
        blocks = np.split(array, len(GATES[case.cell]), axis=-1)
        return np.ascontiguousarray(np.concatenate([blocks[gate] for gate in GATES[case.cell]], axis=-1).T)

    bias = arrays["bias"]
    if case.cell == "gru":  # one bias where the sums meet, two for the candidate
        z, r, h = np.split(bias, 3, axis=1)
        bias = np.concatenate([z.sum(0), r.sum(0), h[0], h[1]])
    else:
        bias = transposed(bias)
    return transposed(arrays["kernel"]), transposed(arrays["recurrent_kernel"]), bias


def _activations(case):
    gate, output = case.recurrent_activation, case.activation
    if "hard_sigmoid" in (gate, output):
        raise Unsupported("hard_sigmoid is not among the activations its CPU plugin runs in one kernel")
    return {"activations": [gate, output, output] if case.cell == "lstm" else [gate, output]}


if __name__ == "__main__":
    serve({"openvino": openvino.__version__}, build)
