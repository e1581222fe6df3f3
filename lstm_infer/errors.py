"""The errors this package raises on purpose.

::

    LSTMInferError
    ├── LoadError (also a ValueError)        a file, or what it holds, cannot become a model
    │   └── UnsupportedLayerError            ... because it needs layers or functions that are not here
    └── InputError (also a ValueError)       data or arguments given to a model do not fit it

Every message is one sentence that says where (file, layer, array), what was found and what was expected.
`FileNotFoundError` and `PermissionError` pass through unchanged.
"""


class LSTMInferError(Exception):
    """Base of every error this package raises on purpose."""


class LoadError(LSTMInferError, ValueError):
    """A file, or what it holds, cannot become a model."""


class UnsupportedLayerError(LoadError):
    """A model needs layers or functions that are neither built in nor given as ``custom_objects``."""


class InputError(LSTMInferError, ValueError):
    """Data or arguments given to a model do not fit it."""
