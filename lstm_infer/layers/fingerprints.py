"""The hashes of bytes by which TensorFlow sorts strings into buckets, in plain Python.

`fingerprint64` is FarmHash's ``Fingerprint64`` (``farmhashna``), which never changes; `siphash` is SipHash-2-4, the
keyed one. Everything is whole numbers of 64 bits.
"""

FULL = 0xFFFFFFFFFFFFFFFF
K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _at(data, start, size=8):
    return int.from_bytes(data[start : start + size], "little")


def _rotate(value, bits):
    """Rotate right."""
    value &= FULL
    return (value >> bits | value << (64 - bits)) & FULL


def _mix(value):
    value &= FULL
    return value ^ (value >> 47)


def _join(u, v, multiplier):
    a = _mix((u ^ v) * multiplier)
    return _mix(((v ^ a) & FULL) * multiplier) * multiplier & FULL


def fingerprint64(data):
    """Return the 64-bit fingerprint of `data` (FarmHash, ``github.com/google/farmhash``).

    Parameters
    ----------
    data : bytes

    Returns
    -------
    int

    Examples
    --------
    >>> fingerprint64(b"a") % 1000
    939
    """
    size = len(data)
    if size <= 16:
        return _up_to_16(data, size)
    if size <= 32:
        return _up_to_32(data, size)
    if size <= 64:
        return _up_to_64(data, size)
    return _longer(data, size)


def _up_to_16(data, size):
    multiplier = K2 + size * 2
    if size >= 8:
        a, b = _at(data, 0) + K2 & FULL, _at(data, size - 8)
        return _join(_rotate(b, 37) * multiplier + a & FULL, (_rotate(a, 25) + b) * multiplier & FULL, multiplier)
    if size >= 4:
        return _join(size + (_at(data, 0, 4) << 3), _at(data, size - 4, 4), multiplier)
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _mix(y * K2 & FULL ^ z * K0 & FULL) * K2 & FULL
    return K2


def _up_to_32(data, size):
    multiplier = K2 + size * 2
    a, b = _at(data, 0) * K1, _at(data, 8)
    c, d = _at(data, size - 8) * multiplier, _at(data, size - 16) * K2
    u = _rotate(a + b, 43) + _rotate(c, 30) + d
    return _join(u & FULL, a + _rotate(b + K2, 18) + c & FULL, multiplier)


def _up_to_64(data, size):
    multiplier = K2 + size * 2
    a, b = _at(data, 0) * K2, _at(data, 8)
    c, d = _at(data, size - 8) * multiplier, _at(data, size - 16) * K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d & FULL
    z = _join(y, a + _rotate(b + K2, 18) + c & FULL, multiplier)
    e, f = _at(data, 16) * multiplier, _at(data, 24)
    g, h = (y + _at(data, size - 32)) * multiplier, (z + _at(data, size - 24)) * multiplier
    u = _rotate(e + f, 43) + _rotate(g, 30) + h
    return _join(u & FULL, e + _rotate(f + a, 18) + g & FULL, multiplier)


def _weak(data, start, a, b):
    w, x, y, z = (_at(data, start + 8 * n) for n in range(4))
    a += w
    b, c = _rotate(b + a + z, 21), a
    a += x + y
    return (a + z) & FULL, (b + _rotate(a, 44) + c) & FULL


def _longer(data, size):
    x, y = 81 * K2 + _at(data, 0) & FULL, 81 * K1 + 113 & FULL
    z, v, w = _mix(y * K2 + 113) * K2 & FULL, (0, 0), (0, 0)
    for start in range(0, (size - 1) // 64 * 64, 64):
        x, y, z, v, w = _round(data, start, (x, y, z, v, w), K1, 1)
    multiplier = K1 + ((z & 0xFF) << 1)
    second = w[0] + (size - 1 & 63)
    first = v[0] + second
    x, y, z, v, w = _round(data, size - 64, (x, y, z, (first, v[1]), (second + first, w[1])), multiplier, 9)
    u = _join(v[0], w[0], multiplier) + _mix(y) * K0 + z
    return _join(u & FULL, _join(v[1], w[1], multiplier) + x & FULL, multiplier)


def _round(data, start, state, multiplier, weight):
    """One round over 64 bytes, after which x and z change places."""
    x, y, z, v, w = state
    x = _rotate(x + y + v[0] + _at(data, start + 8), 37) * multiplier & FULL
    y = _rotate(y + v[1] + _at(data, start + 48), 42) * multiplier & FULL
    x ^= w[1] * weight & FULL
    y = y + v[0] * weight + _at(data, start + 40) & FULL
    z = _rotate(z + w[0], 33) * multiplier & FULL
    v, w = (
        _weak(data, start, v[1] * multiplier & FULL, x + w[0]),
        _weak(data, start + 32, z + w[1], y + _at(data, start + 16)),
    )
    return z, y, x, v, w


def siphash(data, key):
    """Return the 64-bit SipHash-2-4 of `data` (Aumasson and Bernstein, 2012).

    Parameters
    ----------
    data : bytes
    key : pair of int

    Returns
    -------
    int

    Examples
    --------
    >>> siphash(b"a", (133, 137)) % 1000 == siphash(b"a", (133, 138)) % 1000
    False
    """
    low, high = (int(part) & FULL for part in key)
    v = [low ^ 0x736F6D6570736575, high ^ 0x646F72616E646F6D, low ^ 0x6C7967656E657261, high ^ 0x7465646279746573]
    whole = len(data) // 8 * 8
    for start in range(0, whole, 8):
        _take(v, _at(data, start))
    _take(v, _at(data, whole) | (len(data) & 0xFF) << 56)
    v[2] ^= 0xFF
    for _ in range(4):
        _sip(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _take(v, word):
    v[3] ^= word
    _sip(v)
    _sip(v)
    v[0] ^= word


def _sip(v):
    for (a, b, c, d), left, right in (((0, 1, 2, 3), 13, 16), ((2, 1, 0, 3), 17, 21)):
        v[a] = v[a] + v[b] & FULL
        v[c] = v[c] + v[d] & FULL
        v[b] = _rotate(v[b], 64 - left) ^ v[a]
        v[d] = _rotate(v[d], 64 - right) ^ v[c]
        v[a] = _rotate(v[a], 32)


def cross(key, fingerprints):
    """Return the fingerprint of several fingerprints in a row, begun with `key` (TensorFlow's ``SparseCross``).

    >>> cross(5, [1, 2]) == cross(5, [2, 1])
    False
    """
    multiplier = 0xC6A4A7935BD1E995
    for fingerprint in fingerprints:
        key = (key ^ multiplier) & FULL
        key ^= _mix((fingerprint & FULL) * multiplier) * multiplier & FULL
        key = _mix(_mix(key * multiplier) * multiplier)
    return key
