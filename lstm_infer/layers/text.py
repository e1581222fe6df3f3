"""Texts as numbers: `TextVectorization` cleans, splits and looks up."""

import numpy as np

from ..errors import InputError
from .lookups import TEXT, StringLookup, as_texts

PUNCTUATION = b"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"
STANDARDIZE = (None, "lower_and_strip_punctuation", "lower", "strip_punctuation")
SPLIT = (None, "whitespace", "character")


class TextVectorization(StringLookup):
    """The numbers of a text's words in a vocabulary.

    Parameters
    ----------
    max_tokens : int, optional
    standardize : {"lower_and_strip_punctuation", "lower", "strip_punctuation", None}
        Only ASCII letters are lowered, as in Keras.
    split : {"whitespace", "character", None}
    ngrams : int or list of int, optional
        Take groups of words too: up to so many, or of just these sizes.
    output_mode : {"int", "multi_hot", "count", "tf_idf", "one_hot"}
    output_sequence_length : int, optional
        Cut or pad to so many numbers; else to those of the longest text of the batch.
    pad_to_max_tokens : bool
    vocabulary : list of str
    idf_weights : list of float, optional
    ragged : bool
        Must be False: there are no ragged arrays here.
    **kwargs
        ``name``, ``dtype``.

    Raises
    ------
    InputError
        The vocabulary is missing, or an argument is code.

    Examples
    --------
    >>> layer = TextVectorization(vocabulary=["the", "cat"], output_sequence_length=4)
    >>> layer(np.array(["The cat!", "a dog"]))
    array([[2, 3, 0, 0],
           [1, 1, 0, 0]])
    """

    config_names = (
        "max_tokens", "standardize", "split", "ngrams", "output_mode", "output_sequence_length", "pad_to_max_tokens",
        "vocabulary", "idf_weights",
    )  # fmt: skip

    def __init__(
        self,
        max_tokens=None,
        standardize="lower_and_strip_punctuation",
        split="whitespace",
        ngrams=None,
        output_mode="int",
        output_sequence_length=None,
        pad_to_max_tokens=False,
        vocabulary=None,
        idf_weights=None,
        sparse=False,
        ragged=False,
        **kwargs,
    ):
        self.standardize, self.split, self.ngrams = standardize, split, ngrams
        self.output_sequence_length = output_sequence_length
        super().__init__(
            max_tokens,
            mask_token="",
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            output_mode=output_mode,
            sparse=sparse,
            pad_to_max_tokens=pad_to_max_tokens,
            **kwargs,
        )
        self.per_timestep = False
        for word, value, known in (("standardize", standardize, STANDARDIZE), ("split", split, SPLIT)):
            if not (value is None or isinstance(value, str)) or value not in known:
                raise InputError(
                    f"layer '{self.name}': found {word}={str(value)[:60]!r}, expected one of {known}: "
                    "code in a file is never executed"
                )
        if ragged:
            raise InputError(f"layer '{self.name}': found ragged=True, expected False: there are no ragged arrays here")
        self.widths = _widths(self.name, ngrams)
        if self.output_mode == "one_hot" and split is not None:
            raise InputError(f"layer '{self.name}': found output_mode='one_hot', expected split=None with it")

    def compute_output_shape(self, input_shape):
        self._demand_vocabulary()
        if self.split is not None and len(input_shape) > 1 and input_shape[-1] not in (1, None):
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, expected (batch, 1)")
        if len(input_shape) > 2 or (self.split is None and len(input_shape) != 2):
            raise InputError(f"layer '{self.name}': found inputs {tuple(input_shape)}, expected (batch, texts)")
        words = None if self.split or self.widths else input_shape[-1]
        if self.output_mode == "int":
            return (input_shape[0], self.output_sequence_length or words)
        return self.encoded_shape((input_shape[0], words), self.depth)

    def call(self, inputs):
        self._demand_vocabulary()
        self.compute_output_shape(inputs.shape)
        numbers = [self.look_up(self._tokens(texts)) for texts in inputs.reshape(len(inputs), -1)]
        length = max(map(len, numbers), default=0)
        if self.output_mode == "int":
            length = self.output_sequence_length or length
        y = np.full((len(numbers), length), 0 if self.output_mode == "int" else np.iinfo(np.int64).max)
        for row, found in zip(y, numbers, strict=True):
            row[: len(found)] = found[:length]
        return self.weighted(self.encode(y, self.depth))

    def cast(self, inputs):
        return as_texts(inputs, self.name)

    def _tokens(self, texts):
        """Return the tokens of one row as an array."""
        words = [self._standardized(text) for text in texts]
        if self.split == "whitespace":
            words = words[0].split()
        elif self.split == "character":
            words = [character.encode() for character in words[0].decode(errors="replace")]
        if self.widths is not None:
            starts = ((width, range(len(words) - width + 1)) for width in self.widths)
            words = [b" ".join(words[start : start + width]) for width, many in starts for start in many]
        tokens = np.empty(len(words), TEXT)
        tokens[:] = words
        return tokens

    def _standardized(self, text):
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            text = text.lower()
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            text = text.translate(None, PUNCTUATION)
        return text


def _widths(name, ngrams):
    if ngrams is None:
        return None
    widths = list(range(1, ngrams + 1)) if isinstance(ngrams, int) else ngrams
    if not isinstance(widths, (list, tuple)) or not all(isinstance(width, int) and width > 0 for width in widths):
        raise InputError(f"layer '{name}': found ngrams={ngrams!r}, expected a positive whole number or several")
    return tuple(widths)
