"""Attention with several heads: MultiHeadAttention and GroupQueryAttention.

Sources: ``keras/src/layers/attention`` of Keras 3.15, ``layers/attention/multi_head_attention.py`` of tf_keras 2.21.
"""

import math

import numpy as np

from ..errors import InputError
from .activations import apply, get
from .attention import causal_mask, multiply, softmax
from .base import Layer
from .contraction import EinsumDense, Matrix
from .low_rank import in_keras_order
from .quantization import policy_of

CALL = ("query_mask", "value_mask", "key_mask", "attention_mask", "return_attention_scores", "training",
        "use_causal_mask")  # fmt: skip


class _MultiHead(Layer):
    """What both layers share: projections, masks, and the attention itself.

    The weights are named ``query/kernel``, ``query/bias``, ...; kernels are (features, heads, size) and, on the way
    back, (heads, size, *output).
    """

    mask_role = "keeps the first"
    supports_masking = True

    def __init__(self, dropout, use_bias, use_gate, sliding_window, **kwargs):
        for word in ("flash_attention", "softmax_robust_masking", "query_shape", "key_shape", "value_shape"):
            kwargs.pop(word, None)
        super().__init__(**kwargs)
        self.dropout, self.use_bias, self.use_gate = float(dropout or 0), use_bias, use_gate
        if sliding_window is not None and not (isinstance(sliding_window, int) and sliding_window > 0):
            raise InputError(f"layer '{self.name}': found sliding_window {sliding_window!r}, expected a number above 0")
        self.sliding_window = sliding_window
        self.parts = {}

    # ------------------------------------------------------------ calls
    def __call__(self, query, value=None, key=None, *args, **kwargs):
        """Compute on arrays, or record a call; ``layer(query, value, key)``, or a list of them."""
        kwargs = {**dict(zip(CALL, args, strict=False)), **kwargs}
        if value is None and not isinstance(query, (list, tuple)):
            raise InputError(f"layer '{self.name}' was called on a query alone, expected a query and a value")
        inputs = list(query) if value is None else [query, value, *([] if key is None else [key])]
        return super().__call__(inputs, **kwargs)

    def build(self, input_shape):
        if not isinstance(input_shape, list) or len(input_shape) not in (2, 3):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected query, value and perhaps key")
        shapes = [*input_shape, input_shape[1]][:3]
        fits = len({len(shape) for shape in shapes}) == 1 and len(shapes[0]) >= 3
        if not fits or any(shape[-1] is None for shape in shapes):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, ..., features) each")
        if any(None not in pair and len(set(pair)) > 1 for pair in zip(shapes[1][1:-1], shapes[2][1:-1], strict=True)):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected as many keys as values")
        super().build(input_shape)

    def weight_shapes(self, input_shape):
        query, value, key = (shape[-1] for shape in [*input_shape, input_shape[1]][:3])
        heads, own_heads, size, value_size = self.sizes()
        kernels = {"query": (query, heads, size), "key": (key, own_heads, size)}
        if self.use_gate:
            kernels["gate"] = (query, heads, value_size)
        kernels |= {"value": (value, own_heads, value_size)}
        kernels["attention_output"] = (heads, value_size, *self.output_sizes(query))
        self.kernel_shapes, self.rank = kernels, len(input_shape[0])
        shapes = {}
        for label, kernel in kernels.items():
            shapes[f"{label}/kernel"] = kernel
            if self.use_bias:
                shapes[f"{label}/bias"] = kernel[2 if label == "attention_output" else 1 :]
        return shapes

    def build_from(self, weights):
        each = 2 if self.use_bias else 1
        if len(weights) != each * (5 if self.use_gate else 4) or any(w.ndim < 1 for w in weights[::each]):
            raise InputError(f"layer '{self.name}' must be called before these weights can be set")
        features = [weights[n].shape[0] for n in (0, each * (3 if self.use_gate else 2), each)]
        self.build([(None, None, n) for n in features])

    def take_form(self, shapes):
        """Expect quantised projections where there are scales: Keras does not write of them into the config."""
        self.parts, expected = {}, dict(self.weight_shapes_of_parts())
        for label, kernel in self.kernel_shapes.items():
            found = {name.rpartition("/")[2]: shape for name, shape in shapes.items() if name.startswith(f"{label}/")}
            policy = policy_of(found, kernel, self.policy)
            if policy is not None:
                part = self.parts[label] = self._part(label, kernel, policy)
                expected[label] = {f"{label}/{name}": shape for name, shape in part.expected_shapes.items()}
        if self.parts:
            self.policy = next(iter(self.parts.values())).policy
            self.expected_shapes = {name: shape for named in expected.values() for name, shape in named.items()}

    def weight_names(self):
        """Return the names of the weights in Keras's order: in every projection, that of its quantised kind."""
        names = super().weight_names()
        found = []
        for label in getattr(self, "kernel_shapes", ()):
            own = [name.partition("/")[2] for name in names if name.startswith(f"{label}/")]
            scheme = self.parts[label].scheme if label in self.parts else None
            # what Keras made in float8 keeps its order: there is no way to load it
            own = own if scheme is None or scheme.mode == "float8" else in_keras_order(own, scheme)
            found += [f"{label}/{name}" for name in own]
        return found or names

    def weight_shapes_of_parts(self):
        """Return the expected shapes of the projections' weights, by label."""
        return {
            label: {name: shape for name, shape in self.expected_shapes.items() if name.startswith(f"{label}/")}
            for label in self.kernel_shapes
        }

    def _part(self, label, kernel, policy):
        """Return a quantised projection as a layer of its own."""
        free, back = "abcdefgh"[: self.rank - 1], label == "attention_output"
        summed, made = ("yz", "uvwx"[: len(kernel) - 2]) if back else ("z", "xy")
        part = EinsumDense(
            f"{free}{summed},{summed}{made}->{free}{made}",
            (*[None] * (self.rank - 2), *kernel[len(summed) :]),
            bias_axes=made if self.use_bias else None,
            name=label,
            dtype=policy,
        )
        part.build((*[None] * (self.rank - 1), *kernel[: len(summed)]))
        return part

    def pack(self):
        self.matrices = {}
        for label, part in self.parts.items():
            part.assign({name: self.weights[f"{label}/{name}"] for name in part.expected_shapes}, copy=False)
        for label in self.kernel_shapes:
            if label in self.parts:
                continue
            kernel = self.weights[f"{label}/kernel"]
            split = 2 if label == "attention_output" else 1
            self.matrices[label] = Matrix(kernel.reshape(math.prod(kernel.shape[:split]), -1))

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], *self.output_sizes(input_shape[0][-1]))

    def compute_call_shape(self, input_shape, kwargs):
        shape = self.compute_output_shape(input_shape)
        if not kwargs.get("return_attention_scores"):
            return shape
        axes = self.axes(len(input_shape[0]))
        query, value = input_shape[:2]
        outside = [n for k, n in enumerate(query[:-1]) if k not in axes]
        scores = (*outside, self.sizes()[0], *(query[k] for k in axes), *(value[k] for k in axes))
        return [shape, scores]

    # ------------------------------------------------------------ computing
    def call(self, inputs, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, use_causal_mask=False, training=False):  # fmt: skip
        """Never called: `run` does the work. Its signature names the arguments of a call."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, query_mask=None, value_mask=None, key_mask=None,
            attention_mask=None, return_attention_scores=False, use_causal_mask=False, training=False):  # fmt: skip
        carried = carried_mask if isinstance(carried_mask, (list, tuple)) else [None] * len(inputs)
        carried_query = carried[0]
        if self.semantics.attention_takes_masks:
            query_mask = self.mask_of_query(query_mask, carried_query)
            value_mask = carried[1] if value_mask is None else value_mask
            key_mask = carried[2] if key_mask is None and len(inputs) > 2 else key_mask
        query, value, key = (*(x := self.cast(inputs)), x[1])[:3]
        allowed = self._join_masks(query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask)
        y, scores = self._attend(query, value, key, allowed, return_attention_scores)
        return ([y, scores], [carried_query, None]) if return_attention_scores else (y, carried_query)

    def _join_masks(self, query, value, query_mask, value_mask, key_mask, attention_mask, use_causal_mask):
        queries, values = query.shape[1], value.shape[1]
        masks = [None if attention_mask is None else _as_bool(attention_mask)]
        masks += [None if query_mask is None else _as_bool(query_mask)[..., None]]
        masks += [None if m is None else _as_bool(m)[..., None, :] for m in (value_mask, key_mask)]
        if use_causal_mask:
            masks.append(causal_mask(queries, values))
        if self.sliding_window is not None:
            apart = np.abs(np.arange(queries)[:, None] - np.arange(values))
            masks.append((apart < self.sliding_window)[None])
        masks = [m for m in masks if m is not None]
        joined = masks[0] if masks else None
        for other in masks[1:]:
            joined = joined & other
        return joined

    def _project(self, label, x):
        if label in self.parts:
            return self.parts[label].call(x)
        kernel, bias = self.weights[f"{label}/kernel"], self.weights.get(f"{label}/bias")
        if x.shape[-1] != len(kernel):
            raise InputError(f"layer '{self.name}', {label}: found {x.shape}, expected {len(kernel)} features")
        y = self.matrices[label].multiply(x).reshape(*x.shape[:-1], *kernel.shape[1:])
        return y if bias is None else y + bias

    def _attend(self, query, value, key, allowed, with_scores):
        gate = apply(get("sigmoid"), self._project("gate", query)) if self.use_gate else None
        heads, own_heads, size, _ = self.sizes()
        scale = 1 / math.sqrt(size)
        scale = np.float32(scale) if self.semantics.attention_scale == "float32" else scale
        query = self._project("query", query) * query.dtype.type(scale)
        key, value = (np.repeat(self._project(label, x), heads // own_heads, axis=-2) if heads > own_heads
                      else self._project(label, x) for label, x in (("key", key), ("value", value)))  # fmt: skip
        axes = self.axes(query.ndim - 1)
        # (batch and what is not attended over, heads), (attended over), features
        order = [k for k in range(query.ndim - 1) if k not in axes] + axes + [query.ndim - 1]
        query, key, value = (x.transpose(order) for x in (query, key, value))
        outside, queries, keys = query.shape[: -len(axes) - 1], query.shape[-len(axes) - 1 : -1], key.shape
        keys = keys[-len(axes) - 1 : -1]
        q, k, v = (x.reshape(math.prod(outside), -1 if x.size else 0, x.shape[-1]) for x in (query, key, value))
        scores = multiply(q, k.swapaxes(1, 2)).reshape(*outside, *queries, *keys)
        if allowed is not None:
            while allowed.ndim < scores.ndim:
                allowed = np.expand_dims(allowed, -2 * len(axes) - 1)
            allowed = self._fit(allowed, scores.shape).reshape(*outside, *queries, -1)
        weights = softmax(scores.reshape(*outside, *queries, -1), allowed, self._rule(with_scores, len(order)))
        y = multiply(weights.reshape(len(q), *q.shape[1:2], -1), v).reshape(*outside, *queries, v.shape[-1])
        y = y.transpose(np.argsort(order))
        y = y if gate is None else y * gate
        return self._back(y), weights.reshape(scores.shape)

    def _back(self, y):
        if "attention_output" in self.parts:
            return self.parts["attention_output"].call(y)
        kernel, bias = self.weights["attention_output/kernel"], self.weights.get("attention_output/bias")
        y = self.matrices["attention_output"].multiply(y.reshape(*y.shape[:-2], -1))
        y = y.reshape(*y.shape[:-1], *kernel.shape[2:])
        return y if bias is None else y + bias

    def _rule(self, with_scores, rank):
        if self.semantics.attention_is_fused and not (with_scores or self.dropout > 0 or rank != 4):
            return "even"
        return self.semantics.masked_softmax

    def _fit(self, mask, shape):
        try:
            return np.broadcast_to(mask, shape)
        except ValueError:
            raise InputError(f"layer '{self.name}': found a mask of {mask.shape}, expected one for {shape}") from None


def _as_bool(mask):
    return np.asarray(mask).astype(bool)


class MultiHeadAttention(_MultiHead):
    """Attention of several heads, each with projections of its own (Vaswani et al.).

    Parameters
    ----------
    num_heads, key_dim : int
        Heads, and the size of each head's queries and keys.
    value_dim : int, optional
        Size of each head's values; `key_dim` unless given.
    dropout : float
        Of training; in Keras 3.7 and later it also decides what a query gets whose every value is masked.
    use_bias : bool
    output_shape : int or sequence of int, optional
        Of the last axes of the output; those of the query unless given.
    attention_axes : int or sequence of int, optional
        Axes that are attended over; all between batch and features unless given.
    sliding_window : int, optional
        A query looks only at values less than so many timesteps away.
    use_gate : bool
        Whether a sigmoid of the query multiplies what the heads return.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses; ``flash_attention`` changes nothing here.

    Notes
    -----
    Called as ``layer(query, value, key=None, attention_mask=None, return_attention_scores=False,
    use_causal_mask=False)``. As in Keras 3.8 and later, ``query_mask=`` has no say: the mask that travels with the
    query has.

    A file with quantised projections does not say whether Keras rounds what goes into them: they are taken as its
    default is, which rounds with int8 and float8 and does not with int4.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=3, use_bias=False)
    >>> layer.set_weights([*[np.ones((4, 2, 3))] * 3, np.ones((2, 3, 4))])
    >>> layer(np.ones((1, 5, 4)), np.ones((1, 7, 4))).shape
    (1, 5, 4)
    """

    is_called_by_depth = True
    config_names = ("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes",
                    "sliding_window", "use_gate")  # fmt: skip

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        use_gate=False,
        **kwargs,
    ):
        super().__init__(dropout, use_bias, use_gate, sliding_window, **kwargs)
        self.num_heads, self.key_dim, self.value_dim = int(num_heads), int(key_dim), int(value_dim or key_dim)
        if min(self.num_heads, self.key_dim, self.value_dim) < 1:
            raise InputError(f"layer '{self.name}': found sizes below 1 in {self.sizes()}")
        self.output_shape = [output_shape] if isinstance(output_shape, int) else list(output_shape or []) or None
        self.attention_axes = [attention_axes] if isinstance(attention_axes, int) else attention_axes and list(
            attention_axes)  # fmt: skip

    def sizes(self):
        """Return heads of the query, heads of the value, size of a key, size of a value."""
        return self.num_heads, self.num_heads, self.key_dim, self.value_dim

    def output_sizes(self, features):
        """Return the sizes of the output's last axes for queries of so many features."""
        return tuple(self.output_shape or [features])

    def axes(self, rank):
        """Return the axes that are attended over, for inputs of `rank` axes."""
        axes = [axis % rank for axis in self.attention_axes or range(1, rank - 1)]
        if not axes or len(set(axes)) < len(axes) or not all(0 < axis < rank - 1 for axis in axes):
            raise InputError(f"layer '{self.name}': found attention_axes {self.attention_axes} for {rank} axes")
        return axes

    def mask_of_query(self, given, carried):
        """Return the mask of the query: today only the one that travels with it counts."""
        return carried if self.semantics.attention_takes_masks_away or given is None else given

    @property
    def takes_masks_away(self):
        """Whether the inputs have lost their masks for whoever takes them next."""
        return self.semantics.attention_takes_masks_away


class GroupQueryAttention(_MultiHead):
    """Attention in which several heads of the query share one of keys and values (Ainslie et al.).

    Parameters
    ----------
    head_dim, num_query_heads, num_key_value_heads : int
    dropout : float
        Of training; it also decides what a query gets whose every value is masked.
    use_bias : bool
    sliding_window : int, optional
        A query looks only at values less than so many timesteps away.
    use_gate : bool
        Whether a sigmoid of the query multiplies what the heads return.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses; ``flash_attention`` changes nothing here.

    Notes
    -----
    Called as `MultiHeadAttention` is.

    Examples
    --------
    >>> import numpy as np
    >>> layer = GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2, use_bias=False)
    >>> layer.set_weights([np.ones((5, 4, 3)), *[np.ones((5, 2, 3))] * 2, np.ones((4, 3, 5))])
    >>> layer(np.ones((1, 6, 5)), np.ones((1, 7, 5))).shape
    (1, 6, 5)
    """

    config_names = ("head_dim", "num_query_heads", "num_key_value_heads", "dropout", "use_bias", "sliding_window",
                    "use_gate")  # fmt: skip

    def __init__(
        self,
        head_dim,
        num_query_heads,
        num_key_value_heads,
        dropout=0.0,
        use_bias=True,
        sliding_window=None,
        use_gate=False,
        **kwargs,
    ):
        super().__init__(dropout, use_bias, use_gate, sliding_window, **kwargs)
        self.head_dim, self.num_query_heads = int(head_dim), int(num_query_heads)
        self.num_key_value_heads = int(num_key_value_heads)
        if min(self.sizes()) < 1 or self.num_query_heads % self.num_key_value_heads:
            raise InputError(f"layer '{self.name}': found sizes that do not fit in {self.get_config()}")

    def build(self, input_shape):
        super().build(input_shape)
        if any(len(shape) != 3 for shape in input_shape):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, timesteps, features)")

    def sizes(self):
        """Return heads of the query, heads of the value, size of a key, size of a value."""
        return self.num_query_heads, self.num_key_value_heads, self.head_dim, self.head_dim

    def output_sizes(self, features):
        """Return the sizes of the output's last axes for queries of so many features."""
        return (features,)

    def axes(self, rank):
        """Return the axes that are attended over."""
        return [1]

    def mask_of_query(self, given, carried):
        """Return the mask of the query: the one that is given, else the one that travels with it."""
        return carried if given is None else given
