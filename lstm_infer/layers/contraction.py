"""Products with weights along named axes, as einsum writes them: the layer EinsumDense and what it is made of.

An equation such as ``abc,cd->abd`` names the axes of the input, of the kernel and of the output. Every sum runs in the
order of the kernel's axes, whatever the batch.
"""

import functools
import math
import re
import string

import numpy as np

from ..errors import InputError
from ..kernels import dense as tiles
from ..kernels.packing import pack_dense
from ..kernels.product import dense
from ..kernels.tile import NOTHING
from ..kernels.update import activation_function
from . import activations, memory
from .base import readonly
from .core import _Activated
from .low_rank import LowRank
from .quantization import Scheme

FORMS = (  # where the axes stand that "..." leaves out
    (re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)"), ""),
    (re.compile(r"\.\.\.([a-zA-Z]+),([a-zA-Z]+)->\.\.\.([a-zA-Z]+)"), "left"),
    (re.compile(r"([a-zA-Z]{2,})\.\.\.,([a-zA-Z]+)->([a-zA-Z]+)\.\.\."), "right"),
)


class Matrix:
    """A kernel (n, m), ready for products with rows of n numbers."""

    def __init__(self, kernel):
        self.kernel = readonly(kernel)
        self.nothing = np.zeros(kernel.shape[1], kernel.dtype)
        self.packed = pack_dense(self.kernel, self.nothing, NOTHING) if kernel.dtype == np.float32 else None

    def multiply(self, x):
        """Return ``x @ kernel`` over the last axis of `x`, an array of the kernel's dtype."""
        (n, m), x = self.kernel.shape, np.ascontiguousarray(x)
        rows = x.size // n if n else math.prod(x.shape[:-1])
        y = memory.empty((*x.shape[:-1], m), self.kernel.dtype)
        if self.packed is None:
            dense(readonly(x.reshape(rows, n)), self.kernel, self.nothing, activations.get(None), y.reshape(rows, m))
            return y
        f, own = activation_function(self.packed.cell), np.empty(tiles.SCRATCH, np.float32)
        tiles.compiled(self.packed.loop)(self.packed.loop, self.packed.weights, f, x, y, rows, n, m, own)
        return y


class Equation:
    """An einsum equation of an input and a kernel.

    Parameters
    ----------
    text : str
        ``"ab,bc->ac"``, ``"...b,bc->...c"`` or ``"ab...,bc->ac..."``.

    Raises
    ------
    InputError
        It is not of this kind.

    Attributes
    ----------
    contracted, shared, new : str
        The kernel's axes: those that are summed over, those that the output has from both, and those that it has from
        the kernel alone; each in the kernel's order.
    """

    def __init__(self, text):
        match = next(((form.fullmatch(text), side) for form, side in FORMS if form.fullmatch(text)), None)
        if match is None:
            raise InputError(f"found equation {text!r}, expected one like 'ab,bc->ac', '...b,bc->...c'")
        (self.input, self.kernel, self.output), self.side = match[0].groups(), match[1]
        known = set(self.input) | set(self.kernel)
        once = all(len(set(letters)) == len(letters) for letters in (self.input, self.kernel, self.output))
        if not once or not set(self.output) <= known or not set(self.kernel) <= set(self.input + self.output):
            raise InputError(f"found equation {text!r}, expected every axis once in each part, and none from nowhere")
        self.contracted = "".join(a for a in self.kernel if a in self.input and a not in self.output)
        self.shared = "".join(a for a in self.kernel if a in self.input and a in self.output)
        self.new = "".join(a for a in self.kernel if a not in self.input)

    def axes(self, rank):
        """Return the axes of the input and of the output, those behind the dots too, for inputs of `rank` axes."""
        free = [a for a in string.ascii_letters if a not in self.input + self.kernel + self.output]
        dots = "".join(free[: max(rank - len(self.input), 0)]) if self.side else ""
        both = [dots + a if self.side == "left" else a + dots for a in (self.input, self.output)]
        if len(both[0]) != rank:
            raise InputError(f"found inputs of {rank} axes, expected those of {self.input!r}")
        return both

    def kernel_sizes(self, input_shape, output_shape):
        """Return the size of each of the kernel's axes, None where nothing tells it.

        `output_shape` is that of the layer's words: without the batch and what the dots leave out.
        """
        at_input, at_output = self.axes(len(input_shape))
        dots = len(at_output) - len(self.output)
        mine = self.output if self.side == "left" and dots else self.output[1:]  # the dots then hold the batch
        if len(output_shape) != len(mine):
            raise InputError(f"found output_shape {tuple(output_shape)}, expected sizes of the axes {mine!r}")
        given = dict(zip(mine, output_shape, strict=True))
        known = dict(zip(at_input, input_shape, strict=True))
        clash = next((a for a in mine if a in known and None not in (given[a], known[a]) and given[a] != known[a]), "")
        if clash:
            raise InputError(f"found size {known[clash]} on axis {clash!r} of the inputs, expected {given[clash]}")
        return {a: given.get(a) or known.get(a) for a in self.kernel}

    def arrange(self, kernel):
        """Return the kernel as one `Matrix` for every place on the shared axes."""
        order = [self.kernel.index(a) for a in self.shared + self.contracted + self.new]
        places, summed, made = (
            math.prod(kernel.shape[self.kernel.index(a)] for a in axes)
            for axes in (self.shared, self.contracted, self.new)
        )
        parts = kernel.transpose(order).reshape(places, summed, made)
        return [Matrix(part) for part in parts]

    def contract(self, x, matrices, sizes):
        """Return the product of `x` with an arranged kernel whose axes have these `sizes`."""
        at_input, at_output = self.axes(x.ndim)
        for axis in sorted((at_input.index(a) for a in set(at_input) - set(at_output + self.kernel)), reverse=True):
            x = functools.reduce(np.add, np.moveaxis(x, axis, 0))  # one after the other: a fixed order
            at_input = at_input[:axis] + at_input[axis + 1 :]
        free = "".join(a for a in at_input if a not in self.kernel)
        x = x.transpose([at_input.index(a) for a in self.shared + free + self.contracted])
        kept = x.shape[: len(self.shared) + len(free)]
        x = x.reshape(len(matrices), -1 if x.size else 0, len(matrices[0].kernel))
        y = np.stack([m.multiply(rows) for m, rows in zip(matrices, x, strict=True)]) if len(matrices) > 1 else (
            matrices[0].multiply(x[0]))  # fmt: skip
        y = y.reshape(*kept, *(sizes[a] for a in self.new))
        made = self.shared + free + self.new
        return y.transpose([made.index(a) for a in at_output])


class EinsumDense(LowRank, _Activated):
    """``activation(einsum(equation, x, kernel) + bias)``.

    Parameters
    ----------
    equation : str
        ``"abc,cd->abd"``, ``"...x,xy->...y"`` and their kind.
    output_shape : int or sequence of int or None
        Sizes of the output's axes, without the batch and what dots leave out; None where the input tells it.
    activation : str or callable, optional
    bias_axes : str, optional
        The output's axes that the bias has.
    quantization_config : dict, optional
        With a quantised ``dtype``: how activations are rounded.
    **kwargs
        ``name``, ``dtype``, those of `LowRank` and the arguments that only training uses.

    Notes
    -----
    Source: ``keras/src/layers/core/einsum_dense.py`` of Keras 3.15.

    Examples
    --------
    >>> import numpy as np
    >>> layer = EinsumDense("abc,cd->abd", (None, 2))
    >>> layer.set_weights([np.ones((3, 2))])
    >>> layer(np.ones((1, 4, 3))).shape
    (1, 4, 2)
    """

    config_names = ("equation", "output_shape", "activation", "bias_axes", "quantization_config", "lora_rank",
                    "lora_alpha")  # fmt: skip

    def __init__(self, equation, output_shape, activation=None, bias_axes=None, quantization_config=None, **kwargs):
        kwargs.pop("gptq_unpacked_column_size", None)
        super().__init__(activation, **kwargs)
        self.equation, self.bias_axes, self.quantization_config = equation, bias_axes or None, quantization_config
        self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.plan = Equation(equation)
        if set(self.bias_axes or "") - set(self.plan.output):
            raise InputError(f"layer '{self.name}': found bias_axes {bias_axes!r}, expected axes of the output")
        self.scheme = Scheme.of(self.policy, quantization_config)

    def build(self, input_shape):
        super().build(input_shape)
        second = self.plan.input[1:2]
        alone = second and second not in self.plan.kernel and self.plan.output[1:2] == second
        dots = self.plan.side == "left" and len(input_shape) - len(self.plan.input) >= 2
        self.per_timestep = bool(dots or (alone and not self.plan.side))

    def weight_shapes(self, input_shape):
        self.sizes = self.plan.kernel_sizes(input_shape, self.output_shape)
        if None in self.sizes.values():
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected fixed sizes of {self.sizes}")
        kernel = tuple(self.sizes.values())
        bias = {"bias": self._bias_shape(input_shape)} if self.bias_axes else {}
        factors = self.factor_shapes(kernel)
        if self.scheme is None:
            return {"kernel": kernel, **bias, **factors}
        packed = self._packed_axis
        return {**self.scheme.weight_shapes(kernel, self._flat(kernel), bias, self._scale_shape(), packed), **factors}

    @property
    def _packed_axis(self):
        return self.plan.kernel.index(self.plan.contracted[0]) if self.plan.contracted else 0

    def _flat(self, kernel):
        """The (rows, columns) as which Keras takes a kernel that it packs."""
        if self.scheme.mode in ("gptq", "awq"):  # the largest axis tells a projection from the way back
            split = 1 if len(kernel) == 2 or kernel.index(max(kernel)) == 0 else 2
            return math.prod(kernel[:split]), math.prod(kernel[split:])
        rows = math.prod(self.sizes[a] for a in self.plan.contracted)
        return rows, math.prod(kernel) // rows

    def _bias_shape(self, input_shape):
        at_input, at_output = self.plan.axes(len(input_shape))
        known = {**dict(zip(at_input, input_shape, strict=True)), **self.sizes}
        first = min(at_output.index(a) for a in self.bias_axes)
        return tuple(known[a] if a in self.bias_axes else 1 for a in at_output[first:])

    def _scale_shape(self):
        """The shape in which Keras keeps the kernel's int8 scale, with an axis of one for every axis of the input."""
        expand = [n for n, a in enumerate(self.plan.output) if a not in self.plan.kernel]
        return tuple(1 if n in expand else self.sizes[a] for n, a in enumerate(self.plan.output))

    def build_from(self, weights):
        names = ["kernel", *(["bias"] if self.bias_axes else [])]
        names += self.factor_names() if self.lora_rank else []
        if self.scheme is not None or len(weights) != len(names) or weights[0].ndim != len(self.plan.kernel):
            raise InputError(f"layer '{self.name}' must be called before these weights can be set")
        self.sizes = dict(zip(self.plan.kernel, weights[0].shape, strict=True))
        self.expected_shapes = {name: array.shape for name, array in zip(names, weights, strict=True)}

    def pack(self):
        kernel, self.bias, self.beside = self.weights.get("kernel"), self.weights.get("bias"), None
        if self.scheme is None:
            kernel = self.adapt(kernel)
        else:
            shape = tuple(self.sizes.values())
            kernel = self.scheme.kernel(
                self.weights, shape, self._flat(shape), self._scale_of_kernel, self._packed_axis
            )
            self.bias, added = self.scheme.bias(self.weights), self.added()
            if added is not None and self.scheme.rounds():  # the factors see the inputs as they are
                self.beside = self.plan.arrange(added.astype(self.dtype))
            elif added is not None:
                kernel = kernel + added.astype(self.dtype)
        self.matrices = self.plan.arrange(kernel)

    def _scale_of_kernel(self, scale):
        """The int8 scale on the kernel's own axes."""
        sizes = [1 if a in self.plan.contracted else self.sizes[a] for a in self.plan.kernel]
        mine = [a for a in self.plan.output if a in self.plan.kernel]
        there = [a for a in self.plan.kernel if a not in self.plan.contracted]
        values = scale.reshape([self.sizes[a] for a in mine])
        return values.transpose([mine.index(a) for a in there]).reshape(sizes)

    def compute_output_shape(self, input_shape):
        at_input, at_output = self.plan.axes(len(input_shape))
        known = {**dict(zip(at_input, input_shape, strict=True)), **self.sizes}
        return tuple(known[a] for a in at_output)

    def call(self, inputs):
        at_input, _ = self.plan.axes(inputs.ndim)
        found = dict(zip(at_input, inputs.shape, strict=True))
        if any(found[a] != size for a, size in self.sizes.items() if a in found):
            raise InputError(f"layer '{self.name}': found {inputs.shape}, expected sizes {self.sizes} of {at_input!r}")
        given = inputs
        if self.scheme is not None:
            at_output = self.plan.axes(inputs.ndim)[1]
            summed = tuple(n for n, a in enumerate(at_input) if a not in at_output)
            inputs = self.scheme.round(inputs, summed, self.weights)
        y = self.plan.contract(inputs, self.matrices, self.sizes)
        y = y if self.beside is None else y + self.plan.contract(given, self.beside, self.sizes)
        return activations.apply(self.function, y if self.bias is None else y + self.bias)
