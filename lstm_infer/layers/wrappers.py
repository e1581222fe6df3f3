"""Layers around layers: Bidirectional and TimeDistributed."""

import numpy as np

from ..errors import InputError
from ..threads import each
from .base import Context, Layer, map_shapes
from .cells import StackedRNNCells, state_sizes
from .normalization import truncated
from .recurrent import RNN
from .sequences import SHARED_WORK
from .structure import flatten, map_structure

MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / a.dtype.type(2),
}


class Bidirectional(Layer):
    """Runs one recurrent layer forwards and another backwards, and merges what they return.

    Parameters
    ----------
    layer : recurrent layer
        The one that runs forwards.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        None returns both outputs.
    backward_layer : recurrent layer, optional
        Made from `layer` unless given.
    **kwargs
        ``name``, ``dtype``.

    Notes
    -----
    Called as ``layer(x, mask=None, initial_state=None)``, forward states first. A sequence that the backward layer
    returns is put in order of time. Semantics: ``keras/src/layers/rnn/bidirectional.py``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstm_infer.layers.recurrent import SimpleRNN
    >>> layer = Bidirectional(SimpleRNN(2), merge_mode="sum")
    >>> layer.set_weights([np.ones((3, 2)), np.ones((2, 2)), np.zeros(2)] * 2)
    >>> layer(np.zeros((1, 4, 3)))
    array([[0., 0.]], dtype=float32)
    """

    has_mask_argument, mask_role = True, "recurs"
    supports_masking = True

    def __init__(self, layer, merge_mode="concat", backward_layer=None, **kwargs):
        super().__init__(**kwargs)
        if merge_mode is not None and merge_mode not in MERGES:
            raise InputError(f"layer '{self.name}': unknown merge_mode {merge_mode!r}")
        self.merge_mode = merge_mode
        self.forward_layer = layer
        self.backward_layer = backward_layer or _reversed_copy(layer)
        self._given_zeroes = [inner.zero_output_for_mask for inner in self.children().values()]
        self._settle_zeroes()

    def _settle_zeroes(self):
        """Zero the outputs at masked timesteps, or leave it to the layers, as the Keras in question does."""
        for inner, given in zip(self.children().values(), self._given_zeroes, strict=True):
            forced = self.semantics.bidirectional_zeroes_masked
            inner.zero_output_for_mask = self.return_sequences if forced else given

    def adopt(self, semantics):
        super().adopt(semantics)
        self._settle_zeroes()

    def children(self):
        return {"forward_layer": self.forward_layer, "backward_layer": self.backward_layer}

    @property
    def return_sequences(self):
        """Whether the layers inside return the output of every timestep."""
        return self.forward_layer.return_sequences

    @property
    def return_state(self):
        """Whether the layers inside return their states."""
        return self.forward_layer.return_state

    @property
    def stateful(self):
        """Whether the layers inside carry their state."""
        return self.forward_layer.stateful

    def build(self, input_shape):
        for layer in self.children().values():
            layer.build(input_shape)
        self.expected_shapes = {}

    def build_from(self, weights):
        for layer in self.children().values():
            layer.build_from(weights)
        self.expected_shapes = {}

    def get_config(self):
        return {**super().get_config(), "merge_mode": self.merge_mode}

    def compute_output_shape(self, input_shape):
        forward, backward = (layer.compute_output_shape(input_shape) for layer in self.children().values())
        (y, *states), (back, *back_states) = (s if isinstance(s, list) else [s] for s in (forward, backward))
        if self.merge_mode is None:
            outputs = [y, back]
        else:
            width = None if None in (y[-1], back[-1]) else y[-1] + back[-1]
            outputs = [(*y[:-1], width) if self.merge_mode == "concat" else y]
        outputs += states + back_states
        return outputs if len(outputs) > 1 else outputs[0]

    def output_dtype(self, inputs):
        return self.forward_layer.dtype

    def compute_mask(self, inputs, mask=None):
        mask = mask if self.return_sequences else None
        masks = [mask, mask] if self.merge_mode is None else [mask]
        if self.return_state:
            masks += [None] * sum(self._state_counts())
        return masks if len(masks) > 1 else masks[0]

    def call(self, inputs, initial_state=None, mask=None, training=False):
        """Never called: `run` does the work. Its signature names the arguments of a call."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, initial_state=None, training=False):
        if isinstance(inputs, list):
            inputs, *initial_state = inputs
            carried_mask, mask = (m[0] if isinstance(m, list) else m for m in (carried_mask, mask))
        states = [] if initial_state is None else flatten(initial_state)
        applied, travelling = RNN.choose_masks(self, carried_mask, mask, states, context)
        counts = self._state_counts()
        if states and len(states) != sum(counts):
            raise InputError(f"layer '{self.name}': found {len(states)} states, expected {sum(counts)}")
        halves = [states[: counts[0]], states[counts[0] :]]
        if not self.semantics.stateful_keeps_given_state:
            context = Context(carries=lambda layer: False, threads=context.threads)
        ends = {}

        def run(layer, half):
            outputs, _ = layer.run(inputs, None, beside, mask=applied, initial_state=half)
            ends[layer] = outputs if layer.return_state else [outputs]

        sides = min(2, context.threads) if self._work(inputs) >= SHARED_WORK else 1
        beside = context.with_threads(context.threads // sides)
        each(sides, zip(self.children().values(), halves, strict=True), lambda side: run(*side))
        (y, *states), (back, *back_states) = (ends[layer] for layer in self.children().values())
        if self.return_sequences:
            axis = 0 if self.forward_layer.time_major else 1
            back = np.flip(back, axis)
        outputs = [y, back] if self.merge_mode is None else [MERGES[self.merge_mode](y, back)]
        outputs += states + back_states
        return (outputs if len(outputs) > 1 else outputs[0]), self.compute_mask(inputs, travelling)

    def _state_counts(self):
        """Return how many states each of the two layers has."""
        return [len(flatten(state_sizes(layer.cell))) for layer in self.children().values()]

    def _work(self, inputs):
        """About the multiply-adds of one direction."""
        return inputs.size // inputs.shape[-1] * self.forward_layer.count_params()


def _reversed_copy(layer):
    """Return an unbuilt layer like `layer` that goes the other way, as Keras makes it."""
    config = layer.get_config()
    config.update(name=f"backward_{layer.name}", go_backwards=not layer.go_backwards)
    if type(layer) is RNN:
        config["cell"] = _copy_cell(layer.cell)
    return type(layer)(**config)


def _copy_cell(cell):
    if isinstance(cell, StackedRNNCells):
        return StackedRNNCells([_copy_cell(inner) for inner in cell.cells], name=cell.name)
    if not hasattr(cell, "get_config"):
        raise InputError(f"Bidirectional around a {type(cell).__name__} without get_config() needs its backward_layer")
    return type(cell)(**cell.get_config())


class TimeDistributed(Layer):
    """Applies a layer, or a whole model, to every timestep.

    Parameters
    ----------
    layer : Layer or Model
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstm_infer.layers.core import Dense
    >>> layer = TimeDistributed(Dense(2))
    >>> layer.set_weights([np.ones((3, 2)), np.zeros(2)])
    >>> layer(np.ones((5, 4, 3))).shape
    (5, 4, 2)
    """

    has_mask_argument, mask_role = True, "drops"
    supports_masking = True
    per_timestep = True

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        if getattr(layer, "scheme", None) is not None:
            layer.scheme = layer.scheme._replace(raw=True)  # as Keras has it, which forgets the scale here

    def children(self):
        return {"layer": self.layer}

    def build(self, input_shape):
        self.layer.build(map_shapes(_without_time, input_shape))
        self.expected_shapes = {}

    def build_from(self, weights):
        self.layer.build_from(weights)
        self.expected_shapes = {}

    def compute_output_shape(self, input_shape):
        found = []
        map_shapes(found.append, input_shape)
        if any(len(shape) < 3 for shape in found):
            raise InputError(f"layer '{self.name}': found inputs {input_shape}, expected (batch, timesteps, ...)")
        inner = self.layer.compute_output_shape(map_shapes(_without_time, input_shape))
        return map_shapes(lambda shape: (shape[0], found[0][1], *shape[1:]), inner)

    def output_dtype(self, inputs):
        return self.layer.output_dtype(inputs)

    def call(self, inputs, mask=None):
        """Never called: `run` does the work."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        mask = carried_mask if mask is None else mask
        sizes = np.shape(flatten(inputs)[0])[:2]
        # a mask that has more axes than (batch, timesteps) says something about the inside of a timestep
        inner_mask = map_structure(lambda m: _folded(m) if m is not None and m.ndim > 2 else None, mask)
        training = {"training": True} if kwargs.get("training") else {}
        outputs, out_mask = self.layer.run(map_structure(_folded, inputs), inner_mask, context, **training)
        outputs = map_structure(lambda y: y.reshape(*sizes, *y.shape[1:]), outputs)
        return outputs, self._travelling(mask, out_mask, sizes)

    def _travelling(self, mask, inner, sizes):
        """Return the mask of the outputs, given that of the inputs and what the layer inside made of it."""
        if not self.semantics.time_distributed_asks_inside:
            return mask
        if any(m is not None for m in flatten(inner)):
            return map_structure(lambda m: None if m is None else m.reshape(*sizes, *m.shape[1:]), inner)
        if isinstance(mask, (list, dict)) or mask is None:
            return None
        return mask.reshape(*sizes, -1).any(axis=-1) if mask.ndim > 2 else mask


class SpectralNormalization(Layer):
    """The layer inside: only training changes its kernel.

    Parameters
    ----------
    layer : Layer
        One with a kernel, or an embedding.
    power_iterations : int
        Of training.
    **kwargs
        ``name``, ``dtype``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstm_infer.layers.core import Dense
    >>> layer = SpectralNormalization(Dense(2))
    >>> layer.build((None, 3))
    >>> layer.set_weights([np.ones((3, 2)), np.zeros((1, 2)), np.zeros(2)])
    >>> layer(np.ones((1, 3))).tolist()
    [[3.0, 3.0]]
    """

    config_names = ("power_iterations",)

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(**kwargs)
        self.layer, self.power_iterations = layer, power_iterations

    @property
    def per_timestep(self):
        """Whether the layer inside can follow a step."""
        return self.layer.per_timestep

    def children(self):
        return {"layer": self.layer}

    def build(self, input_shape):
        self.layer.build(input_shape)
        super().build(input_shape)

    def own_slots(self):
        """Return the slots of what Keras makes the wrapper's own: the kernel inside, unless it is quantised, too."""
        scheme = getattr(self.layer, "scheme", None)
        names = self.layer.weight_names() if scheme is None or scheme.mode == "float8" else []
        return [(self.layer, name) for name in names if name in ("kernel", "embeddings")] + super().own_slots()

    def weight_shapes(self, input_shape):
        shapes = self.layer.expected_shapes
        kernel = shapes.get("kernel") or shapes.get("embeddings") or next(iter(shapes.values()), None)
        if not kernel:
            raise InputError(f"layer '{self.name}' is around '{self.layer.name}', expected a layer with a kernel")
        packed = getattr(self.layer, "scheme", None) is not None  # it was made for the kernel before that
        return {"vector_u": (1, None if packed else kernel[-1])}

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def output_dtype(self, inputs):
        return inputs.dtype if self._truncates(inputs) else self.layer.output_dtype(inputs)

    def _truncates(self, inputs):
        return "SpectralNormalization" in self.semantics.truncating and inputs.dtype.kind in "biu"

    def call(self, inputs):
        """Never called: `run` does the work."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        outputs, mask = self.layer.run(inputs, carried_mask, context, mask=mask, **kwargs)  # Keras lets it through
        return truncated(outputs, inputs.dtype) if self._truncates(inputs) else outputs, mask


def _without_time(shape):
    return (shape[0], *shape[2:])


def _folded(array):
    """Return an array whose rows are the timesteps of all rows."""
    array = np.asarray(array)
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])
