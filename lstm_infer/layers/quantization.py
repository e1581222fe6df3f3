"""How Keras 3 keeps and uses quantised weights: int8, int4, float8, GPTQ and AWQ.

A quantised layer has the arrays that Keras gives it. From them its plain kernel is made once; where Keras also rounds
the activations, they are rounded here too, before an ordinary product. Sources: ``keras/src/layers/core`` and
``keras/src/quantizers/quantizers.py`` of Keras 3.15.
"""

import math
import re
from typing import NamedTuple

import numpy as np

from ..errors import InputError

POLICY = re.compile(r"(int8|int4|float8|gptq|awq)((?:/-?\d{1,9})*)_from_(\w+)")
EIGHT_BITS = (-127, 127, 1e-7)
FLOAT8_LARGEST = 448.0  # of float8_e4m3fn, which has 3 bits of fraction and exponents from -6
ACTIVATIONS_ROUNDED = ("int8", "int4")  # by default, if the policy names no block: as Keras 3.13 and before wrote it
FLOAT8_PARTS = ("inputs", "kernel", "outputs_grad")


class Scheme(NamedTuple):
    """What a quantised dtype policy means.

    Attributes
    ----------
    mode : {"int8", "int4", "float8", "gptq", "awq"}
    bits : int
        Of a weight.
    block : int or None
        Inputs that share a scale and a zero point, -1 for one scale per output; None for int4 weights that are
        packed along the inputs, as Keras 3.11 to 3.13 did.
    rounding : tuple or None
        Least and largest value and epsilon of rounded activations.
    raw : bool
        Whether the stored numbers are the kernel, without scale: so Keras computes a quantised layer inside
        TimeDistributed, which never asks for the layer's quantised way.
    """

    mode: str
    bits: int
    block: int | None
    rounding: tuple | None
    raw: bool = False

    @classmethod
    def of(cls, policy, config):
        """Return the scheme of a policy such as ``"int8_from_float32"``, None for one that is not quantised.

        Parameters
        ----------
        policy : str
        config : dict or None
            The layer's ``quantization_config`` as Keras writes it.
        """
        match = POLICY.fullmatch(policy)
        if match is None:
            return None
        mode, numbers = match[1], [int(n) for n in match[2].split("/")[1:]]
        if len(numbers) != {"int8": 0, "float8": 0, "int4": min(len(numbers), 1)}.get(mode, 2):
            raise InputError(f"unknown dtype policy {policy!r}")
        bits = {"int8": 8, "int4": 4, "float8": 8}.get(mode) or numbers[0]
        block = numbers[-1] if numbers else None
        if not 1 <= bits <= 8 or (block is not None and block != -1 and block < 1):
            raise InputError(f"unknown dtype policy {policy!r}")
        return cls(mode, bits, block, _rounding(mode, block, config))

    # ------------------------------------------------------------ arrays
    def weight_shapes(self, kernel, flat, bias, scale=None, packed_axis=0):
        """Return the shapes of all weights of a layer, by name, in Keras's order.

        Parameters
        ----------
        kernel : tuple
            The kernel's own shape.
        flat : pair
            The (rows, columns) as which it is packed.
        bias : dict
            The bias's shape by its name, or nothing.
        scale : tuple, optional
            Shape of a scale that is not packed; (columns,) unless given.
        packed_axis : int
            The kernel's axis along which int4 weights without a block are packed.
        """
        rows, columns = flat
        if self.mode == "int8":
            return {"kernel": kernel, **bias, "kernel_scale": scale or (columns,)}
        if self.mode == "float8":
            parts = {}
            for name in FLOAT8_PARTS:
                parts |= {f"{name}_scale": (), f"{name}_amax_history": (None,)}
            return {"kernel": kernel, **bias, **parts}
        groups = 1 if self.block in (None, -1) else -(-rows // self.block)
        if self.mode == "int4":
            if self.block is None:
                half = tuple(-(-n // 2) if k == packed_axis else n for k, n in enumerate(kernel))
                return {"kernel": half, **bias, "kernel_scale": scale or (columns,)}
            packed = {"kernel": (rows, -(-columns // 2)), **bias}
            if self.block == -1:
                return {**packed, "kernel_scale": (columns,)}
            pair = dict.fromkeys(("kernel_scale", "kernel_zero"), (groups, columns))
            return {**packed, **pair, "g_idx": (rows,)}
        stored = -(-columns // 2) if self.bits == 4 else columns
        pair = dict.fromkeys(("kernel_scale", "kernel_zero"), (columns, groups))
        scales = {"awq_scales": (rows,)} if self.mode == "awq" else {}
        return {**bias, "kernel": (stored, rows), **pair, **scales, "g_idx": (rows,)}

    def kernel(self, weights, shape, flat, spread=lambda scale: scale, packed_axis=0):
        """Return the plain kernel.

        Parameters
        ----------
        weights : mapping
            The arrays of `weight_shapes`.
        shape, flat, packed_axis
            As there: the kernel's own shape, its rows and columns, the axis it is packed along.
        spread : callable
            Puts the scale on the kernel's axes.
        """
        with np.errstate(divide="ignore", invalid="ignore"):  # a scale of zero is the file's own fault
            return self._kernel(weights, shape, flat[1], spread, packed_axis)

    def _kernel(self, weights, shape, columns, spread, packed_axis):
        stored, scale = weights["kernel"], weights["kernel_scale"]
        if self.mode == "float8":
            return stored if self.raw else _through_float8(stored, scale)
        if self.mode == "int8" or (self.mode == "int4" and self.block is None):
            values = stored if self.mode == "int8" else unpack(stored, shape[packed_axis], packed_axis)
            return values if self.raw else values / spread(scale)
        if self.mode == "int4":
            values = unpack(stored, columns, 1)
            if self.raw or self.block == -1:
                return (values if self.raw else values / scale).reshape(shape)
            group = _groups(weights["g_idx"], len(scale))
            return ((values - weights["kernel_zero"][group]) * scale[group]).reshape(shape)
        values = unpack(stored, columns, 0, signed=False) if self.bits == 4 else stored
        group = _groups(weights["g_idx"], scale.shape[1])
        kernel = ((values - weights["kernel_zero"][:, group]) * scale[:, group]).T
        if self.mode == "awq":
            kernel = kernel / weights["awq_scales"][:, None]
        return kernel.reshape(shape)

    def rounds(self):
        """Whether activations are rounded before the product."""
        return not self.raw and (self.mode == "float8" or self.rounding is not None)

    def bias(self, weights):
        """Return the bias, None if there is none; with float8, float32 becomes the nearest bfloat16."""
        bias = weights.get("bias")
        rounded = self.mode == "float8" and bias is not None and not self.raw
        return _nearest_bfloat16(bias) if rounded else bias

    def round(self, x, axes, weights):
        """Return activations as they come back from being quantised, with one scale over `axes`."""
        if self.raw:
            return x
        if self.mode == "float8":
            return _through_float8(x, weights["inputs_scale"])
        return x if self.rounding is None else round_activations(x, axes, self.rounding)


def policy_of(shapes, kernel, policy):
    """Return the quantised policy that the weights of a projection tell, None for one that is not quantised.

    Parameters
    ----------
    shapes : dict of str to tuple
        Of the weights: ``kernel``, ``kernel_scale``, ...
    kernel : tuple
        The plain kernel's shape.
    policy : str
        In which the projection computes.
    """
    policy, found = policy.rpartition("_from_")[2], shapes.get("kernel")
    if "inputs_scale" in shapes:
        return f"float8_from_{policy}"
    if "kernel_scale" not in shapes or not found or None in kernel:
        return None
    if "g_idx" not in shapes:
        mode = "int8" if found == kernel else "int4" if len(found) == len(kernel) else "int4/-1"
        return f"{mode}_from_{policy}"
    rows, scale = shapes["g_idx"][0] if shapes["g_idx"] else 0, shapes["kernel_scale"]
    columns = math.prod(kernel) // max(rows, 1)
    if found == (rows, -(-columns // 2)) and scale[1:] == (columns,) and "awq_scales" not in shapes:
        return f"int4/{-(-rows // max(scale[0], 1))}_from_{policy}"
    mode, bits = "awq" if "awq_scales" in shapes else "gptq", 8 if found[:1] == (columns,) else 4
    return f"{mode}/{bits}/{-(-rows // max(scale[-1], 1))}_from_{policy}" if scale and rows else None


def _rounding(mode, block, config):
    """How activations are rounded: as `config` says, by the mode's default where there is none."""
    if not isinstance(config, dict):
        return EIGHT_BITS if mode == "int8" or (mode == "int4" and block is None) else None
    inside = config.get("config", config)
    quantizer = inside.get("activation_quantizer") if isinstance(inside, dict) else None
    if quantizer is None or mode not in ACTIVATIONS_ROUNDED:
        return None
    words = quantizer.get("config") if isinstance(quantizer, dict) else None
    try:
        low, high = words.get("value_range", EIGHT_BITS[:2])
        return float(low), float(high), float(words.get("epsilon", EIGHT_BITS[2]))
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"found activation quantizer {str(quantizer)[:80]!r}, expected an AbsMaxQuantizer") from None


def round_activations(x, axes, rounding):
    """Return `x` rounded to whole steps of its largest absolute value over `axes`."""
    low, high, epsilon = (x.dtype.type(n) for n in rounding)
    scale = high / (np.abs(x).max(axis=axes, keepdims=True, initial=0) + epsilon)
    return np.clip(np.round(x * scale), low, high) / scale


def unpack(packed, length, axis, signed=True):
    """Return the 4-bit numbers in the bytes of `packed`, the low half of a byte first.

    >>> unpack(np.array([[0x21, 0xF]], np.float32), 3, 1).tolist()
    [[1.0, 2.0, -1.0]]
    """
    data = packed.astype(np.int64)
    halves = np.stack([data & 15, data >> 4 & 15], axis=axis + 1)
    shape = [n * 2 if k == axis else n for k, n in enumerate(packed.shape)]
    values = np.take(halves.reshape(shape), range(length), axis=axis)
    return ((values ^ 8) - 8 if signed else values).astype(packed.dtype)


def _groups(g_idx, count):
    group = g_idx.astype(np.int64)
    if group.size and (group.min() < 0 or group.max() >= count):
        raise InputError(f"found a group {group.max()} in g_idx, expected groups from 0 to {count - 1}")
    return group


def _through_float8(x, scale):
    """Return `x` as it comes back from float8_e4m3fn with a scale."""
    x = np.clip(x / scale, x.dtype.type(-FLOAT8_LARGEST), x.dtype.type(FLOAT8_LARGEST))
    _, exponent = np.frexp(x)
    step = np.ldexp(np.ones_like(x), np.maximum(exponent - 1, -6) - 3)
    return np.round(x / step) * step * scale


def _nearest_bfloat16(array):
    if array.dtype != np.float32:
        return array
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def table(scheme, weights, length, prefix="embeddings"):
    """Return the plain (ids, `length`) table of a quantised embedding.

    Parameters
    ----------
    scheme : Scheme
    weights : mapping
        ``embeddings``, ``embeddings_scale`` and, if it has blocks, ``embeddings_zero`` and ``g_idx``.
    length : int
    """
    stored, scale = weights[prefix], weights[f"{prefix}_scale"]
    values = stored if scheme.mode == "int8" else unpack(stored, length, 1)
    if scheme.raw:
        return values
    if scheme.mode == "int8" or scheme.block in (None, -1):
        return values / scale[:, None]
    group = _groups(weights["g_idx"], scale.shape[1])
    return (values - weights[f"{prefix}_zero"][:, group]) * scale[:, group]


def table_shapes(scheme, ids, length):
    """Return the shapes of the weights of a quantised embedding, by name, in Keras's order."""
    if scheme.mode not in ("int8", "int4"):
        raise InputError(f"an embedding cannot be quantised as {scheme.mode}")
    if scheme.mode == "int8":
        return {"embeddings": (ids, length), "embeddings_scale": (ids,)}
    packed = {"embeddings": (ids, -(-length // 2))}
    if scheme.block in (None, -1):
        return {**packed, "embeddings_scale": (ids,)}
    groups = math.ceil(length / scheme.block)
    pair = dict.fromkeys(("embeddings_scale", "embeddings_zero"), (ids, groups))
    return {**packed, **pair, "g_idx": (length,)}


def reverse_shapes(scheme, ids, length):
    """Return the shapes of the weights by which an untied embedding goes back from vectors to ids."""
    name = "reverse_embeddings"
    if scheme is None:
        return {name: (length, ids)}
    if scheme.mode == "int8":
        return {name: (length, ids), f"{name}_scale": (ids,)}
    packed = {name: (-(-length // 2), ids)}
    if scheme.block in (None, -1):
        return {**packed, f"{name}_scale": (ids,)}
    pair = dict.fromkeys((f"{name}_scale", f"{name}_zero"), (math.ceil(length / scheme.block), ids))
    return {**packed, **pair}


def reverse_kernel(scheme, weights, length):
    """Return the plain (`length`, ids) kernel of the weights of `reverse_shapes`."""
    name = "reverse_embeddings"
    stored = weights[name]
    if scheme is None:
        return stored
    values, scale = stored if scheme.mode == "int8" else unpack(stored, length, 0), weights[f"{name}_scale"]
    if scheme.mode == "int8" or scheme.block in (None, -1):
        return values / scale
    group = _groups(weights["g_idx"], len(scale))
    return (values - weights[f"{name}_zero"][group]) * scale[group]
