"""Low-rank factors beside a kernel or a table of vectors: the adapters that Keras 3 calls LoRA.

Sources: ``enable_lora`` of ``keras/src/layers/core/dense.py`` and its like in Keras 3.15.
"""

import numpy as np

from ..errors import InputError
from .base import Layer

KERNEL, TABLE = "kernel", "embeddings"


class LowRank(Layer):
    """A layer to whose weight `adapted` two factors may be added: ``lora_alpha / lora_rank * a @ b``.

    Parameters
    ----------
    lora_rank : int, optional
        There are factors, of so many columns and rows.
    lora_alpha : float, optional
        `lora_rank` unless given.
    """

    adapted = KERNEL
    scheme = None

    def __init__(self, *args, lora_rank=None, lora_alpha=None, **kwargs):
        super().__init__(*args, **kwargs)
        if lora_rank is not None and (isinstance(lora_rank, bool) or not isinstance(lora_rank, int) or lora_rank < 0):
            raise InputError(f"layer '{self.name}': found lora_rank {lora_rank!r}, expected a number from 1")
        self.lora_rank = lora_rank or None
        self.lora_alpha = self.lora_rank if lora_alpha is None else lora_alpha

    def factor_shapes(self, shape):
        """Return the shapes of the factors, by name, for the adapted weight's own shape.

        Raises
        ------
        InputError
            The layer computes in float8, which Keras does not do beside factors.
        """
        if self.lora_rank is None:
            return {}
        if self.scheme is not None and self.scheme.mode == "float8" and not self.scheme.raw:
            raise InputError(f"layer '{self.name}': found lora_rank {self.lora_rank} in float8, expected other weights")
        first, second = self.factor_names()
        return {first: (*shape[:-1], self.lora_rank), second: (self.lora_rank, shape[-1])}

    def factor_names(self):
        """Return the names of both factors."""
        return [f"lora_{self.adapted}_{side}" for side in "ab"]

    def added(self):
        """Return what the factors add to the adapted weight, in float64; None if that is nothing."""
        first, second = (self.weights.get(name) for name in self.factor_names())
        if first is None or not (first.any() and second.any()):
            return None
        return float(self.lora_alpha) / self.lora_rank * (first.astype(np.float64) @ second.astype(np.float64))

    def adapt(self, weight):
        """Return a weight that is not quantised together with what the factors add to it."""
        added = self.added()
        return weight if added is None else (weight + added).astype(weight.dtype)

    def weight_names(self):
        return in_keras_order(super().weight_names(), self.scheme)


def in_keras_order(names, scheme):
    """Return names of weights in the order in which Keras 3 lists them: first those that training would change.

    >>> from lstm_infer.layers.quantization import Scheme
    >>> in_keras_order(["kernel", "bias", "kernel_scale"], Scheme.of("int8_from_float32", None))
    ['bias', 'kernel', 'kernel_scale']
    """
    mode = None if scheme is None else scheme.mode

    def place(name):
        if mode is None:
            return name.startswith("lora_")
        if mode == "float8":  # built before the kernel, when a model is loaded
            return not name.endswith(("_scale", "_amax_history"))
        return 0 if name == "bias" else 1 if name.startswith("lora_") else 2

    return sorted(names, key=place)
