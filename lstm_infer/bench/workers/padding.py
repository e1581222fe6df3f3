"""ONNX Runtime behind a dynamic batcher that pads: what a model server does for an LSTM without cells of its own.

Reads a JSON object from standard input (units, features, rates, seconds, give_up, configurations) and writes one with
the result of each configuration: the most sequences in a batch, instances, and threads of each. A batch is what waits
when an instance is free, so there is no timer to tune: longer waiting only adds to latency once there is load. Batches
may be gathered from a longer queue by length (`sorted`), which saves padding.
"""

import json
import sys
import threading

import numpy as np
import openloop


def make_session(units, features, threads):
    """Return a session for an LSTM that returns its last h."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    random = np.random.default_rng(0)

    def weights(name, *shape):
        return onnx.numpy_helper.from_array((random.normal(size=shape) * 0.05).astype(np.float32), name)

    node = helper.make_node("LSTM", ["x", "w", "r", "b", "lengths"], ["", "h"], hidden_size=units)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", features]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, "batch", units])]
    arrays = [weights("w", 1, 4 * units, features), weights("r", 1, 4 * units, units), weights("b", 1, 8 * units)]
    graph = helper.make_graph([node], "lstm", inputs, outputs, arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Batcher:
    """Instances that each take what waits, pad it, and run it."""

    def __init__(self, sessions, most, is_sorted):
        self._sessions, self._most, self._is_sorted = sessions, most, is_sorted
        self._waiting, self._changed, self._is_open = [], threading.Condition(), True
        self._threads = [threading.Thread(target=self._serve, args=(session,)) for session in sessions]
        for thread in self._threads:
            thread.start()

    def submit(self, x, end):
        with self._changed:
            self._waiting.append((x, end))
            self._changed.notify()

    def close(self):
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self):
        with self._changed:
            while self._is_open and not self._waiting:
                self._changed.wait()
            if self._is_sorted and len(self._waiting) > self._most:
                # the longest waiting one, and those of the next few batches that are most like it
                first, *rest = self._waiting[: 4 * self._most]
                later = self._waiting[4 * self._most :]
                rest.sort(key=lambda item: abs(len(item[0]) - len(first[0])))
                taken, self._waiting = [first, *rest[: self._most - 1]], [*rest[self._most - 1 :], *later]
            else:
                taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            return taken

    def _serve(self, session):
        while True:
            taken = self._take()
            if not taken:
                return
            lengths = np.array([len(x) for x, _ in taken], np.int32)
            batch = np.zeros((lengths.max(), len(taken), taken[0][0].shape[1]), np.float32)
            for n, (x, _) in enumerate(taken):
                batch[: len(x), n] = x
            [[h]] = session.run(None, {"x": batch, "lengths": lengths})
            for n, (_, end) in enumerate(taken):
                end(h[n])


def main():
    job = json.load(sys.stdin)
    results = []
    for most, instances, threads, is_sorted in job["configurations"]:
        sessions = [make_session(job["units"], job["features"], threads) for _ in range(instances)]

        def make(sessions=sessions, most=most, is_sorted=is_sorted):
            batcher = Batcher(sessions, most, is_sorted)
            return batcher.submit, batcher.close

        found = openloop.sweep(make, job["features"], job["rates"], job["seconds"], job["give_up"])
        results.append({"configuration": [most, instances, threads, is_sorted], "rates": found})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
