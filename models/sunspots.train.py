"""Next year's sunspot number from the 24 years before it: two LSTMs and a Dense, saved by Keras 2 as .h5.

    pip install tf_keras==2.21.0 statsmodels==0.15.0
    python sunspots.train.py

Data: `statsmodels.datasets.sunspots`, yearly means 1700-2008, public domain (National Geophysical Data Center, NOAA).
The input is the sunspot number divided by 100, and so is the answer.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tf_keras as keras  # noqa: E402
from statsmodels.datasets import sunspots  # noqa: E402

HERE, YEARS, TEST_YEARS = Path(__file__).resolve().parent, 24, 60


def windows():
    series = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy("float32") / 100
    x = np.stack([series[start:start + YEARS] for start in range(len(series) - YEARS)])
    return x[:, :, None], series[YEARS:, None]


def train(x, y):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((YEARS, 1), name="sunspots"),
        keras.layers.LSTM(24, return_sequences=True),
        keras.layers.LSTM(12),
        keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mae")
    model.fit(x, y, batch_size=32, epochs=80, verbose=0)
    return model


def main():
    x, y = windows()
    model = train(x[:-TEST_YEARS], y[:-TEST_YEARS])
    x, y = x[-TEST_YEARS:], y[-TEST_YEARS:]
    answer = model.predict(x, verbose=0)
    ours, same_as_last_year = np.abs(answer - y).mean() * 100, np.abs(x[:, -1] - y).mean() * 100
    print(f"mean absolute error of the last {TEST_YEARS} years: {ours:.1f}; same as last year: {same_as_last_year:.1f}")

    model.save(HERE / "sunspots.h5", include_optimizer=False)
    (HERE / "sunspots.json").write_text(model.to_json())  # the same once more, architecture and weights apart
    model.save_weights(HERE / "sunspots.weights.h5")
    np.save(HERE / "sunspots.input.npy", x)
    np.savetxt(HERE / "sunspots.input.csv", x[:, :, 0], fmt="%.9g", delimiter=",")  # one row per window
    np.savez_compressed(HERE / "sunspots.golden.npz", input_0=x, output_0=answer)


if __name__ == "__main__":
    main()
