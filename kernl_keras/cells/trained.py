"""Base of the cells with trained weights: units, input weights, a bias, and constants."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import flag, integer, keras_object
from ..dynamics.decays import DECAYS
from ..types import Constraint, Discretization, Initializer, Regularizer
from .constants import built_constant, learned_constant
from .wide import WideCell


class TrainedCell(WideCell):
    """Base of the cells with trained input weights and a trained bias; its arguments are those of a Keras `Dense`."""

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Initializer | None = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer | None = None,
        bias_regularizer: Regularizer | None = None,
        kernel_constraint: Constraint | None = None,
        bias_constraint: Constraint | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = integer("units", units)
        self.use_bias = flag("use_bias", use_bias)
        self.kernel_initializer = keras_object("initializers", "kernel_initializer", kernel_initializer)
        self.bias_initializer = keras_object("initializers", "bias_initializer", bias_initializer)
        self.kernel_regularizer = keras_object("regularizers", "kernel_regularizer", kernel_regularizer)
        self.bias_regularizer = keras_object("regularizers", "bias_regularizer", bias_regularizer)
        self.kernel_constraint = keras_object("constraints", "kernel_constraint", kernel_constraint)
        self.bias_constraint = keras_object("constraints", "bias_constraint", bias_constraint)

    currents = 1  # G, currents of a unit: one block of all H units after the other, [.., G H]
    LEARNABLE: tuple[str, ...] = ()  # the constants that may learn
    TIME_CONSTANTS: tuple[str, ...] = ()  # those in ms
    learn: tuple[str, ...] = ()
    discretization: Discretization = "exponential"  # a word of `DECAYS`; in some cells an argument

    def set_learn(self, learn: str | Iterable[str]) -> None:
        """Checks and sets `learn`, once all constants are set: names of constants that the cell has and uses."""
        names, known = [learn] if isinstance(learn, str) else learn, self.LEARNABLE
        if not isinstance(names, Iterable) or isinstance(names, Mapping) or any(name not in known for name in names):
            raise ValueError(f"learn must be names out of {list(known)}; received {learn!r}.")
        for name in names:
            if (value := getattr(self, name)) is None or not np.any(value if isinstance(value, list) else [value]):
                raise ValueError(
                    f"learn must name constants that are in use; received {name!r}, with {name}={value!r}."
                )
        self.learn = tuple(name for name in known if name in names)

    def build_constants(self) -> None:
        """Makes the constants: weights for those that learn, see `built_constant` for the others."""
        self._constants: dict[str, Any] = {}
        for name in dict.fromkeys((*self.TIME_CONSTANTS, *self.LEARNABLE)):
            if name in self.learn:
                self._constants[name] = learned_constant(self, name)
            else:
                above = 2.0 * self.dt if name == "period" else 0.0 if name in self.TIME_CONSTANTS else None
                self._constants[name] = built_constant(self, name, getattr(self, name), self.units, above)

    def hold_constants(self) -> None:
        """Freezes the constants that do not learn at their values, so that an exported graph has them."""
        for name, value in self._constants.items():
            if value is not None and name not in self.learn and not isinstance(value, float):
                self._constants[name] = tf.convert_to_tensor(value).numpy()

    def learned_weights(self) -> dict[str, tf.Variable]:
        """The weights of the constants that learn, the logarithms of their values [H], by the constants' names."""
        return {name: self._constants[name] for name in self.learn}

    def constant(self, name: str) -> Any:
        """A constant as it is now: a number, a tensor [H], or None."""
        value, start = self._constants[name], getattr(self, name)
        if name in self.learn:
            value = tf.exp(tf.convert_to_tensor(value))
            if isinstance(start, list) and 0.0 in start:  # a 0 stays 0
                value *= tf.constant([float(x != 0.0) for x in start], value.dtype)
        return tf.constant(value) if isinstance(value, np.ndarray) else value

    def decay_of(self, name: str) -> Any:
        """The decay factor of a step by the time constant `name`: a number or a tensor [H]."""
        return DECAYS[self.discretization](self.constant(name), self.dt, name)

    def constants(self) -> dict[str, Any]:
        """The constants of the units as they are now, by name: numbers or tensors [H], times in ms; no None."""
        values = {name: self.constant(name) for name in self._constants}
        return {name: value for name, value in values.items() if value is not None}

    def add_kernel(self, input_shape: Sequence[int | None], initializer: Callable[..., tf.Tensor] | None) -> None:
        """Makes the input weights [I, G units]."""
        if input_shape[-1] is None:
            raise ValueError(f"inputs must have a known last axis; received shape {tuple(input_shape)}.")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], self.currents * self.units),
            initializer=initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def initial_bias(self) -> Callable[..., tf.Tensor]:
        """The initializer of the bias."""
        return self.bias_initializer

    def add_bias(self) -> None:
        """Makes the bias [G units], None without one."""
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.currents * self.units,),
                initializer=self.initial_bias(),
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    @property
    def output_size(self) -> int:
        return self.units
