"""One timestep of a line of recurrent and Dense layers, again and again, with nothing done twice (``kernels.line``)."""

import itertools
from typing import NamedTuple

import numpy as np

from ..kernels import dense, line
from ..kernels.address import KINDS
from ..kernels.job import Job
from ..kernels.packing import Packed
from ..kernels.update import activation_function, functions_of
from .sequences import FLOAT32, plan_of

empty = np.empty
X, Y, STATES = range(3)
"""Where x, y and the first state are in the tuple of arrays that the kernel takes; scratch comes last."""


class Link(NamedTuple):
    """A layer of a line: its weights, and whether it is recurrent or Dense."""

    packed: Packed
    is_recurrent: bool


class _Line(NamedTuple):
    """What stepping needs.

    Attributes
    ----------
    programs : iterator of int64 arrays
        By turns those that walk the weights forwards and backwards: what was used last is used first, while in cache.
    scratch : list of tuples of arrays
        What no thread uses at the moment.
    make : callable
        Returns one more, where there is none.
    states : list of (shape, int)
        Of every recurrent layer: the shape of its states, and how many there are.
    shape : tuple
        Of y.
    """

    programs: object
    scratch: list
    make: object
    states: list
    shape: tuple


def make_cell_stepper(packed, rows):
    """Return a function that computes one timestep of a cell.

    Parameters
    ----------
    packed : packing.Packed
    rows : int

    Returns
    -------
    callable
        From x (rows, features) and a list of states (rows, units), which are not changed, to the new h and a list of
        new states; or None where an argument is not just what it should be. Threads may call it at once.
    """
    programs, scratch, make, [(shape, number)], _ = _assemble([Link(packed, True)], rows, is_output=False)
    entry, take, give_back = line.compiled(), scratch.pop, scratch.append

    def step_with_carry(x, states):
        h, c = states
        try:
            own = take()
        except IndexError:
            own = make()
        new_h, new_c = empty(shape, FLOAT32), empty(shape, FLOAT32)
        fits = entry(next(programs), (x, new_h, h, c, new_h, new_c) + own)
        give_back(own)
        return (new_h, [new_h, new_c]) if fits else None

    def step(x, states):
        (h,) = states
        try:
            own = take()
        except IndexError:
            own = make()
        new_h = empty(shape, FLOAT32)
        fits = entry(next(programs), (x, new_h, h, new_h) + own)
        give_back(own)
        return (new_h, [new_h]) if fits else None

    return step_with_carry if number == 2 else step


def make_stepper(links, keys, rows):
    """Return a function that computes one timestep of a line of layers.

    Parameters
    ----------
    links : list of Link
        The first of them recurrent.
    keys : list
        Of the recurrent ones: under which key of the state theirs is.
    rows : int

    Returns
    -------
    callable
        From x_t (rows, features) and the state, a dict of lists of arrays that is not changed, to the output and a new
        state; or None where an argument is not just what it should be; or KeyError, TypeError, ValueError where the
        state is a strange one. Threads may call it at once.
    """
    programs, scratch, make, states, of_y = _assemble(links, rows, is_output=True)
    entry, take, give_back = line.compiled(), scratch.pop, scratch.append
    cells = list(zip(keys, *zip(*states, strict=True), strict=True))
    key, shape, number = cells[0]

    def step_one(x_t, state):  # most models
        h, c = state[key]
        try:
            own = take()
        except IndexError:
            own = make()
        new_h, new_c, y = empty(shape, FLOAT32), empty(shape, FLOAT32), empty(of_y, FLOAT32)
        fits = entry(next(programs), (x_t, y, h, c, new_h, new_c) + own)
        give_back(own)
        return (y, {key: [new_h, new_c]}) if fits and len(state) == 1 else None

    def step(x_t, state):
        try:
            own = take()
        except IndexError:
            own = make()
        arrays, new, y = [], {}, empty(of_y, FLOAT32)
        for key, shape, number in cells:
            if number == 2:
                h, c = state[key]
                new[key] = made = [empty(shape, FLOAT32), empty(shape, FLOAT32)]
                arrays += (h, c, *made)
            else:
                (h,) = state[key]
                new[key] = made = [empty(shape, FLOAT32)]
                arrays += (h, *made)
        fits = entry(next(programs), (x_t, y, *arrays) + own)
        give_back(own)
        return (y, new) if fits and len(state) == len(cells) else None

    return step_one if len(cells) == 1 and number == 2 else step


def _assemble(links, rows, is_output):
    """Return the `_Line`; `is_output` tells whether y must be an array of its own, and not the last layer's h."""
    middle = [(rows, link.packed.units) for link in links[:-1] if not link.is_recurrent]
    numbers_of_states = [1 + link.packed.cell.value.carries for link in links if link.is_recurrent]
    own = STATES + 2 * sum(numbers_of_states)
    between = itertools.count(own + 1)  # places of what Dense layers inside the line return
    place, x, states, floats, numbers, jobs = STATES, X, [], dense.SCRATCH, ([], []), []
    for link in links:
        packed, is_last = link.packed, link is links[-1]
        if link.is_recurrent:
            number = 1 + packed.cell.value.carries
            old, new, place = place, place + number, place + 2 * number
            y = Y if is_last and is_output else new
            places = [x, old, old + number - 1, new, new + number - 1, y, own]
            for odd in (0, 1):
                job, needed = _plan(packed, rows, int(y != new), odd)
                jobs.append(job)
                numbers[odd].append(line.recurrent_link(packed, job, places))
            floats = max(floats, needed)
            states.append(((rows, packed.units), number))
            x = new
        else:
            y = Y if is_last else next(between)
            for some in numbers:
                some.append(line.dense_link(packed, activation_function(packed.cell), rows, [x, y, own]))
            x = y

    def make():
        return (empty(floats, FLOAT32), *(empty(shape, FLOAT32) for shape in middle))

    programs = _Programs([line.assemble(some) for some in numbers])
    programs.kept = links, jobs
    return _Line(programs, [], make, states, (rows, links[-1].packed.units))


class _Programs(itertools.cycle):
    """Programs by turns, and in `kept` what they have the addresses of."""


def _plan(packed, rows, outputs, odd):
    """Return a `Job` of one timestep as an array, and the scratch it needs."""
    numbers = (1, packed.features, packed.units, outputs, rows, 0, 0, 0, 0, odd, 0, 0, 1, 0, 0)
    return plan_of(packed, Job(*numbers, *functions_of(packed.cell), *KINDS))
