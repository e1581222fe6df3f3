"""Layers that turn words and whole numbers into numbers of categories: by a vocabulary, or by a hash."""

import numpy as np

from ..errors import InputError
from .categories import Categorical
from .fingerprints import cross, fingerprint64, siphash

TEXT = np.dtype(object)
"""The dtype of texts: arrays of bytes objects."""


def as_texts(array, name="?"):
    """Return an array of str or bytes as an array of bytes objects (str in UTF-8).

    >>> as_texts(["ab", b"c"])
    array([b'ab', b'c'], dtype=object)
    """
    array = np.asarray(array)
    if array.dtype.kind not in "OSU":
        raise InputError(f"'{name}': found data of type {array.dtype}, expected texts")
    texts = np.empty(array.size, object)
    for n, text in enumerate(array.ravel().tolist()):
        if not isinstance(text, (str, bytes)):
            raise InputError(f"'{name}': found {str(text)[:40]!r} among texts, expected str or bytes")
        texts[n] = text.encode() if isinstance(text, str) else bytes(text)
    return texts.reshape(array.shape)


def buckets(values, count, salt):
    """Return the bucket of every value, an array of int64: texts by their hash, numbers by that of their digits."""
    flat = values.ravel().tolist()
    texts = flat if values.dtype == TEXT else [str(number).encode() for number in flat]
    known = {}
    for text in texts:
        if text not in known:
            known[text] = (fingerprint64(text) if salt is None else siphash(text, salt)) % count
    return np.array([known[text] for text in texts], np.int64).reshape(values.shape)


def _salt(name, salt):
    if salt is None:
        return None
    pair = list(salt) if isinstance(salt, (list, tuple)) else [salt, salt]
    if len(pair) != 2 or not all(isinstance(part, int) and not isinstance(part, bool) for part in pair):
        raise InputError(f"layer '{name}': found salt={salt!r}, expected one or two whole numbers")
    return pair


class _Lookup(Categorical):
    """What `StringLookup` and `IntegerLookup` share."""

    modes = ("int", "one_hot", "multi_hot", "count", "tf_idf")
    config_names = (
        "max_tokens", "num_oov_indices", "mask_token", "oov_token", "vocabulary", "idf_weights", "invert",
        "output_mode", "pad_to_max_tokens", "oov_method", "salt",
    )  # fmt: skip
    default_oov = None

    def __init__(
        self,
        max_tokens=None,
        num_oov_indices=1,
        mask_token=None,
        oov_token=None,
        vocabulary=None,
        idf_weights=None,
        invert=False,
        output_mode="int",
        sparse=False,
        pad_to_max_tokens=False,
        oov_method="floormod",
        salt=None,
        **kwargs,
    ):
        for word in ("vocabulary_size", "vocabulary_dtype", "has_input_vocabulary", "encoding"):
            kwargs.pop(word, None)
        super().__init__(output_mode, sparse, **kwargs)
        self.max_tokens, self.num_oov_indices, self.mask_token = max_tokens, num_oov_indices, mask_token
        self.oov_token = self.default_oov if oov_token is None else oov_token
        self.invert, self.pad_to_max_tokens, self.salt = invert, pad_to_max_tokens, _salt(self.name, salt)
        self._check(oov_method)
        self.oov_method, self.vocabulary, self.idf_weights = oov_method, None, None
        self.table = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def _check(self, oov_method):
        if self.invert and self.output_mode != "int":
            raise InputError(f"layer '{self.name}': found output_mode={self.output_mode!r}, expected 'int' with invert")
        if isinstance(self.num_oov_indices, bool) or not isinstance(self.num_oov_indices, int):
            raise InputError(f"layer '{self.name}': found num_oov_indices={self.num_oov_indices!r}, expected a number")
        if self.num_oov_indices < 0:
            raise InputError(f"layer '{self.name}': found num_oov_indices={self.num_oov_indices}, expected 0 or more")
        if oov_method not in ("floormod", "farmhash"):
            raise InputError(f"layer '{self.name}': found oov_method={oov_method!r}, expected 'floormod' or 'farmhash'")
        if self.pad_to_max_tokens and not isinstance(self.max_tokens, int):
            raise InputError(f"layer '{self.name}': found pad_to_max_tokens without max_tokens, expected both")

    @property
    def _first_oov(self):
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    @property
    def _first_token(self):
        return self._first_oov + self.num_oov_indices

    # ------------------------------------------------------------ the vocabulary
    def set_vocabulary(self, vocabulary, idf_weights=None):
        """Set the tokens, with or without the special ones in front.

        Parameters
        ----------
        vocabulary : list of str, bytes or int
        idf_weights : list of float, optional
            With the output mode "tf_idf": what each token counts for.

        Raises
        ------
        InputError
            It is the name of a file, is empty, has a token twice, or does not fit `max_tokens`.
        """
        if isinstance(vocabulary, (str, bytes)):
            found = f"found the name of a vocabulary file, {str(vocabulary)[:60]!r}"
            raise InputError(f"layer '{self.name}': {found}, expected the words: files that a model names stay shut")
        given = [self._token(token) for token in np.asarray(vocabulary, object).ravel().tolist()]
        oov = None if self.oov_token is None else self._token(self.oov_token)
        mask = None if self.mask_token is None else self._token(self.mask_token)
        special = [mask] * self._first_oov + [oov] * self.num_oov_indices
        complete = given[: len(special)] == special
        tokens = given[len(special) :] if complete else given
        if not given or len(set(tokens)) < len(tokens):
            twice = max(tokens, key=tokens.count) if tokens else "nothing"
            raise InputError(f"layer '{self.name}': found {twice!r} in the vocabulary twice, expected every token once")
        size = self._first_token + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise InputError(f"layer '{self.name}': found {size} tokens, expected at most {self.max_tokens}")
        self.vocabulary, self.idf_weights = list(vocabulary), idf_weights
        self.depth = self.max_tokens if self.pad_to_max_tokens else size
        self.tokens, self.mask = tokens, mask
        self.table = {token: number for number, token in enumerate(tokens, self._first_token)}
        if self.output_mode == "tf_idf":
            self._weigh(idf_weights, len(given), 0 if complete else self._first_token)

    def _weigh(self, weights, count, in_front):
        """Settle what every number counts for: special tokens that were not given count for the mean."""
        weights = np.asarray([] if weights is None else weights, np.float64).ravel()
        if weights.size not in (count, self.depth):
            raise InputError(f"layer '{self.name}': found {weights.size} idf_weights, expected {count}")
        weights = np.concatenate([np.full(in_front, weights.mean()), weights])
        self.idf = np.zeros(max(self.depth, weights.size))
        self.idf[: weights.size] = weights
        self.idf = self.idf[: self.depth]

    def get_vocabulary(self):
        """Return the tokens by their numbers, special ones included, as a list of str or int."""
        self._demand_vocabulary()
        oov = None if self.oov_token is None else self._token(self.oov_token)
        whole = [self.mask] * self._first_oov + [oov] * self.num_oov_indices + self.tokens
        return [token.decode(errors="replace") if isinstance(token, bytes) else token for token in whole]

    def _demand_vocabulary(self):
        if self.table is None:
            raise InputError(
                f"layer '{self.name}': its vocabulary is missing, the model is incomplete: an .h5 file does not keep "
                f"a vocabulary that was learnt (save the model as .keras, or give it to this layer: "
                f"model.get_layer('{self.name}').set_vocabulary([...]))"
            )

    def check_ready(self):
        self._demand_vocabulary()
        super().check_ready()

    # ------------------------------------------------------------ computing
    def compute_output_shape(self, input_shape):
        self._demand_vocabulary()
        return self.encoded_shape(input_shape, self.depth)

    def call(self, inputs):
        self._demand_vocabulary()
        if self.invert:
            return self._words(inputs)
        return self.weighted(self.encode(self.look_up(inputs), self.depth))

    def encode(self, numbers, depth, weights=None):
        if self.output_mode == "int":
            return numbers.astype(self.output_dtype(numbers), copy=False)
        return super().encode(numbers, depth, weights)

    def output_dtype(self, inputs):
        whole = self.semantics.whole_codes and self.output_mode != "tf_idf"
        return np.dtype(np.int64) if whole else super().output_dtype(inputs)

    def weighted(self, counts):
        """Return counts times what each token counts for, in the mode "tf_idf"."""
        return counts * self.idf.astype(self.dtype) if self.output_mode == "tf_idf" else counts

    def look_up(self, tokens):
        """Return the number of every token; that of the mask token is too large to count, unless numbers are given."""
        flat = tokens.ravel().tolist()
        default = self._first_oov if self.num_oov_indices == 1 else -1
        numbers = np.array([self.table.get(token, default) for token in flat], np.int64)
        if self.mask is not None:
            masked = np.array([token == self.mask for token in flat], bool)
            numbers[masked] = 0 if self.output_mode == "int" else np.iinfo(np.int64).max
        strange = numbers == -1
        if strange.any():
            numbers[strange] = self._hashed(tokens.ravel()[strange])
        return numbers.reshape(tokens.shape)

    def _hashed(self, tokens):
        if self.num_oov_indices == 0:
            raise InputError(f"layer '{self.name}': found {tokens[0]!r}, expected a token of the vocabulary")
        if tokens.dtype != TEXT and self.oov_method != "farmhash":
            return tokens % self.num_oov_indices + self._first_oov
        return buckets(tokens, self.num_oov_indices, self.salt) + self._first_oov

    def _words(self, numbers):
        """The tokens of numbers: the other way round."""
        first, special = self._first_token, {0: self.mask} if self.mask is not None else {}
        oov = None if self.oov_token is None else self._token(self.oov_token)
        known = {**dict(enumerate(self.tokens, first)), **special}
        y = np.empty(numbers.size, self.output_dtype(None))
        y[:] = [known.get(number, oov) for number in numbers.ravel().tolist()]
        return y.reshape(numbers.shape)


class StringLookup(_Lookup):
    """The numbers of words in a vocabulary.

    Parameters
    ----------
    max_tokens : int, optional
    num_oov_indices : int
        How many numbers there are for words outside the vocabulary; by their hash, if several.
    mask_token : str, optional
        The word that means nothing: it gets the number 0.
    oov_token : str
        The word for what is outside the vocabulary.
    vocabulary : list of str
    idf_weights : list of float, optional
    invert : bool
        Words from numbers.
    output_mode : {"int", "one_hot", "multi_hot", "count", "tf_idf"}
    pad_to_max_tokens : bool
        Whether vectors are as long as `max_tokens`.
    salt : int or two, optional
        The key of the hash.
    **kwargs
        ``name``, ``dtype``.

    Raises
    ------
    InputError
        The vocabulary is missing, or a word is not in it and has no number.

    Examples
    --------
    >>> layer = StringLookup(vocabulary=["a", "b"])
    >>> layer(np.array([["b", "z", "a"]]))
    array([[2, 0, 1]])
    """

    default_oov = "[UNK]"

    def _token(self, token):
        return token.encode() if isinstance(token, str) else bytes(token)

    def output_dtype(self, inputs):
        return TEXT if self.invert else super().output_dtype(inputs)

    def cast(self, inputs):
        return np.asarray(inputs).astype(np.int64) if self.invert else as_texts(inputs, self.name)


class IntegerLookup(_Lookup):
    """The numbers of whole numbers in a vocabulary; the arguments are those of `StringLookup`.

    Examples
    --------
    >>> IntegerLookup(vocabulary=[7, 9])(np.array([[9, 3, 7]]))
    array([[2, 0, 1]])
    """

    default_oov = -1

    def _token(self, token):
        return int(token)

    def cast(self, inputs):
        return np.asarray(inputs).astype(np.int64)


class Hashing(Categorical):
    """The bucket of a word or whole number, by its hash.

    Parameters
    ----------
    num_bins : int
    mask_value : str or int, optional
        What falls into bucket 0, which is then kept for it.
    salt : int or two, optional
        The key of SipHash; without it the hash is FarmHash's.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> Hashing(3)(np.array([["A"], ["B"], ["C"]])).ravel()
    array([1, 0, 1])
    """

    config_names = ("num_bins", "mask_value", "salt", "output_mode")

    def __init__(self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False, **kwargs):
        super().__init__(output_mode, sparse, **kwargs)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 1:
            raise InputError(f"layer '{self.name}': found num_bins={num_bins!r}, expected a positive whole number")
        self.num_bins, self.mask_value, self.salt = num_bins, mask_value, _salt(self.name, salt)

    def cast(self, inputs):
        inputs = np.asarray(inputs)
        return as_texts(inputs, self.name) if inputs.dtype.kind in "OSU" else inputs.astype(np.int64)

    def compute_output_shape(self, input_shape):
        return self.encoded_shape(input_shape, self.num_bins)

    def call(self, inputs):
        kept = self.mask_value is not None and self.num_bins > 1
        numbers = buckets(inputs, self.num_bins - 1 if kept else self.num_bins, self.salt)
        if kept:
            value = self.mask_value.encode() if isinstance(self.mask_value, str) else self.mask_value
            masked = np.array([token == value for token in inputs.ravel().tolist()], bool).reshape(inputs.shape)
            numbers = np.where(masked, 0, numbers + 1)
        return self.encode(numbers, self.num_bins)


class HashedCrossing(Categorical):
    """The bucket of several words or whole numbers together, by their hash.

    Parameters
    ----------
    num_bins : int
    output_mode : {"int", "one_hot"}
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> HashedCrossing(5)([np.array([["A"], ["B"]]), np.array([[101], [101]])]).ravel()
    array([1, 4])
    """

    modes = ("int", "one_hot")
    config_names = ("num_bins", "output_mode")
    key = 0xDECAFCAFFE  # with which TensorFlow begins

    def __init__(self, num_bins, output_mode="int", sparse=False, **kwargs):
        super().__init__(output_mode, sparse, **kwargs)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 1:
            raise InputError(f"layer '{self.name}': found num_bins={num_bins!r}, expected a positive whole number")
        self.num_bins = num_bins

    def cast(self, inputs):
        arrays = [np.asarray(array) for array in inputs]
        return [as_texts(a, self.name) if a.dtype.kind in "OSU" else a.astype(np.int64) for a in arrays]

    def compute_output_shape(self, input_shape):
        first = tuple(input_shape[0])
        fits = len(input_shape) > 1 and all(tuple(shape)[1:] == first[1:] for shape in input_shape)
        if not fits or len(first) > 2 or first[1:] not in ((), (1,)):
            found = [tuple(shape) for shape in input_shape]
            raise InputError(f"layer '{self.name}': found inputs {found}, expected two or more of (batch, 1)")
        return self.encoded_shape(first, self.num_bins)

    def call(self, inputs):
        rows = zip(*(self._fingerprints(array) for array in inputs), strict=True)
        numbers = [cross(self.key, row) % self.num_bins for row in rows]
        return self.encode(np.array(numbers, np.int64).reshape(inputs[0].shape), self.num_bins)

    @staticmethod
    def _fingerprints(array):
        values = array.ravel().tolist()
        return [fingerprint64(value) for value in values] if array.dtype == TEXT else values
