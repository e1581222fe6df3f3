"""The layers at the core of most models: inputs, Dense, Embedding, Masking, dropout and activation."""

import math

import numpy as np

from ..errors import InputError
from ..kernels import dense as tiles
from ..kernels import packing
from ..kernels.product import dense
from ..kernels.tile import NOTHING
from ..kernels.update import activation_function
from . import activations, memory
from .base import Layer, Node, Tensor, readonly, tell_watchers
from .low_rank import TABLE, LowRank
from .quantization import Scheme, table, table_shapes
from .structure import map_structure

empty, FLOAT32 = np.empty, np.dtype(np.float32)


class InputLayer(Layer):
    """The place where data enters a model.

    Parameters
    ----------
    shape : tuple of int or None, optional
        Without the batch.
    batch_shape : tuple of int or None, optional
        With it.
    dtype : str, optional
        Of the data: ``"float32"`` unless given.
    name : str, optional
    """

    supports_masking = True

    def __init__(self, shape=None, batch_shape=None, dtype=None, name=None, **kwargs):
        kwargs = {word: value for word, value in kwargs.items() if word not in ("sparse", "ragged", "optional")}
        super().__init__(name=name, dtype=dtype, **kwargs)
        if batch_shape is None:
            if shape is None:
                raise InputError(f"input '{self.name}' needs a shape")
            batch_shape = (kwargs.get("batch_size"), *shape)
        self.batch_shape = tuple(batch_shape)
        if self.policy not in ("bfloat16", "string") and np.dtype(self.policy).kind not in "biuf":
            raise InputError(f"input '{self.name}': found dtype {self.policy!r}, expected one of numbers, or string")
        self.expected_shapes = {}
        node = Node(self, [], {})
        node.outputs = Tensor(self.batch_shape, self.input_dtype, self.name, node, 0)
        self.nodes.append(node)

    @property
    def input_dtype(self):
        """The dtype that data is cast to; 16-bit floats are taken as float32, texts are arrays of bytes objects."""
        if self.policy == "string":
            return np.dtype(object)
        dtype = np.dtype(np.float32 if self.policy == "bfloat16" else self.policy)
        return np.dtype(np.float32) if dtype == np.float16 else dtype

    def get_config(self):
        return {"name": self.name, "dtype": self.policy, "batch_shape": self.batch_shape}

    def call(self, inputs):
        return inputs


def Input(shape=None, batch_shape=None, dtype=None, name=None):  # noqa: N802  (Keras's name)
    """Return the symbolic input of a model.

    Parameters
    ----------
    shape : tuple of int or None, optional
        Without the batch.
    batch_shape : tuple of int or None, optional
        With it.
    dtype : str, optional
    name : str, optional

    Returns
    -------
    Tensor

    Examples
    --------
    >>> Input((None, 3), name="x")
    <Tensor x: shape=(None, None, 3), dtype=float32>
    """
    return InputLayer(shape, batch_shape, dtype, name).nodes[0].outputs


class _Activated(Layer):
    """A layer with one activation: what its name means depends on the Keras it follows."""

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.given_activation = activation
        self._settle_activation()

    def _settle_activation(self):
        self.activation = activations.settle(self.given_activation, self.semantics)
        self.function = activations.get(self.activation)

    def adopt(self, semantics):
        super().adopt(semantics)
        self._settle_activation()


class Dense(LowRank, _Activated):
    """``activation(x @ kernel + bias)`` over the last axis.

    Parameters
    ----------
    units : int
    activation : str or callable, optional
    use_bias : bool
    quantization_config : dict, optional
        With a quantised ``dtype`` (``"int8_from_float32"``, ...): how activations are rounded.
    **kwargs
        ``name``, ``dtype``, those of `LowRank` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dense(2, activation="relu")
    >>> layer.set_weights([np.ones((3, 2)), [-1, -9]])
    >>> layer(np.ones((1, 3)))
    array([[2., 0.]], dtype=float32)
    """

    supports_masking = True
    per_timestep = True
    config_names = ("units", "activation", "use_bias", "quantization_config", "lora_rank", "lora_alpha")

    def __init__(self, units, activation=None, use_bias=True, quantization_config=None, **kwargs):
        super().__init__(activation, **kwargs)
        self.units, self.use_bias, self.quantization_config = int(units), use_bias, quantization_config
        self.scheme = Scheme.of(self.policy, quantization_config)

    def weight_shapes(self, input_shape):
        self.kernel_shape = (input_shape[-1], self.units)
        bias = {"bias": (self.units,)} if self.use_bias else {}
        factors = self.factor_shapes(self.kernel_shape)
        if self.scheme is None:
            return {"kernel": self.kernel_shape, **bias, **factors}
        if None in self.kernel_shape:
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected a fixed number of features")
        return {**self.scheme.weight_shapes(self.kernel_shape, self.kernel_shape, bias), **factors}

    def build_from(self, weights):
        if self.scheme is not None:
            raise InputError(f"layer '{self.name}' must be called before its weights can be set")
        self.build((None, weights[0].shape[0]))

    def adopt(self, semantics):
        super().adopt(semantics)
        if self.weights:
            self.pack()
            tell_watchers()

    def pack(self):
        bias, self.wide = self.weights.get("bias"), False
        if self.scheme is None:
            self.kernel = self.adapt(self.weights["kernel"])
        else:
            self.kernel = self.scheme.kernel(self.weights, self.kernel_shape, self.kernel_shape)
            self._add_factors(self.added())
            bias = self.scheme.bias(self.weights)
        self.bias = np.zeros(self.units, self.dtype) if bias is None else bias
        self.packed = None
        if self.dtype == np.float32:
            fits = not callable(self.function) and packing.knows(self.dtype, self.function)
            f, self.last = (self.function, None) if fits else (NOTHING, self.function)
            self.packed = packing.pack_dense(self.kernel, self.bias, f)

    def _add_factors(self, added):
        if added is not None:
            added = added.astype(self.dtype)
            self.wide = self.scheme.rounds()  # then the kernel sees rounded features, and the factors all of them
            self.kernel = np.concatenate([self.kernel, added]) if self.wide else self.kernel + added

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units // 2 if self.activation == "glu" else self.units)

    def call(self, inputs):
        features = len(self.kernel) // 2 if self.wide else len(self.kernel)
        if inputs.shape[-1] != features:
            expected = (*[None] * (inputs.ndim - 1), features)
            raise InputError(f"layer '{self.name}': found {inputs.shape}, expected {expected}")
        x = np.ascontiguousarray(inputs if self.scheme is None else self.scheme.round(inputs, -1, self.weights))
        if self.wide:
            x, features = np.concatenate([x, inputs], axis=-1), len(self.kernel)
        y = memory.empty((*inputs.shape[:-1], self.units), self.dtype)
        if self.packed is None:
            return self._compute_generally(x.reshape(-1, features), y)
        packed, rows = self.packed, y.size // self.units
        f, own = activation_function(packed.cell), np.empty(tiles.SCRATCH, np.float32)
        tiles.compiled(packed.loop)(packed.loop, packed.weights, f, x, y, rows, features, self.units, own)
        return y if self.last is None else activations.apply(self.last, y)

    def runner(self, shape):
        """Return a function that computes inputs of one shape again and again."""
        packed, shape, scratch = self.packed, (*shape[:-1], self.units), tiles.SCRATCH
        numbers = (math.prod(shape[:-1]), packed.features, self.units)
        entry, f = tiles.compiled(packed.loop), activation_function(packed.cell)
        loop, weights = packed.loop, packed.weights

        def compute(x, threads=1, soon=False):
            y = memory.empty(shape, FLOAT32)
            entry(loop, weights, f, x, y, *numbers, empty(scratch, FLOAT32))
            return y

        return compute

    def _compute_generally(self, rows, y):
        coded = not callable(self.function)
        f = self.function if coded else activations.get(None)
        dense(readonly(rows), readonly(self.kernel), self.bias, f, y.reshape(-1, self.units))
        return y if coded else activations.apply(self.function, y)


class Embedding(LowRank):
    """Looks up a vector for every id.

    Parameters
    ----------
    input_dim : int
        The number of ids.
    output_dim : int
        The size of a vector.
    mask_zero : bool
        Whether id 0 means a timestep that does not count.
    quantization_config : dict, optional
        Changes nothing here: only with a quantised ``dtype`` are the vectors kept in fewer bits.
    **kwargs
        ``name``, ``dtype``, those of `LowRank` and the arguments that only training uses.

    Raises
    ------
    InputError
        An id outside ``[0, input_dim)``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Embedding(3, 2)
    >>> layer.set_weights([np.arange(6).reshape(3, 2)])
    >>> layer(np.array([[2, 0]])).tolist()
    [[[4.0, 5.0], [0.0, 1.0]]]
    """

    mask_role = "looks up"
    per_timestep = True
    adapted = TABLE
    config_names = ("input_dim", "output_dim", "mask_zero", "quantization_config", "lora_rank", "lora_alpha")

    def __init__(
        self, input_dim, output_dim, mask_zero=False, input_length=None, quantization_config=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.input_dim, self.output_dim, self.mask_zero = int(input_dim), int(output_dim), mask_zero
        self.quantization_config = quantization_config
        self.scheme = Scheme.of(self.policy, quantization_config)

    def weight_shapes(self, input_shape):
        factors = self.factor_shapes((self.input_dim, self.output_dim))
        if self.scheme is None:
            return {"embeddings": (self.input_dim, self.output_dim), **factors}
        return {**table_shapes(self.scheme, self.input_dim, self.output_dim), **factors}

    def pack(self):
        if self.scheme is None:
            self.table = self.adapt(self.weights["embeddings"])
            return
        self.table, added = table(self.scheme, self.weights, self.output_dim), self.added()
        self.table = self.table if added is None else self.table + added.astype(self.dtype)

    def build_from(self, weights):
        self.build(None)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def compute_mask(self, inputs, mask=None):
        return np.not_equal(inputs, 0) if self.mask_zero else None

    def cast(self, inputs):
        return np.asarray(inputs)

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        outputs, own = super().run(inputs, carried_mask, context, mask=mask)
        return outputs, join_given_mask(own, carried_mask, context)

    def call(self, inputs):
        ids = inputs.astype(np.int64)
        wrong = (ids < 0) | (ids >= self.input_dim)
        if wrong.any():
            found = ids[wrong].flat[0]
            raise InputError(f"layer '{self.name}': found id {found}, expected ids from 0 to {self.input_dim - 1}")
        return self.table[ids]


class Lambda(Layer):
    """A function of arrays as a layer; masks end here, as at a Lambda of Keras.

    Files name such layers, but the code that they hold is never run: the function comes from ``custom_objects``.

    Parameters
    ----------
    function : callable
        Of arrays. Its attributes ``per_timestep`` and ``takes_last_timestep`` mean what they mean of a `Layer`.
    arguments : dict, optional
        More arguments of the function.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Lambda(lambda x: x[:, -1])(np.ones((2, 5, 3))).shape
    (2, 3)
    """

    def __init__(self, function, arguments=None, **kwargs):
        super().__init__(**kwargs)
        self.function, self.arguments = function, arguments or {}
        self.per_timestep = getattr(function, "per_timestep", False)
        self.takes_last_timestep = getattr(function, "takes_last_timestep", False)

    def call(self, inputs):
        return self.function(inputs, **self.arguments)


class Masking(Layer):
    """Masks the timesteps whose features all equal one value, and sets them to zero.

    Parameters
    ----------
    mask_value : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Masking(mask_value=9.0)(np.array([[[1.0, 9.0], [9.0, 9.0]]])).tolist()
    [[[1.0, 9.0], [0.0, 0.0]]]
    """

    mask_role = "makes"
    per_timestep = True
    keeps_integers = True
    config_names = ("mask_value",)

    def __init__(self, mask_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.mask_value = mask_value

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_mask(self, inputs, mask=None):
        value = np.asarray(self.mask_value)  # 1.5 is no whole number's
        return np.any(inputs != (value if inputs.dtype.kind in "biu" else value.astype(inputs.dtype)), axis=-1)

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        outputs, own = super().run(inputs, carried_mask, context, mask=mask)
        return outputs, join_given_mask(own, carried_mask, context)

    def output_dtype(self, inputs):
        return _product_dtype(super().output_dtype(inputs))

    def call(self, inputs):
        y = np.where(self.compute_mask(inputs)[..., None], inputs, np.zeros((), inputs.dtype))
        return y.astype(_product_dtype(y.dtype), copy=False)


def _product_dtype(dtype):
    """Return what Keras makes of `dtype` by a multiplication, which is how it sets timesteps to zero."""
    return np.dtype(np.int32) if dtype.kind == "b" else dtype


def join_given_mask(own, carried, context):
    """Return the mask a layer makes; one that the caller gave for the inputs counts too."""
    if not context.is_given(carried):
        return own
    return carried if own is None else own & carried


class Identity(Layer):
    """Returns its inputs."""

    supports_masking = True
    per_timestep = True

    def compute_output_shape(self, input_shape):
        return input_shape

    def output_dtype(self, inputs):
        return inputs.dtype if isinstance(inputs, Tensor) and inputs.dtype.kind != "f" else super().output_dtype(inputs)

    def cast(self, inputs):
        return map_structure(lambda x: super(Identity, self).cast(x) if x.dtype.kind == "f" else x, inputs)

    def call(self, inputs):
        return inputs


class _TrainingOnly(Identity):
    """A layer that changes nothing at inference; its arguments are those of Keras."""

    words = ("rate", "noise_shape", "stddev", "l1", "l2", "data_format", "scale")

    def __init__(self, *args, **kwargs):
        super().__init__(**{word: value for word, value in kwargs.items() if word not in self.words})

    def run(self, inputs, carried_mask, context, mask=None, training=False, **kwargs):
        if training:
            raise InputError(f"layer '{self.name}' was called with training=True: its results are random by design")
        return super().run(inputs, carried_mask, context, mask=mask)


class Dropout(_TrainingOnly):
    """Nothing, at inference."""


class SpatialDropout1D(_TrainingOnly):
    """Nothing, at inference."""


class SpatialDropout2D(_TrainingOnly):
    """Nothing, at inference."""


class SpatialDropout3D(_TrainingOnly):
    """Nothing, at inference."""


class GaussianDropout(_TrainingOnly):
    """Nothing, at inference."""


class GaussianNoise(_TrainingOnly):
    """Nothing, at inference."""


class AlphaDropout(_TrainingOnly):
    """Nothing, at inference."""


class ActivityRegularization(_TrainingOnly):
    """Nothing, at inference."""


OF_INTEGERS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    "relu6": lambda x: np.clip(x, x.dtype.type(0), x.dtype.type(6)),
}
"""Activations that make whole numbers of whole numbers."""


class Activation(_Activated):
    """An activation as a layer.

    Parameters
    ----------
    activation : str or callable
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu")(np.array([-1.0, 2.0]))
    array([0., 2.], dtype=float32)
    """

    supports_masking = True
    per_timestep = True
    config_names = ("activation",)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] // 2) if self.activation == "glu" else input_shape

    @property
    def keeps_integers(self):
        """Whether whole numbers have whole numbers as answers."""
        return isinstance(self.activation, str) and self.activation in OF_INTEGERS

    def call(self, inputs):
        if inputs.dtype.kind in "biu" and self.keeps_integers:
            return OF_INTEGERS[self.activation](inputs)
        return activations.apply(self.function, inputs)
