"""Activations that Keras also has as layers, with arguments of their own."""

import numpy as np

from ..errors import InputError
from . import activations
from .base import Layer


class _ActivationLayer(Layer):
    """A layer whose config means an activation, by `activations.LAYER_ACTIVATIONS`."""

    supports_masking = True
    per_timestep = True

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        config = {name: getattr(self, name) for name in self.config_names}
        function = activations.get({"class_name": type(self).__name__, "config": config})
        return activations.apply(function, inputs)


class ReLU(_ActivationLayer):
    """``x`` from `threshold` to `max_value`, and a slope below.

    Parameters
    ----------
    max_value : float, optional
    negative_slope, threshold : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU(max_value=2.0)(np.array([[-1.0, 1.0, 3.0]])).tolist()
    [[0.0, 1.0, 2.0]]
    """

    config_names = ("max_value", "negative_slope", "threshold")

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    @property
    def keeps_integers(self):
        """Whether whole numbers have whole numbers as answers."""
        return activations.relu_keeps_integers(self.max_value, self.negative_slope, self.threshold)

    def call(self, inputs):
        if inputs.dtype.kind not in "iu":
            return super().call(inputs)
        return activations.relu_of_integers(inputs, self.max_value, self.negative_slope, self.threshold)


class LeakyReLU(_ActivationLayer):
    """``x``, and `negative_slope` times ``x`` below zero.

    Parameters
    ----------
    negative_slope : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> LeakyReLU(0.5)(np.array([[-1.0, 1.0]])).tolist()
    [[-0.5, 1.0]]
    """

    config_names = ("negative_slope",)

    def __init__(self, negative_slope=0.3, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = negative_slope


class ELU(_ActivationLayer):
    """``x``, and ``alpha * (exp(x) - 1)`` below zero.

    Parameters
    ----------
    alpha : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ELU()(np.array([[-1.0, 1.0]])).round(4).tolist()
    [[-0.632099986076355, 1.0]]
    """

    config_names = ("alpha",)

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha


class ThresholdedReLU(_ActivationLayer):
    """``x`` above `theta`, else zero.

    Parameters
    ----------
    theta : float
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> ThresholdedReLU()(np.array([[1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    config_names = ("theta",)

    keeps_integers = True

    def __init__(self, theta=1.0, **kwargs):
        super().__init__(**kwargs)
        self.theta = theta

    def call(self, inputs):
        if inputs.dtype.kind not in "iu":
            return super().call(inputs)
        return np.where(inputs > int(self.theta), inputs, inputs.dtype.type(0))


class PReLU(Layer):
    """``x``, and a learned slope times ``x`` below zero.

    Parameters
    ----------
    shared_axes : sequence of int, optional
        Axes along which the slope is the same; the first after the batch is 1.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Examples
    --------
    >>> import numpy as np
    >>> layer = PReLU()
    >>> layer.build((None, 2))
    >>> layer.set_weights([[0.5, 0.25]])
    >>> layer(np.array([[-1.0, -1.0]])).tolist()
    [[-0.5, -0.25]]
    """

    supports_masking = True
    config_names = ("shared_axes",)

    def __init__(self, shared_axes=None, **kwargs):
        super().__init__(**kwargs)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else list(shared_axes or [])

    @property
    def per_timestep(self):
        """Whether all timesteps have the same slopes."""
        return 1 in self.shared_axes

    def weight_shapes(self, input_shape):
        return {"alpha": tuple(1 if n in self.shared_axes else m for n, m in enumerate(input_shape) if n)}

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return np.where(inputs > 0, inputs, self.weights["alpha"] * inputs)


class Softmax(Layer):
    """Softmax over an axis, or over several together.

    Parameters
    ----------
    axis : int or sequence of int
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax()(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    has_mask_argument = True
    supports_masking = True
    config_names = ("axis",)

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    @property
    def per_timestep(self):
        """Whether the softmax is over the last axis alone."""
        return self.axis == -1

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, mask=None):
        heeds = self.semantics.softmax_mask
        if heeds == "ignored" or (heeds == "fitting" and np.shape(mask) != inputs.shape):
            mask = None
        mask = None if mask is None else self._fit(mask, inputs.shape)
        # Keras makes zeros of what is masked; before 3.10, where everything was masked, the values still had their say
        zeroes = mask is not None and self.semantics.masked_softmax == "zeros"
        if mask is not None:
            far_down = inputs.dtype.type(-1e9)
            inputs = np.where(mask, inputs, far_down if zeroes else inputs + far_down)
        axes = [self.axis] if isinstance(self.axis, int) else list(self.axis)
        ends = list(range(-len(axes), 0))
        last = np.moveaxis(inputs, axes, ends)
        y = activations.apply(activations.get("softmax"), last.reshape(*last.shape[: -len(axes)], -1))
        y = np.moveaxis(y.reshape(last.shape), ends, axes)
        return np.where(mask, y, y.dtype.type(0)) if zeroes else y

    def _fit(self, mask, shape):
        try:
            return np.broadcast_to(np.asarray(mask, bool), shape)
        except ValueError:
            found = np.shape(mask)
            raise InputError(f"layer '{self.name}': found a mask of shape {found}, expected one for {shape}") from None
