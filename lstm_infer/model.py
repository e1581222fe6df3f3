"""Models: the door for people.

A `Model` is a layer that contains a graph of layers. It checks what it is given, casts it once, runs the graph and
returns arrays. It knows nothing of files; ``loading`` builds models from them.
"""

import os
import threading
import weakref
from contextlib import nullcontext

import numpy as np

from . import inputs as doors
from .chains import Chain
from .errors import InputError
from .graph import Graph
from .layers import memory
from .layers.base import Context, Layer, Tensor, _OwnStates
from .layers.core import InputLayer
from .layers.sequences import ROWS_EACH
from .layers.structure import flatten, map_structure, pack_like
from .stepping import plan
from .threads import available, each

CHUNK_ROWS = 256
"""Rows that are computed together unless ``batch_size`` says otherwise: enough to use the caches well."""

RAGGED_CHUNKS = 2
"""Chunks for every thread where rows have different lengths; one chunk alone is shared out among the threads inside."""

WHOLE = object()
"""As a batch size: all rows at once."""

PARALLEL_NUMBERS = 1 << 14
"""Input numbers from which waking threads costs less than it saves."""


class Model(Layer):
    """A graph of layers from inputs to outputs.

    Parameters
    ----------
    inputs, outputs : Tensor, or nested lists or dicts of Tensor
        From `Input`, from calls of layers, or from inside a loaded model (``model.input``, ``layer.output``).
    name : str, optional
    threads : int, optional
        The most threads to use; all the physical cores this process may use unless given.

    Examples
    --------
    >>> import numpy as np, lstm_infer as li
    >>> x = li.Input((None, 3))
    >>> model = li.Model(x, li.LSTM(4)(x))
    >>> model.set_weights([np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)])
    >>> model.predict(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    per_timestep = False

    def __init__(self, inputs, outputs, name=None, threads=None, trainable=True):
        super().__init__(name=name, trainable=trainable)
        self.expected_shapes = {}
        self.threads = threads
        renew_lock(self)
        self._plan = self._chain = None
        self.input, self.output = _without_list_of_one(inputs), _without_list_of_one(outputs)
        self.graph = Graph(flatten(inputs), flatten(outputs))

    # ------------------------------------------------------------ in other processes
    origin = None
    """The file it was loaded from, if it was: a pickle then names the file, and holds no weights."""

    def __reduce_ex__(self, protocol):
        if self.origin is not None and self.origin.describes(self):
            return self.origin.reduced(self)
        return super().__reduce_ex__(protocol)

    def __getstate__(self):
        # calls in order, before what leads to the last of them: pickle goes from one to the next by recursion
        in_order = [*(tensor.node for tensor in self.graph.inputs), *self.graph.nodes]
        return {"in_order": in_order, **super().__getstate__(), "_lock": None, "_plan": None, "_chain": None}

    def __setstate__(self, state):
        super().__setstate__({name: value for name, value in state.items() if name != "in_order"})
        renew_lock(self)

    # ------------------------------------------------------------ what it is
    input = output = None  # a model's own, where a layer's are those of its only call

    @property
    def layers(self):
        """The layers, in Keras's order: recorded operations are among them in tf.keras, and not in Keras 3."""
        return [layer for layer in self._all_layers() if not (self.semantics.masks_in_graph and layer.is_recorded)]

    def _all_layers(self):
        return self.graph.layers(self.semantics.masks_in_graph)

    @property
    def inputs(self):
        """The symbolic inputs, a list: each has name, shape and dtype."""
        return list(self.graph.inputs)

    @property
    def outputs(self):
        """The symbolic outputs, a list: each has name, shape and dtype."""
        return list(self.graph.outputs)

    @property
    def input_names(self):
        """The names of the inputs."""
        return [tensor.name for tensor in self.inputs]

    @property
    def output_names(self):
        """The names of the layers that make the outputs."""
        return [tensor.name for tensor in self.outputs]

    @property
    def input_shape(self):
        """The shape of the input, nested if there are several."""
        return map_structure(lambda tensor: tensor.shape, self.input)

    @property
    def output_shape(self):
        """The shape of the output, nested if there are several."""
        return map_structure(lambda tensor: tensor.shape, self.output)

    @property
    def threads(self):
        """The most threads a call may use."""
        return self._threads

    @threads.setter
    def threads(self, number):
        self._threads = check_threads(number)

    def get_layer(self, name=None, index=None):
        """Return a layer by its name (or that of a recorded operation), or by its place in `layers`.

        Raises
        ------
        InputError
            The model has no such layer.
        """
        if name is None:
            if index is None or not -len(self.layers) <= index < len(self.layers):
                raise InputError(f"model '{self.name}' has {len(self.layers)} layers, so none at index {index}")
            return self.layers[index]
        layers = self._all_layers()
        for layer in layers:
            if layer.name == name:
                return layer
        raise InputError(f"model '{self.name}' has no layer '{name}', only {[layer.name for layer in layers]}")

    def summary(self, print_fn=print):
        """Print a table of the layers: shapes, parameters, and the path each recurrent layer takes.

        Parameters
        ----------
        print_fn : callable
            Called with each line.
        """
        from .summary import lines

        for line in lines(self):
            print_fn(line)

    # ------------------------------------------------------------ as a layer
    def children(self):
        return {layer.name: layer for layer in self._all_layers()}

    def build(self, input_shape):
        """Do nothing: the layers inside were built when they were called."""

    def compute_output_shape(self, input_shape):
        shapes = [input_shape] if isinstance(input_shape, tuple) else input_shape
        return pack_like(self.output, self.graph.infer_shapes(shapes))

    def slots(self):
        """Return where the weights of the layers are, as (layer, name), layer after layer as Keras lists them."""
        mixed = self.semantics.weight_order == "trained first"
        parts = [
            [slot for slots in layer.slots_by_kind() for slot in slots] if mixed else layer.slots()
            for layer in self.children().values()
        ]
        return list(dict.fromkeys(slot for slots in parts for slot in slots))

    def output_dtype(self, inputs):
        return self.graph.outputs[0].dtype

    def call(self, inputs, mask=None):
        """Never called: `run` does the work."""
        raise AssertionError

    def run(self, inputs, carried_mask, context, mask=None, **kwargs):
        mask = carried_mask if mask is None else mask
        values = doors.in_order(self, inputs)
        masks = doors.in_order(self, mask) if isinstance(mask, (list, tuple, dict)) else [mask] * len(values)
        values = [np.asarray(v).astype(t.dtype, copy=False) for v, t in zip(values, self.graph.inputs, strict=True)]
        outputs, out_masks = self.graph.run(values, masks, context)
        return pack_like(self.output, outputs), pack_like(self.output, out_masks)

    def __call__(self, inputs, mask=None, training=False, **kwargs):
        """Record a call on symbolic tensors, or compute one batch of arrays."""
        if any(isinstance(leaf, Tensor) for leaf in flatten(inputs)):
            explicit = {} if mask is None else {"mask": mask}
            return self._connect(doors.in_order(self, inputs), explicit)
        return self.predict_on_batch(inputs, mask=mask, **kwargs)

    # ------------------------------------------------------------ predicting
    def predict(self, x, batch_size=None, verbose="auto", *, mask=None, lengths=None, threads=None):
        """Compute the outputs for any number of rows.

        Parameters
        ----------
        x : array_like, list (in model order) or dict (by input name)
            (rows, *input shape). A model with one input also takes a list of arrays of different length.
        batch_size : int, optional
            Rows that are computed together. The results do not depend on it, except in a stateful model, where each
            batch continues the one before.
        verbose : {"auto", 0, 1, 2}
            1 shows a progress bar on standard error; "auto" does not.
        mask : bool array_like, optional
            (rows, timesteps), True where a timestep counts; nested like `x` if the model has several inputs. A mask
            that the model makes itself counts as well.
        lengths : int array_like, optional
            The true length of every row of a right-padded `x`: shorthand for a mask.
        threads : int, optional
            The most threads this call may use.

        Returns
        -------
        numpy.ndarray, or nested lists or dicts of them
            The model's own structure.

        Raises
        ------
        InputError
            The data does not fit the model; the message names the input, what was found and what was expected.
        """
        batch_size = check_batch_size(batch_size)
        is_one = batch_size is None or (type(x) is np.ndarray and x.ndim == 3 and len(x) <= batch_size)
        if is_one and mask is lengths is None and verbose in ("auto", 0):
            result = self._predict_as_chain(x, threads)
            if result is not None:
                return result
        with self._lock if self.is_stateful else nullcontext():
            return self._predict(x, batch_size, verbose, mask, lengths, threads, self._own_context, self.is_stateful)

    def predict_on_batch(self, x, *, mask=None, lengths=None, threads=None):
        """Compute the outputs of one batch; as `predict`."""
        if mask is lengths is None:
            result = self._predict_as_chain(x, threads)
            if result is not None:
                return result
        with self._lock if self.is_stateful else nullcontext():
            return self._predict(x, WHOLE, 0, mask, lengths, threads, self._own_context, self.is_stateful)

    def _predict_as_chain(self, x, threads):
        """The outputs, or None where that is for the general way."""
        most = self.threads if threads is None else check_threads(threads)
        return (self._chain or self._make_chain()).predict(x, most)

    def _own_context(self, **given):
        return Context(states=_OwnStates(), **given)

    def _predict(self, x, batch_size, verbose, mask, lengths, threads, context, in_order):
        """`predict`, with the state kept by what ``context(given_masks=, threads=)`` returns; batch after batch if
        `in_order`."""
        threads = self.threads if threads is None else check_threads(threads)
        self.check_ready()
        values, masks = doors.take(self, x, mask, lengths)
        rows = len(values[0])
        if rows == 0:
            return self._empty(values, masks)
        is_ragged = any(m is not None for m in masks)
        chunks = _chunks(rows, self._chunk_rows(batch_size, rows, threads, values, is_ragged))
        whole = _Whole(rows, [tensor.name for tensor in self.graph.outputs], self._have_rows())
        each_one = threads if len(chunks) > 1 and not in_order else 1
        threads_inside = threads if each_one == 1 else 1

        def compute(number):
            chunk = chunks[number]
            part_masks = [None if m is None else m[chunk] for m in masks]
            given = tuple(m for m in part_masks if m is not None)
            inside = context(given_masks=given, threads=threads_inside)
            whole.put(chunk, self.graph.run([v[chunk] for v in values], part_masks, inside)[0])

        each(each_one, _progress(range(len(chunks)), verbose), compute)
        return pack_like(self.output, whole.joined(chunks))

    def _have_rows(self):
        """Whether each output has a row per row of the input; some of `AddonsCRF` and of operations have none."""
        free = any(tensor.shape[0] is None for tensor in self.graph.inputs)
        return [not free or (tensor.shape != () and tensor.shape[0] is None) for tensor in self.graph.outputs]

    def _chunk_rows(self, batch_size, rows, threads, values, is_ragged):
        if batch_size is not None:
            return rows if batch_size is WHOLE else batch_size
        if self.is_stateful:
            return self.graph.inputs[0].shape[0] or rows
        if rows >= ROWS_EACH * threads > ROWS_EACH and sum(value.size for value in values) >= PARALLEL_NUMBERS:
            if not is_ragged:
                return min(CHUNK_ROWS, -(-rows // threads))
            if rows > CHUNK_ROWS:  # enough for every thread to have its share, wherever the long rows are
                return min(CHUNK_ROWS, -(-rows // (RAGGED_CHUNKS * threads)))
        return CHUNK_ROWS

    def _empty(self, values, masks):
        """The result for no rows: that of one row of zeros, without the row."""
        values = [doors.blank((1, *v.shape[1:]), v.dtype) for v in values]
        masks = [None if m is None else np.ones((1, *m.shape[1:]), bool) for m in masks]
        outputs, _ = self.graph.run(values, masks, Context(carries=lambda layer: False))
        return pack_like(self.output, [array[:0] for array in outputs])

    # ------------------------------------------------------------ one timestep at a time
    @property
    def is_stateful(self):
        """Whether a layer of the model carries its state from one `predict` to the next."""
        return any(layer.stateful for path, layer in self.walk() if path)

    @property
    def step_plan(self):
        """How the model is stepped, a `stepping.StepPlan`; raises InputError where it cannot be."""
        if self._plan is None:
            self._plan = plan(self)
        return self._plan

    def initial_state(self, batch=1):
        """Return the state before the first timestep.

        Parameters
        ----------
        batch : int
            Rows that are stepped together.

        Returns
        -------
        dict
            The states of every recurrent layer, lists of (batch, units) arrays, by the layer's name.

        Raises
        ------
        InputError
            The model cannot be stepped; the message names the layer that needs the whole sequence.
        """
        if not isinstance(batch, (int, np.integer)) or batch < 0:
            raise InputError(f"found batch={batch!r}, expected a whole number from 0")
        return {name: layer.get_initial_state(batch) for name, layer in self.step_plan.carried.items()}

    def step(self, x_t, state):
        """Compute one timestep.

        Parameters
        ----------
        x_t : array_like, list or dict
            (batch, *input shape without time).
        state : dict
            From `initial_state` or from the step before; not changed.

        Returns
        -------
        y_t : numpy.ndarray, or nested
            (batch, *output shape without time).
        state : dict
            For the next step.

        Examples
        --------
        >>> import numpy as np, lstm_infer as li
        >>> model = li.Sequential([li.Input((None, 3)), li.LSTM(4)])
        >>> model.set_weights([np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)])
        >>> x, state = np.ones((1, 2, 3)), model.initial_state()
        >>> for t in range(2):
        ...     y, state = model.step(x[:, t], state)
        >>> bool((y == model.predict(x)).all())
        True
        """
        result = (self._chain or self._make_chain()).step(x_t, state)
        if result is not None:
            return result
        carried = self.step_plan.carried
        if not isinstance(state, dict) or set(state) != set(carried):
            found = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise InputError(f"found a state of {found}, expected one of {sorted(carried)} (see initial_state())")
        for name, arrays in state.items():
            if arrays is None:  # which would begin anew
                raise InputError(f"found None as the state of layer '{name}', expected a list of arrays")
        states = {layer: state[name] for name, layer in carried.items()}
        outputs = self._step(x_t, states, "initial_state(batch)")
        return outputs, {name: states[layer] for name, layer in carried.items()}

    def _make_chain(self):
        self._chain = Chain(self, self._name_of_carried)
        return self._chain

    def _name_of_carried(self, layer):
        return next(name for name, carried in self.step_plan.carried.items() if carried is layer)

    def _step(self, x_t, states, begin="reset_states()"):
        """`step`, with states by layer, replaced in place; `begin` as in `Context`."""
        self.check_ready()
        values = doors.take_step(self, x_t, self.step_plan.inputs)
        context = Context(states=states, carries=states.__contains__, continues=True, begin=begin)
        outputs, _ = self.graph.run(values, [None] * len(values), context)
        pairs = zip(outputs, self.step_plan.outputs, strict=True)
        return pack_like(self.output, [y[:, 0] if temporal else y for y, temporal in pairs])

    def session(self):
        """Return a new `Session`: a stream of this model with a state of its own."""
        from .streaming import Session

        return Session(self)

    # ------------------------------------------------------------ weights
    def load_weights(self, path, keras_version=None):
        """Load the weights of a file that any Keras wrote into this model.

        Parameters
        ----------
        path : str, PathLike, open binary file or bytes
        keras_version : str, optional
            Follow this Keras's semantics instead of the file's.

        Raises
        ------
        LoadError
            The file's arrays do not fit the model; the message names file, layer and array.
        """
        from .loading import load_weights

        load_weights(self, path, keras_version)


class Sequential(Model):
    """Layers one after the other.

    Parameters
    ----------
    layers : list of Layer
        The first is an `Input`, or a layer with ``input_shape=``.
    name : str, optional
    threads : int, optional

    Examples
    --------
    >>> import lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 3)), li.LSTM(4), li.Dense(1)])
    >>> model.output_shape
    (None, 1)
    """

    def __init__(self, layers=(), name=None, threads=None, trainable=True):
        first, *rest = layers or [None]
        if isinstance(first, Layer) and not isinstance(first, InputLayer):
            rest, first = layers, _declared_input(first)
        start = first.nodes[0].outputs if isinstance(first, InputLayer) else first
        if not isinstance(start, Tensor):
            raise InputError("a Sequential begins with Input(shape), or with a layer that has input_shape=")
        end = start
        for layer in rest:
            end = layer(end)
        self._line = list(rest)
        super().__init__(start, end, name, threads, trainable)

    @property
    def layers(self):
        """The layers, without the input."""
        return list(self._line)


_locked = weakref.WeakSet()


def renew_lock(owner):
    """Give a model or session a lock of its own, and another one in every forked child: a thread that held the old one
    does not exist there."""
    owner._lock = threading.RLock()
    _locked.add(owner)


def _renew_locks():
    for owner in list(_locked):
        owner._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _without_list_of_one(structure):
    """Return what is in a list of one tensor, as Keras does; anything else as it is."""
    single = isinstance(structure, (list, tuple)) and len(structure) == 1 and isinstance(structure[0], Tensor)
    return structure[0] if single else structure


def _declared_input(layer):
    if isinstance(layer, Model):
        return InputLayer(batch_shape=layer.inputs[0].shape, dtype=str(layer.inputs[0].dtype))
    if layer.declared_input_shape is None:
        return None
    return InputLayer(batch_shape=layer.declared_input_shape, name=f"{layer.name}_input")


def check_batch_size(number):
    """Return a batch size, or None for the engine to choose.

    Raises
    ------
    InputError
        It is not a positive number.
    """
    if number is not None and (not isinstance(number, (int, np.integer)) or number < 1):
        raise InputError(f"found batch_size={number!r}, expected a positive number")
    return number


def check_threads(number):
    """Return a number of threads; the physical cores this process may use for None.

    Raises
    ------
    InputError
        It is not a positive number.
    """
    if number is None:
        return available()
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise InputError(f"found threads={number!r}, expected a positive number")
    return int(number)


class _Whole:
    """The outputs for all rows, put together while the chunks come, from any thread and in any order.

    Each is copied while it is still in the cache, and its memory serves the next one. An output that has no rows is
    that of the first chunk. Where a chunk has other than a row per row of the input (a layer may fold time into the
    batch), or another dtype (of longer words), it is kept as it is, and joined at the end.
    """

    def __init__(self, rows, names, have_rows):
        self._outputs, self._rows, self._names, self._have_rows = None, rows, names, have_rows
        self._lock = threading.Lock()
        self._odd = {}  # (output, first row) -> what does not fit in its place

    def put(self, chunk, outputs):
        if chunk.stop - chunk.start == self._rows:
            self._outputs = outputs
            return
        with self._lock:
            if self._outputs is None:
                pairs = zip(outputs, self._have_rows, strict=True)
                self._outputs = [memory.empty((self._rows, *y.shape[1:]), y.dtype) if has else None for y, has in pairs]
        for n, (y, has_rows) in enumerate(zip(outputs, self._have_rows, strict=True)):
            if not has_rows:
                if chunk.start == 0:
                    self._outputs[n] = y
                continue
            place = self._outputs[n][chunk]
            if y.shape == place.shape and y.dtype == place.dtype:  # NumPy would repeat a single row, or cut words short
                place[...] = y
            else:
                self._odd[n, chunk.start] = y

    def joined(self, chunks):
        """Return the outputs, when all chunks have come."""
        for n in {n for n, _ in self._odd}:
            parts = [self._odd.get((n, chunk.start), self._outputs[n][chunk]) for chunk in chunks]
            shapes = {part.shape[1:]: part.shape for part in parts}
            if len(shapes) > 1:
                raise InputError(
                    f"output '{self._names[n]}': found batches of shapes {list(shapes.values())}, expected the same "
                    f"for all but the first dimension: batch_size={self._rows} computes all rows at once"
                )
            self._outputs[n] = np.concatenate(parts)
        return self._outputs


def _chunks(rows, size):
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _progress(numbers, verbose):
    if verbose not in (1, 2):
        return numbers
    from tqdm import tqdm

    return tqdm(numbers, unit="batch")
