"""A year of CO2 from the three years before: an encoder hands its state to a decoder. Saved by Keras 2 as .h5.

    pip install tf_keras==2.21.0 statsmodels==0.15.0
    python co2.train.py

Data: `statsmodels.datasets.co2`, weekly at Mauna Loa 1958-2001 (C. D. Keeling, T. P. Whorf; Scripps Institution of
Oceanography), public domain; here monthly means. Inputs and answers are the changes from month to month in ppm.
The file holds the training model: (36 months, the decoder's previous month at each of 12 steps) -> 12 months.
To forecast, its layers are called again as two models, an encoder and a decoder fed its own answers: see `forecast`.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tf_keras as keras  # noqa: E402
from statsmodels.datasets import co2  # noqa: E402

HERE, PAST, AHEAD, TEST = Path(__file__).resolve().parent, 36, 12, 72


def windows():
    monthly = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    change = monthly.diff().dropna().to_numpy("float32")
    both = np.stack([change[start:start + PAST + AHEAD] for start in range(len(change) - PAST - AHEAD + 1)])[:, :, None]
    return both[:, :PAST], both[:, PAST - 1:-1], both[:, PAST:]


def network():
    past, previous = keras.Input((PAST, 1), name="past"), keras.Input((None, 1), name="previous")
    _, h, c = keras.layers.LSTM(32, return_state=True, name="encoder")(past)
    decoder = keras.layers.LSTM(32, return_sequences=True, return_state=True, name="decoder")
    y, _, _ = decoder(previous, initial_state=[h, c])
    return keras.Model([past, previous], keras.layers.Dense(1, name="change")(y))


def forecast(model, past):
    """The usual recipe: the layers of the trained model, called again as two models, one step at a time."""
    encoder = keras.Model(model.input[0], model.get_layer("encoder").output[1:])
    states = [keras.Input((32,), name="h"), keras.Input((32,), name="c")]
    y, *new_states = model.get_layer("decoder")(model.input[1], initial_state=states)
    decoder = keras.Model([model.input[1], *states], [model.get_layer("change")(y), *new_states])
    y, states, answers = past[:, -1:], encoder.predict(past, verbose=0), []
    for _ in range(AHEAD):
        y, *states = decoder.predict([y, *states], verbose=0)
        answers.append(y)
    return np.concatenate(answers, axis=1)


def main():
    keras.utils.set_random_seed(1)
    past, previous, future = windows()
    train = slice(0, len(past) - TEST - AHEAD)  # no month of the test years is seen
    model = network()
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, 1300)), "mse")
    noise = np.random.default_rng(1).normal(0, 0.2, previous.shape).astype("float32")  # it will read its own answers
    model.fit([past[train], (previous + noise)[train]], future[train], batch_size=32, epochs=100, verbose=0)

    past, previous, future = past[-TEST:], previous[-TEST:], future[-TEST:]
    answers = forecast(model, past)
    ours, naive = (np.abs((guess - future).cumsum(axis=1)).mean() for guess in (answers, past[:, -AHEAD:]))
    print(f"mean absolute error over the {AHEAD} months, {TEST} forecasts: {ours:.3f} ppm; "
          f"last year's changes again: {naive:.3f} ppm")

    model.save(HERE / "co2.h5", include_optimizer=False)
    rows = slice(0, None, 3)
    inputs = {"input_0": past[rows], "input_1": previous[rows]}
    np.savez_compressed(HERE / "co2.input.npz", **inputs)
    together = model.predict([past[rows], previous[rows]], verbose=0)
    np.savez_compressed(HERE / "co2.golden.npz", **inputs, output_0=together)
    np.savez_compressed(HERE / "co2.forecast.npz", input_0=past[rows], output_0=answers[rows])


if __name__ == "__main__":
    main()
