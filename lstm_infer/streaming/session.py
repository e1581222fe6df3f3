"""One stream: a model together with the state it carries from one call to the next."""

import numpy as np

from ..chains import Chain
from ..errors import InputError
from ..layers.base import Context
from ..model import WHOLE, check_batch_size, renew_lock
from . import statefile

NOTHING = "nothing"
"""What stands in the file of a session that has no state yet."""


class Session:
    """One stream of a model, with a state of its own. Any number of sessions share one model.

    In a session every recurrent layer carries its state from one call to the next, so predicting a sequence piece by
    piece gives what predicting it whole gives. In a model with ``stateful=True`` layers only those carry it
    from one `predict` to the next, as in Keras.

    Parameters
    ----------
    model : Model

    Examples
    --------
    >>> import numpy as np, lstm_infer as li
    >>> model = li.Sequential([li.Input((None, 3)), li.LSTM(4, return_sequences=True)])
    >>> model.set_weights([np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)])
    >>> x, session = np.ones((1, 5, 3)), model.session()
    >>> parts = np.concatenate([session.predict(x[:, :2]), session.predict(x[:, 2:])], axis=1)
    >>> bool((parts == model.predict(x)).all())
    True
    """

    def __init__(self, model):
        self.model = model
        self._states, self._chain = {}, Chain(model, lambda layer: layer)
        renew_lock(self)

    def predict(self, x, batch_size=None, verbose="auto", *, mask=None, lengths=None, threads=None):
        """Compute the outputs, beginning where the last call ended; as `Model.predict`."""
        batch_size = WHOLE if batch_size is None else check_batch_size(batch_size)
        with self._lock:
            return self.model._predict(x, batch_size, verbose, mask, lengths, threads, self._context, True)

    def step(self, x_t):
        """Compute one timestep; as `Model.step`, with the session's state.

        Raises
        ------
        InputError
            The model cannot be stepped, or the number of rows is not that of the calls before.
        """
        with self._lock:
            result = self._chain.step(x_t, self._states)
            if result is not None:
                y_t, self._states = result
                return y_t
            carried = self.model.step_plan.carried.values()
            states = {layer: self._states.get(layer) for layer in carried}
            y_t = self.model._step(x_t, states)
            self._states.update(states)
            return y_t

    def reset(self):
        """`reset_states` by another name."""
        self.reset_states()

    def reset_states(self):
        """Forget the state: the next call begins anew."""
        with self._lock:
            self._states.clear()

    @property
    def state(self):
        """A copy of the state: lists of arrays by the layers' names. Assign it to go back to it."""
        with self._lock:
            names = {layer: "/".join(path) for path, layer in self.model.walk()}
            return {names[layer]: [array.copy() for array in arrays] for layer, arrays in self._states.items()}

    @state.setter
    def state(self, state):
        if not isinstance(state, dict):
            raise InputError(f"found a state of type {type(state).__name__}, expected a dict as `state` returns it")
        layers = {"/".join(path): layer for path, layer in self.model.walk()}
        unknown = sorted(set(state) - set(layers))
        if unknown:
            raise InputError(f"found the state of layer '{unknown[0]}', which model '{self.model.name}' does not have")
        for name, arrays in state.items():
            if not isinstance(arrays, (list, tuple)) or not all(isinstance(a, np.ndarray) for a in arrays):
                raise InputError(f"found {arrays!r:.80} as the state of layer '{name}', expected a list of arrays")
        with self._lock:
            self._states = {layers[name]: [array.copy() for array in arrays] for name, arrays in state.items()}

    def copy(self):
        """Return another session of the same model that goes on from here."""
        other = type(self)(self.model)
        other.state = self.state
        return other

    def save(self, path):
        """Write the state to a file (npz), which is then whole or as it was before.

        Parameters
        ----------
        path : str or PathLike
        """
        state = self.state.items()
        arrays = {f"{name}/{n}": array for name, arrays in state for n, array in enumerate(arrays)}
        statefile.write(path, arrays or {NOTHING: np.zeros(0)})

    def load(self, path):
        """Go on from a state that `save` wrote, in this process or another.

        Parameters
        ----------
        path : str or PathLike

        Raises
        ------
        LoadError
            It is no such file, or it is damaged.
        InputError
            It is the state of another model.
        """
        state, found = {}, statefile.read(path)
        if not found:
            raise InputError(f"{path}: found no arrays, expected the states of a session")
        for name, array in found.items() if list(found) != [NOTHING] else ():
            layer, _, number = name.rpartition("/")
            arrays = state.setdefault(layer, [])
            if number != str(len(arrays)):
                raise InputError(f"{path}: found an array '{name}', expected the states of a session")
            arrays.append(array)
        layers = {"/".join(place): layer for place, layer in self.model.walk()}
        for name, arrays in state.items():
            layer = layers.get(name)
            initial = getattr(layer, "get_initial_state", None)
            if initial is None:
                raise InputError(f"{path}: found the state of layer '{name}', which the model does not have")
            expected = [(zero.shape[1:], zero.dtype) for zero in initial(1)]
            if [(array.shape[1:], array.dtype) for array in arrays] != expected:
                raise InputError(f"{path}: found states of layer '{name}' that do not fit it, expected {expected}")
        self.state = state

    def _context(self, **given):
        if self.model.is_stateful:
            return Context(states=self._states, **given)
        try:
            carried = set(self.model.step_plan.carried.values())
        except InputError:  # a model that cannot be stepped has nothing to carry
            carried = set()
        return Context(states=self._states, carries=carried.__contains__, continues=True, **given)
