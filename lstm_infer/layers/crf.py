"""Conditional random fields that label sequences: that of keras-contrib and that of TensorFlow Addons."""

import numpy as np

from ..errors import InputError
from ..kernels.product import dense
from . import activations
from .base import Layer, readonly
from .ops.reductions import logsumexp


def _product(layer, x, kernel, bias):
    """Return ``x @ kernel + bias`` over the last axis of (batch, timesteps, features)."""
    y = np.empty((*x.shape[:-1], kernel.shape[1]), layer.dtype)
    rows = readonly(x.reshape(-1, x.shape[-1]))
    dense(rows, readonly(kernel), readonly(bias), activations.get("linear"), y.reshape(-1, kernel.shape[1]))
    return y


def _check_mask(layer, x, mask):
    if mask is not None and mask.shape != x.shape[:2]:
        raise InputError(f"layer '{layer.name}': found a mask of shape {mask.shape}, expected {x.shape[:2]}")


class CRF(Layer):
    """The conditional random field of keras-contrib, which looks for the path of least energy.

    Parameters
    ----------
    units : int
        The number of tags.
    learn_mode : {"join", "marginal"}
    test_mode : {"viterbi", "marginal"}, optional
        What it gives: the best path, as one-hot vectors, or the probability of every tag by itself. Follows from
        `learn_mode` unless given.
    use_boundary, use_bias : bool
    activation : str or callable
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Weights: kernel (features, units), chain_kernel (units, units), bias, left_boundary, right_boundary (units,). The
    formulas are those of ``keras_contrib/layers/crf.py``, its two slips included: with a mask the right boundary's
    energy is added before the mask begins, not where it ends; without one the last tag is chosen as if another followed
    (the one that would be chosen if tag 0 did).

    Examples
    --------
    >>> layer = CRF(2)
    >>> layer.set_weights([-np.eye(2), np.zeros((2, 2)), np.zeros(2), np.zeros(2), np.zeros(2)])
    >>> layer(np.array([[[9.0, 1.0], [1.0, 9.0]]]))
    array([[[1., 0.],
            [0., 1.]]], dtype=float32)
    """

    supports_masking = True
    config_names = ("units", "learn_mode", "test_mode", "use_boundary", "use_bias", "activation")

    def __init__(
        self, units, learn_mode="join", test_mode=None, use_boundary=True, use_bias=True, activation="linear",
        sparse_target=False, input_dim=None, unroll=False, **kwargs,
    ):  # fmt: skip
        super().__init__(**{word: value for word, value in kwargs.items() if not word.startswith(("chain_", "bound"))})
        test_mode = test_mode or {"join": "viterbi"}.get(learn_mode, "marginal")
        if learn_mode not in ("join", "marginal") or test_mode not in ("viterbi", "marginal"):
            found = f"found learn_mode={learn_mode!r} and test_mode={test_mode!r}"
            raise InputError(f"layer '{self.name}': {found}, expected 'join' or 'marginal', 'viterbi' or 'marginal'")
        self.units, self.learn_mode, self.test_mode = int(units), learn_mode, test_mode
        self.use_boundary, self.use_bias, self.given_activation = use_boundary, use_bias, activation
        self.settle_activation()

    def settle_activation(self):
        """Find out what the activation's name means in the Keras that is followed."""
        self.activation = activations.settle(self.given_activation, self.semantics)
        self.function = activations.get(self.activation)

    def adopt(self, semantics):
        super().adopt(semantics)
        self.settle_activation()

    def weight_shapes(self, input_shape):
        own = (self.units,)
        shapes = {"kernel": (input_shape[-1], self.units), "chain_kernel": (self.units, self.units)}
        shapes.update({"bias": own} if self.use_bias else {})
        return {**shapes, **({"left_boundary": own, "right_boundary": own} if self.use_boundary else {})}

    def build_from(self, weights):
        self.build((None, None, weights[0].shape[0]))

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 3:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, timesteps, features)")
        return (*input_shape[:2], self.units)

    def compute_mask(self, inputs, mask=None):
        return mask.any(axis=1) if mask is not None and self.learn_mode == "join" else mask

    def call(self, inputs, mask=None):
        _check_mask(self, inputs, mask)
        bias = self.weights.get("bias", np.zeros(self.units, self.dtype))
        energy = activations.apply(self.function, _product(self, inputs, self.weights["kernel"], bias))
        if self.use_boundary:
            energy = self._with_boundaries(energy, mask)
        ours = np.zeros((len(energy), energy.shape[1] + 1), self.dtype)
        if mask is not None:
            ours[:, :-1] = mask
        if self.test_mode == "viterbi":
            return self._best_path(energy, ours if mask is not None else None)
        return self._probabilities(energy, ours if mask is not None else None)

    def _with_boundaries(self, energy, mask):
        energy = energy.copy()
        left, right = self.weights["left_boundary"], self.weights["right_boundary"]
        if mask is None:
            energy[:, 0] += left
            energy[:, -1] += right
            return energy
        before = np.pad(mask[:, :-1], ((0, 0), (1, 0)))
        after = np.pad(mask[:, 1:], ((0, 0), (0, 1)))
        energy = energy + (mask & ~before)[..., None] * left
        return energy + (after & ~mask)[..., None] * right  # where the mask is about to begin: keras-contrib's slip

    def _steps(self, energy, real):
        """Yield the energies of every timestep and of the chain to the next, (batch, from, to)."""
        chain = self.weights["chain_kernel"]
        for t in range(energy.shape[1]):
            if real is None:
                yield energy[:, t], np.broadcast_to(chain, (len(energy), *chain.shape))
            else:
                yield energy[:, t] * real[:, t, None], chain * (real[:, t] * real[:, t + 1])[:, None, None]

    def _best_path(self, energy, real):
        least, tables = np.zeros_like(energy[:, 0]), []
        for own, chain in self._steps(energy, real):
            total = chain + (own + least)[:, :, None]
            least = total.min(axis=1)
            tables.append(total.argmin(axis=1))
        tags = tables[-1][:, 0]
        path = []
        rows = np.arange(len(energy))
        for table in reversed(tables):
            tags = table[rows, tags]
            path.append(tags)
        return (np.stack(path[::-1], axis=1)[..., None] == np.arange(self.units)).astype(self.dtype)

    def _recursion(self, energy, real):
        value, found = np.zeros_like(energy[:, 0]), []
        for own, chain in self._steps(energy, real):
            value = logsumexp(-(chain + (own - value)[:, :, None]), axis=1)
            found.append(value)
        return np.stack(found, axis=1)

    def _probabilities(self, energy, real):
        alpha = self._recursion(energy, real)
        backwards = None if real is None else np.pad(real[:, :-1][:, ::-1], ((0, 0), (0, 1)))
        beta = self._recursion(energy[:, ::-1], backwards)[:, ::-1]
        own = energy if real is None else energy * real[:, :-1, None]
        alpha, beta = np.pad(alpha[:, :-1], ((0, 0), (1, 0), (0, 0))), np.pad(beta[:, 1:], ((0, 0), (0, 1), (0, 0)))
        return activations.apply(activations.get("softmax"), -(alpha + own + beta))


class AddonsCRF(Layer):
    """The conditional random field of TensorFlow Addons (``Addons>CRF``), which looks for the path of highest score.

    Parameters
    ----------
    units : int
        The number of tags.
    use_boundary : bool
    use_kernel : bool
        Whether a Dense layer makes the potentials from the inputs.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Gives the tags (batch, timesteps) of int32, the potentials (batch, timesteps, units), the lengths (batch,) and
    chain_kernel (units, units). Masks are taken as right padding. Weights: chain_kernel, left_boundary, right_boundary
    (units,), then kernel and bias of the Dense layer. Source: ``tensorflow_addons/layers/crf.py``, ``text/crf.py``.

    Examples
    --------
    >>> layer = AddonsCRF(2, use_kernel=False, use_boundary=False)
    >>> layer.set_weights([np.zeros((2, 2))])
    >>> layer(np.array([[[9.0, 1.0], [1.0, 9.0]]]))[0]
    array([[0, 1]], dtype=int32)
    """

    supports_masking = True
    config_names = ("units", "use_boundary", "use_kernel")

    def __init__(self, units, use_boundary=True, use_kernel=True, **kwargs):
        super().__init__(**{word: value for word, value in kwargs.items() if not word.startswith(("chain_", "bound"))})
        self.units, self.use_boundary, self.use_kernel = int(units), use_boundary, use_kernel

    def weight_shapes(self, input_shape):
        own = (self.units,)
        shapes = {"chain_kernel": (self.units, self.units)}
        shapes.update({"left_boundary": own, "right_boundary": own} if self.use_boundary else {})
        more = {"dense/kernel": (input_shape[-1], self.units), "dense/bias": own}
        return {**shapes, **(more if self.use_kernel else {})}

    def build_from(self, weights):
        self.build((None, None, weights[-2].shape[0] if self.use_kernel else self.units))

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 3 or (not self.use_kernel and input_shape[-1] not in (None, self.units)):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, timesteps, features)")
        batch, timesteps = input_shape[:2]
        return [(batch, timesteps), (batch, timesteps, self.units), (batch,), (self.units, self.units)]

    def compute_mask(self, inputs, mask=None):
        return [mask, None, None, None]

    def call(self, inputs, mask=None):
        _check_mask(self, inputs, mask)
        potentials = np.array(inputs)
        if self.use_kernel:
            potentials = _product(self, inputs, self.weights["dense/kernel"], self.weights["dense/bias"])
        if self.use_boundary:
            self._add_boundaries(potentials, mask)
        real = np.ones(inputs.shape[:2], bool) if mask is None else mask
        lengths = real.sum(axis=1)
        tags = self._decode(potentials, lengths).astype(np.int32)
        return [tags, potentials, lengths.astype(np.int64), self.weights["chain_kernel"].copy()]

    def _add_boundaries(self, potentials, mask):
        left, right = self.weights["left_boundary"], self.weights["right_boundary"]
        if mask is None:
            potentials[:, 0] += left
            potentials[:, -1] += right
            return
        before, after = np.pad(mask[:, :-1], ((0, 0), (1, 0))), np.pad(mask[:, 1:], ((0, 0), (0, 1)))
        potentials += (mask & ~before)[..., None] * left
        potentials += (mask & ~after)[..., None] * right

    def _decode(self, potentials, lengths):
        """Return the best tags; zeros from the end of a sequence on."""
        batch, timesteps = potentials.shape[:2]
        score, came_from = potentials[:, 0], np.zeros((batch, timesteps, self.units), np.int64)
        for t in range(1, timesteps):
            total = score[:, :, None] + self.weights["chain_kernel"]
            counts = t < lengths
            came_from[counts, t] = total.argmax(axis=1)[counts]
            score = np.where(counts[:, None], potentials[:, t] + total.max(axis=1), score)
        tags = np.zeros((batch, timesteps), np.int64)
        rows, last = np.arange(batch), np.maximum(lengths - 1, 0)
        tag = score.argmax(axis=1)
        for t in range(timesteps - 1, -1, -1):
            at = t <= last
            tags[at, t] = tag[at]
            if t:
                tag = np.where(at, came_from[rows, t, tag], tag)
        return tags
