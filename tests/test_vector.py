"""Vector kernels: accuracy over the whole float range, the same bits at every place, and other CPUs than this one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding as llvm
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
IS_X86 = "86" in vector.cpu_target.target_context.codegen().magic_tuple()[0]
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
import sys
import llvmlite.binding as llvm
import numpy as np
import lstm_infer as li
import reference
from lstm_infer.kernels.vector import MACHINE

print(*MACHINE)
worst = 0
for kind, cell in reference.CELLS.items():
    layer = getattr(li, cell.name)(67, return_sequences=True, **cell.arguments)
    model = li.Sequential([li.Input((None, 5)), layer, li.Dense(67, activation="tanh")])
    rng = np.random.default_rng(0)
    weights = reference.random_weights(kind, 5, 67)
    kernel, bias = rng.normal(size=(67, 67)) / 8, rng.normal(size=67)
    model.set_weights([*weights, kernel, bias])
    assert layer.cell.packed is not None
    x = rng.normal(size=(7, 29, 5)).astype(np.float32)
    mask = rng.random((7, 29)) < 0.7
    y, _ = reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, 7, 67))
    y_masked, _ = reference.rnn(reference.step(kind, weights), x, reference.zeros(kind, 7, 67), mask)
    whole, masked = model.predict(x), model.predict(x, mask=mask)
    for ours, theirs in ((whole, y), (masked, y_masked)):
        worst = max(worst, np.abs(ours - np.tanh(theirs @ kernel + bias)).max())
    assert model.predict(x, threads=2).tobytes() == whole.tobytes()
    for rows in (1, 2, 5):
        assert model.predict(x[:rows]).tobytes() == whole[:rows].tobytes()
        state = model.initial_state(rows)
        for t in range(29):
            y_t, state = model.step(x[:rows, t], state)
            assert y_t.tobytes() == np.ascontiguousarray(whole[:rows, t]).tobytes()
print(worst < 2e-6, worst)
"""


def runs_here(features):
    """Whether this very CPU has all of some features."""
    has = llvm.get_host_cpu_features()
    return IS_X86 and all(has.get(feature.lstrip("+")) for feature in features.split(","))


TARGETS = {  # CPU, features, and what must come of them
    "sse": ("x86-64", "+sse2", (4, 16, False)),
    "avx2": ("haswell", "+avx2,+fma", (8, 16, True)),
}


@pytest.fixture(scope="module")
def lesser_cpus():
    """Processes that compile for CPUs which can do less than this one; all at once, since compiling takes a while."""
    running = {}
    for name, (cpu, features, machine) in TARGETS.items():
        if machine == vector.MACHINE or not runs_here(features):
            continue
        environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        running[name] = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    yield running
    for process in running.values():
        process.kill()


@pytest.mark.parametrize("name", TARGETS)
def test_other_widths(name, lesser_cpus):
    """Every kind of cell, and Dense; the cache keeps CPUs apart."""
    if name not in lesser_cpus:
        pytest.skip("this CPU's own width, or one it has not")
    output, errors = lesser_cpus[name].communicate(timeout=500)
    assert output.split()[:4] == [*map(str, TARGETS[name][2]), "True"], output + errors


ON_NEON = """
import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.registry import cpu_target

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
ARM = ("aarch64-unknown-linux-gnu", "neoverse-n1", "")
type(cpu_target.target_context.codegen()).magic_tuple = lambda self: ARM

from lstm_infer.kernels import activations, tile, update, vector

assert vector.MACHINE == (4, 32, True)
TANH, SIGMOID = (activations.activation(name) for name in ("tanh", "sigmoid"))
FLOATS, I64 = vector.F32.as_pointer(), vector.I64


def assembly(name, arguments, emit):
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    builder = ir.IRBuilder(function.append_basic_block())
    emit(builder, *function.args)
    builder.ret_void()
    target = llvm.Target.from_triple(ARM[0]).create_target_machine(*ARM[1:], opt=2)
    print(target.emit_assembly(llvm.parse_assembly(str(module))))


def emit_tile(builder, start, a, n_x, n_h, w, z):
    one = vector.i64(4)
    start, w, z = (start, one, one, one), (w, one), (z, one, one, one)
    tile._emit_tile(builder, lstm, lstm.most_rows, start, (a, n_x), n_x, n_h, w, z, blocks=1)


def emit_update(builder, z, c, h):
    z = [vector.load(builder, z, 4 * n) for n in range(4)]
    new = update._carry(builder, lstm, z, None, vector.load(builder, c))
    vector.store(builder, new, c)
    vector.store(builder, update._hidden(builder, lstm, z, None, new), h)


lstm = tile.Cell("lstm", 1, TANH, SIGMOID)
assembly("tile", [FLOATS, FLOATS, I64, I64, FLOATS, FLOATS], emit_tile)
print("----")
assembly("update", [FLOATS, FLOATS, FLOATS], emit_update)
"""


def test_neon():
    """What LLVM makes of a tile and an update for ARM; it is read here, not run, since this CPU may be another."""
    try:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("LLVM here was built without this target")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", ON_NEON], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    tile, update = done.stdout.split("----")
    assert len(re.findall(r"fmla\s+v\d+\.4s", tile)) == 6 * 4, "six rows of four sums"
    assert len(re.findall(r"fmla\s+v\d+\.4s", update)) >= 10
    assert len(re.findall(r"fdiv\s+v\d+\.4s", update)) == 3
    for code in (tile, update):
        assert not re.search(r"\tbl\s", code), "calls of a library"
    loop = max(re.split(r"^\.LBB\w+:", tile, flags=re.M), key=lambda block: block.count("fmla"))
    assert loop.count("fmla") == 6 * 4 and "[sp" not in loop, "sums that do not stay in registers"
