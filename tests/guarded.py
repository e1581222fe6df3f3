"""Runs the fused kernels on arrays that end, or begin, where nobody may read or write: a program for test_fused.py.

A byte too far ends the process. Arguments are read-only pages, scratch is as large as its layout says and no larger,
and full of NaN, as are outputs, so that whatever is read before it was written shows in the results. Every case
is printed before it runs.
"""

import ctypes
import itertools
import mmap
import sys
from pathlib import Path

import numpy as np

PAGE, FILL = mmap.PAGESIZE, 0xFF
NOTHING, READ = 0, mmap.PROT_READ if hasattr(mmap, "PROT_READ") else 1


class Guarded:
    """Arrays between two pages that nobody may touch; what is left of the memory between these must stay as it is."""

    def __init__(self, at_end):
        self.at_end, self.regions = at_end, []
        self.protect = ctypes.CDLL(None, use_errno=True).mprotect
        self.protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def empty(self, shape, dtype=np.float32, alignment=4, read_only=False, values=None):
        """Return an array full of NaN (-1), or of `values`."""
        dtype, count = np.dtype(dtype), int(np.prod(shape))
        size = count * dtype.itemsize
        pages = max(1, -(-size // PAGE))
        memory = mmap.mmap(-1, (pages + 2) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        inside = np.frombuffer(memory, np.uint8, pages * PAGE, PAGE)
        inside[:] = FILL
        first = (pages * PAGE - size) // alignment * alignment if self.at_end else 0
        array = np.frombuffer(memory, dtype, count, PAGE + first).reshape(shape)
        if values is not None:
            array[...] = values
        for place in (start, start + (pages + 1) * PAGE):
            assert self.protect(place, PAGE, NOTHING) == 0
        assert not read_only or self.protect(start + PAGE, pages * PAGE, READ) == 0
        self.regions.append((inside[:first], inside[first + size :]))
        return array

    def given(self, array):
        """Return a read-only copy of an array."""
        return self.empty(array.shape, array.dtype, read_only=True, values=array)

    def check(self):
        """Fail if something was written beside an array."""
        assert all((part == FILL).all() for region in self.regions for part in region)


def run_sequence(guarded, packed, x, states, outputs, *, mask=None, backwards=False, few=2, odd=0, parts=1):
    """Run the kernel as `sequences` does, on guarded arrays only; returns y and the new states."""
    from lstm_infer.kernels import fused
    from lstm_infer.kernels.address import KINDS, address_of
    from lstm_infer.kernels.update import functions_of
    from lstm_infer.layers import sequences
    from lstm_infer.threads import together

    cell, (rows, timesteps, features) = packed.cell.value, x.shape
    order, times = (None, None) if mask is None else sequences._real_timesteps(mask)
    order, times = (None if array is None else guarded.given(array) for array in (order, times))
    addresses = [0 if array is None else address_of(array) for array in (order, times)]
    x_there, weights = guarded.given(x), guarded.given(packed.weights)
    h, c = (guarded.given(state) for state in (states[0], states[-1]))
    new_h, new_c = (guarded.empty(h.shape) for _ in range(2))
    y = guarded.empty((rows, max(outputs, 1), packed.units))
    meeting = guarded.empty(2, np.int64, values=0)
    is_step = timesteps == 1 and mask is None and parts == 1
    kinds = KINDS if is_step else (0, 0)
    x_there = x_there[:, 0] if is_step else x_there

    def job(part, parts, shared):
        return fused.Job(
            timesteps, features, packed.units, outputs, rows, 0, *addresses, int(backwards), odd, few if parts == 1
            else rows, part, parts, shared, address_of(meeting), *functions_of(packed.cell), *kinds,
        )  # fmt: skip

    at = fused.layout.py_func(cell.wide, cell.grain, cell.slots, job(0, parts, 0))
    shared = guarded.empty(at.shared, alignment=64)

    def compute(part, parts):
        mine = job(part, parts, address_of(shared))
        at = fused.layout.py_func(cell.wide, cell.grain, cell.slots, mine)
        own = guarded.empty(at.own if parts > 1 else -(-at.own // 16) * 16 + 16 + at.shared, alignment=64)
        numbers = guarded.given(np.array(mine, np.int64))
        loop = packed.loop
        assert fused.compiled(loop)(loop, weights, numbers, x_there, h, c, new_h, new_c, y, own) == 1

    together(parts, compute)
    guarded.check()
    return y, [new_h, new_c][: len(states)]


def run_gates(guarded, cell, x_t, states):
    """Run implementation 1 of an LSTM's step; returns the new states."""
    from lstm_infer.kernels import gates
    from lstm_infer.kernels.update import functions_of

    (rows, features), units = x_t.shape, cell.units
    x_t, weights = guarded.given(x_t), guarded.given(cell.packed_gates)
    h, c = (guarded.empty(state.shape, values=state) for state in states)
    own = guarded.empty(gates.scratch_size(features, units))
    gates.compiled()(weights, functions_of(cell.packed.cell)[0], x_t, h, c, rows, features, units, own)
    guarded.check()
    return [h, c]


def run_blocks(guarded, packed, slots, x, states, outputs):
    """Run the kernel over rows whose states are in slots of larger arrays; returns y and all states."""
    from lstm_infer.kernels import blocks, fused
    from lstm_infer.kernels.update import functions_of

    cell, (rows, timesteps, features) = packed.cell.value, x.shape
    numbers = (timesteps, features, packed.units, outputs, blocks.ROWS_AT_ONCE, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0)
    job = fused.Job(*numbers, *functions_of(packed.cell), 0, 0)
    at = fused.layout.py_func(cell.wide, cell.grain, cell.slots, job)
    own = guarded.empty(-(-at.own // 16) * 16 + 16 + at.shared, alignment=64)
    states = [guarded.empty(state.shape, values=state) for state in states]
    y = guarded.empty((rows, outputs, packed.units))
    numbers = guarded.empty(len(job), np.int64, values=job)
    arguments = guarded.given(packed.weights), numbers, guarded.given(slots), guarded.given(x), states[0], states[-1]
    blocks.compiled()(fused.function(packed.loop), *arguments, y, own, 0, rows)
    guarded.check()
    return y, states


def run_dense(guarded, packed, x):
    """Run the kernel of a Dense layer; returns y."""
    from lstm_infer.kernels import dense
    from lstm_infer.kernels.update import activation_function

    x, weights = guarded.given(x), guarded.given(packed.weights)
    y = guarded.empty((len(x), packed.units))
    own = guarded.empty(packed.cell.value.wide * dense.PANEL * dense.LANES, alignment=64)
    numbers = (len(x), packed.features, packed.units)
    dense.compiled(packed.loop)(packed.loop, weights, activation_function(packed.cell), x, y, *numbers, own)
    guarded.check()
    return y


def same(ours, expected):
    assert all(a.tobytes() == np.ascontiguousarray(b).tobytes() for a, b in zip(ours, expected, strict=True))


SIZES = [(1, 1), (3, 5), (15, 31), (16, 16), (17, 37), (65, 1), (67, 5), (127, 3), (130, 3)]


def check_sequences(kind, at_end):
    """Everything about a kind of cell, against its layer on ordinary memory."""
    import reference

    import lstm_infer as li

    ways = itertools.cycle(itertools.product((0, 2, 64), (False, True), (False, True)))
    rng = np.random.default_rng(0)
    for (units, features), rows, timesteps in itertools.product(SIZES, (1, 2, 7, 13), (1, 27)):
        few, backwards, is_masked = next(ways)
        cell = reference.CELLS[kind]
        layer = getattr(li, cell.name)(
            units, return_sequences=True, return_state=True, go_backwards=backwards, **cell.arguments
        )
        layer.set_weights(reference.random_weights(kind, features, units))
        x = rng.normal(size=(rows, timesteps, features)).astype(np.float32)
        states = list(rng.normal(size=(cell.states, rows, units)).astype(np.float32))
        mask = rng.random((rows, timesteps)) < 0.7 if is_masked else None
        if is_masked:
            mask[:, timesteps // 2] = True  # for a row without any, the kernel leaves y and the states alone
        y, *final = layer(x, mask=mask, initial_state=states)
        for parts, outputs in ((1, timesteps), (1, 1), (1, 0), (2, timesteps), (5, 1)):
            print(kind, at_end, units, features, rows, timesteps, few, backwards, is_masked, parts, outputs, flush=True)
            guarded = Guarded(at_end)
            given = {"mask": mask, "backwards": backwards, "few": few, "odd": rows % 2, "parts": parts}
            ours, new = run_sequence(guarded, layer.cell.packed, x, states, outputs, **given)
            same(new, final)
            if outputs == 0:
                assert np.isnan(ours).all()
            elif outputs == timesteps and mask is not None:
                real = mask[:, ::-1] if backwards else mask
                same([ours[real]], [y[real]])
                assert np.isnan(ours[~real]).all()
            elif mask is None:
                same([ours], [y if outputs == timesteps else y[:, -1:]])
            else:
                same([ours[:, 0]], final[:1])


def check_blocks(kind, at_end):
    """The same rows in slots, of which no other may change."""
    import reference

    import lstm_infer as li

    rng = np.random.default_rng(3)
    for (units, features), rows, timesteps in itertools.product(SIZES[::2], (1, 7, 65, 130), (1, 5)):
        print("blocks", kind, at_end, units, features, rows, timesteps, flush=True)
        cell = reference.CELLS[kind]
        layer = getattr(li, cell.name)(units, return_sequences=True, return_state=True, **cell.arguments)
        layer.set_weights(reference.random_weights(kind, features, units))
        x = rng.normal(size=(rows, timesteps, features)).astype(np.float32)
        states = list(rng.normal(size=(cell.states, rows + 9, units)).astype(np.float32))
        slots = rng.permutation(rows + 9)[:rows]
        y, *final = layer(x, initial_state=[state[slots] for state in states])
        ours, new = run_blocks(Guarded(at_end), layer.cell.packed, slots, x, states, timesteps)
        for state, rows_of_it in zip(states, final, strict=True):
            state[slots] = rows_of_it
        same([ours, *new], [y, *states])


def check_gates(at_end):
    import reference

    import lstm_infer as li

    for (units, features), rows in itertools.product(SIZES, (1, 3)):
        print("gates", at_end, units, features, rows, flush=True)
        cell = li.LSTMCell(units, implementation=1)
        cell.set_weights(reference.random_weights("lstm", features, units))
        rng = np.random.default_rng(1)
        x_t, *states = (rng.normal(size=(rows, n)).astype(np.float32) for n in (features, units, units))
        same(run_gates(Guarded(at_end), cell, x_t, states), cell(x_t, states)[1])


def check_dense(at_end):
    import lstm_infer as li

    for (units, features), rows in itertools.product(SIZES, (1, 2, 7, 48, 97)):
        print("dense", at_end, units, features, rows, flush=True)
        layer, rng = li.Dense(units, activation="tanh"), np.random.default_rng(2)
        layer.set_weights([rng.normal(size=(features, units)), rng.normal(size=units)])
        x = rng.normal(size=(rows, features)).astype(np.float32)
        same([run_dense(Guarded(at_end), layer.packed, x)], [layer(x)])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    for at_end in (True, False):
        for kind in ("lstm", "gru", "gru_before", "simple_rnn"):
            check_sequences(kind, at_end)
            check_blocks(kind, at_end)
        check_gates(at_end)
        check_dense(at_end)
    print("done")
