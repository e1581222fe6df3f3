"""What is measured: cases, and the suites that group them."""

import zlib
from dataclasses import dataclass

import numpy as np

GATES = {"lstm": 4, "gru": 3}
CHECKED_STEPS = 5
"""Timesteps that a case of single steps answers when it is checked."""


@dataclass(frozen=True)
class Case:
    """A recurrent layer with certain sizes, and how it is used.

    Attributes
    ----------
    name : str
    units, features, timesteps, batch : int
    mode : str
        ``sequence`` returns every timestep's output; ``ragged`` does for rows of different length, a quarter of
        `timesteps` on average; ``step`` takes one timestep from Python; ``start`` and ``file`` take a new process to
        the first answer, of such a layer or of a Keras file.
    cell, activation, recurrent_activation : str
        As Keras calls them.
    dense : int
        Units of a Dense layer that follows, 0 for none.
    like : str
        The name of the case whose rate this one is held against.
    file : str
        A Keras file, for ``file``.
    """

    name: str
    units: int
    features: int
    timesteps: int
    batch: int = 1
    mode: str = "sequence"
    cell: str = "lstm"
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    dense: int = 0
    like: str = ""
    file: str = ""

    @property
    def lengths(self):
        """The true lengths of the rows of a ragged case: a few long ones, many short ones, in no order."""
        longest = np.ceil(self.timesteps * (np.arange(1, self.batch + 1) / self.batch) ** 3)
        return self._random.permutation(longest.astype(np.int64))

    @property
    def row_timesteps(self):
        """Timesteps that must be computed, counted row by row."""
        return int(self.lengths.sum()) if self.mode == "ragged" else self.timesteps * self.batch

    @property
    def streamed(self):
        """Bytes of weights that every timestep needs: in a sequence the input's product can be made beforehand."""
        rows = self.units + (self.features if self.mode == "step" else 0)
        return 4 * (GATES[self.cell] * self.units * rows + self.units * self.dense)

    def multiply_adds(self, lanes=1):
        """Return the multiply-adds of one call, with the units rounded up to whole vectors of `lanes`."""
        units = -(-self.units // lanes) * lanes
        return self.row_timesteps * (GATES[self.cell] * units * (self.features + self.units) + self.units * self.dense)

    @property
    def _random(self):
        return np.random.default_rng(zlib.crc32(self.name.encode()))

    def arrays(self):
        """Return random weights, in Keras's layout, and inputs: float32 arrays by name."""
        random, gates, timesteps = self._random, GATES[self.cell], self.timesteps
        if self.mode == "step":
            timesteps = CHECKED_STEPS

        def uniform(scale, *shape):
            return random.uniform(-scale, scale, shape).astype(np.float32)

        bias = (2, gates * self.units) if self.cell == "gru" else (gates * self.units,)
        arrays = {
            "x": uniform(1, self.batch, timesteps, self.features),
            "kernel": uniform(self.features**-0.5, self.features, gates * self.units),
            "recurrent_kernel": uniform(self.units**-0.5, self.units, gates * self.units),
            "bias": uniform(0.1, *bias),
        }
        if self.dense:
            arrays["dense_kernel"] = uniform(self.units**-0.5, self.units, self.dense)
            arrays["dense_bias"] = uniform(0.1, self.dense)
        if self.mode == "ragged":
            arrays["lengths"] = self.lengths
        return arrays


def sequence(units, timesteps, batch=1, features=None, **more):
    """Return the case of a whole sequence; as many features as units unless given."""
    features = units if features is None else features
    words = [more.get("cell", "lstm").upper(), *(more[a] for a in ("activation", "recurrent_activation") if a in more)]
    sizes = f"{units}" if features == units else f"{features}>{units}"
    return Case(f"{' '.join(words)} {sizes} x{timesteps} batch {batch}", units, features, timesteps, batch, **more)


def step(units, dense=0):
    """Return the case of one step from Python."""
    name = f"step {units}" + (f" + Dense({dense})" if dense else "")
    return Case(name, units, units, 1, mode="step", dense=dense)


def ragged(units, timesteps, batch):
    """Return the case of rows of different length."""
    return Case(f"ragged {units} x{timesteps} batch {batch}", units, units, timesteps, batch, mode="ragged")


def _odd(batch):
    """Sizes and functions that no benchmark chooses, beside even ones with Keras's default functions."""
    even = {units: sequence(units, 50, batch) for units in (64, 128, 256)}
    odd = [sequence(u, 50, batch, like=even[e].name) for u, e in ((50, 64), (100, 128), (200, 256), (300, 256))]
    others = ({"activation": "relu"}, {"recurrent_activation": "hard_sigmoid"}, {"cell": "gru"})
    return [*even.values(), *odd, *(sequence(128, 50, batch, like=even[128].name, **other) for other in others)]


SUITES = {
    "quick": [
        sequence(64, 50, features=32),
        sequence(256, 50),
        sequence(1024, 25),
        sequence(128, 25, batch=32),
        step(64),
        ragged(64, 100, 64),
    ],
    "deepbench": [
        sequence(units, timesteps, batch)
        for units, timesteps in ((256, 150), (512, 25), (1024, 25), (1536, 50))
        for batch in (1, 2, 4)
    ],
    "small": [sequence(units, 50, batch) for units in (32, 64, 128) for batch in (1, 2, 4)],
    "batch": [sequence(units, 25, batch) for units in (128, 256, 512) for batch in (32, 70, 256)],
    "step": [step(32), step(64), step(128), step(256), step(64, dense=10), step(256, dense=10)],
    "odd": _odd(1) + _odd(32),
    "ragged": [ragged(64, 200, 64), ragged(128, 200, 64), ragged(256, 200, 64), ragged(128, 200, 256)],
    "coldstart": [
        Case("start, load sunspots.h5", 24, 1, 24, mode="file", file="models/sunspots.h5"),
        Case("start, LSTM 24 x24", 24, 24, 24, mode="start"),
    ],
}
