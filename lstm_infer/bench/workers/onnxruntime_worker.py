"""ONNX Runtime on the CPU: one LSTM or GRU node, in the layout of ONNX (timesteps, batch, features)."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from protocol import Unsupported, Way, serve, steps_of, threads_of

GATES = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2)}  # ONNX: i, o, f, c and z, r, h
STATES = {"lstm": ("h", "c"), "gru": ("h",)}
ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "hard_sigmoid": "HardSigmoid"}


def build(case, arrays, threads):
    if case.mode == "file":
        raise Unsupported("reads no Keras files")
    configurations = [(1, "1"), (threads, "1"), (threads, "0")] if threads > 1 else [(1, "0")]
    make = _steps if case.mode == "step" else _sequence
    return [way for each in configurations for way in make(case, arrays, _session(case, arrays, *each), each)]


def _how(threads, spinning):
    return threads_of(threads) + ("" if threads == 1 else ", spinning" if spinning == "1" else ", not spinning")


def _sequence(case, arrays, session, configuration):
    x = np.ascontiguousarray(arrays["x"].swapaxes(0, 1))
    y = np.empty((case.timesteps, 1, case.batch, case.units), np.float32)
    feed = {"x": x, **({"lengths": arrays["lengths"].astype(np.int32)} if case.mode == "ragged" else {})}
    binding = session.io_binding()
    for name, array in feed.items():
        binding.bind_cpu_input(name, array)
    binding.bind_output("y", "cpu", 0, np.float32, y.shape, y.ctypes.data)

    def bound():
        session.run_with_iobinding(binding)

    def answer(feed=feed):  # a binding does not keep the arrays alive
        bound()
        return y[:, 0].swapaxes(0, 1)

    plain = Way("run", lambda: session.run(None, feed), answer, _how(*configuration) + ", run")
    return [plain, Way("run", bound, answer, _how(*configuration) + ", io_binding")]


def _steps(case, arrays, session, configuration):
    steps = [x_t[None] for x_t in steps_of(arrays["x"])]
    names = STATES[case.cell]
    outputs = [f"{name}1" for name in names]
    shape = (1, case.batch, case.units)
    feed = {"x": steps[0], **{name: np.zeros(shape, np.float32) for name in names}}

    def run():
        results = session.run(None, feed)
        feed.update(zip(names, results[-len(names) :], strict=True))

    def answer():
        given, found = {name: np.zeros(shape, np.float32) for name in names}, []
        for x_t in steps:
            y, *state = session.run(["y" if case.dense else "h1", *outputs], {"x": x_t, **given})
            given = dict(zip(names, state, strict=True))
            found.append(y.reshape(case.batch, -1))
        return np.stack(found, axis=1)

    how = _how(*configuration)
    return [Way("run", run, answer, how), Way("io_binding", _bound_steps(case, session, steps[0]), answer, how)]


def _bound_steps(case, session, x_t):
    """Return a step between preallocated states, which take turns as input and output."""
    names, shape = STATES[case.cell], (1, case.batch, case.units)
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    states = [[value(np.zeros(shape, np.float32)) for _ in names] for _ in range(2)]
    bindings = []
    for old, new in (states, states[::-1]):
        binding = session.io_binding()
        binding.bind_cpu_input("x", x_t)
        for name, before, after in zip(names, old, new, strict=True):
            binding.bind_ortvalue_input(name, before)
            binding.bind_ortvalue_output(f"{name}1", after)
        if case.dense:
            binding.bind_ortvalue_output("y", value(np.zeros((case.batch, case.dense), np.float32)))
        bindings.append(binding)

    def step():
        session.run_with_iobinding(bindings[0])
        bindings.reverse()

    return step


# ---------------------------------------------------------------- the model
def _session(case, arrays, threads, spinning):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    model = _model(case, arrays).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(case, arrays):
    states = STATES[case.cell]
    weights = _weights(case, arrays)
    given, produced = ["x", *weights, ""], ["y"]
    inputs = [_value("x", 1 if case.mode == "step" else case.timesteps, case.batch, case.features)]
    outputs = [_value("y", case.timesteps, 1, case.batch, case.units)]
    if case.mode == "ragged":
        given[-1] = "lengths"
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [case.batch]))
    if case.mode == "step":
        given += states
        produced = ["", *(f"{state}1" for state in states)]
        inputs += [_value(state, 1, case.batch, case.units) for state in states]
        outputs = [_value(name, 1, case.batch, case.units) for name in produced[1:]]
    nodes = [helper.make_node(case.cell.upper(), given, produced, hidden_size=case.units, **_attributes(case))]
    if case.dense:
        weights |= {name: arrays[name] for name in ("dense_kernel", "dense_bias")} | {"axes": np.array([0])}
        nodes.append(helper.make_node("Squeeze", ["h1", "axes"], ["h2"]))
        nodes.append(helper.make_node("Gemm", ["h2", "dense_kernel", "dense_bias"], ["y"]))
        outputs.insert(0, _value("y", case.batch, case.dense))
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "case", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weights(case, arrays):
    def transposed(array):
        blocks = np.split(array, len(GATES[case.cell]), axis=-1)
        return np.concatenate([blocks[gate] for gate in GATES[case.cell]], axis=-1).T[None]

    bias = np.atleast_2d(arrays["bias"])  # a GRU's has two rows: of the input and of the state
    rows = [transposed(row) for row in bias] + [np.zeros((1, bias.shape[1]), np.float32)] * (2 - len(bias))
    return {
        "kernel": np.ascontiguousarray(transposed(arrays["kernel"])),
        "recurrent_kernel": np.ascontiguousarray(transposed(arrays["recurrent_kernel"])),
        "bias": np.concatenate(rows, axis=-1),
    }


def _attributes(case):
    gate, output = ACTIVATIONS[case.recurrent_activation], ACTIVATIONS[case.activation]
    attributes = {"activations": [gate, output, output] if case.cell == "lstm" else [gate, output]}
    if gate == "HardSigmoid":
        attributes |= {"activation_alpha": [1 / 6], "activation_beta": [0.5]}
    if case.cell == "gru":
        attributes["linear_before_reset"] = 1
    return attributes


if __name__ == "__main__":
    serve({"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}, build)
