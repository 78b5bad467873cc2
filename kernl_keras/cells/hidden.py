"""`HiddenCell`, the base of the hidden cells: weights, Eq. (1), and the interface for learning rules."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import check_features, flag, integer, keras_object, number
from ..draws import check_seed
from ..dynamics.surrogate import check_surrogate
from ..keras_version import built_eagerly, keras
from ..types import Connectivity, Constraint, Excitatory, Initializer, KernelName, Regularizer, Surrogate
from .connections import (
    UnitSigns,
    check_connectivity,
    check_excitatory,
    connected_initializer,
    connection_mask,
    unit_signs,
)
from .constants import Effects
from .linear import Changes, LinearStep
from .trained import TrainedCell


class HiddenCell(TrainedCell):
    """Base of the cells that an RNN layer trains: I(t) = x(t) W_in + S(t-1) W_rec + bias, Eq. (1).

    Args:
        units: number of units H.
        self_connections: whether a unit receives its own output through W_rec: False by default in spiking cells, True
            in `LeakyRNNCell` and `LSTMCell`.
        recurrent_initializer, recurrent_regularizer, recurrent_constraint, bias_initializer: Keras objects.
        recurrent_connectivity: the recurrent connections: a probability, with which each is drawn once and then saved
            with the model, or a matrix [H, H] of True and False, whose row j has the connections that leave unit j;
            None for all, 0 for none. Other weights are 0 and stay 0. `recurrent_gain` holds for those that there are.
        excitatory: Dale's law: the share of units that are excitatory, the first ones, or a list of H times True or
            False; None for weights of any sign. The recurrent weights that leave an excitatory unit are >= 0, of all
            others <= 0. An update that would change a sign ends at 0 (a Keras constraint, before
            `recurrent_constraint`). Initial weights, by any initializer, get the sign, and those of inhibitory units
            are larger in the ratio of the two numbers of units, so that the two kinds cancel in the mean.
        connectivity_seed: of the drawn connections, an integer >= 0; None for one that the configuration keeps.
        **kwargs: `use_bias` and the other arguments of `TrainedCell`; `name`, `dtype` and those of a Keras layer.

    A subclass defines the NamedTuple `State`, and the methods

    - `parameters()`: the constants p of a step;
    - `step(current, state, p)`: one time step; and `save_residuals(step, state)`, the values to keep of it;
    - `linear_step(residuals, p)`: the `LinearStep` of the states in `own_states`; and `silent_step(p)`, that of a step
      without a spike, if it is always the same;
    - `presynaptic(state)` and `sent(residuals)`: the input of the recurrent weights;
    - `kept_states(residuals, p)`: the own states after a step that were kept, such as V(t), each [.., H]; and
      `effects(residuals, before, seen, p)`, the derivatives of a step by the constants in `fields()`;
    - `gate(step)`, `observables(step, state)`, `perturb(state, noise)`: for perturbations;
    - `weights_of_potential()` and `leak_rate()`: where M and gamma start;

    and the attributes `OBSERVABLES` and `NOISE` (where noise may enter, the default first).
    """

    output_kind = "activity"  # or "spikes", each 0 or 1
    KERNELS: tuple[KernelName, ...] = ("membrane", "whole_unit", "exponential")  # kernels of KeRNL that suit the units
    HEARD_VARIES = False  # whether `LinearStep.heard` differs from step to step
    RULE_DEFAULTS: dict[str, dict[str, Any]] = {}  # what suits them of a rule or of linear memory, by the word for it
    own_states: tuple[str, ...]  # names in `State` of the own states: potential first, an adapting threshold last
    OBSERVABLES: tuple[str, ...] = ("distance", "voltage")
    NOISE: tuple[str, ...] = ("current", "synapse")
    DIRECT_EFFECT_ON: str | None = None  # which of them shows M, Eq. (41); None for what the perturbation observes
    input_gain: float | None = None  # scale of initial weights without an initializer; None for Keras' default
    recurrent_gain: float | None = None  # likewise
    FIELDS: dict[str, tuple[str, ...]] = {}  # fields of `parameters()` by the argument that sets them
    CONSTANTS: tuple[str, ...] = ("tau_m",)  # the arguments that set lambda, the factor of a potential without input

    def __init__(
        self,
        units: int,
        *,
        self_connections: bool = False,
        recurrent_initializer: Initializer | None = "orthogonal",
        bias_initializer: Initializer = "zeros",
        recurrent_regularizer: Regularizer | None = None,
        recurrent_constraint: Constraint | None = None,
        recurrent_connectivity: Connectivity | None = None,
        excitatory: Excitatory | None = None,
        connectivity_seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.self_connections = flag("self_connections", self_connections)
        # Keras draws the seed of a random initializer when it makes it: kernel, recurrent kernel, bias.
        self.recurrent_initializer = keras_object("initializers", "recurrent_initializer", recurrent_initializer)
        self.bias_initializer = keras_object("initializers", "bias_initializer", bias_initializer)
        self.recurrent_regularizer = keras_object("regularizers", "recurrent_regularizer", recurrent_regularizer)
        self.recurrent_constraint = keras_object("constraints", "recurrent_constraint", recurrent_constraint)
        self.recurrent_connectivity = check_connectivity("recurrent_connectivity", recurrent_connectivity, self.units)
        self.excitatory = check_excitatory("excitatory", excitatory, self.units)
        self.connectivity_seed = connectivity_seed
        if connectivity_seed is not None:
            self.connectivity_seed = integer("connectivity_seed", connectivity_seed, low=0)
        elif isinstance(self.recurrent_connectivity, float):
            self.connectivity_seed = check_seed(None)

    def set_spiking(
        self, dt: float, surrogate: Surrogate, surrogate_damping: float, input_gain: float, recurrent_gain: float
    ) -> None:
        """Checks and sets the arguments that all spiking cells have."""
        self.dt = number("dt", dt, above=0.0)
        self.surrogate = check_surrogate("surrogate", surrogate, self.compute_dtype)
        self.surrogate_damping = number("surrogate_damping", surrogate_damping, low=0.0)
        self.input_gain = number("input_gain", input_gain, low=0.0)
        self.recurrent_gain = number("recurrent_gain", recurrent_gain, low=0.0)

    @built_eagerly
    def build(self, input_shape: Sequence[int | None]) -> None:
        self.build_constants()
        drive = tf.get_static_value(tf.convert_to_tensor(self.parameters().drive)) if self.CONSTANTS else None
        if drive is not None and not np.all(drive > 0.0):
            raise ValueError(
                f"{self.CONSTANTS[0]} must be small enough that a step's current moves the potential in "
                f"{self.variable_dtype}; received {getattr(self, self.CONSTANTS[0])!r} ms with dt = {self.dt:g} ms."
            )
        self.add_kernel(input_shape, self.kernel_initializer or self.unit_drive_initializer(self.input_gain))
        self.recurrent_mask = connection_mask(self)
        signs = unit_signs(self.excitatory, self.units)
        # the share of connections that exist: the mean of the mask, or the probability
        share = 1.0 if self.recurrent_connectivity is None else float(np.mean(self.recurrent_connectivity)) or 1.0
        initial = self.recurrent_initializer or self.unit_drive_initializer(self.recurrent_gain, share)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, self.currents * self.units),
            initializer=connected_initializer(initial, self.mask_of_weights(), signs),
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint if signs is None else UnitSigns(signs, self.recurrent_constraint),
        )
        self.add_bias()
        self.built = True

    def unit_drive_initializer(self, gain: float | None, share: float = 1.0) -> Callable[..., tf.Tensor] | None:
        """Normal weights that add a potential of std gain / sqrt(share fan_in) in one step; None without a gain."""
        if gain is None:
            return None

        def initializer(shape, dtype=None, **_):
            values = keras.initializers.RandomNormal(stddev=gain / (share * shape[0]) ** 0.5)(shape, dtype=dtype)
            return values / tf.cast(self.parameters().drive, values.dtype)

        return initializer

    def kernel_groups(self) -> list[int]:
        """The index of each unit's lambda among the distinct ones [H]; constants that are drawn or learn all differ."""
        values = [getattr(self, name) for name in self.CONSTANTS]
        drawn = any(not (value is None or isinstance(value, (float, list))) for value in values)
        if drawn or any(name in self.learn for name in self.CONSTANTS):
            return list(range(self.units))
        unit_values = list(zip(*(value if isinstance(value, list) else [value] * self.units for value in values)))
        distinct = list(dict.fromkeys(unit_values))
        return [distinct.index(value) for value in unit_values]

    def sampled(self, name: str, shape: tuple[int, ...] = (1000,)) -> np.ndarray:
        """A constant as the configuration has it: a number, [H], or of an initializer as many draws as `shape` has."""
        value = getattr(self, name)
        if not isinstance(value, (float, list)):
            config = value.get_config() if hasattr(value, "get_config") else {}
            if "seed" in config:
                value = type(value).from_config({**config, "seed": 0})
            value = value(shape)
        return np.asarray(value)

    def time_scales(self) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
        """The ranges of the time constants and of the periods, ms, or None; of an initializer that of 1,000 draws."""
        given = {name: self.sampled(name) for name in self.TIME_CONSTANTS if getattr(self, name) is not None}
        periods = given.pop("period", ())
        return extent(*given.values()), extent(periods)

    def swings(self) -> tuple[float, float] | None:
        """The range of the periods, ms, with which the own state oscillates without input; None if it does not."""
        return self.time_scales()[1]

    def fields(self) -> list[str]:
        """The fields of `parameters()` that depend on constants that learn."""
        return list(dict.fromkeys(field for name in self.learn for field in self.FIELDS[name]))

    @property
    def keeps_second_state(self) -> bool:
        """True if the second own state, such as Im U(t) or w(t), must be kept for every step."""
        return self.count_own(adaptation=False) > 1 and any(name in self.learn for name in self.CONSTANTS)

    @property
    def has_trace(self) -> bool:
        """True if S, which the recurrent weights see, is a state, which keeps what is added to it."""
        return "trace" in self.State._fields

    def synaptic_decay(self, p: Any) -> Any:
        """kappa, one step's decay of the synaptic trace S; 0.0 for units whose output is what others receive."""
        return 0.0

    def count_own(self, adaptation: bool) -> int:
        """The number of own states, with the adapting threshold or without."""
        return len(self.own_states) - (not adaptation and "adaptation" in self.own_states)

    def linear_step(self, residuals: Any, p: Any) -> LinearStep:
        """The `LinearStep` of what `save_residuals` kept."""
        raise NotImplementedError(f"{type(self).__name__} must implement linear_step(residuals, p).")

    def silent_step(self, p: Any) -> LinearStep:
        """The `LinearStep` of a unit without a spike."""
        raise NotImplementedError(f"{type(self).__name__} must implement silent_step(p).")

    def free_response(self, p: Any) -> tuple[tuple[Any, ...], ...]:
        """`LinearStep.free_response` of the potential, without a spike or an adapting threshold."""
        return self.silent_step(p).first(self.count_own(adaptation=False)).free_response()

    def changed_state(self, change: Any, changes: Changes, p: Any) -> Any:
        """The `State` of changes after a step, from that before it and the `Changes` of `LinearStep.forward`."""
        return change._replace(**dict(zip(self.own_states, changes.x)))

    def states_to_keep(self, state: Any) -> list[tf.Tensor]:
        """The own states in a state but for an adapting threshold, in the order of `kept_states`."""
        return [getattr(state, name) for name in self.own_states if name != "adaptation"]

    def effects(self, residuals: Any, before: tuple, seen: tf.Tensor, p: Any) -> dict[str, Effects]:
        """`Effects` of the fields of `parameters()`, Eq. (30); `before` are `kept_states` at t-1, `seen` is S(t-1)."""
        raise NotImplementedError(f"{type(self).__name__} must implement effects(residuals, before, seen, p).")

    def output_slope(self, step: LinearStep) -> Any:
        """psi(t), of rate units (1-a) f': how the output follows a current, as KeRNL was published."""
        return step.psi

    def gate(self, step: Any) -> tf.Tensor | float:
        """1, or 0 [B, H] where a unit does not receive its current."""
        return 1.0

    def perturb(self, state: Any, noise: tf.Tensor) -> Any:
        """A state with noise in S, where it enters like a spike."""
        return state._replace(trace=state.trace + noise)

    def recurrent_weights(self) -> tf.Tensor:
        """W_rec [H, G H], 0 where there is no connection; without self-connections unless `self_connections`."""
        weights = tf.convert_to_tensor(self.recurrent_kernel)
        if self.recurrent_mask is not None:
            weights *= tf.cast(self.mask_of_weights(), weights.dtype)
        if self.self_connections:
            return weights
        zeros = tf.zeros(self.units, weights.dtype)
        cut = [tf.linalg.set_diag(part, zeros) for part in tf.split(weights, self.currents, -1)]
        return cut[0] if self.currents == 1 else tf.concat(cut, -1)

    def mask_of_weights(self) -> tf.Tensor | None:
        """The mask of W_rec, [H, G H] of 0 and 1; None where all weights exist."""
        if self.recurrent_mask is None:
            return None
        mask = tf.convert_to_tensor(self.recurrent_mask)
        return mask if self.currents == 1 else tf.tile(mask, (1, self.currents))

    def weights_of_potential(self) -> tf.Tensor:
        """W_rec [H, H] of the current that moves the potential. M starts from it."""
        return self.recurrent_weights()

    def direct_effect(self) -> tf.Tensor:
        """drive W_rec^T: how much a spike of unit i moves the potential of unit k in one step [k, i]."""
        dtype = self.variable_dtype
        drive = tf.convert_to_tensor(self.parameters().drive, dtype) * tf.ones(self.units, dtype)
        return tf.transpose(tf.cast(self.weights_of_potential(), dtype)) * drive[:, None]

    def connections(self) -> np.ndarray:
        """The recurrent weights in use, with or without self-connections: a NumPy mask [H, G H] of 0 and 1."""
        mask = np.ones((self.units, self.units))
        if self.recurrent_mask is not None:
            mask *= tf.convert_to_tensor(self.recurrent_mask).numpy()
        if not self.self_connections:
            mask *= 1.0 - np.eye(self.units)
        return np.tile(mask, (1, self.currents))

    def input_weights(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """W_in [I, G H] and the bias [G H] or None, as tensors."""
        return tf.convert_to_tensor(self.kernel), None if self.bias is None else tf.convert_to_tensor(self.bias)

    def input_current(self, inputs: tf.Tensor, weights: tuple[tf.Tensor, tf.Tensor | None] | None = None) -> tf.Tensor:
        """x(t) W_in + bias: [.., I] -> [.., G H]; `weights` are those of `input_weights`."""
        kernel, bias = weights or self.input_weights()
        current = tf.einsum("...i,ih->...h", inputs, kernel)
        return current if bias is None else current + bias

    def presynaptic(self, state: tuple) -> tf.Tensor:
        """S(t-1) or h(t-1) [B, H], the input of the recurrent weights."""
        return state[-1]

    def sent(self, residuals: Any) -> Any:
        """S(t) or h(t) [.., B, H], the input of the recurrent weights at the next step."""
        return residuals.output

    def call(self, inputs: tf.Tensor, states: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """`(output [B, H], new states)` from inputs [B, I] and the list of states, each [B, H]."""
        check_features("inputs", inputs, self.kernel.shape[0])
        inputs = tf.cast(inputs, self.compute_dtype)
        state = self.State(*states)
        recurrent = tf.matmul(self.presynaptic(state), self.recurrent_weights())  # [B, H] x [H, G H]
        step, state = self.step(self.input_current(inputs) + recurrent, state, self.parameters())
        return step.output, list(state)

    @property
    def highest_activity(self) -> float:
        """The largest mean absolute output of a unit; 1 for a spike at every step."""
        return 1.0

    @property
    def state_size(self) -> list[int]:
        return [self.units] * len(self.State._fields)


def extent(*values: Any) -> tuple[float, float] | None:
    """The smallest and the largest of numbers in arrays; None where there are none."""
    numbers = np.concatenate([np.ravel(each) for each in values]) if values else np.zeros(0)
    return (float(numbers.min()), float(numbers.max())) if numbers.size else None
