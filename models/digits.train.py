"""A handwritten digit read column by column as it is written; blank columns are masked. Saved by Keras 3 as .keras.

    pip install tensorflow==2.21.0 keras==3.15.1 scikit-learn==1.9.1
    python digits.train.py

Data: `sklearn.datasets.load_digits`, 1797 images of 8x8 pixels: the test set of "Optical Recognition of Handwritten
Digits" (E. Alpaydin, C. Kaynak; UCI Machine Learning Repository), CC BY 4.0. Pixels are divided by 16.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

HERE = Path(__file__).resolve().parent


def network():
    return keras.Sequential([
        keras.Input((8, 8), name="columns"),
        keras.layers.Masking(),
        keras.layers.Bidirectional(keras.layers.LSTM(32)),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(10, activation="softmax")])


def main():
    keras.utils.set_random_seed(1)
    images, kinds = load_digits(return_X_y=True)
    columns = images.reshape(-1, 8, 8).transpose(0, 2, 1).astype("float32") / 16
    x, x_test, y, y_test = train_test_split(columns, kinds, test_size=360, random_state=1, stratify=kinds)
    trained = network()
    trained.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    trained.fit(x, y, batch_size=64, epochs=40, verbose=0)

    model = network()  # without the optimizer's state, which would triple the file
    model.set_weights(trained.get_weights())
    right = (model.predict(x_test, verbose=0).argmax(-1) == y_test).mean()
    naive = np.bincount(y_test).max() / len(y_test)
    sample = x_test[:48]
    print(f"right: {right:.1%} of {len(y_test)}; always the most frequent digit: {naive:.1%}; "
          f"masked columns in the sample: {(sample == 0).all(-1).mean():.1%}")

    model.save(HERE / "digits.keras")
    np.save(HERE / "digits.input.npy", sample)
    np.savez_compressed(HERE / "digits.golden.npz", input_0=sample, output_0=model.predict(sample, verbose=0))


if __name__ == "__main__":
    main()
