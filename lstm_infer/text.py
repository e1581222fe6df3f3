"""Texts for models and from them: padding, the ids of a Keras Tokenizer, and sampling.

Formulas and defaults are those of ``keras.utils.pad_sequences``, of ``keras.preprocessing.text.Tokenizer`` (Keras 2),
and of Keras's examples of text generation. This module knows nothing of files of data; ``batch`` does.
"""

import json

import numpy as np

from .errors import InputError

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def pad_sequences(sequences, maxlen=None, dtype="int32", padding="pre", truncating="pre", value=0.0):
    """Turn sequences of different length into one array; Keras's function with Keras's defaults.

    Parameters
    ----------
    sequences : list of sequences
        Each (length, ...).
    maxlen : int, optional
        The longest one's length unless given.
    dtype : str
    padding, truncating : {"pre", "post"}
        Where short sequences are filled and long ones cut.
    value : float
        To fill with.

    Returns
    -------
    numpy.ndarray
        (sequences, maxlen, ...)

    Raises
    ------
    InputError
        The sequences do not fit each other.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2)
    array([[0, 1],
           [3, 4]], dtype=int32)
    """
    for name, found in (("padding", padding), ("truncating", truncating)):
        if found not in ("pre", "post"):
            raise InputError(f"found {name}={found!r}, expected 'pre' or 'post'")
    try:
        arrays = [np.asarray(sequence) for sequence in sequences]
        lengths = [len(array) for array in arrays]
    except (TypeError, ValueError):
        raise InputError("found something else than a list of sequences of equally large steps") from None
    shapes = {array.shape[1:] for array in arrays if len(array)}
    if len(shapes) > 1:
        raise InputError(f"found steps of shapes {sorted(shapes)}, expected one shape")
    maxlen = max(lengths, default=0) if maxlen is None else maxlen
    _check_range(np.asarray(value), np.dtype(dtype))
    padded = np.full((len(arrays), maxlen, *(shapes.pop() if shapes else ())), value, dtype)
    for row, array in zip(padded, arrays, strict=True):
        kept = array[max(0, len(array) - maxlen) :] if truncating == "pre" else array[:maxlen]
        start = maxlen - len(kept) if padding == "pre" else 0
        if len(kept):
            _check_range(kept, padded.dtype)
            row[start : start + len(kept)] = kept
    return padded


def _check_range(array, dtype):
    """See that whole numbers hold what is in an array: NumPy would begin anew at the other end."""
    if dtype.kind not in "iu" or array.dtype.kind not in "iuf" or not array.size:
        return
    for number in (array.min(), array.max()):
        if not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max:
            raise InputError(f"found {number}, expected numbers of {dtype}")


class Tokenizer:
    """Words or characters as ids, as a Keras Tokenizer was fitted.

    Parameters
    ----------
    word_index : dict
        Ids by word (or character).
    num_words : int, optional
        Only ids below are used.
    filters : str
        Characters that are taken out of texts.
    lower, char_level : bool
    split : str
        What stands between words.
    oov_token : str, optional
        The word whose id unknown words get; they are left out unless given.

    Examples
    --------
    >>> tokenizer = Tokenizer({"the": 1, "cat": 2, "sat": 3})
    >>> tokenizer.texts_to_sequences(["The cat, the dog!"])
    [[1, 2, 1]]
    >>> tokenizer.sequences_to_texts([[2, 3]])
    ['cat sat']
    """

    def __init__(
        self, word_index, num_words=None, filters=FILTERS, lower=True, split=" ", char_level=False, oov_token=None
    ):
        self.word_index, self.num_words, self.filters = dict(word_index), num_words, filters
        self.lower, self.split, self.char_level, self.oov_token = lower, split, char_level, oov_token
        self.index_word = {index: word for word, index in self.word_index.items()}
        self._without = str.maketrans(dict.fromkeys(filters or "", split))

    @classmethod
    def load(cls, path):
        """Read the JSON that ``tokenizer.to_json()`` gave.

        Also a list of characters or words, whose places are their ids, or an object of ids by word; both as they are.

        Raises
        ------
        InputError
            The file holds something else.
        FileNotFoundError
        """
        try:
            with open(path, encoding="utf-8") as file:
                held = json.load(file)
            return cls._from(json.loads(held) if isinstance(held, str) else held)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{path}: found no tokenizer ({error}), expected the JSON of a Keras Tokenizer") from None

    @classmethod
    def _from(cls, held):
        if isinstance(held, dict) and isinstance(held.get("config"), dict):
            config = held["config"]
            words = config["word_index"]
            words = json.loads(words) if isinstance(words, str) else words
            known = ("num_words", "filters", "lower", "split", "char_level", "oov_token")
            return cls(_checked(words), **{name: config[name] for name in known if name in config})
        words = _checked({word: place for place, word in enumerate(held)} if isinstance(held, list) else held)
        return cls(words, filters="", lower=False, char_level=all(len(word) == 1 for word in words))

    def texts_to_sequences(self, texts):
        """Return the ids of each text, a list of lists."""
        return [self._ids(text) for text in texts]

    def sequences_to_texts(self, sequences):
        """Return texts of ids, with blanks between words and also between characters, as Keras does.

        Unknown ids become the `oov_token`, or are left out where there is none.
        """
        return [" ".join(word for word in map(self._word, ids) if word is not None) for ids in sequences]

    def _word(self, index):
        word = self.index_word.get(int(index))
        is_known = word is not None and not (self.num_words and int(index) >= self.num_words)
        return word if is_known else self.index_word.get(self.word_index.get(self.oov_token))

    def unknown(self, text):
        """Return the words (or characters) of a text that have no id, not even that of the `oov_token`; each once.

        >>> Tokenizer({"the": 1}).unknown("The cat, the cat!")
        ['cat']
        """
        return list(dict.fromkeys(word for word in self._words(text) if not self._known([word])))

    def _words(self, text):
        text = str(text).lower() if self.lower else str(text)
        if self.char_level:
            return list(text)
        return [word for word in text.translate(self._without).split(self.split) if word]

    def _ids(self, text):
        return self._known(self._words(text))

    def _known(self, words):
        unknown = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        ids = (self.word_index.get(word) for word in words)
        limit = self.num_words or float("inf")
        ids = (unknown if i is None or i >= limit else i for i in ids)
        return [i for i in ids if i is not None]


def _checked(words):
    if not all(isinstance(w, str) and isinstance(i, int) and not isinstance(i, bool) for w, i in words.items()):
        raise ValueError("words are not texts with whole numbers")
    return words


# ---------------------------------------------------------------- sampling
def sample(probabilities, temperature=1.0, random=None):
    """Draw an id.

    Parameters
    ----------
    probabilities : (n,) array_like
    temperature : float
        Below 1 the likely becomes likelier; 0 takes the likeliest.
    random : numpy.random.Generator, optional

    Returns
    -------
    int

    Raises
    ------
    InputError
        They are no probabilities.

    Examples
    --------
    >>> sample([0.1, 0.7, 0.2], temperature=0)
    1
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 1 or not (p >= 0).all() or not 0 < p.sum() < np.inf:
        raise InputError("found outputs that are no probabilities, expected a model that ends in a softmax")
    if temperature == 0:
        return int(p.argmax())
    if not temperature > 0:
        raise InputError(f"found temperature={temperature}, expected a number from 0")
    with np.errstate(divide="ignore"):
        logs = np.log(p) / temperature
    weights = np.exp(logs - logs.max())
    random = random or np.random.default_rng()
    return int(min(np.searchsorted(np.cumsum(weights), random.random() * weights.sum(), "right"), len(p) - 1))


def generate(model, ids, length, temperature=1.0, seed=None):
    """Let a model go on with a sequence: each id is drawn from what it says after those before.

    A model that takes any number of timesteps one by one keeps its state in a session. Any other one reads the last ids
    anew each time: as many as it takes, filled up with 0 on the left.

    Parameters
    ----------
    model : Model
        From ids (1, timesteps), or one-hot vectors (1, timesteps, ids), to probabilities.
    ids : list of int
        The beginning, not empty.
    length : int
        How many ids to make.
    temperature : float
        See `sample`.
    seed : int, optional
        The same one gives the same ids.

    Yields
    ------
    int

    Raises
    ------
    InputError
        The model is not of this kind.

    Examples
    --------
    >>> import lstm_infer as li
    >>> model = li.Sequential([li.Input((None,)), li.Embedding(3, 2), li.LSTM(2), li.Dense(3, "softmax")])
    >>> model.set_weights([np.ones(w) for w in [(3, 2), (2, 8), (2, 8), (8,), (2, 3), (3,)]])
    >>> list(generate(model, [1, 2], 4, temperature=0))
    [0, 0, 0, 0]
    """
    ids = [int(i) for i in ids]
    if not ids:
        raise InputError("found an empty beginning, expected at least one id that the model knows")
    if len(model.inputs) != 1 or len(model.outputs) != 1 or len(model.inputs[0].shape) not in (2, 3):
        raise InputError("found a model of another kind, expected one that takes ids and gives probabilities")
    random = np.random.default_rng(seed)
    speak = _by_session(model) if _can_be_stepped(model) else _by_window(model)
    new = ids
    for _ in range(length):
        probabilities = speak(ids, new)
        new = [sample(probabilities, temperature, random)]
        ids = ids + new
        yield new[0]


def _can_be_stepped(model):
    if model.inputs[0].shape[1] not in (None, 1):
        return False
    try:
        return model.step_plan is not None
    except InputError:
        return False


def _by_session(model):
    session, single = model.session(), model.inputs[0].shape[1] == 1

    def speak(ids, new):
        pieces = [[i] for i in new] if single else [new]
        for piece in pieces:
            y = session.predict(_encoded(model, piece))
        return _last(y)

    return speak


def _by_window(model):
    timesteps = model.inputs[0].shape[1]

    def speak(ids, new):
        window = ids[-timesteps:] if timesteps else ids
        x = np.zeros((1, timesteps or len(window), *model.inputs[0].shape[2:]), model.inputs[0].dtype)
        x[:, x.shape[1] - len(window) :] = _encoded(model, window)
        return _last(model.predict(x))

    return speak


def _encoded(model, ids):
    """Return ids as the model takes them: themselves, or one-hot."""
    tensor = model.inputs[0]
    if len(tensor.shape) == 2:
        return np.array([ids], tensor.dtype)
    size = tensor.shape[2] or 0
    if max(ids) >= size or min(ids) < 0:
        raise InputError(f"found id {max(ids)}, expected ids from 0 to {size - 1}")
    return np.eye(size, dtype=tensor.dtype)[[ids]]


def _last(y):
    return y[0] if y.ndim == 2 else y[0, -1]
