"""What every layer is: a name, weights, a way to compute, and the symbolic calls that make graphs.

A layer called on arrays computes; called on `Tensor` objects it records a `Node`, as in Keras's functional API. Layers
know nothing of files and Keras versions: what a version changes reaches them as `Semantics`.
"""

import contextlib
import copy
import functools
import inspect
import itertools
import math
import re
import threading
import weakref
from collections import defaultdict

import numpy as np

from ..errors import InputError
from ..spec import Semantics
from .structure import flatten, map_structure

TRAINING_WORDS = frozenset(
    "kernel_initializer recurrent_initializer bias_initializer embeddings_initializer beta_initializer "
    "gamma_initializer moving_mean_initializer moving_variance_initializer alpha_initializer depthwise_initializer "
    "pointwise_initializer kernel_regularizer recurrent_regularizer bias_regularizer embeddings_regularizer "
    "beta_regularizer gamma_regularizer alpha_regularizer depthwise_regularizer pointwise_regularizer "
    "activity_regularizer kernel_constraint recurrent_constraint bias_constraint embeddings_constraint "
    "beta_constraint gamma_constraint alpha_constraint depthwise_constraint pointwise_constraint dropout "
    "recurrent_dropout unit_forget_bias seed momentum lora_rank lora_alpha quantization_config".split()
)
"""Constructor arguments of Keras layers that change nothing at inference: accepted and ignored."""


NEVER_TRAINED = frozenset(
    "moving_mean moving_variance moving_stddev renorm_mean renorm_stddev mean variance count".split()
)
"""Names of weights that training does not change as it changes others."""

MOST_TRIED = 2**25
"""Numbers of the arrays that are computed to learn the shape of an answer: a file may give its inputs any size."""


class Tensor:
    """A value of a model before there are numbers (Keras's ``KerasTensor``).

    Attributes
    ----------
    shape : tuple
        With None where a dimension is free; the first is the batch.
    dtype : numpy.dtype
    name : str
    node : Node
        The call that makes it.
    index : int
        Its place in the flat list of that call's outputs.
    """

    def __init__(self, shape, dtype, name, node, index):
        self.shape, self.dtype, self.name, self.node, self.index = tuple(shape), np.dtype(dtype), name, node, index

    def __repr__(self):
        return f"<Tensor {self.name}: shape={self.shape}, dtype={self.dtype}>"


class Node:
    """One symbolic call of a layer: its arguments (`Tensor` objects and constants, nested) and its outputs."""

    def __init__(self, layer, inputs, kwargs):
        self.layer, self.inputs, self.kwargs, self.outputs = layer, inputs, kwargs, None

    @property
    def parents(self):
        """The tensors this call needs, in order of its arguments."""
        return [leaf for leaf in flatten([self.inputs, self.kwargs]) if isinstance(leaf, Tensor)]


class Context:
    """What one run of a model carries besides values.

    Parameters
    ----------
    states : mapping of Layer to list of arrays, optional
        The state that recurrent layers take over from the call before, and leave for the next.
    carries : callable, optional
        Tells whether a layer takes part in `states`; the layers that are ``stateful`` unless given.
    given_masks : tuple of arrays
        Masks that the caller gave for the model's inputs, as against masks that layers made.
    continues : bool
        Whether the sequence continues the one of the call before: then the output before the first timestep is that
        call's last one, not zeros.
    threads : int
        The most threads that a layer may use.
    begin : str
        What the user calls to begin anew, with other states than these.
    """

    def __init__(
        self, states=None, carries=None, given_masks=(), continues=False, threads=1, begin="reset_states()"
    ):
        self.given_masks, self.continues, self.threads, self.begin = given_masks, continues, threads, begin
        self.states = {} if states is None else states
        self.carries = carries or (lambda layer: layer.stateful)

    def with_threads(self, threads):
        """Return the same context for layers that may use only so many threads."""
        other = copy.copy(self)
        other.threads = threads
        return other

    def is_given(self, mask):
        """Whether `mask` is one that the caller gave."""
        return any(mask is given for given in self.given_masks)


_counters = defaultdict(itertools.count)


def _automatic_name(class_name):
    snake = re.sub(r"\W+", "", class_name)
    snake = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", snake)
    snake = re.sub("([a-z])([A-Z])", r"\1_\2", snake).lower()
    number = next(_counters[snake])
    return f"{snake}_{number}" if number else snake


_watchers, _watchers_lock = weakref.WeakSet(), threading.Lock()


def watch(watcher):
    """Call ``watcher.forget()`` whenever a layer has got new weights or another meaning."""
    with _watchers_lock:
        _watchers.add(watcher)


def tell_watchers():
    """Let all watchers forget; after the change, so that none remembers what was before it."""
    with _watchers_lock:
        watching = list(_watchers)
    for watcher in watching:
        watcher.forget()


class Layer:
    """Base of all layers; subclass it to give a model a layer of your own (``custom_objects``).

    A subclass defines ``call(self, inputs)`` (or ``call(self, inputs, mask)``) on NumPy arrays; if it has weights, also
    ``weight_shapes(self, input_shape)``, after which ``self.weights["name"]`` holds them; and ``compute_output_shape``
    where running ``call`` on zeros cannot tell it.

    Parameters
    ----------
    name : str, optional
        Unique in its model; made from the class name unless given.
    dtype : str, optional
        ``"float32"`` (default) or ``"float64"``. The 16-bit policies of Keras are computed in float32.
    trainable : bool
        Kept for ``get_config``; changes nothing.
    input_shape, batch_input_shape : tuple, optional
        Of the first layer of a Sequential, without and with the batch.
    **training
        Any of `TRAINING_WORDS`: accepted and ignored.

    Raises
    ------
    TypeError
        An argument that no Keras layer of this kind has.

    Examples
    --------
    >>> import numpy as np
    >>> class Double(Layer):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> Double()(np.ones((1, 2)))
    array([[2., 2.]], dtype=float32)
    """

    is_recorded = False
    """Whether it is an operation that Keras recorded among the layers."""
    has_mask_argument = False
    """Whether Keras's ``call`` of it takes a mask."""
    mask_role = "passes"
    """What becomes of masks, for `maskgraph`: a word that it knows."""
    is_called_by_depth = False
    """Whether it matters to calls beside it which of them is computed first."""
    supports_masking = False
    """Whether a mask passes through to the next layer, as in Keras."""
    per_timestep = False
    """Whether each timestep is computed by itself, so that the layer can follow `Model.step`."""
    takes_last_timestep = False
    """Whether the layer returns the last timestep as it is, which is the present one in `Model.step`."""
    stateful = False
    keeps_integers = False
    """Whether whole numbers and truths stay what they are, as in Keras, where they are all it is given."""
    config_names = ()
    """The constructor arguments that `get_config` returns, each an attribute of the same name."""

    def __init__(
        self, *, name=None, dtype=None, trainable=True, input_shape=None, batch_input_shape=None, **training
    ):
        unknown = sorted(set(training) - TRAINING_WORDS)
        if unknown:
            raise TypeError(f"{type(self).__name__} got an unexpected argument '{unknown[0]}'")
        self.name = name or _automatic_name(type(self).__name__)
        self.policy = dtype or "float32"
        self.trainable = trainable
        self.semantics = Semantics()
        self.declared_input_shape = batch_input_shape if input_shape is None else (None, *input_shape)
        self.nodes = []
        self.weights = {}
        self.expected_shapes = None
        self.own_state = None

    def __repr__(self):
        return f"<{type(self).__name__} {self.name}>"

    # ------------------------------------------------------------ what a subclass says of itself
    def weight_shapes(self, input_shape):
        """Return the weights' names and shapes, in Keras's order, for inputs of `input_shape`.

        A dimension may be None: then the weights themselves tell it.
        """
        return {}

    def children(self):
        """Return the layers inside this one, by the attribute that holds them."""
        return {}

    def pack(self):
        """Turn `weights` into what the kernels take; called whenever they have changed."""

    def call(self, inputs):
        """Compute on arrays."""
        raise TypeError(f"{type(self).__name__} '{self.name}' does not define call()")

    def compute_mask(self, inputs, mask=None):
        """Return the mask of the output, given the mask of the inputs."""
        return mask if self.supports_masking else None

    def compute_output_shape(self, input_shape):
        """Return the shape of the output (nested if there are several); a tuple with None where it is free."""
        return self._shape_by_trial(input_shape)

    def compute_call_shape(self, input_shape, kwargs):
        """Return the shape of the output (nested if there are several) of a call with the arguments `kwargs`."""
        return self.compute_output_shape(input_shape)

    def _shape_by_trial(self, input_shape):
        """Run `call` on zeros of two sizes: the dimensions of the output that differ are the free ones."""

        def trial(free):
            sizes = map_shapes(lambda shape: [free if n is None else n for n in shape], input_shape)
            numbers = []
            map_shapes(lambda shape: numbers.append(math.prod(shape)), sizes, leaf=list)
            if sum(numbers) > MOST_TRIED:
                expected = f"expected {MOST_TRIED:,} numbers at most, or a layer with compute_output_shape()"
                raise InputError(f"layer '{self.name}': found inputs of shape {input_shape}, {expected}")
            zeros = map_shapes(lambda shape: np.zeros(shape, self.dtype), sizes, leaf=list)
            with self._weightless(free):
                return map_structure(np.shape, self.call(zeros))

        first, second = trial(2), trial(3)

        def join(a, b):
            if a and isinstance(a[0], (list, tuple)):
                return [join(*pair) for pair in zip(a, b, strict=True)]
            return tuple(m if m == n else None for m, n in zip(a, b, strict=True))

        return join(first, second)

    @contextlib.contextmanager
    def _weightless(self, free):
        """Give zeros, which take no memory, in place of weights that are not here yet, while `call` is tried."""
        lacking = [layer for _, layer in self.walk() if layer.expected_shapes and not layer.weights]
        for layer in lacking:
            shapes = {name: [free if n is None else n for n in s] for name, s in layer.expected_shapes.items()}
            layer.weights = {name: np.broadcast_to(layer.dtype.type(0), shape) for name, shape in shapes.items()}
        try:
            yield
        finally:
            for layer in lacking:
                layer.weights = {}

    # ------------------------------------------------------------ dtype
    @property
    def dtype(self):
        """The dtype this layer computes in: float64 for ``"float64"`` (quantised from it too), else float32."""
        return np.dtype(np.float64 if self.policy.rpartition("_from_")[2] == "float64" else np.float32)

    def output_dtype(self, inputs):
        """Return the dtype of the outputs for the symbolic `inputs`."""
        kinds = [leaf.dtype for leaf in flatten(inputs)]
        whole = self.keeps_integers and kinds and all(dtype.kind in "biu" for dtype in kinds)
        wide = np.float64 in kinds and self._keeps_float64()
        return np.result_type(*kinds) if whole else np.dtype(np.float64) if wide else self.dtype

    # ------------------------------------------------------------ weights
    def build(self, input_shape):
        """Settle the weights' shapes for inputs of `input_shape`; once settled they stay.

        Raises
        ------
        InputError
            The layer was built for other inputs.
        """
        shapes = self.weight_shapes(input_shape)
        if self.expected_shapes is None:
            self.expected_shapes = shapes
            return
        known = self.expected_shapes
        if shapes.keys() != known.keys() or not all(shape_fits(known[name], shapes[name]) for name in shapes):
            raise InputError(
                f"layer '{self.name}': inputs of shape {input_shape} need weights {shapes}, but the layer has {known}"
            )

    def take_form(self, shapes):
        """Expect weights as they are stored, where their names and shapes tell more than the config does.

        Parameters
        ----------
        shapes : dict of str to tuple
        """

    @property
    def built(self):
        """Whether the weights' shapes are known."""
        return self.expected_shapes is not None

    def assign(self, arrays, copy=True):
        """Take `arrays` (by name, of the expected shapes) as weights: cast once, read-only from now on.

        Without `copy` they become the layer's own where they are of its dtype already.
        """
        weights = {}
        for name, array in arrays.items():
            array = (np.array if copy else np.asarray)(array, self.dtype, order="C")
            array.setflags(write=False)
            weights[name] = array
        self.weights = weights
        self.expected_shapes = {name: array.shape for name, array in weights.items()}
        self.pack()
        tell_watchers()

    packed_names = ("packed", "packed_gates", "params", "gate_params", "biases", "kernel", "bias", "factor", "shift")
    """What `pack` makes: it holds addresses, or is made again as quickly as it is read."""

    def __getstate__(self):
        made = (*self.packed_names, "_steppers") if self.weights else ()
        return {name: value for name, value in self.__dict__.items() if name not in made} | {"own_state": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for array in self.weights.values():
            array.setflags(write=False)
        if self.weights:
            self.pack()

    def walk(self, path=()):
        """Yield ``(path, layer)`` for this layer and all inside it; a path is a tuple of names."""
        yield path, self
        for key, child in self.children().items():
            yield from child.walk((*path, key))

    def holders(self):
        """Return the layers that hold weights of their own, this one and those inside, each once."""
        return list(dict.fromkeys(layer for _, layer in self.walk() if layer.weight_names()))

    def slots(self):
        """Return where the weights of this layer and those inside are, as (layer, name), in Keras's order.

        Keras 3 goes from layer to layer; Keras 2 puts the weights first that training changes.
        """
        if self.semantics.weight_order == "layers":
            found = [slot for layer in self.holders() for slot in layer.own_slots()]
        else:
            found = [slot for slots in self.slots_by_kind() for slot in slots]
        return list(dict.fromkeys(found))

    def own_slots(self):
        """Return the slots that Keras 3 lists for this layer itself, before those inside."""
        return [(self, name) for name in self.weight_names()]

    def slots_by_kind(self):
        """Return the slots of weights that training changes, and of the others."""
        trained = [(self, name) for name in self.weight_names() if name not in NEVER_TRAINED]
        others = [(self, name) for name in self.weight_names() if name in NEVER_TRAINED]
        for child in self.children().values():
            first, second = child.slots_by_kind()
            trained, others = trained + first, others + second
        return (trained, others) if self.trainable else ([], trained + others)

    def weight_names(self):
        """Return the names of the layer's own weights, in Keras's order."""
        return list(self.expected_shapes or self.weights)

    def get_weights(self):
        """Return copies of the weights as a list, in Keras's order.

        Returns
        -------
        list of numpy.ndarray
        """
        return [layer.weights[name].copy() for layer, name in self.slots() if name in layer.weights]

    def set_weights(self, weights):
        """Set the weights from a list in Keras's order.

        A call that another thread is making meanwhile may use the old ones for some rows and the new ones for others.

        Parameters
        ----------
        weights : list of array_like

        Raises
        ------
        InputError
            Their number or a shape does not fit the layer.
        """
        weights = [np.asarray(w) for w in weights]
        was_built = self.built
        try:
            if not was_built:
                self.build_from(weights)
            arrays = self._sort_out(weights)
        except InputError:
            if not was_built:
                self.unbuild()
            raise
        for layer, named in arrays.items():
            layer.assign(named)

    def _sort_out(self, weights):
        """Return the weights by layer and name, after their number and shapes have been checked."""
        wanted = [(layer, name, layer.expected_shapes[name]) for layer, name in self.slots()]
        if len(weights) != len(wanted):
            raise InputError(f"layer '{self.name}': found {len(weights)} weights, expected {len(wanted)}")
        arrays = defaultdict(dict)
        for array, (layer, name, shape) in zip(weights, wanted, strict=True):
            if not shape_fits(array.shape, shape):
                raise InputError(f"layer '{layer.name}', weight '{name}': found {array.shape}, expected {shape}")
            arrays[layer][name] = array
        return arrays

    def build_from(self, weights):
        """Build from the weights' own shapes, for layers whose weights tell the inputs."""
        if type(self).weight_shapes is not Layer.weight_shapes or self.children():
            raise InputError(f"layer '{self.name}' must be called before its weights can be set")
        self.expected_shapes = {}

    def unbuild(self):
        """Forget the weights' shapes again."""
        for _, layer in self.walk():
            layer.expected_shapes = None

    def count_params(self):
        """Return the number of weights (single numbers)."""
        shapes = (shape for layer in self.holders() for shape in (layer.expected_shapes or {}).values())
        return sum(int(np.prod(shape, dtype=object)) for shape in shapes)

    def check_ready(self):
        """Raise InputError where weights are missing."""
        for _, layer in self.walk():
            if layer.expected_shapes and not layer.weights:
                raise InputError(f"layer '{layer.name}' has no weights yet: load them or call set_weights()")

    # ------------------------------------------------------------ config
    def get_config(self):
        """Return the constructor arguments, in Keras's words, as a dict."""
        config = {name: getattr(self, name) for name in self.config_names}
        return {"name": self.name, "trainable": self.trainable, "dtype": self.policy, **config}

    def adopt(self, semantics):
        """Follow the Keras that `semantics` describes, here and in the layers inside."""
        self.semantics = semantics
        for child in self.children().values():
            child.adopt(semantics)
        tell_watchers()

    # ------------------------------------------------------------ state
    def reset_states(self):
        """Forget the state carried from one `predict` to the next, here and in the layers inside."""
        for _, layer in self.walk():
            layer.own_state = None

    # ------------------------------------------------------------ calls
    def __call__(self, inputs, *args, **kwargs):
        """Compute on arrays, or record a call on symbolic tensors and return its outputs."""
        kwargs = self._name_arguments(args, kwargs)
        if any(isinstance(leaf, Tensor) for leaf in flatten([inputs, kwargs])):
            return self._connect(inputs, kwargs)
        inputs = map_structure(np.asarray, inputs)
        shapes = map_structure(lambda a: (None, *a.shape[1:]), inputs)
        self.build(shapes)
        if type(self).compute_output_shape is not Layer.compute_output_shape:
            self.compute_output_shape(shapes)  # which refuses shapes that do not fit
        self.check_ready()
        mask = kwargs.pop("mask", None)
        if isinstance(inputs, list) and isinstance(mask, (list, tuple)):
            mask = [None if m is None else np.asarray(m) for m in mask]
        elif mask is not None:
            mask = np.asarray(mask)
        outputs, _ = self.run(inputs, None, Context(states=_OwnStates()), mask=mask, **kwargs)
        return outputs

    def _name_arguments(self, args, kwargs):
        """Give positional arguments after the first the names they have in `run` or `call`."""
        if not args:
            return kwargs
        return {**dict(zip(_parameters(type(self))[1:], args, strict=False)), **kwargs}

    def _connect(self, inputs, kwargs):
        shapes = map_structure(lambda leaf: leaf.shape, inputs)
        self.build(shapes)
        node = Node(self, inputs, kwargs)
        dtype = self.output_dtype(inputs)
        count = itertools.count()

        def output(shape):
            index = next(count)
            return Tensor(shape, dtype, self.name, node, index)

        node.outputs = map_shapes(output, self.compute_call_shape(shapes, kwargs))
        self.nodes.append(node)
        return node.outputs

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        """Compute on arrays inside a graph.

        Parameters
        ----------
        inputs : array, or nested arrays
        carried_mask : array or None, nested like `inputs`
            The mask that travels with the inputs.
        context : Context
        mask : array, optional
            The ``mask=`` argument of the call; it comes before the carried one.
        **kwargs
            Further arguments of the call.

        Returns
        -------
        outputs, mask
        """
        mask = carried_mask if mask is None else mask
        inputs = self.cast(inputs)
        accepted = _parameters(type(self))
        given = {name: value for name, value in kwargs.items() if name in accepted}
        if "mask" in accepted:
            given["mask"] = mask
        return self.call(inputs, **given), self.compute_mask(inputs, mask)

    def cast(self, inputs):
        """Return the arrays of `inputs` in this layer's dtype; what it `keeps_integers` of, as they are.

        So are truths for a layer of the user's; those here give their inputs to kernels, which know none.
        """
        kinds = {np.asarray(leaf).dtype.kind for leaf in flatten(inputs)}
        is_ours = type(self).__module__.startswith(__package__)
        kept = "biu" if self.keeps_integers and kinds <= set("biu") else "" if is_ours else "b"

        def to_dtype(array):
            array = np.asarray(array)
            if array.dtype.kind not in "biuf":
                raise InputError(f"layer '{self.name}': found data of type {array.dtype}, expected numbers")
            as_it_is = array.dtype.kind in kept or (array.dtype == np.float64 and self._keeps_float64())
            return array if as_it_is else array.astype(self.dtype, copy=False)

        return map_structure(to_dtype, inputs)

    def _keeps_float64(self):
        """Whether the layer computes in what it is given: nothing that has weights could, without autocast."""
        return not self.semantics.autocast and not self.weights and not self.children()

    # ------------------------------------------------------------ features from inside
    @property
    def input(self):
        """The symbolic input of the layer's first call."""
        return self._first_node("input").inputs

    @property
    def output(self):
        """The symbolic output of the layer's first call."""
        return self._first_node("output").outputs

    def _first_node(self, word):
        if not self.nodes:
            raise AttributeError(f"layer '{self.name}' was never called, so it has no {word}")
        return self.nodes[0]


@functools.cache
def _parameters(layer_class):
    """Return the names of the parameters of a class's `call`, after self."""
    return list(inspect.signature(layer_class.call).parameters)[1:]


def shape_fits(found, expected):
    """Whether a shape is the expected one, in which None stands for any size (in `found` too: not known yet).

    >>> shape_fits((3, 4), (None, 4)), shape_fits((3, 4), (4, 4))
    (True, False)
    """
    return len(found) == len(expected) and all(None in (m, n) or m == n for m, n in zip(found, expected, strict=True))


def readonly(array):
    """Return a C-contiguous view that kernels cannot write to: they are compiled for one kind of array only."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


class _OwnStates:
    """The states that layers themselves remember, as a mapping for `Context`."""

    def get(self, layer):
        return layer.own_state

    def __setitem__(self, layer, state):
        layer.own_state = state


def map_shapes(function, shapes, leaf=tuple):
    """Apply `function` to every shape in nested `shapes`; a shape is a `leaf` of numbers and None."""
    if isinstance(shapes, dict):
        return {key: map_shapes(function, value, leaf) for key, value in shapes.items()}
    if isinstance(shapes, leaf) and all(n is None or isinstance(n, (int, np.integer)) for n in shapes):
        return function(shapes)
    return [map_shapes(function, shape, leaf) for shape in shapes]
