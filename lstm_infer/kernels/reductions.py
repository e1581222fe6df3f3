"""Sums in one fixed order, whatever the batch: products of matrices in pairs, means and variances of rows."""

import math

import numpy as np

from .jit import kernel
from .product import add_product


@kernel
def multiply_pairs(x, y, out):
    """Write ``x[b] @ y[b]`` for every b.

    Parameters
    ----------
    x : (batch, n, k) C-contiguous array
    y : (batch, k, m) C-contiguous array
    out : (batch, n, m) array, written
    """
    for b in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[b, i] = 0
            add_product(x[b, i], y[b], out[b, i])


@kernel
def standardise_rows(x, epsilon, center, y):
    """Write ``(x - mean) / sqrt(variance + epsilon)`` of every row; sums in float64.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    epsilon : float
    center : bool
        Whether to subtract the mean (the variance is about the mean in any case).
    y : (rows, n) array, written
    """
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[row, j]
        mean = total / x.shape[1]
        squares = 0.0
        for j in range(x.shape[1]):
            squares += (x[row, j] - mean) ** 2
        scale = 1.0 / math.sqrt(squares / x.shape[1] + epsilon)
        for j in range(x.shape[1]):
            y[row, j] = (x[row, j] - mean if center else np.float64(x[row, j])) * scale


@kernel
def average_timesteps(x, mask, y):
    """Write the mean of the timesteps that count; NaN where none does.

    Parameters
    ----------
    x : (batch, timesteps, features) C-contiguous array
    mask : (batch, timesteps) bool array
        True where a timestep counts.
    y : (batch, features) array, written
    """
    total = np.empty(x.shape[2], np.float64)
    for row in range(x.shape[0]):
        total[:] = 0
        count = 0
        for t in range(x.shape[1]):
            if mask[row, t]:
                count += 1
                for j in range(total.size):
                    total[j] += x[row, t, j]
        for j in range(total.size):
            y[row, j] = total[j] / count


@kernel
def add_scores(query, key, scale, factor, out):
    """Write ``sum(scale * tanh(factor * (query + key)))`` of every query and key of a pair; sums in float64.

    Parameters
    ----------
    query : (pairs, n, features) C-contiguous array
    key : (pairs, m, features) C-contiguous array
    scale : (features,) array
    factor : float
    out : (pairs, n, m) array, written
    """
    for pair in range(query.shape[0]):
        for i in range(query.shape[1]):
            for j in range(key.shape[1]):
                total = 0.0
                for k in range(scale.size):
                    total += scale[k] * math.tanh(factor * (np.float64(query[pair, i, k]) + key[pair, j, k]))
                out[pair, i, j] = total


@kernel
def add_squares(x, out):
    """Write the sum of the squares of every row, computed in float64.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    out : (rows,) float64 array, written
    """
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.float64(x[row, j]) ** 2
        out[row] = total


@kernel
def find_moments(x, means, variances):
    """Write the mean and the variance of every row, computed in float64.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    means, variances : (rows,) float64 arrays, written
    """
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[row, j]
        mean = total / x.shape[1]
        squares = 0.0
        for j in range(x.shape[1]):
            squares += (x[row, j] - mean) ** 2
        means[row], variances[row] = mean, squares / x.shape[1]


@kernel
def sum_rows(x, y):
    """Write the sum of every row, added up in float64 from left to right.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    y : (rows,) array of float64, written
    """
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[row, j]
        y[row] = total


@kernel
def multiply_rows(x, y):
    """Write the product of every row, multiplied in float64 from left to right.

    Parameters
    ----------
    x : (rows, n) C-contiguous array
    y : (rows,) array of float64, written
    """
    for row in range(x.shape[0]):
        total = 1.0
        for j in range(x.shape[1]):
            total *= x[row, j]
        y[row] = total


@kernel
def add_middle(x, divisor, y):
    """Write the sum over the middle axis, divided by a number; sums in float64.

    Parameters
    ----------
    x : (before, n, after) C-contiguous array
    divisor : float
    y : (before, after) array, written
    """
    total = np.empty(x.shape[2], np.float64)
    for i in range(x.shape[0]):
        total[:] = 0
        for k in range(x.shape[1]):
            for j in range(total.size):
                total[j] += x[i, k, j]
        for j in range(total.size):
            y[i, j] = total[j] / divisor


@kernel
def scale_middle_to_norm(x, epsilon, y):
    """Write ``x / sqrt(max(sum of x**2 over the middle axis, epsilon))``; sums in float64.

    Parameters
    ----------
    x : (before, n, after) C-contiguous array
    epsilon : float
    y : array like `x`, written
    """
    total = np.empty(x.shape[2], np.float64)
    for i in range(x.shape[0]):
        total[:] = 0
        for k in range(x.shape[1]):
            for j in range(total.size):
                total[j] += np.float64(x[i, k, j]) ** 2
        for k in range(x.shape[1]):
            for j in range(total.size):
                y[i, k, j] = x[i, k, j] / math.sqrt(max(total[j], epsilon))
