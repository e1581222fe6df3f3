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


MOST_SHOWN = 4000
"""Characters of a message about a file: what it quotes may be of any length."""


MAY_BE_PLAIN = (
    "whose layers are in the file, but the class may compute more than them; where it does not (where it only has a "
    "train_step of its own), give custom_objects={{{!r}: li.Model}}"
)
"""What is said of a model whose class is somebody's own."""


class LoadError(LSTMInferError, ValueError):
    """A file, or what it holds, cannot become a model."""

    def __init__(self, message=""):
        if len(message) > MOST_SHOWN:
            message = f"{message[: MOST_SHOWN - 500]} ... {message[-495:]}"
        super().__init__(message)


class UnsupportedLayerError(LoadError):
    """A model needs layers or functions that are neither built in nor given as ``custom_objects``."""


class InputError(LSTMInferError, ValueError):
    """Data or arguments given to a model do not fit it."""
