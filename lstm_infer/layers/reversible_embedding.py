"""An embedding that can be read in both directions."""

import numpy as np

from ..errors import InputError
from .contraction import Matrix
from .core import Embedding, join_given_mask
from .quantization import reverse_kernel, reverse_shapes, table


class ReversibleEmbedding(Embedding):
    """Looks up a vector for every id; called with ``reverse=True``, makes scores of all ids from vectors.

    Parameters
    ----------
    input_dim : int
        The number of ids.
    output_dim : int
        The size of a vector.
    tie_weights : bool
        Whether both directions share their weights.
    mask_zero : bool
        Whether id 0 means a timestep that does not count.
    reverse_dtype : str, optional
        Of the scores' computation; ``"float64"`` or one that is computed in float32.
    logit_soft_cap : float, optional
        Scores are bent so that none is larger: ``cap * tanh(scores / cap)``.
    quantization_config : dict, optional
        With a quantised ``dtype``: how vectors are rounded.
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Source: ``keras/src/layers/core/reversible_embedding.py`` of Keras 3.15.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ReversibleEmbedding(3, 2)
    >>> layer.set_weights([[[1, 0], [0, 1], [1, 1]]])
    >>> layer(np.array([[2.0, 5.0]]), reverse=True).tolist()
    [[2.0, 5.0, 7.0]]
    """

    config_names = ("input_dim", "output_dim", "tie_weights", "mask_zero", "reverse_dtype", "logit_soft_cap",
                    "quantization_config", "lora_rank", "lora_alpha")  # fmt: skip

    def __init__(
        self,
        input_dim,
        output_dim,
        tie_weights=True,
        mask_zero=False,
        reverse_dtype=None,
        logit_soft_cap=None,
        quantization_config=None,
        **kwargs,
    ):
        super().__init__(input_dim, output_dim, mask_zero, quantization_config=quantization_config, **kwargs)
        self.tie_weights, self.reverse_dtype, self.logit_soft_cap = tie_weights, reverse_dtype, logit_soft_cap

    def weight_shapes(self, input_shape):
        shapes = super().weight_shapes(input_shape)
        if self.tie_weights:
            return shapes
        return {**shapes, **reverse_shapes(self.scheme, self.input_dim, self.output_dim)}

    def pack(self):
        super().pack()
        dtype = np.float64 if self.reverse_dtype == "float64" else self.dtype
        kernel = self._tied().T if self.tie_weights else reverse_kernel(self.scheme, self.weights, self.output_dim)
        self.matrix = Matrix(np.ascontiguousarray(kernel, dtype))

    def _tied(self):
        """Return the table of the way back: what low-rank factors add to a quantised one is not in it."""
        apart = self.scheme is not None and self.added() is not None
        return table(self.scheme, self.weights, self.output_dim) if apart else self.table

    def compute_call_shape(self, input_shape, kwargs):
        return (*input_shape[:-1], self.input_dim) if kwargs.get("reverse") else self.compute_output_shape(input_shape)

    def run(self, inputs, carried_mask, context, mask=None, reverse=False, **kwargs):
        if not reverse:
            return super().run(inputs, carried_mask, context, mask=mask)
        x = np.asarray(inputs).astype(self.dtype, copy=False)
        if x.shape[-1] != self.output_dim:
            expected = (*[None] * (x.ndim - 1), self.output_dim)
            raise InputError(f"layer '{self.name}': found {x.shape}, expected {expected}")
        return self._score(x), join_given_mask(None, carried_mask, context)

    def _score(self, x):
        if self.scheme is not None:
            x = self.scheme.round(x, -1, self.weights)
        scores = self.matrix.multiply(x.astype(self.matrix.kernel.dtype, copy=False))
        if self.logit_soft_cap is not None:
            cap = float(self.logit_soft_cap)
            scores = (np.tanh(scores.astype(np.float64) / cap) * cap).astype(scores.dtype)
        return scores

    def call(self, inputs, reverse=False):
        return super().call(inputs)
