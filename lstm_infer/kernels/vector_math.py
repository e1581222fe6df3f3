"""exp, tanh, sigmoid and every element-wise Keras activation on float32 vectors.

Every function takes a builder and LLVM vectors and emits arithmetic only: no branch, no table, no call. A lane's result
therefore depends on that lane's input and on nothing else, which the same-bits rule needs. NaN passes through: clamps
are written as compare and select, with the clamped value where a comparison with NaN ends.

Accuracy against float64 is tested over the whole float range. Formulas of the activations: ``activations.py``.
"""

from llvmlite import ir

from . import activations as codes
from .vector import INTS, VECTOR, call, const, fma, int_const


# ---------------------------------------------------------------- comparisons and bits
def at_most(builder, x, limit):
    """The smaller of the two; NaN where `x` is NaN."""
    return builder.select(builder.fcmp_ordered("<", limit, x), limit, x)


def at_least(builder, x, limit):
    """The larger of the two; NaN where `x` is NaN."""
    return builder.select(builder.fcmp_ordered(">", limit, x), limit, x)


def clip(builder, x, low, high):
    return at_least(builder, at_most(builder, x, high), low)


def absolute(builder, x):
    return call(builder, "llvm.fabs", x)


def negative(builder, x):
    return builder.fneg(x)


def polynomial(builder, x, first, *rest):
    """``(first * x + rest[0]) * x + ...``; coefficients from the highest power down."""
    value = const(first)
    for c in rest:
        value = fma(builder, value, x, const(c))
    return value


# ---------------------------------------------------------------- exp, tanh, sigmoid
ROUND = 12582912.0  # 1.5 * 2**23: adding it leaves the nearest integer in the low bits of the sum
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # Cody and Waite: the product n * LN2_HIGH is exact


def _exp_parts(builder, x):
    """Return (p, n) with ``exp(x) = p * 2**n``, p a vector near 1 and n an integer vector."""
    shifted = fma(builder, x, const(1.4426950408889634), const(ROUND))
    n = builder.fsub(shifted, const(ROUND))
    r = fma(builder, n, const(-LN2_HIGH), x)
    r = fma(builder, n, const(-LN2_LOW), r)
    p = polynomial(
        builder, r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1
    )  # expf of the Cephes library, S. Moshier
    p = fma(builder, p, builder.fmul(r, r), r)
    n = builder.sub(builder.bitcast(shifted, INTS), ir.Constant(INTS, [0x4B400000] * INTS.count))
    return builder.fadd(p, const(1.0)), n


def _power_of_two(builder, n):
    """2**n for -127 <= n <= 128, which are 0 and infinity."""
    return builder.bitcast(builder.shl(builder.add(n, int_const(127)), int_const(23)), VECTOR)


def exp(builder, x):
    # 2**n in two factors, so that results beyond 2**127 overflow and those below 2**-126 are rounded as they should be
    p, n = _exp_parts(builder, clip(builder, x, const(-105.0), const(89.0)))
    half = builder.ashr(n, int_const(1))
    p = builder.fmul(p, _power_of_two(builder, half))
    return builder.fmul(p, _power_of_two(builder, builder.sub(n, half)))


def sigmoid(builder, x):
    # exp(-x) with one factor: at the upper limit it is infinite and the quotient 0, at the lower one it is below 2**-24
    p, n = _exp_parts(builder, clip(builder, negative(builder, x), const(-87.0), const(89.0)))
    one = const(1.0)
    return builder.fdiv(one, fma(builder, p, _power_of_two(builder, n), one))


def tanh_parts(builder, x):
    """Return n, d with ``tanh(x) = n / d``: ``n = x * P(x2)``, ``d = Q(x2)``.

    Fitted to the least relative error up to 9.02, where float32 tanh is 1. The rounded quotient may exceed 1 by one
    unit in the last place.
    """
    x = clip(builder, x, const(-9.02), const(9.02))
    x2 = builder.fmul(x, x)
    p = polynomial(
        builder, x2, 1.3001987930749692e-08, 2.0353265426820144e-05, 0.0034799925051629543, 0.13367879390716553,
        0.9999999403953552
    )  # fmt: skip
    q = polynomial(
        builder, x2, 7.631820153619628e-07, 0.0003260163648519665, 0.02581760287284851, 0.4670119285583496, 1.0
    )
    return builder.fmul(x, p), q


def tanh(builder, x):
    n, d = tanh_parts(builder, x)
    # for a subnormal x the product with P rounds away what a relative error of 5 ulp needs
    small = builder.fcmp_ordered("<", absolute(builder, x), const(1e-5))
    return clip(builder, builder.select(small, x, builder.fdiv(n, d)), const(-1.0), const(1.0))


def exp_negative_and_one_more(builder, x, limit=126.0):
    """Return exp(-x) and 1 + exp(-x), for the sigmoid of a gate: cheaper than `sigmoid`, accurate to 1e-7 after the
    division.

    The power of two is fitted to the least relative error on [-1/2, 1/2]. At the limits, exp(-x) is 2**-126 and
    ``2**limit``.
    """
    t = clip(builder, builder.fmul(x, const(-1.4426950408889634)), const(-126.0), const(limit))
    shifted = builder.fadd(t, const(ROUND))
    r = builder.fsub(t, builder.fsub(shifted, const(ROUND)))
    p = polynomial(
        builder, r, 0.0013276475947350264, 0.009675541892647743, 0.05550713092088699, 0.24022120237350464,
        0.6931469440460205, 1.0000001192092896
    )  # fmt: skip
    n = builder.sub(builder.bitcast(shifted, INTS), ir.Constant(INTS, [0x4B400000] * INTS.count))
    power = _power_of_two(builder, n)
    return builder.fmul(p, power), fma(builder, p, power, const(1.0))


# ---------------------------------------------------------------- what the other activations need
def expm1_negative(builder, x):
    """exp(x) - 1 for x <= 0 without cancellation: ``2 t / (1 - t)`` with ``t = tanh(x / 2)``; -1 below -16."""
    t = tanh(builder, builder.fmul(x, const(0.5)))
    return builder.fdiv(builder.fadd(t, t), builder.fsub(const(1.0), t))


def softplus(builder, x):
    """``max(x, 0) + log(1 + exp(-|x|))``, the logarithm as ``2 artanh(e / (2 + e))``, a series that converges fast."""
    e = exp(builder, negative(builder, absolute(builder, x)))
    s = builder.fdiv(e, builder.fadd(e, const(2.0)))
    s2 = builder.fmul(s, s)
    series = polynomial(builder, s2, *(2.0 / k for k in (15, 13, 11, 9, 7, 5, 3, 1)))
    return fma(builder, s, series, at_least(builder, x, const(0.0)))


def erf(builder, x):
    """Two polynomials that meet at 475/512 (the form of N. Juffa's erff), the far one below exp."""
    size, square = absolute(builder, x), builder.fmul(x, x)
    far = fma(builder, const(-1.72853470e-5), size, const(3.83197126e-4))
    middle = fma(builder, const(-3.88396438e-3), size, const(2.42546219e-2))
    far = fma(builder, far, square, middle)
    for c in (-1.06777877e-1, -6.34846687e-1, -1.28717512e-1):
        far = fma(builder, far, size, const(c))
    far = fma(builder, far, size, negative(builder, size))
    far = builder.fsub(const(1.0), exp(builder, far))
    # beyond 4 the polynomial itself would overflow, and erf is 1 there
    far = builder.select(builder.fcmp_ordered(">", size, const(4.0)), const(1.0), far)
    far = call(builder, "llvm.copysign", far, x)
    near = polynomial(
        builder, square, -5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1
    )
    near = fma(builder, near, x, x)
    return builder.select(builder.fcmp_ordered(">", size, const(0.927734375)), far, near)


# ---------------------------------------------------------------- the activations: (builder, x, a, b, c) -> vector
def _select(builder, comparison, left, right, yes, no):
    return builder.select(builder.fcmp_ordered(comparison, left, right), yes, no)


def _linear(builder, x, a, b, c):
    return x


def _tanh(builder, x, a, b, c):
    return tanh(builder, x)


def _sigmoid(builder, x, a, b, c):
    return sigmoid(builder, x)


def _unit(builder, x, scale):
    return clip(builder, fma(builder, x, const(scale), const(0.5)), const(0.0), const(1.0))


def _hard_sigmoid(builder, x, a, b, c):
    return _unit(builder, x, 1 / 6)


def _hard_sigmoid_keras2(builder, x, a, b, c):
    return _unit(builder, x, 0.2)


def _sparse_sigmoid(builder, x, a, b, c):
    return _unit(builder, x, 0.5)


def _hard_silu(builder, x, a, b, c):
    return builder.fmul(x, _unit(builder, x, 1 / 6))


def _relu(builder, x, a, b, c):  # max_value, negative_slope, threshold
    slope = builder.fmul(b, builder.fsub(x, c))
    # a slope of 0 is 0 for -inf too, where the product would be NaN
    slope = _select(builder, "==", b, const(0.0), const(0.0), slope)
    return _select(builder, "<=", x, c, slope, at_most(builder, x, a))


def _leaky_relu(builder, x, a, b, c):
    return _select(builder, "<", x, const(0.0), builder.fmul(a, x), x)


def _relu6(builder, x, a, b, c):
    return clip(builder, x, const(0.0), const(6.0))


def _hard_tanh(builder, x, a, b, c):
    return clip(builder, x, const(-1.0), const(1.0))


def _elu(builder, x, a, b, c):
    return _select(builder, "<", x, const(0.0), builder.fmul(a, expm1_negative(builder, x)), x)


def _celu(builder, x, a, b, c):
    low = builder.fmul(a, expm1_negative(builder, builder.fdiv(x, a)))
    return _select(builder, "<", x, const(0.0), low, x)


def _selu(builder, x, a, b, c):
    low = builder.fmul(const(1.0507009873554805 * 1.6732632423543772), expm1_negative(builder, x))
    return _select(builder, "<", x, const(0.0), low, builder.fmul(const(1.0507009873554805), x))


def _softplus(builder, x, a, b, c):
    return softplus(builder, x)


def _log_sigmoid(builder, x, a, b, c):
    return negative(builder, softplus(builder, negative(builder, x)))


def _softsign(builder, x, a, b, c):
    # x / (1 + |x|) is NaN at infinity in float32 and so in Keras
    return builder.fdiv(x, builder.fadd(const(1.0), absolute(builder, x)))


def _exponential(builder, x, a, b, c):
    return exp(builder, x)


def _silu(builder, x, a, b, c):
    return builder.fmul(x, sigmoid(builder, x))


def _gelu(builder, x, a, b, c):
    half = builder.fmul(const(0.5), x)
    return fma(builder, half, erf(builder, builder.fmul(x, const(codes.SQRT_HALF))), half)


def _gelu_tanh(builder, x, a, b, c):
    cube = builder.fmul(builder.fmul(x, x), x)
    inner = builder.fmul(const(0.7978845608028654), fma(builder, const(0.044715), cube, x))
    half = builder.fmul(const(0.5), x)
    return fma(builder, half, tanh(builder, inner), half)


def _mish(builder, x, a, b, c):
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); 1 in float32 from 20 on
    e = exp(builder, at_most(builder, x, const(20.0)))
    n = builder.fmul(e, builder.fadd(e, const(2.0)))
    return builder.fmul(x, builder.fdiv(n, builder.fadd(n, const(2.0))))


def _tanh_shrink(builder, x, a, b, c):
    return builder.fsub(x, tanh(builder, x))


def _squareplus(builder, x, a, b, c):
    root = call(builder, "llvm.sqrt", fma(builder, x, x, a))
    return builder.fmul(const(0.5), builder.fadd(x, root))


def _soft_shrink(builder, x, a, b, c):
    low = _select(builder, "<", x, negative(builder, a), builder.fadd(x, a), const(0.0))
    return _select(builder, ">", x, a, builder.fsub(x, a), low)


def _hard_shrink(builder, x, a, b, c):
    return _select(builder, ">", absolute(builder, x), a, x, const(0.0))


def _sparse_plus(builder, x, a, b, c):
    up = builder.fadd(x, const(1.0))
    middle = builder.fmul(builder.fmul(const(0.25), up), up)
    high = _select(builder, ">=", x, const(1.0), x, middle)
    return _select(builder, "<=", x, const(-1.0), const(0.0), high)


def _threshold(builder, x, a, b, c):
    return _select(builder, "<=", x, a, b, x)


def _thresholded_relu(builder, x, a, b, c):
    return _select(builder, "<=", x, a, const(0.0), x)


ON_VECTORS = {
    codes.LINEAR: _linear, codes.SIGMOID: _sigmoid, codes.TANH: _tanh, codes.HARD_SIGMOID: _hard_sigmoid,
    codes.HARD_SIGMOID_KERAS2: _hard_sigmoid_keras2, codes.RELU: _relu, codes.LEAKY_RELU: _leaky_relu, codes.ELU:
    _elu, codes.SELU: _selu, codes.SOFTPLUS: _softplus, codes.SOFTSIGN: _softsign, codes.EXPONENTIAL: _exponential,
    codes.SILU: _silu, codes.HARD_SILU: _hard_silu, codes.GELU: _gelu, codes.GELU_TANH: _gelu_tanh, codes.MISH:
    _mish, codes.RELU6: _relu6, codes.CELU: _celu, codes.TANH_SHRINK: _tanh_shrink, codes.SOFT_SHRINK: _soft_shrink,
    codes.HARD_SHRINK: _hard_shrink, codes.HARD_TANH: _hard_tanh, codes.SQUAREPLUS: _squareplus, codes.SPARSE_PLUS:
    _sparse_plus, codes.SPARSE_SIGMOID: _sparse_sigmoid, codes.LOG_SIGMOID: _log_sigmoid, codes.THRESHOLD:
    _threshold, codes.THRESHOLDED_RELU: _thresholded_relu,
}  # fmt: skip
"""Activation code to function. softmax, log_softmax and sparsemax are missing: they need the whole row."""
