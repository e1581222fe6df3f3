"""Vector kernels: accuracy over the whole float range, the same bits at every place, and other CPUs than this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference

from lstm_infer.kernels import activations, vector
from lstm_infer.kernels.address import address_of
from lstm_infer.kernels.constant import Constant
from lstm_infer.kernels.tile import Cell
from lstm_infer.kernels.update import activate
from lstm_infer.kernels.vector_math import ON_VECTORS

ROOT = Path(__file__).resolve().parent.parent
NAMES = [name for name, code in activations.CODES.items() if code in ON_VECTORS]


def on_vectors(name, x):
    """The activation of a float32 array, computed by the vector kernel."""
    z = np.zeros(vector.padded(x.size), np.float32)
    z[: x.size] = x
    activate(Constant(Cell("simple", 1, activations.activation(name))), address_of(z), z.size // vector.LANES)
    return z[: x.size]


def every_magnitude():
    """Float32 numbers of both signs, subnormal to infinite, evenly over their bit patterns, and a fine grid near 0."""
    positive = np.arange(0, 0x7F800001, 1499, dtype=np.uint32).view(np.float32)
    grid = np.linspace(-30, 30, 400_001, dtype=np.float32)
    return np.concatenate([positive, -positive, grid, np.float32([np.inf, -np.inf, 0.0, -0.0])])


def test_tanh_within_5_ulp():
    x = every_magnitude()
    exact = np.tanh(x.astype(np.float64))
    ulp = np.spacing(np.maximum(np.abs(exact).astype(np.float32), np.finfo(np.float32).smallest_subnormal))
    assert (np.abs(on_vectors("tanh", x) - exact) / ulp).max() <= 5
    assert np.abs(on_vectors("tanh", x)).max() == 1


def test_sigmoid_within_2e_7_or_4_ulp():
    x = every_magnitude()
    with np.errstate(over="ignore"):
        exact = 1 / (1 + np.exp(-x.astype(np.float64)))
    error = np.abs(on_vectors("sigmoid", x) - exact)
    assert ((error <= 2e-7) | (error <= 4 * np.spacing(exact.astype(np.float32)))).all()


@pytest.mark.parametrize("name", NAMES)
def test_activations_against_the_oracle(name):
    x = np.linspace(-15, 15, 40_001, dtype=np.float32)
    with np.errstate(over="ignore"):
        exact = reference.activation(name)(x.astype(np.float64))
    error = np.abs(on_vectors(name, x) - exact) / (1 + np.abs(exact))
    assert error.max() < 2e-6


@pytest.mark.parametrize("name", NAMES)
def test_extremes_are_those_of_the_plain_kernels(name):
    x = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 30.0, -30.0])
    plain = x.reshape(1, -1).copy()
    activations.activate_rows(activations.activation(name), plain)
    np.testing.assert_allclose(on_vectors(name, x), plain[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_result_does_not_depend_on_its_lane(name):
    x = np.random.default_rng(1).normal(0, 4, 257).astype(np.float32)
    whole = on_vectors(name, x)
    for shift in (1, 3, 5, 7):
        np.testing.assert_array_equal(on_vectors(name, x[shift:]), whole[shift:])


@pytest.mark.parametrize(
    ("triple", "cpu", "machine"),
    [
        ("x86_64-unknown-linux-gnu", "skylake-avx512", (16, 32, True)),
        ("x86_64-unknown-linux-gnu", "znver3", (8, 16, True)),
        ("x86_64-unknown-linux-gnu", "sandybridge", (8, 16, False)),
        ("x86_64-unknown-linux-gnu", "x86-64", (4, 16, False)),
        ("aarch64-unknown-linux-gnu", "neoverse-n1", (4, 32, True)),
    ],
)
def test_width_follows_the_target(triple, cpu, machine):
    if triple.startswith("x86") and "x86" not in vector.cpu_target.target_context.codegen().magic_tuple()[0]:
        pytest.skip("LLVM here was built without this target")
    assert vector.probe(triple, cpu, "") == machine


PROGRAM = """
import numpy as np
import lstm_infer as li
from lstm_infer.kernels.vector import MACHINE
rng = np.random.default_rng(0)
weights = [rng.normal(0, 0.3, shape) for shape in ((5, 68), (17, 68), (68,))]
x = rng.normal(size=(7, 6, 5))
answers = []
for dtype in ("float32", "float64"):
    model = li.Sequential([li.Input((None, 5)), li.LSTM(17, return_sequences=True, dtype=dtype)])
    model.set_weights(weights)
    answers.append(model.predict(x))
assert (model.predict(x[:1]) == answers[1][:1]).all()
print(*MACHINE, np.abs(answers[0] - answers[1]).max() < 1e-6)
"""


@pytest.mark.skipif(vector.LANES < 8, reason="this CPU has no wider vectors to leave out")
def test_a_restricted_target_gives_the_same_numbers(tmp_path):
    """Plain SSE without fused multiply-add, on this very machine."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2", "PYTHONPATH": str(ROOT)}
    environment["LSTM_INFER_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=500)
    assert done.stdout.split() == ["4", "16", "False", "True"], done.stderr
