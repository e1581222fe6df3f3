"""LSTM layers whose products are convolutions: ConvLSTM1D, 2D and 3D."""

import functools

import numpy as np

from ..errors import InputError
from ..kernels.sequence import PREVIOUS, STATE
from . import activations
from .base import Layer
from .convolution import Conv1D, Conv2D, Conv3D
from .recurrent import _WithOwnCell
from .space import join
from .structure import flatten

CONVOLUTIONS = {1: Conv1D, 2: Conv2D, 3: Conv3D}


class ConvLSTMCell(Layer):
    """One timestep of a convolutional LSTM.

    Parameters
    ----------
    rank : {1, 2, 3}
        The number of spatial axes.
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of int
        Strides and dilation are those of the input's convolution; the one of the state has none.
    padding : {"valid", "same"}
        Of the input's convolution; the one of the state is always ``"same"``.
    data_format : {"channels_last", "channels_first"}, optional
    activation, recurrent_activation : str or callable
    use_bias : bool
    **kwargs
        ``name``, ``dtype`` and the arguments that only training uses.

    Notes
    -----
    Weights: kernel (*size, channels, 4*filters), recurrent_kernel (*size, filters, 4*filters), bias (4*filters,), gates
    i, f, c, o. Formula: ``keras/src/layers/rnn/conv_lstm.py``.
    """

    config_names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
                    "recurrent_activation", "use_bias")  # fmt: skip

    def __init__(
        self,
        rank,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        convolution, words = CONVOLUTIONS[rank], {"name": self.name, "dtype": self.policy, "data_format": data_format}
        if padding == "causal":
            raise InputError(f"layer '{self.name}': found padding 'causal', expected 'valid' or 'same'")
        self.of_input = convolution(4 * int(filters), kernel_size, strides, padding, dilation_rate=dilation_rate,
                                    use_bias=use_bias, **words)  # fmt: skip
        self.of_state = convolution(4 * int(filters), kernel_size, padding="same", use_bias=False, **words)
        self.rank, self.filters, self.use_bias = rank, int(filters), use_bias
        for word in ("kernel_size", "strides", "padding", "data_format", "dilation_rate"):
            setattr(self, word, getattr(self.of_input, word))
        self.given_activations = {"activation": activation, "recurrent_activation": recurrent_activation}
        self._settle_activations()

    def _settle_activations(self):
        for word, given in self.given_activations.items():
            setattr(self, word, activations.settle(given, self.semantics))
        self.functions = [activations.get(getattr(self, word)) for word in self.given_activations]

    def adopt(self, semantics):
        super().adopt(semantics)
        self._settle_activations()

    @property
    def state_size(self):
        """The channels of the states h and c."""
        return [self.filters, self.filters]

    def weight_shapes(self, input_shape):
        kernel, *bias = self.of_input.weight_shapes(input_shape).items()
        recurrent = (*self.kernel_size, self.filters, 4 * self.filters)
        return dict([kernel, ("recurrent_kernel", recurrent), *bias])

    def build_from(self, weights):
        self.of_input.build_from(weights)
        self.build(join(None, (None,) * self.rank, weights[0].shape[-2], self.data_format))

    def pack(self):
        own = self.of_input, self.of_state
        for convolution in own:
            convolution.policy = self.policy
        own[0].assign({name: array for name, array in self.weights.items() if name != "recurrent_kernel"})
        own[1].assign({"kernel": self.weights["recurrent_kernel"]})

    def compute_output_shape(self, input_shape):
        gates = list(self.of_input.compute_output_shape(input_shape))
        gates[-1 if self.data_format == "channels_last" else 1] = self.filters
        return [tuple(gates), [tuple(gates)] * 2]

    def call(self, inputs, states):
        """Compute one timestep.

        Parameters
        ----------
        inputs : (batch, *places, channels) array, or with the channels first
        states : list of two (batch, *outputs, filters) arrays, or with the channels first

        Returns
        -------
        output : array like the states
        states : list of two arrays
        """
        h, c = states
        z = self.of_input.call(inputs) + self.of_state.call(h)
        axis = -1 if self.data_format == "channels_last" else 1
        i, forget, candidate, o = np.split(z, 4, axis)
        f, g = (functools.partial(activations.apply_on_vectors, function) for function in self.functions)
        c = g(forget) * c + g(i) * f(candidate)
        h = g(o) * f(c)
        return h, [h, c]


class _ConvLSTM(_WithOwnCell):
    rank = 1

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        **kwargs,
    ):
        cell = ConvLSTMCell(
            self.rank, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, name=kwargs.get("name") or "cell", dtype=kwargs.get("dtype"),
        )  # fmt: skip
        super().__init__(cell, **kwargs)
        self._step_shape = None

    @property
    def filters(self):
        """The number of channels of the output."""
        return self.cell.filters

    def build(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        if len(shape) != self.rank + 3:
            raise InputError(f"layer '{self.name}': found inputs {shape}, expected {self.rank + 3} axes")
        super().build(input_shape)
        self._step_shape = (shape[0], *shape[2:])

    def compute_output_shape(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        state = self.cell.compute_output_shape((shape[0], *shape[2:]))[0]
        output = (state[0], shape[1], *state[1:]) if self.return_sequences else state
        return [output, state, state] if self.return_state else output

    def get_initial_state(self, batch_size):
        """Return a flat list of zero states for `batch_size` rows, as large as the inputs the layer was built for."""
        if self._step_shape is None:
            raise InputError(f"layer '{self.name}' must be called before it has states: it does not know their size")
        shape = self.cell.compute_output_shape((batch_size, *self._step_shape[1:]))[0]
        if None in shape:
            raise InputError(f"layer '{self.name}': found inputs of any size, expected a known one for its states")
        return [np.zeros(shape, self.dtype) for _ in self.cell.state_size]

    def zero_states(self, x):
        """Return a flat list of zero states for the inputs `x`."""
        shape = self.cell.compute_output_shape((len(x), *x.shape[2:]))[0]
        return [np.zeros(shape, self.dtype) for _ in self.cell.state_size]

    @property
    def masked_output(self):
        """What is emitted at masked timesteps, as a code of ``kernels.sequence``."""
        if self.semantics.convolutions_zero_masked:
            return super().masked_output
        return STATE if self.semantics.masked_output == "state" else PREVIOUS

    @property
    def _zeroes_late(self):
        return super()._zeroes_late and self.semantics.convolutions_zero_masked

    def _output_before(self, states):
        return flatten(states)[0]


class ConvLSTM1D(_ConvLSTM):
    """An LSTM over sequences of sequences: its products are convolutions.

    Parameters
    ----------
    filters, kernel_size : int
    strides, dilation_rate : int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation, recurrent_activation : str or callable
    use_bias : bool
    **kwargs
        As for `RNN`: ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``, ...

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConvLSTM1D(2, 3, padding="same", return_sequences=True)
    >>> layer.set_weights([np.ones((3, 4, 8)), np.ones((3, 2, 8)), np.zeros(8)])
    >>> layer(np.ones((1, 5, 6, 4))).shape
    (1, 5, 6, 2)
    """


class ConvLSTM2D(_ConvLSTM):
    """An LSTM over sequences of images: its products are convolutions.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of two int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation, recurrent_activation : str or callable
    use_bias : bool
    **kwargs
        As for `RNN`: ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``, ...

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConvLSTM2D(2, (1, 3))
    >>> layer.set_weights([np.ones((1, 3, 4, 8)), np.ones((1, 3, 2, 8)), np.zeros(8)])
    >>> layer(np.ones((1, 5, 6, 7, 4))).shape
    (1, 6, 5, 2)
    """

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """An LSTM over sequences of volumes: its products are convolutions.

    Parameters
    ----------
    filters : int
    kernel_size, strides, dilation_rate : int or sequence of three int
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
    activation, recurrent_activation : str or callable
    use_bias : bool
    **kwargs
        As for `RNN`: ``return_sequences``, ``return_state``, ``go_backwards``, ``stateful``, ...

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConvLSTM3D(2, 1)
    >>> layer.set_weights([np.ones((1, 1, 1, 4, 8)), np.ones((1, 1, 1, 2, 8)), np.zeros(8)])
    >>> layer(np.ones((1, 5, 3, 6, 7, 4))).shape
    (1, 3, 6, 7, 2)
    """

    rank = 3
