"""This engine, as its users call it; and what this machine can do at best."""

from protocol import Way, serve, steps_of


def build(case, arrays, threads):
    if case.mode == "file":
        return [_file(case, arrays, threads)]
    model, x = _model(case, arrays, threads), arrays["x"]
    if case.mode == "step":
        return _steps(case, arrays, model, x)
    if case.mode in ("sequence", "start"):
        return [Way("predict", lambda: model.predict(x), lambda: model.predict(x))]
    lengths = arrays["lengths"]
    real = x[:, : round(lengths.sum() / len(x))].copy()
    return [
        Way("predict, lengths=", lambda: model.predict(x, lengths=lengths), lambda: model.predict(x, lengths=lengths)),
        Way("as many timesteps, equal rows", lambda: model.predict(real), None, counts=False),
    ]


def _model(case, arrays, threads):
    import lstm_infer as li

    layer = {"lstm": li.LSTM, "gru": li.GRU}[case.cell](
        case.units,
        activation=case.activation,
        recurrent_activation=case.recurrent_activation,
        return_sequences=case.mode != "step",
    )
    layers = [li.Input((None, case.features)), layer, *([li.Dense(case.dense)] if case.dense else [])]
    model = li.Sequential(layers, threads=threads)
    names = ("kernel", "recurrent_kernel", "bias", "dense_kernel", "dense_bias")
    model.set_weights([arrays[name] for name in names if name in arrays])
    return model


def _steps(case, arrays, model, x):
    import numpy as np

    session, state, steps = model.session(), [model.initial_state(case.batch)], steps_of(x)
    x_t = steps[0]

    def step():
        _, state[0] = model.step(x_t, state[0])

    def answer():
        state, outputs = model.initial_state(case.batch), []
        for each in steps:
            y_t, state = model.step(each, state)
            outputs.append(y_t)
        return np.stack(outputs, axis=1)

    def answer_session():
        session.reset_states()
        return np.stack([session.step(each) for each in steps], axis=1)

    ways = [Way("model.step", step, answer), Way("session.step", lambda: session.step(x_t), answer_session)]
    return ways if case.dense else [*ways, _cell(case, arrays, steps)]


def _cell(case, arrays, steps):
    import numpy as np

    import lstm_infer as li

    cell = {"lstm": li.LSTMCell, "gru": li.GRUCell}[case.cell](
        case.units, activation=case.activation, recurrent_activation=case.recurrent_activation
    )
    cell.set_weights([arrays[name] for name in ("kernel", "recurrent_kernel", "bias")])
    zeros = np.zeros((case.batch, case.units), np.float32)
    first = [zeros] * (2 if case.cell == "lstm" else 1)
    x_t, state = steps[0], [first]

    def step():
        _, state[0] = cell(x_t, state[0])

    def answer():
        state, outputs = first, []
        for each in steps:
            y_t, state = cell(each, state)
            outputs.append(y_t)
        return np.stack(outputs, axis=1)

    return Way(f"{type(cell).__name__} call", step, answer)


def _file(case, arrays, threads):
    import lstm_infer as li

    model, x = li.load_model(case.file, threads=threads), arrays["x"]
    return Way("load_model, predict", lambda: model.predict(x), lambda: model.predict(x))


def describe():
    from lstm_infer.bench import machine

    return machine.describe()


def peak(threads, seconds):
    from lstm_infer.bench import machine

    return {"gflops": machine.measure_peak(threads, seconds)}


def bandwidth(threads, size, seconds):
    from lstm_infer.bench import machine

    return {"gbs": machine.measure_bandwidth(threads, size, seconds)}


if __name__ == "__main__":
    import lstm_infer

    serve({"lstm_infer": lstm_infer.__version__}, build, describe=describe, peak=peak, bandwidth=bandwidth)
