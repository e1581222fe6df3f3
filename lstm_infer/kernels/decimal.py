"""Decimal numbers in text, read as Python's ``float`` reads them: rounded once, to the nearest.

Digits become a whole number below 10**18, which a power of ten up to 10**22 (exact in float64) scales. Where the whole
number is exact in float64, too, one division or product rounds once (W. D. Clinger, "How to read floating point numbers
accurately", 1990). Where it is not, the quotient is computed to twice the precision (T. J. Dekker, "A floating-point
technique for extending the available precision", 1971) and is known unless it lies too near the middle between two
numbers. What is not known is left to Python.
"""

import numpy as np

from .jit import kernel

POWERS = np.array([10.0**k for k in range(23)])
EXACT = 1 << 53
MOST_DIGITS = 18
ZERO, MINUS, PLUS, POINT, UPPER_E, LOWER_E = (ord(mark) for mark in "0-+.Ee")


@kernel
def read_decimal(text, at, end):
    """Read the number that begins at `at`.

    Parameters
    ----------
    text : uint8 array
    at, end : int
        Where it begins, and where the text ends.

    Returns
    -------
    value : float
    at : int
        Where the number ends.
    known : bool
        Whether `value` is the number. If not, there is none, or Python has to read it.
    """
    negative = at < end and text[at] == MINUS
    if negative or (at < end and text[at] == PLUS):
        at += 1
    begin, whole = at, np.int64(0)  # which may overflow: then there are too many digits
    while at < end and text[at] == ZERO:
        at += 1
    digits = -at
    while at < end and 0 <= np.int64(text[at]) - ZERO <= 9:
        whole = whole * 10 + (np.int64(text[at]) - ZERO)
        at += 1
    digits, found, fraction = digits + at, at - begin, 0
    if at < end and text[at] == POINT:
        at += 1
        begin = at
        if digits == 0:  # zeros after the point are no digits of the whole number
            while at < end and text[at] == ZERO:
                at += 1
        digits -= at
        while at < end and 0 <= np.int64(text[at]) - ZERO <= 9:
            whole = whole * 10 + (np.int64(text[at]) - ZERO)
            at += 1
        digits += at
        fraction = at - begin
        found += fraction
    exponent, ended = 0, True
    if at < end and (text[at] == LOWER_E or text[at] == UPPER_E):
        exponent, at, ended = _exponent(text, at, end)
    if not ended or found == 0 or digits > MOST_DIGITS:
        return 0.0, at, False
    value, known = _scaled(whole, exponent - fraction)
    return -value if negative else value, at, known


@kernel
def _exponent(text, at, end):
    """Return the exponent whose letter stands at `at`, where it ends, and whether it is a number."""
    at += 1
    negative = at < end and text[at] == MINUS
    if negative or (at < end and text[at] == PLUS):
        at += 1
    exponent, found = 0, 0
    while at < end and 0 <= np.int64(text[at]) - ZERO <= 9:
        exponent = min(exponent * 10 + np.int64(text[at]) - ZERO, 100000)
        found += 1
        at += 1
    return -exponent if negative else exponent, at, found > 0


@kernel
def _scaled(whole, exponent):
    """Return ``whole * 10**exponent``, and whether that is the nearest float64."""
    value = np.float64(whole)
    if whole == 0 or exponent == 0:
        return value, True
    if not -22 <= exponent <= 22:
        return 0.0, False
    power = POWERS[abs(exponent)]
    if whole < EXACT:
        return value * power if exponent > 0 else value / power, True
    if exponent > 0:
        return 0.0, False
    return _divided(value, np.float64(whole - np.int64(value)), power)


@kernel
def _divided(high, low, power):
    """Return ``(high + low) / power``, and whether that is the nearest float64."""
    quotient = high / power
    product, error = _product(quotient, power)
    rest = (((high - product) - error) + low) / power
    nearest = quotient + rest
    missing = (quotient - nearest) + rest
    return nearest, nearest + missing * (1 + 2.0**-30) == nearest


@kernel
def _product(a, b):
    """Return ``a * b``, and what rounding took from it (Dekker)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


@kernel
def _halves(a):
    shifted = a * 134217729.0  # 2**27 + 1
    high = shifted - (shifted - a)
    return high, a - high
