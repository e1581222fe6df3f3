"""Products of arrays: every sum in the kernels' one order, so that a row does not see its neighbours."""

import itertools
import math

import numpy as np

from ...kernels import activations as codes
from ...kernels.reductions import multiply_pairs
from .. import activations
from .dtypes import FLOAT32, floating, together
from .reductions import float_sum

MAX_LETTERS = 52


def _pairs(x, y):
    """Return ``x[b] @ y[b]`` for x (pairs, n, k) and y (pairs, k, m)."""
    if x.dtype.kind != "f":
        return np.einsum("bnk,bkm->bnm", x, y).astype(x.dtype)  # whole numbers are exact in any order
    out = np.empty((len(x), x.shape[1], y.shape[2]), x.dtype)
    x, y = (np.ascontiguousarray(a) for a in (x, y))
    multiply_pairs(x, y, out)
    return out


def _in_pairs(x, y):
    """Products of the last two axes, the others broadcast."""
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    if y.ndim == 2:  # one matrix for all: no copies of it
        return _pairs(x.reshape(1, -1, x.shape[-1]), y[None]).reshape(*x.shape[:-1], y.shape[-1])
    wide = [np.broadcast_to(a, (*batch, *a.shape[-2:])).reshape(-1, *a.shape[-2:]) for a in (x, y)]
    return _pairs(*wide).reshape(*batch, x.shape[-2], y.shape[-1])


def matmul(x1, x2, transpose_a=False, transpose_b=False, floatx=FLOAT32, **rest):
    """As ``numpy.matmul``."""
    unset = ("adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse", "output_type", "grad_a", "grad_b")
    strange = [word for word, value in rest.items() if word not in unset or value]
    if strange:
        raise ValueError(f"found the argument {strange[0]!r} of a product")
    x1, x2 = together([x1, x2], floatx)
    if x1.dtype == np.int8:  # whose products have no room in it
        x1, x2 = x1.astype(np.int32), x2.astype(np.int32)
    x1 = np.swapaxes(x1, -1, -2) if transpose_a else x1
    x2 = np.swapaxes(x2, -1, -2) if transpose_b else x2
    x, y = (x1[None] if x1.ndim == 1 else x1), (x2[:, None] if x2.ndim == 1 else x2)
    if x.shape[-1] != y.shape[-2]:
        raise ValueError(f"found arrays of shapes {x1.shape} and {x2.shape}, which have no product")
    z = _in_pairs(x, y)
    z = z[..., 0] if x2.ndim == 1 else z
    if x1.ndim == 1:
        z = z[..., 0, :] if x2.ndim > 1 else z[..., 0]
    return z


def tensordot(x1, x2, axes=2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(x1.ndim, x2.ndim):  # of a million axes the product of sizes would take minutes
            raise ValueError(f"found axes={axes} for arrays of {x1.ndim} and {x2.ndim} dimensions")
        first, second = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        first, second = ([int(n)] if isinstance(n, (int, np.integer)) else list(n) for n in axes)
    if len(set(first)) < len(first) or len(first) > x1.ndim or len(first) != len(second):
        raise ValueError(f"found axes {str(axes)[:100]} for arrays of {x1.ndim} and {x2.ndim} dimensions")
    first, second = [n % x1.ndim for n in first], [n % x2.ndim for n in second]
    left, right = ([n for n in range(a.ndim) if n not in used] for a, used in ((x1, first), (x2, second)))
    size = math.prod(x1.shape[n] for n in first)
    if [x1.shape[n] for n in first] != [x2.shape[n] for n in second]:
        raise ValueError(f"found arrays of shapes {x1.shape} and {x2.shape}, whose axes {axes} do not fit")
    shape = (*(x1.shape[n] for n in left), *(x2.shape[n] for n in right))
    x = np.transpose(x1, (*left, *first)).reshape(1, -1, size)
    y = np.transpose(x2, (*second, *right)).reshape(1, size, -1)
    return _pairs(x, y).reshape(shape)


def dot(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    if 0 in (x1.ndim, x2.ndim):
        return x1 * x2
    return tensordot(x1, x2, ([x1.ndim - 1], [max(x2.ndim - 2, 0)]))


def inner(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return x1 * x2 if 0 in (x1.ndim, x2.ndim) else tensordot(x1, x2, ([x1.ndim - 1], [x2.ndim - 1]))


def vdot(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return tensordot(x1.ravel(), x2.ravel(), 1)


def outer(x1, x2, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    return x1.ravel()[:, None] * x2.ravel()


def kron(x1, x2, floatx=FLOAT32):
    return np.kron(*together([x1, x2], floatx))


def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None, floatx=FLOAT32):
    x1, x2 = together([x1, x2], floatx)
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = np.moveaxis(x1, axisa, 0), np.moveaxis(x2, axisb, 0)
    if {len(a), len(b)} - {2, 3}:
        raise ValueError(f"found vectors of {len(a)} and {len(b)} numbers, expected 2 or 3")
    zero = np.zeros((), x1.dtype)
    a3, b3 = a[2] if len(a) == 3 else zero, b[2] if len(b) == 3 else zero
    last = a[0] * b[1] - a[1] * b[0]
    if len(a) == len(b) == 2:
        return last
    y = np.broadcast_arrays(a[1] * b3 - a3 * b[1], a3 * b[0] - a[0] * b3, last)
    return np.moveaxis(np.stack(y), 0, axisc)


# ---------------------------------------------------------------- einsum
def einsum(*operands, subscripts, floatx=FLOAT32):
    """As ``numpy.einsum``: operand after operand, from the left."""
    operands = together(operands, floatx)
    terms, result = _terms(subscripts, operands)
    if len(terms) != len(operands):
        raise ValueError(f"found {len(operands)} arrays for the subscripts {subscripts!r}")
    (term, x), *others = [_diagonal(t, a) for t, a in zip(terms, operands, strict=True)]
    for n, (other, y) in enumerate(others):
        needed = set(result).union(*(later for later, _ in others[n + 1 :]))
        term, x = _contract(term, x, other, y, needed)
    term, x = _sum_out(term, x, set(result))
    return np.ascontiguousarray(np.transpose(x, [term.index(letter) for letter in result]))


def _terms(subscripts, operands):
    """Return the letters of every operand and of the result, ellipses written out."""
    subscripts = subscripts.replace(" ", "")
    given, arrow, result = subscripts.partition("->")
    terms = given.split(",")
    spare = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if letter not in subscripts]
    wide = [a.ndim - len(term.replace("...", "")) for term, a in zip(terms, operands, strict=False) if "..." in term]
    most = spare[: max(wide, default=0)]
    terms = [
        term.replace("...", "".join(most[len(most) - (a.ndim - len(term) + 3) :])) if "..." in term else term
        for term, a in zip(terms, operands, strict=False)
    ] + terms[len(operands) :]
    if not arrow:
        letters = "".join(terms)
        result = "".join(most) + "".join(sorted(c for c in set(letters) - set(most) if letters.count(c) == 1))
    return terms, result.replace("...", "".join(most))


def _diagonal(term, x):
    if len(term) != x.ndim:
        raise ValueError(f"found an array of {x.ndim} axes for the subscripts {term!r}")
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first, second = [n for n, c in enumerate(term) if c == letter][:2]
            x = np.diagonal(x, axis1=first, axis2=second)
            term = "".join(c for n, c in enumerate(term) if n not in (first, second)) + letter
    return term, x


def _sum_out(term, x, needed):
    axes = tuple(n for n, letter in enumerate(term) if letter not in needed)
    if axes:
        x = float_sum(x, axes).astype(x.dtype) if x.dtype.kind == "f" else x.sum(axes, dtype=x.dtype)
    return "".join(letter for letter in term if letter in needed), x


def _contract(a, x, b, y, needed):
    """Multiply two operands; sum over the letters that nobody needs any more."""
    a, x = _sum_out(a, x, needed | set(b))
    b, y = _sum_out(b, y, needed | set(a))
    shared = [letter for letter in a if letter in b]
    sizes = dict(itertools.chain(zip(a, x.shape, strict=True), zip(b, y.shape, strict=True)))
    for letter in shared:
        pair = x.shape[a.index(letter)], y.shape[b.index(letter)]
        sizes[letter] = max(pair)
        if 1 not in pair and pair[0] != pair[1]:
            raise ValueError(f"found sizes {pair} for the subscript {letter!r}")
    batch, summed = [c for c in shared if c in needed], [c for c in shared if c not in needed]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]

    def ordered(term, array, *groups):
        array = np.transpose(array, [term.index(c) for group in groups for c in group])
        array = np.broadcast_to(array, [sizes[c] for group in groups for c in group])
        return array.reshape([math.prod(sizes[c] for c in group) for group in groups])

    z = _pairs(ordered(a, x, batch, left, summed), ordered(b, y, batch, summed, right))
    order = [*batch, *left, *right]
    return "".join(order), z.reshape([sizes[c] for c in order])


# ---------------------------------------------------------------- attention, distances, matrices
def attention(
    query, key, value, bias=None, mask=None, scale=None, is_causal=False, flash_attention=None,
    attn_logits_soft_cap=None, floatx=FLOAT32,
):  # fmt: skip
    """Attention over (batch, timesteps, heads, size) arrays."""
    if attn_logits_soft_cap is not None:
        raise ValueError("found attn_logits_soft_cap, expected None")
    query, key, value = together([query, key, value], floatx)
    groups = query.shape[2] // key.shape[2]
    key, value = (np.repeat(a, groups, axis=2) if groups > 1 else a for a in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = einsum(query, key, subscripts="btnh,bsnh->bnts") * query.dtype.type(scale)
    scores = scores if bias is None else scores + np.asarray(bias, scores.dtype)
    if is_causal:
        causal = np.tri(*scores.shape[2:], dtype=bool)[None, None]
        mask = causal if mask is None else np.asarray(mask).astype(bool) & causal
    if mask is not None:
        scores = np.where(np.asarray(mask).astype(bool), scores, scores.dtype.type(-0.7 * np.finfo(np.float32).max))
    weights = activations.apply(codes.activation("softmax"), np.ascontiguousarray(scores))
    return einsum(weights, value, subscripts="bnts,bsnh->btnh")


def cdist(x, y, floatx=FLOAT32):
    x, y = (floating(a, floatx) for a in together([x, y], floatx))
    apart = x[..., :, None, :].astype(np.float64) - y[..., None, :, :]
    return np.sqrt(float_sum(apart**2, -1)).astype(x.dtype)


def correlate(x1, x2, mode="valid", floatx=FLOAT32):
    x1, x2 = (floating(a, floatx) for a in together([x1, x2], floatx))
    return np.correlate(x1.astype(np.float64), x2.astype(np.float64), mode).astype(x1.dtype)


def of_matrices(function):
    """Make an operation of a NumPy function of matrices, which it computes one by one, in float64."""

    def operation(*matrices, floatx=FLOAT32, **options):
        matrices = [floating(a, floatx) for a in together(matrices, floatx)]
        y = function(*(a.astype(np.float64) for a in matrices), **options)
        many = isinstance(y, (tuple, list))
        found = [np.asarray(part).astype(matrices[0].dtype) for part in (y if many else [y])]
        return found if many else found[0]

    return operation


def inverted(x, adjoint=False):
    return np.linalg.inv(np.swapaxes(x, -1, -2) if adjoint else x)


def cholesky(x, upper=False):
    lower = np.linalg.cholesky(x)
    return np.swapaxes(lower, -1, -2) if upper else lower


def solve(a, b):
    return np.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else np.linalg.solve(a, b)


def solve_triangular(a, b, lower=False):
    return solve(np.tril(a) if lower else np.triu(a), b)


def slogdet(x):
    return list(np.linalg.slogdet(x))


def logdet(x):
    return np.linalg.slogdet(x)[1]


def fourier(function):
    """Make an operation of a Fourier transform of one row, given and returned as real and imaginary part."""

    def operation(x, floatx=FLOAT32, **options):
        real, imaginary = (floating(a, floatx) for a in x)
        rows = (real.astype(np.float64) + 1j * imaginary).reshape(-1, real.shape[-1])
        y = np.stack([function(row, **options) for row in rows]) if len(rows) else function(rows)
        y = y.reshape(*real.shape[:-1], -1)
        if np.iscomplexobj(y):
            return [np.ascontiguousarray(part).astype(real.dtype) for part in (y.real, y.imag)]
        return y.astype(real.dtype)

    return operation


def rfft(x, fft_length=None, floatx=FLOAT32):
    x = floating(x, floatx)
    rows = x.astype(np.float64).reshape(-1, x.shape[-1])
    y = np.stack([np.fft.rfft(row, fft_length) for row in rows]).reshape(*x.shape[:-1], -1)
    return [np.ascontiguousarray(part).astype(x.dtype) for part in (y.real, y.imag)]


def irfft(row, fft_length=None):
    return np.fft.irfft(row, fft_length)
