"""Plain data that travels from a file to a model: frozen dataclasses without behaviour.

``hdf5.read`` returns a `RawModel` (what a file says, as found); ``layouts`` turns it into a `ModelSpec` (the same
model in today's Keras words) and finds each layer's arrays; ``model`` builds layers from that. Nothing here knows
HDF5, Keras versions or Numba.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# ---------------------------------------------------------------- as found in a file


@dataclass(frozen=True)
class Handle:
    """An array in a file that has not been read yet.

    Attributes
    ----------
    where : str
        Path inside the file, for error messages.
    shape : tuple of int
        Declared shape. Compare it with the expected one before calling `read`: it may be a lie of any size.
    dtype : str
        NumPy name of the stored type, or ``"bfloat16"`` (`read` then returns float32).
    read : callable
        Returns the array.
    pieces : callable or None
        Of an array as it lies in a file: yields ``(column, part)`` pairs that together are the whole array, none of
        them large; `column` is where the part begins on the last axis.
    """

    where: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    pieces: Callable[[], Iterator[tuple[int, np.ndarray]]] | None = None


@dataclass(frozen=True)
class RawWeights:
    """The arrays of a weights file or of the weights part of a model file.

    Attributes
    ----------
    source : str
        The file's name, for error messages.
    layout : str
        ``"legacy"``: `groups` maps layer names, in the order of ``layer_names``, to ``(weight name, handle)`` pairs
        in the order of ``weight_names``. ``"objects"`` (the ``.weights.h5`` store): `groups` maps object paths such
        as ``"layers/lstm/cell"`` to the pairs ``("0", handle), ("1", handle), ...`` of its ``vars`` group.
    groups : mapping
        See `layout`.
    names : mapping
        Only for ``"objects"``: object path to the layer's name, where the file tells it (Keras 3.6 and later).
    keras_version, backend : str or None
        What the file says about its writer.
    assets : mapping
        Only for ``"objects"``: object path to the text of its ``vocabulary.txt``.
    """

    source: str
    layout: str
    groups: Mapping[str, tuple[tuple[str, Handle], ...]]
    names: Mapping[str, str] = field(default_factory=dict)
    keras_version: str | None = None
    backend: str | None = None
    assets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RawModel:
    """What a file says, before anything is translated.

    Attributes
    ----------
    source : str
        The file's name, for error messages.
    config : dict or None
        The architecture JSON as found; None in a weights-only file.
    weights : RawWeights or None
        None for an architecture JSON alone.
    keras_version, backend : str or None
        What the file says about its writer.
    container : {"hdf5", "zip", "folder", "json"} or None
        What kind of file it is.
    """

    source: str
    config: dict | None
    weights: RawWeights | None
    keras_version: str | None = None
    backend: str | None = None
    container: str | None = None


# ---------------------------------------------------------------- in today's words


@dataclass(frozen=True)
class Semantics:
    """What the same words mean in the Keras that wrote a file. The defaults are those of today's Keras 3.

    Attributes
    ----------
    hard_sigmoid : {"keras3", "keras2"}
        ``clip(x/6 + 0.5, 0, 1)`` or ``clip(0.2 x + 0.5, 0, 1)``.
    masks_stop_at : frozenset of str
        Classes of layers that take the mask away from what follows, besides those that do so in today's Keras.
    softmax_mask : {"taken", "fitting", "ignored"}
        Whether a Softmax layer heeds the mask of its inputs: always, if it has their shape, or never.
    masked_output : {"previous", "state"}
        What a recurrent layer emits at a masked timestep: its previous output (zeros before the first real
        timestep), or its first state (Keras 2.2.5 and earlier, whose loop was symbolic: an unrolled layer there,
        and every layer of a Theano file, follows "previous").
    mask_with_initial_state : bool
        Whether the mask that ``x`` carries is applied when an initial state is given too. Keras 3 does not.
    merge_mask : {"any", "all", "none"}
        How Add, Concatenate and their kind join masks: ``"any"`` Keras 3.5 and later, ``"none"`` Keras 3.0-3.4
        (dropped), ``"all"`` Keras 1 and 2.
    bidirectional_zeroes_masked : bool
        Whether Bidirectional makes its inner layers emit zeros at masked timesteps when they return sequences.
    stacked_states_reversed : bool
        StackedRNNCells lists the last cell's state first (Keras 2.2.2 and earlier).
    stateful_keeps_given_state : bool
        Whether stateful Bidirectional layers, and stateful layers called with an initial state, carry their state
        to the next call (False in multi-backend Keras 2).
    recorded_state_wins : bool
        Whether a stateful layer called with an initial state prefers the state it carries, once that is not all zeros
        (tf.keras).
    convolutions_zero_masked : bool
        Whether convolutional recurrent layers follow ``zero_output_for_mask``. In Keras 1 and 2 they do not.
    time_distributed_asks_inside : bool
        Whether the mask behind TimeDistributed is the one that the layer inside makes (Keras 1 and 2), or the one in
        front of it (Keras 3).
    upsampling_from_corner : bool
        Whether UpSampling2D interpolates between the first corners of places instead of their middles (multi-backend
        Keras 2).
    masks_in_graph : bool
        Whether the computation of masks is part of a functional model's graph (Keras 3), which shifts the order of its
        layers.
    masked_softmax : {"zeros", "faint"}
        What a softmax makes of a row in which everything is masked: zeros (Keras 3.10 and later), or the softmax of
        the row itself, moved so far down that little of its precision is left.
    attention_is_fused : bool
        Whether MultiHeadAttention does without that softmax where it can (Keras 3.7 and later).
    attention_takes_masks : bool
        Whether MultiHeadAttention heeds the masks that travel with its inputs (not in tf.keras 2.9 and earlier).
    attention_takes_masks_away : bool
        Whether MultiHeadAttention takes the masks off its inputs, so that calls after it do not see them (Keras 3.8
        and later).
    attention_scale : {"float32", "exact"}
        Whether MultiHeadAttention rounds the root that scales its scores to float32 whatever it computes in (Keras 3).
    least_norm : float
        The smallest sum of squares by whose root UnitNormalization divides.
    whole_means : bool
        Whether the mean of whole numbers is a whole number, without what is behind the point, and interpolations of
        them are not (Keras 1 and 2).
    autocast : bool
        Whether layers take float64 numbers in their own dtype, as they do since tf.keras 2.
    bins : {"int64", "int32"}
        The dtype of the numbers of bins: int32 since Keras 3.12.
    whole_codes : bool
        Whether lookups of words encode them in whole numbers (Keras 3).
    truncating : frozenset of str
        Classes of layers whose answers about whole numbers lose what is behind the point: in Keras 3, normalizations
        since 3.11, that of groups since 3.7, and that of spectra.
    stay_whole : frozenset of str
        Those of them whose answers are whole numbers themselves (that of groups before Keras 3.15).
    weight_order : {"layers", "trained first", "trained first in wrappers"}
        In which order ``get_weights`` lists the weights inside a layer of a model: those of one layer inside after the
        other's (Keras 3), or first those that training changes, in nested models too (Keras 1 and 2 before tf.keras)
        or not.
    """

    hard_sigmoid: str = "keras3"
    masks_stop_at: frozenset = frozenset()
    softmax_mask: str = "taken"
    masked_output: str = "previous"
    mask_with_initial_state: bool = False
    merge_mask: str = "any"
    bidirectional_zeroes_masked: bool = True
    stacked_states_reversed: bool = False
    stateful_keeps_given_state: bool = True
    recorded_state_wins: bool = False
    convolutions_zero_masked: bool = True
    time_distributed_asks_inside: bool = False
    upsampling_from_corner: bool = False
    masks_in_graph: bool = True
    masked_softmax: str = "zeros"
    attention_is_fused: bool = True
    attention_takes_masks: bool = True
    attention_takes_masks_away: bool = True
    attention_scale: str = "float32"
    least_norm: float = 1e-24
    whole_means: bool = False
    autocast: bool = True
    bins: str = "int32"
    whole_codes: bool = True
    truncating: frozenset = frozenset(
        {"LayerNormalization", "GroupNormalization", "RMSNormalization", "SpectralNormalization"}
    )
    stay_whole: frozenset = frozenset({"RMSNormalization"})
    weight_order: str = "layers"


@dataclass(frozen=True)
class TensorRef:
    """Output number `tensor` (in flat order) of the `call`-th call of a layer in the same model, all from 0."""

    layer: str
    call: int
    tensor: int


@dataclass(frozen=True)
class Call:
    """One call of a layer in a functional model.

    Attributes
    ----------
    layer : str
        Name of the layer that is called.
    args, kwargs : tuple, dict
        As in ``layer(*args, **kwargs)``; `TensorRef`, lists, dicts and plain constants, nested. A recurrent layer's
        states are always ``kwargs["initial_state"]``.
    """

    layer: str
    args: tuple
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class LayerSpec:
    """A layer in today's Keras words.

    Attributes
    ----------
    class_name : str
        Today's Keras class name; for what Keras does not have, the name found.
    name : str
    config : dict
        Constructor arguments in today's words: what our layer classes take, without name and children. Dtype
        policies are strings. Words of training (initializers, regularizers, ...) may remain; layers ignore them.
    children : mapping
        The layers inside, by the attribute that holds them: ``forward_layer`` and ``backward_layer`` of Bidirectional,
        ``layer`` of other wrappers, ``cell`` of RNN, ``"0"``, ``"1"``, ... of StackedRNNCells. LSTM, GRU and
        SimpleRNN have none: their arrays are their own.
    registered_name : str or None
        ``"package>Name"`` of a custom class, where the file tells it.
    wrapped_in : str or None
        The class of a wrapper around the layer that does nothing at inference: the object store has a place for it.
    lacks : str or None
        Why there cannot be such a layer, where that is known.
    shared : int or None
        A number that all places of one layer have: the object store has its arrays at one of them only.
    """

    class_name: str
    name: str
    config: Mapping[str, Any]
    children: Mapping[str, LayerSpec | ModelSpec] = field(default_factory=dict)
    registered_name: str | None = None
    wrapped_in: str | None = None
    lacks: str | None = None
    shared: int | None = None


@dataclass(frozen=True)
class ModelSpec:
    """A model in today's Keras words. Models may be layers of other models.

    Attributes
    ----------
    class_name : str
        ``"Sequential"`` or ``"Functional"``.
    name : str
    layers : tuple of LayerSpec and ModelSpec
        In the order of ``model.layers``, InputLayers included; a Sequential always begins with one
        (its ``batch_shape`` inferred from the weights where the config does not say).
    calls : tuple of Call
        Empty for a Sequential. The calls of one layer stand in the order that `TensorRef.call` counts; an
        InputLayer has one call without arguments.
    inputs, outputs : structure
        Nested lists and dicts of `TensorRef`, as the user gave them (a bare `TensorRef` for one tensor);
        None for a Sequential.
    trainable : bool
        Of the model as a whole: it decides the order of arrays in old files.
    own_class : str or None
        The class of a model of somebody's own: the object store names its groups after it.
    """

    class_name: str
    name: str
    layers: tuple[LayerSpec | ModelSpec, ...]
    calls: tuple[Call, ...] = ()
    inputs: Any = None
    outputs: Any = None
    trainable: bool = True
    own_class: str | None = None
