"""Operations on arrays that functional models record as if they were layers.

Keras 3 records those of ``keras.ops``, and, in a model with masks, those on masks too (``x != 0``, ``any`` over the
features, ...); tf.keras records TensorFlow's. The functions themselves are in `ops`; here they become layers: their
arguments are positional, and any of them may be a tensor.
"""

import inspect
import math

import numpy as np

from ..errors import InputError
from . import ops
from .base import MOST_TRIED, Layer, Node, Tensor
from .structure import flatten, map_structure

TRIALS = (
    ((2, 2), (3, 3)), ((6, 6), (12, 12)), ((60, 60), (120, 120)), ((2, 1), (3, 1)), ((4, 4), (8, 8)), ((1, 1), (1, 1)),
)  # fmt: skip
"""Sizes that are tried for the batch and for other free dimensions, in pairs of trials; what differs between the two is
free in the result."""

MOST_REMEMBERED = 64
"""Numbers of a trial's result that are kept: shapes are computed from shapes."""


class Operation(Layer):
    """A function of arrays and constants; the shape of its result is found by trying it out.

    Parameters
    ----------
    floatx : str
        The dtype of floats that are made from whole numbers.
    **options
        ``name``, and the arguments that the function has besides those of the call.
    """

    function = key = None
    is_recorded = True
    elementwise = False

    def __init__(self, floatx="float32", name=None, trainable=True, **options):
        super().__init__(name=name, trainable=trainable, dtype="float64" if floatx == "float64" else "float32")
        self.options = options
        self.floats = {"floatx": self.dtype} if "floatx" in inspect.signature(self.function).parameters else {}
        self.expected_shapes = {}
        self.per_timestep = self.elementwise

    def __reduce_ex__(self, protocol):
        return _blank, (self.key,), self.__getstate__()

    def get_config(self):
        return {**super().get_config(), **self.options}

    def _compute(self, args, kwargs, function=None):
        try:
            return (function or self.function)(*args, **{**self.options, **kwargs}, **self.floats)
        except InputError:
            raise
        except MemoryError as error:
            what = "its answer does not fit into memory"
            raise InputError(f"layer '{self.name}' ({type(self).__name__}): {what}") from error
        except (TypeError, ValueError, IndexError, KeyError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise InputError(f"layer '{self.name}' ({type(self).__name__}): {error}") from error

    def __call__(self, *args, **kwargs):
        """Compute on arrays, or record a call on symbolic tensors and return its outputs."""
        if not any(isinstance(leaf, Tensor) for leaf in flatten([args, kwargs])):
            return self._compute(args, kwargs)
        node = Node(self, [list(args), kwargs], {})  # of any name: not those of `run`
        found, node.trials = self._try(args, kwargs)
        shapes, dtypes = zip(*found, strict=True)
        tensors = [Tensor(*pair, self.name, node, n) for n, pair in enumerate(zip(shapes, dtypes, strict=True))]
        node.outputs = tensors if node.trials[0][2] else tensors[0]
        self._note_timesteps(args, kwargs, shapes[0])
        self.nodes.append(node)
        return node.outputs

    def _note_timesteps(self, args, kwargs, shape):
        """Tell whether the call treats every timestep alike: constants along time do not."""
        for leaf in flatten([args, kwargs]):
            wide = np.ndim(leaf) >= len(shape) - 1 and len(shape) > 1 if isinstance(leaf, np.ndarray) else False
            fewer = isinstance(leaf, Tensor) and len(leaf.shape) != len(shape)
            if fewer or (wide and np.shape(leaf)[np.ndim(leaf) - len(shape) + 1] != 1):
                self.per_timestep = False
        self.per_timestep |= self._reduces_features(args)

    def _reduces_features(self, args):
        """Whether the call makes one number of the features of every timestep, as a mask of Masking is made."""
        axes, tensors = self.options.get("axis"), [leaf for leaf in flatten(args) if isinstance(leaf, Tensor)]
        axes = list(axes) if isinstance(axes, (list, tuple)) else [axes]
        rank = len(tensors[0].shape) if len(tensors) == 1 else 0
        return type(self).__name__ in REDUCTIONS and rank > 2 and axes in ([-1], [rank - 1])

    # ------------------------------------------------------------ shapes
    def _try(self, args, kwargs):
        """Return the shape and dtype of every output, and the results of the two trials that told them."""
        problem = None
        for sizes in TRIALS:
            try:
                results = [self._trial(args, kwargs, size) for size in sizes]
                pairs = zip(results[0], results[1], strict=True)
                found = [(_joined(np.shape(a), np.shape(b)), np.asarray(a).dtype) for a, b in pairs]
            except (InputError, ValueError) as error:
                problem = problem or error
                continue
            many = isinstance(self._last, (list, tuple))
            return found, [(size, _small(result), many) for size, result in zip(sizes, results, strict=True)]
        if isinstance(problem, InputError) and str(problem).startswith("layer "):
            raise problem
        raise InputError(f"layer '{self.name}' ({type(self).__name__}): {problem}")

    def _trial(self, args, kwargs, free):
        self._refuse_huge(args, kwargs, free)

        def stand_in(leaf):
            if not isinstance(leaf, Tensor):
                return leaf
            shape = [free[min(axis, 1)] if n is None else n for axis, n in enumerate(leaf.shape)]
            for size, found, _ in getattr(leaf.node, "trials", ()):
                if size == free:
                    shape = found[leaf.index]
            if isinstance(shape, np.ndarray):
                return shape
            zeros = np.zeros(shape, leaf.dtype)
            if zeros.ndim > 1 and zeros.dtype.kind == "f":  # matrices that have an inverse
                zeros[..., np.arange(min(zeros.shape[-2:])), np.arange(min(zeros.shape[-2:]))] = 1
            return zeros

        given = map_structure(stand_in, list(args)), map_structure(stand_in, kwargs)
        with ops.shapes.in_trials():
            self._last = self._compute(*given, getattr(self.function, "in_trials", None))
        return list(self._last) if isinstance(self._last, (list, tuple)) else [self._last]

    def _refuse_huge(self, args, kwargs, free):
        """Refuse what only its sizes make dear: a file may give its inputs any."""
        shapes = [[free[min(axis, 1)] if n is None else n for axis, n in enumerate(leaf.shape)]
                  for leaf in flatten([args, kwargs]) if isinstance(leaf, Tensor)]  # fmt: skip
        sizes = [math.prod(shape) for shape in shapes]
        if self.elementwise and len({len(shape) for shape in shapes}) == 1:
            sizes.append(math.prod(map(max, zip(*shapes, strict=True))))
        if sum(sizes) > MOST_TRIED:
            found = ", ".join(str(tuple(shape)) for shape in shapes[:4])
            raise InputError(f"found inputs of {found}, expected {MOST_TRIED:,} numbers at most")

    def compute_output_shape(self, input_shape):
        """Return the shapes found when the operation was recorded."""
        shapes = [tensor.shape for tensor in flatten(self.nodes[-1].outputs)]
        return shapes if isinstance(self.nodes[-1].outputs, list) else shapes[0]

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        y = self._compute(*inputs)
        return y, self._mask_of_same(inputs, y, carried_mask)

    def _mask_of_same(self, inputs, y, carried_mask):
        """Return the mask of the input where Keras gives that very tensor back, which has its mask with it."""
        sources = self.nodes[0].inputs[0] if type(self).__name__ in SAME and self.nodes else []
        if not sources or not isinstance(sources[0], Tensor) or getattr(y, "dtype", None) != inputs[0][0].dtype:
            return None
        policy = sources[0].node.layer.policy  # here, 16 bits are computed as 32, and are cast there
        return None if "16" in policy else carried_mask[0][0]


class Recorded(Operation):
    """A recorded call that a function of the user's computes, with the arguments that are recorded.

    Parameters
    ----------
    function : callable
        Of arrays and whatever else the call has. Its attributes ``per_timestep`` and ``takes_last_timestep`` mean what
        they mean of a `Layer`.
    floatx, **options
        As of `Operation`.

    Examples
    --------
    >>> layer = Recorded(np.roll, name="tf.roll")
    >>> layer(np.array([[1, 2, 3]]), shift=1, axis=1).tolist()
    [[3, 1, 2]]
    """

    def __init__(self, function, floatx="float32", **options):
        self.function = function
        super().__init__(floatx, **options)
        self.floats = {}
        self.per_timestep = self.elementwise = getattr(function, "per_timestep", False)
        self.takes_last_timestep = getattr(function, "takes_last_timestep", False)

    def __reduce_ex__(self, protocol):
        return object.__reduce_ex__(self, protocol)

    def _note_timesteps(self, args, kwargs, shape):
        """The function itself says what it does to timesteps."""

    def _compute(self, args, kwargs, function=None):
        try:
            found = self.function(*args, **{**self.options, **kwargs})
        except Exception as error:  # somebody else's function may raise anything, and is tried on zeros
            what = f"its function raised {type(error).__name__} ({error})"
            raise InputError(f"layer '{self.name}': {what}; it is tried on zeros first to learn shapes") from error
        floats = [leaf.dtype for leaf in flatten([args, kwargs]) if getattr(leaf, "dtype", self.dtype).kind == "f"
                  and isinstance(leaf, np.ndarray)]  # fmt: skip
        dtype = max(floats, key=lambda kind: kind.itemsize, default=self.dtype)
        return map_structure(lambda y: self._number(y, dtype), list(found) if isinstance(found, tuple) else found)

    def _number(self, y, dtype):
        y = np.asarray(y)
        if y.dtype.kind not in "biuf":
            raise InputError(f"layer '{self.name}': its function returned {y.dtype}, expected an array of numbers")
        return y.astype(dtype, copy=False) if y.dtype.kind == "f" else y


SAME = frozenset("Cast ConvertToTensor Real Conj Conjugate".split())
"""Operations that give their input itself back where it is of the right dtype already."""
REDUCTIONS = frozenset("Any All Max Min Sum Mean Prod".split())


def _joined(first, second):
    if len(first) != len(second):
        raise ValueError(f"found results of {len(first)} and of {len(second)} axes")
    return tuple(m if m == n else None for m, n in zip(first, second, strict=True))


def _small(results):
    """The results that shapes may be made of, small arrays of whole numbers or truths; of others the shapes."""
    arrays = [np.asarray(result) for result in results]
    return [a if a.dtype.kind in "biu" and a.size <= MOST_REMEMBERED else a.shape for a in arrays]


def _made(key, function, elementwise):
    name = key.rpartition(".")[2]
    members = {"function": staticmethod(function), "elementwise": elementwise, "__doc__": f"The operation {name}."}
    return type(name, (Operation,), {**members, "key": key})


def _blank(key):
    """Return an operation to which pickle gives what it had: its class has no name in this module."""
    kind = OPERATIONS[key]
    return kind.__new__(kind)


OPERATIONS = {
    key: _made(key, function, elementwise)
    for key, function, elementwise in (
        *((f"keras.ops.{name}", f, name in ops.ELEMENTWISE) for name, f in ops.KERAS.items()),
        *((f"tf.{name}", f, False) for name, f in ops.TENSORFLOW.items()),
    )
}
"""Classes of operations by what a canonical spec calls them."""
