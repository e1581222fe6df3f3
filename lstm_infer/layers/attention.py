"""Attention of a query over the timesteps of a value: the products, the masks, and the two layers with one head.

Every product and sum of a row is computed by itself, in one fixed order. Sources: ``keras/src/layers/attention`` of
Keras 3.15, ``layers/attention`` of tf_keras 2.21.
"""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import add_scores, multiply_pairs
from . import activations
from .base import Layer, readonly

FAR_DOWN = 1e9
"""What Keras takes from the score of a masked timestep."""


def multiply(x, y):
    """Return ``x @ y`` of every pair, for arrays (pairs, n, k) and (pairs, k, m)."""
    out = np.empty((len(x), x.shape[1], y.shape[2]), x.dtype)
    multiply_pairs(readonly(x), readonly(y), out)
    return out


def softmax(scores, mask=None, rule="faint"):
    """Return the softmax over the last axis.

    Parameters
    ----------
    scores : array
    mask : bool array, optional
        Of a shape that can be broadcast to that of `scores`; True where a score counts.
    rule : {"faint", "even", "zeros"}
        What becomes of a row in which nothing counts. Its scores are all taken down by the same number, so that they
        still have their say as far as their precision allows; or they are all the same; or the result is zero.
    """
    if mask is None:
        return activations.apply(activations.get("softmax"), scores)
    far_down = scores.dtype.type(-FAR_DOWN)
    mask = np.broadcast_to(mask, scores.shape)
    weights = softmax(np.where(mask, scores, scores + far_down if rule == "faint" else far_down))
    return np.where(mask, weights, weights.dtype.type(0)) if rule == "zeros" else weights


def causal_mask(queries, values):
    """Return a (1, queries, values) mask by which no query looks at a later timestep."""
    return np.tri(queries, values, dtype=bool)[None]


class _Attention(Layer):
    """What Attention and AdditiveAttention share; a subclass scores queries and keys."""

    mask_role = "attends"
    supports_masking = True

    def __init__(self, dropout=0.0, causal=False, **kwargs):
        super().__init__(**kwargs)
        self.dropout, self.causal = dropout, causal

    def build(self, input_shape):
        listed = isinstance(input_shape, list) and all(isinstance(shape, (tuple, list)) for shape in input_shape)
        if not listed or len(input_shape) not in (2, 3):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected [query, value] or with a key")
        query, value, key = (*input_shape, input_shape[1])[:3]
        if min(len(query), len(value), len(key)) < 3 or len({len(shape) for shape in (query, value, key)}) > 1:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected three axes each")
        if len({query[-1], key[-1]} - {None}) > 1 or len({key[-2], value[-2]} - {None}) > 1:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected sizes that fit each other")
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], input_shape[1][-1])

    def compute_call_shape(self, input_shape, kwargs):
        shape = self.compute_output_shape(input_shape)
        scores = (*input_shape[0][:-1], input_shape[1][-2])
        return [shape, scores] if kwargs.get("return_attention_scores") else shape

    def compute_mask(self, inputs, mask=None):
        if not isinstance(mask, (list, tuple)) or self.semantics.merge_mask == "none":
            return None
        return [mask[0], None]

    def run(self, inputs, carried_mask, context, mask=None, return_attention_scores=False, **kwargs):
        kwargs["return_attention_scores"] = return_attention_scores
        outputs, own = super().run(inputs, carried_mask, context, mask=mask, **kwargs)
        return outputs, own if return_attention_scores or own is None else own[0]

    def call(self, inputs, mask=None, return_attention_scores=False, use_causal_mask=False):
        query, value, key = (*inputs, inputs[1])[:3]
        query_mask, value_mask = mask[:2] if isinstance(mask, (list, tuple)) else (None, None)
        pairs = int(np.prod(query.shape[:-2]))
        q, v, k = (x.reshape(pairs, *x.shape[-2:]) for x in (query, value, key))
        if k.shape[1] != v.shape[1] or k.shape[2] != q.shape[2]:
            raise InputError(f"layer '{self.name}': found {query.shape}, {value.shape}, {key.shape}, which do not fit")
        scores = self.score(q, k)
        scores = scores.reshape(*query.shape[:-1], value.shape[-2])
        allowed = None if value_mask is None else np.asarray(value_mask, bool)[..., None, :]
        if self.causal or use_causal_mask:
            causal = causal_mask(*scores.shape[-2:])
            allowed = causal if allowed is None else allowed & causal
        weights = softmax(scores, allowed)
        y = multiply(weights.reshape(pairs, *weights.shape[-2:]), v).reshape(*query.shape[:-1], value.shape[-1])
        if query_mask is not None:
            y = np.where(np.asarray(query_mask, bool)[..., None], y, y.dtype.type(0))
        return [y, weights] if return_attention_scores else y


class Attention(_Attention):
    """Attention by the product of query and key (Luong), or by the tanh of their sum.

    Parameters
    ----------
    use_scale : bool
        Whether a learned number multiplies the scores, or the sum inside the tanh.
    score_mode : {"dot", "concat"}
    dropout : float
        Of training.
    causal : bool
        Keras 2.9 and before: no query looks at a later timestep.
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    Called as ``layer([query, value, key], mask=[query_mask, value_mask], return_attention_scores=False,
    use_causal_mask=False)``; without a key, the value is the key.

    Examples
    --------
    >>> import numpy as np
    >>> query, value = np.zeros((1, 2, 3)), np.array([[[1.0], [3.0]]])
    >>> Attention()([query, value, np.zeros((1, 2, 3))]).ravel().tolist()
    [2.0, 2.0]
    """

    config_names = ("use_scale", "score_mode", "dropout", "causal")

    def __init__(self, use_scale=False, score_mode="dot", dropout=0.0, causal=False, **kwargs):
        super().__init__(dropout, causal, **kwargs)
        if score_mode not in ("dot", "concat"):
            raise InputError(f"layer '{self.name}': found score_mode {score_mode!r}, expected 'dot' or 'concat'")
        self.use_scale, self.score_mode = use_scale, score_mode

    def weight_shapes(self, input_shape):
        scale = {"scale": ()} if self.use_scale else {}
        return {**scale, **({"concat_score_weight": ()} if self.score_mode == "concat" else {})}

    def score(self, query, key):
        """Return the scores (pairs, queries, keys)."""
        scale = self.weights.get("scale")
        if self.score_mode == "dot":
            scores = multiply(query, key.swapaxes(1, 2))
            return scores if scale is None else scores * scale
        ones = np.ones(query.shape[2], self.dtype)
        scores = np.empty((len(query), query.shape[1], key.shape[1]), self.dtype)
        add_scores(readonly(query), readonly(key), readonly(ones), 1.0 if scale is None else float(scale), scores)
        return scores * self.weights["concat_score_weight"]


class AdditiveAttention(_Attention):
    """Attention by the sum of ``tanh(query + key)`` (Bahdanau).

    Parameters
    ----------
    use_scale : bool
        Whether learned numbers weigh the features in the sum.
    dropout : float
        Of training.
    causal : bool
        Keras 2.9 and before: no query looks at a later timestep.
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    Called as `Attention` is.

    Examples
    --------
    >>> import numpy as np
    >>> layer = AdditiveAttention(use_scale=False)
    >>> layer([np.zeros((1, 2, 1)), np.array([[[3.0], [3.0]]])]).ravel().tolist()
    [3.0, 3.0]
    """

    config_names = ("use_scale", "dropout", "causal")

    def __init__(self, use_scale=True, dropout=0.0, causal=False, **kwargs):
        super().__init__(dropout, causal, **kwargs)
        self.use_scale = use_scale

    def weight_shapes(self, input_shape):
        return {"scale": (input_shape[0][-1],)} if self.use_scale else {}

    def score(self, query, key):
        """Return the scores (pairs, queries, keys)."""
        scale = self.weights.get("scale", np.ones(query.shape[2], self.dtype))
        scores = np.empty((len(query), query.shape[1], key.shape[1]), self.dtype)
        add_scores(readonly(query), readonly(key), readonly(scale), 1.0, scores)
        return scores

