"""Who wrote a file, and what the same words meant in that Keras. Knows versions; knows no layers, no arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from ..spec import Semantics


class Writer(NamedTuple):
    """The Keras that wrote a file: ``"keras1"``, ``"keras2"`` (multi-backend), ``"tf.keras"`` or ``"keras3"``."""

    family: str
    version: tuple[int, ...]


KERAS2 = Semantics(
    hard_sigmoid="keras2", masked_output="state", mask_with_initial_state=True, merge_mask="all",
    bidirectional_zeroes_masked=False, stacked_states_reversed=True, stateful_keeps_given_state=False,
    masks_in_graph=False, masked_softmax="faint", attention_is_fused=False, attention_takes_masks=False,
    attention_takes_masks_away=False, attention_scale="exact", least_norm=1e-12, convolutions_zero_masked=False,
    time_distributed_asks_inside=True, upsampling_from_corner=True, softmax_mask="ignored", whole_means=True,
    weight_order="trained first", truncating=frozenset(), autocast=False, bins="int64", whole_codes=False,
)
TF_KERAS = replace(
    KERAS2, autocast=True, masked_output="previous", bidirectional_zeroes_masked=True, stacked_states_reversed=False,
    stateful_keeps_given_state=True, recorded_state_wins=True, upsampling_from_corner=False,
    weight_order="trained first in wrappers",
    masks_stop_at=frozenset({"Identity", "Rescaling", "Normalization", "ReLU", "MultiHeadAttention"}),
)
TF_26 = replace(TF_KERAS, softmax_mask="taken", masks_stop_at=TF_KERAS.masks_stop_at - {"ReLU"})
KERAS_36 = Semantics(masked_softmax="faint", attention_is_fused=False, attention_takes_masks_away=False, bins="int64",
                     truncating=frozenset({"SpectralNormalization"}))
KERAS_314 = Semantics(stay_whole=frozenset({"GroupNormalization", "RMSNormalization"}))
KERAS_310 = replace(KERAS_314, bins="int64", truncating=frozenset({"GroupNormalization", "SpectralNormalization"}))
PROFILES = (  # (family, from version): the last row that applies wins
    ("keras1", (0,), KERAS2),
    ("keras2", (0,), KERAS2),
    ("keras2", (2, 2, 3), replace(KERAS2, stacked_states_reversed=False)),
    ("keras2", (2, 3), replace(KERAS2, stacked_states_reversed=False, masked_output="previous")),
    ("tf.keras", (0,), replace(KERAS2, stateful_keeps_given_state=True,  # TF 1.12 and before
                               masks_stop_at=frozenset({"ActivityRegularization"}))),
    ("tf.keras", (2, 2), TF_KERAS),
    ("tf.keras", (2, 4), replace(TF_KERAS, softmax_mask="fitting")),  # TF 2.3 ignored it and TF 2.4 took it
    ("tf.keras", (2, 6), TF_26),
    ("tf.keras", (2, 10), replace(TF_26, attention_takes_masks=True,
                                  masks_stop_at=TF_26.masks_stop_at - {"MultiHeadAttention"})),
    ("keras3", (0,), replace(KERAS_36, merge_mask="none", least_norm=1e-12)),
    ("keras3", (3, 5), replace(KERAS_36, least_norm=1e-12)),
    ("keras3", (3, 6), KERAS_36),
    ("keras3", (3, 7), replace(KERAS_310, masked_softmax="faint", attention_takes_masks_away=False)),
    ("keras3", (3, 8), replace(KERAS_310, masked_softmax="faint")),
    ("keras3", (3, 10), KERAS_310),
    ("keras3", (3, 11), replace(KERAS_314, bins="int64")),
    ("keras3", (3, 12), KERAS_314),
    ("keras3", (3, 15), Semantics()),
)
DIALECTS = (  # words that only one kind of Keras writes, for a config without a version
    ({"inner_activation", "consume_less", "input_dtype", "border_mode", "inner_init", "nb_filter"}, "1.2.2"),
    ({"batch_shape", "keras_history", "zero_output_for_mask", "build_config"}, "3.15"),
    ({"time_major", "ragged"}, "2.15"),
    ({"batch_input_shape", "inbound_nodes", "kernel_initializer"}, "2.2.4"),
)


def semantics(keras_version: str | None, backend: str | None = None, config: dict | None = None) -> Semantics:
    """What words mean in the Keras that wrote a file.

    Parameters
    ----------
    keras_version, backend : str or None
        As the file says, or as the user knows better.
    config : dict, optional
        The architecture as found: its dialect tells the writer where no version does. Without either, Keras 3.

    Returns
    -------
    Semantics
    """
    family, version = writer(keras_version, config)
    found = [profile for name, since, profile in PROFILES if name == family and version >= since][-1]
    if backend == "theano" and found.masked_output == "state":
        return replace(found, masked_output="previous")  # its loop is not the symbolic one of TensorFlow
    return found


def writer(keras_version: str | None, config: dict | None = None) -> Writer:
    """The family and version of a ``keras_version`` string, or of a config's dialect."""
    numbers = re.match(r"\s*v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?", keras_version or "")
    if numbers is None:
        words = _words(config)
        return writer(next((version for marks, version in DIALECTS if marks & words), "3.15"))
    version = tuple(int(number) for number in numbers.groups() if number is not None)
    if version >= (3,):
        return Writer("keras3", version)
    if version >= (2, 4) or keras_version.rstrip().endswith("-tf"):
        return Writer("tf.keras", version)
    return Writer("keras2" if version >= (2,) else "keras1", version)


def only_value(config: Any, word: str) -> str | None:
    """The value of a word in a config, if it is the same text wherever the word stands."""
    values = {part[word] for part in _dicts(config) if isinstance(part.get(word), str)}
    return values.pop() if len(values) == 1 else None


def _words(config: Any) -> set[str]:
    return {word for part in _dicts(config) for word in part}


def _dicts(config: Any) -> Iterator[dict]:
    todo = [config]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            yield item
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
