"""Pooling of all places of a sequence, an image or a volume into one."""

import numpy as np

from ..errors import InputError
from ..kernels.reductions import average_timesteps
from .base import Layer, readonly
from .space import FORMATS, at_door, channels_last, check_rank, join, one_of, split


class _GlobalPooling(Layer):
    """All places become one."""

    rank = 1
    config_names = ("data_format", "keepdims")

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        with at_door(self):
            self.data_format = one_of(data_format or "channels_last", FORMATS, "data_format")
        self.keepdims = keepdims

    def compute_output_shape(self, input_shape):
        check_rank(self, input_shape, self.rank)
        batch, channels = input_shape[0], split(input_shape, self.data_format)[1]
        return join(batch, (1,) * self.rank if self.keepdims else (), channels, self.data_format)

    def _places_in_line(self, inputs):
        """Return the inputs as (batch, places, channels)."""
        check_rank(self, inputs.shape, self.rank)
        x = channels_last(inputs, self.data_format)
        return x.reshape(len(x), int(np.prod(x.shape[1:-1], dtype=np.int64)), x.shape[-1])

    def _placed(self, y):
        return y.reshape(join(len(y), (1,) * self.rank if self.keepdims else (), y.shape[-1], self.data_format))


class _GlobalMaxPooling(_GlobalPooling):
    keeps_integers = True

    def call(self, inputs):
        return self._placed(np.moveaxis(self._places_in_line(inputs), 1, 0).max(axis=0))


class _GlobalAveragePooling(_GlobalPooling):
    keeps_integers = True

    def output_dtype(self, inputs):
        is_kept = inputs.dtype.kind == "f" or (self.semantics.whole_means and inputs.dtype.kind != "b")
        return super().output_dtype(inputs) if is_kept else self.dtype  # if there is no mask

    def call(self, inputs):
        return self._average(inputs, None)

    def _average(self, inputs, mask):
        x = self._places_in_line(inputs)
        is_masked = mask is not None
        mask = np.asarray(mask, bool) if is_masked else np.ones(x.shape[:2], bool)
        if mask.shape != x.shape[:2]:
            raise InputError(f"layer '{self.name}': found a mask of shape {mask.shape}, expected {x.shape[:2]}")
        if x.dtype.kind in "biu":
            return self._placed(self._average_of_integers(x, mask, is_masked))
        y = np.empty((x.shape[0], x.shape[2]), x.dtype)
        average_timesteps(readonly(x), readonly(mask), y)
        return self._placed(y)

    def _quotient_of(self, dtype):
        """Return what Keras makes of whole numbers by dividing by a count: Keras 3 widens their sum first."""
        return np.dtype(np.float64 if dtype.itemsize > 2 or not self.semantics.whole_means else self.dtype)

    def _average_of_integers(self, x, mask, is_masked):
        """Return the means of whole numbers, whose sums are exact: with a mask Keras divides these by their count."""
        sums = np.where(mask[..., None], x, x.dtype.type(0)).sum(axis=1, dtype=np.int64)
        if is_masked:
            with np.errstate(all="ignore"):
                means = sums / mask.sum(axis=1)[:, None]
            return means.astype(self._quotient_of(x.dtype))
        if self.semantics.whole_means and x.dtype.kind != "b":
            return (np.sign(sums) * (np.abs(sums) // max(x.shape[1], 1))).astype(x.dtype)  # towards zero
        return (sums / max(x.shape[1], 1)).astype(self.dtype)


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest over time.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[3.0]]
    """


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest over an image.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling2D()(np.array([[[[1.0], [3.0]], [[2.0], [0.0]]]])).tolist()
    [[3.0]]
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest over a volume.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling3D(keepdims=True)(np.ones((2, 3, 4, 5, 6))).shape
    (2, 1, 1, 1, 6)
    """

    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean over time, of the timesteps that are not masked.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    A row of which everything is masked gives NaN, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling1D()(np.array([[[1.0], [3.0], [2.0]]])).tolist()
    [[2.0]]
    """

    has_mask_argument = True

    def output_dtype(self, inputs):
        masked = inputs.dtype.kind in "biu" and _carries_mask(inputs)
        return self._quotient_of(inputs.dtype) if masked else super().output_dtype(inputs)

    def compute_mask(self, inputs, mask=None):
        return None

    def call(self, inputs, mask=None):
        return self._average(inputs, mask)


def _carries_mask(tensor):
    """Whether there will be a mask with a symbolic tensor of whole numbers."""
    layer = tensor.node.layer
    if layer.mask_role == "makes":
        return True
    found = [_carries_mask(parent) for parent in tensor.node.parents] if layer.supports_masking else []
    either = layer.mask_role.startswith("joins") and layer.semantics.merge_mask == "all"
    return any(found) if either else bool(found) and all(found)


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean over an image.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.array([[[[1.0], [3.0]], [[2.0], [0.0]]]])).tolist()
    [[1.5]]
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean over a volume.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
    keepdims : bool
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling3D(keepdims=True)(np.ones((2, 3, 4, 5, 6))).shape
    (2, 1, 1, 1, 6)
    """

    rank = 3
