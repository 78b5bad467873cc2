"""`RNN`: the recurrent layer that carries a learning rule."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..checks import check_sequences, check_states, flag, integer, keras_object, number, one_of, time_steps
from ..draws import add_counter, check_seed
from ..keras_version import NO_AUTOCAST, KerasRNN, keras
from ..learning.attach import attach_gradient
from ..learning.forward import run_clean, unperturbed
from ..learning.implementations import IMPLEMENTATIONS, trace_shapes
from ..learning.rules import FORMS, RULES, make_rule
from ..learning.valid_steps import ValidSteps
from ..serialization import serializable
from ..types import (
    Config,
    Credit,
    Form,
    Implementation,
    Initializer,
    Observable,
    Perturbation,
    PostFactor,
    Preset,
    Rule,
    SensitivityMode,
    TemporalKernel,
)
from .perturbed_pass import PerturbedPass
from .presets import PRESETS
from .report import Report, unit_activity
from .rule_gradient import RuleGradient
from .states import StateLayout
from .step import Step, running_step

TEMPORAL_KERNELS = ("learned", "own")
POST_FACTORS = ("gate", "surrogate", "trace")
MATCHING_POST_FACTOR = {"current": "gate", "synapse": "surrogate", "activity": "surrogate"}


@serializable
class RNN(KerasRNN):
    """A recurrent layer whose gradient is that of KeRNL, an online rule, instead of backpropagation through time.

    Forward it is `keras.layers.RNN` over the cell. Backward it replaces the influence of unit i's current at t on unit
    k's potential at t' >= t by a sensitivity tensor M and a temporal filter gamma. With L_k(t) = dC/dz_k(t) the error
    that reaches the output:

        plain form
        (10) e_ij(t) = exp(-gamma_i dt) e_ij(t-1) + h_i(t) s_j(t)
        (11) d_i(t) = sum_k L_k(t) psi_k(t) M_ki
        (12) dC/dW_ij = sum_b sum_t d_i(t) e_ij(t)
        network form: the unit's own leak is known, M carries the path through its spikes
        (20) eps_ij(t) = a_i eps_ij(t-1) + (1-a_i) R_m s_j(t)
        (21) e_ij(t) = exp(-gamma_i dt) e_ij(t-1) + psi_i(t-1) eps_ij(t-1)
        (22) dC/dW_ij = sum_b sum_t [L_i(t) psi_i(t) eps_ij(t) + d_i(t) e_ij(t)]

    M and gamma learn, while training, to predict what a small noise xi on the units does to the network:

        (16) Omega(t) = exp(-gamma dt) Omega(t-1) + xi(t)
        (19) F = mean (D(t) - Omega(t) M^T)^2,   D = perturbed minus clean observation

    F is an added loss of the layer, whose gradient reaches M and gamma only; so the layer learns in any Keras model.
    `kernl_keras.Model` gives M and gamma their own optimizer and alternates the two updates.

    Args:
        cell: `kernl_keras.LIFCell`, `kernl_keras.ResonatorCell` or `kernl_keras.LeakyRNNCell`.
        rule: "kernl"; "eprop", the first term of (22) alone; "eprop_alif", the same with the threshold's part of the
            trace; "rflo", each weight's effect on the output, leaking; "readout", no learning in this layer or below;
            "bptt", backpropagation through time by automatic differentiation; or "bptt_adjoint", the same gradient, its
            adjoint written out (faster, "factored" only, and blind to errors of the states).
        form: "network" or "plain".
        perturbation: where the noise enters: "current" I_i(t); "synapse" S_i(t-1) as the recurrent weights see it (in
            the network form it enters S and decays with it); "activity" h_i(t-1), rate cells only. None for the one
            that fits the form: "synapse" for network; for plain "current", or "activity" for rate cells.
        sensitivity_mode: "tangent": the network linearised along its clean trajectory. "twin": a second, noisy network.
            "replica": a noisy copy of each unit by itself, which hears the clean network's spikes, so that M learns
            the path through one synapse (the reference code; spiking cells).
        resync_every: number of steps after which the perturbed pass starts anew; None for never.
        observe: "distance" V- - B, "voltage" V- (for rate cells h), or "reset_voltage" V, after the reset. None for
            "distance", rate cells "voltage".
        post_factor: h of the plain form: "gate" (1, or 0 where refractory), "surrogate" (psi, or (1-a) f' of a rate
            cell), "trace" (S). None for the one that fits the perturbation.
        credit: "all" steps, or the "last" only, for both (12)/(22) and (19).
        reset_gradient: whether the local trace (20) follows the derivative of the resetting spike, as backpropagation
            does: what is left of eps after a spike is then less by psi(t) times what the spike took from the potential.
            None for True in KeRNL's network form and "bptt_adjoint", and False for e-prop, as it was published; the
            plain form and the other rules have no such trace.
        noise_std: std of the noise that a twin or a replica receives. A tangent is the limit of small noise and has no
            scale.
        temporal_kernel: "learned", exp(-gamma_i d) of the unit i that spikes, as published; or "own", the way in which
            the potential of the unit k that is moved goes on by itself: Eq. (25), network form, `num_kernels=1`. M then
            starts at the path through one synapse exactly (for `tau_s=None`), also where units swing or have time
            constants of their own, and gamma stands still at 1/tau_m. "online" and "chunked" need a trace for each
            distinct own kernel. Where a sequence comes in pieces, F's gradient by M does not reach noise of the
            pieces before.
        num_kernels: R, kernels per unit.
        implementation: "factored" (errors filtered backward, one matrix product), "online" (traces forward), or
            "chunked". The latter two carry traces in the layer's states, so that a sequence may arrive in pieces.
        chunk_size: C, steps a chunk, for "chunked".
        max_perturbation: bound of a tangent's effect, in units of the noise; where an example exceeds it, its
            perturbation starts anew. The other modes need none: their potential is bounded like any other.
        train_sensitivity: whether M and gamma learn.
        train_temporal_filter: whether gamma does, where M does and `temporal_kernel` is "learned".
        sensitivity_initializer: of M: None for what the form suggests, "recurrent" (W_rec^T times (1-a) R_m), "local"
            (the unit itself: (1-a) R_m I, or I for "activity"), or any Keras initializer.
        temporal_filter_initializer: of gamma, 1/ms: None for 1/tau_m, a quarter of it for each further kernel, or any
            Keras initializer.
        seed: of the noise; None for one from Python's generator.
        return_sequences: whether to return the output of every step (unlike `keras.layers.RNN`, by default).
        **kwargs: `return_state`, `go_backwards`, `stateful`, `unroll`, `name` and the rest of `keras.layers.RNN`'s.

    Call arguments:
        sequences: x [B, T, I], T >= 1.
        initial_state: list of states as `return_state` gives them; zeros where None.
        mask: True where a step counts [B, T]; None where all do. At the others all states stay as they are and the
            output repeats (before the first that counts it is 0, as always with `zero_output_for_mask`), so that a
            padded batch learns what its sequences without the padding would teach.
        training: M and gamma learn, and noise is drawn, only where True.

    Returns:
        The spikes (or rates) [B, T, H], or of the last step [B, H]; with `return_state` also the states: the cell's,
        the perturbed pass's, Omega and Gamma [B, R H], and the traces of "online" and "chunked", flattened. With a rule
        they carry no gradient: an error reaches the layer through its outputs alone.

    Raises:
        ValueError: for an unknown setting, and for settings that do not go together.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> layer = kk.RNN(kk.LIFCell(4), name="hidden")
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; Bellec et al., Nature Communications 11:3625
    (2020) for the local term.
    """

    def __init__(
        self,
        cell: HiddenCell,
        rule: Rule = "kernl",
        form: Form = "network",
        perturbation: Perturbation | None = None,
        sensitivity_mode: SensitivityMode = "tangent",
        resync_every: int | None = None,
        observe: Observable | None = None,
        post_factor: PostFactor | None = None,
        credit: Credit = "all",
        reset_gradient: bool | None = None,
        noise_std: float = 0.1,
        temporal_kernel: TemporalKernel = "learned",
        num_kernels: int = 1,
        implementation: Implementation = "factored",
        chunk_size: int | None = None,
        max_perturbation: float = 30.0,
        train_sensitivity: bool = True,
        train_temporal_filter: bool = True,
        sensitivity_initializer: Initializer | None = None,
        temporal_filter_initializer: Initializer | None = None,
        seed: int | None = None,
        return_sequences: bool = True,
        **kwargs: Any,
    ) -> None:
        if not isinstance(cell, HiddenCell):
            raise ValueError(f"cell must be a kernl_keras cell (spiking, resonator or rate); received {cell!r}.")
        super().__init__(cell, return_sequences=return_sequences, **{"dtype": cell.dtype_policy, **kwargs})
        spiking = "distance" in cell.OBSERVABLES
        self.rule = one_of("rule", rule, RULES)
        self.form = one_of("form", form, FORMS)
        if perturbation is None:
            perturbation = "synapse" if form == "network" else "current" if spiking else "activity"
        self.perturbation = one_of("perturbation", perturbation, cell.PERTURBATIONS)
        if form == "network" and perturbation != "synapse":
            raise ValueError(f"perturbation must be 'synapse' in the network form; received {perturbation!r}.")
        self.sensitivity_mode = one_of("sensitivity_mode", sensitivity_mode, cell.SENSITIVITY_MODES)
        self.resync_every = None if resync_every is None else integer("resync_every", resync_every)
        self.observe = one_of("observe", cell.OBSERVABLES[0] if observe is None else observe, cell.OBSERVABLES)
        matching = MATCHING_POST_FACTOR[perturbation]
        self.post_factor = one_of("post_factor", matching if post_factor is None else post_factor, POST_FACTORS)
        self.credit = one_of("credit", credit, ("all", "last"))
        network = rule == "kernl" and form == "network"
        follows = network or rule == "bptt_adjoint"
        self.reset_gradient = follows if reset_gradient is None else flag("reset_gradient", reset_gradient)
        if self.reset_gradient and not (follows or rule in ("eprop", "eprop_alif")):
            raise ValueError(
                "reset_gradient must be None or False where there is no local trace; "
                f"received True with rule={rule!r}, form={form!r}."
            )
        self.noise_std = number("noise_std", noise_std, above=0.0)
        self.temporal_kernel = one_of("temporal_kernel", temporal_kernel, TEMPORAL_KERNELS)
        self.num_kernels = integer("num_kernels", num_kernels)
        if temporal_kernel == "own" and (form != "network" or self.num_kernels != 1 or credit != "all"):
            raise ValueError(
                "temporal_kernel='own' needs form='network', num_kernels=1 and credit='all'; "
                f"received form={form!r}, num_kernels={num_kernels!r}, credit={credit!r}."
            )
        self.implementation = one_of("implementation", implementation, IMPLEMENTATIONS)
        if (chunk_size is None) == (implementation == "chunked"):
            raise ValueError(
                "chunk_size must be given for implementation='chunked', and only there; "
                f"received chunk_size={chunk_size!r} with implementation={implementation!r}."
            )
        self.chunk_size = None if chunk_size is None else integer("chunk_size", chunk_size)
        if rule == "bptt_adjoint" and implementation != "factored":
            raise ValueError(f"implementation must be 'factored' for rule='bptt_adjoint'; received {implementation!r}.")
        self.max_perturbation = number("max_perturbation", max_perturbation, above=0.0)
        self.train_sensitivity = flag("train_sensitivity", train_sensitivity)
        self.train_temporal_filter = flag("train_temporal_filter", train_temporal_filter)
        suggested = "recurrent" if perturbation == "synapse" else "local"
        initializer = suggested if sensitivity_initializer is None else sensitivity_initializer
        if initializer not in ("recurrent", "local"):
            initializer = keras_object("initializers", "sensitivity_initializer", initializer)
        self.sensitivity_initializer = initializer
        self.temporal_filter_initializer = keras_object(
            "initializers", "temporal_filter_initializer", temporal_filter_initializer
        )
        _, self.seed = check_seed(seed)  # a saved layer goes on with the same noise
        self._rule = make_rule(rule, form, cell.OWN, temporal_kernel, implementation == "factored")
        self.report: Report | None = None

    @classmethod
    def from_preset(cls, preset: Preset, cell: HiddenCell, time_steps: int, **overrides: Any) -> "RNN":
        """A layer with named settings: "default", or "reference" for those of the reference KeRNL code.

        Args:
            preset: name of the preset.
            cell: as in the constructor.
            time_steps: T; the reference draws gamma from [0, 1/T].
            **overrides: arguments of the constructor that replace the preset's.

        Example:

        >>> import kernl_keras as kk
        >>> kk.RNN.from_preset("reference", kk.LIFCell(4), time_steps=838).sensitivity_mode
        'replica'
        """
        return cls(cell, **{**PRESETS[one_of("preset", preset, PRESETS)](time_steps), **overrides})

    # Weights

    def build(self, sequences_shape: Sequence[Any], initial_state_shape: Any = None) -> None:
        several = isinstance(sequences_shape[0], (list, tuple, tf.TensorShape))  # Keras 2: the states' as well
        shape = sequences_shape[0] if several else sequences_shape  # a list where it comes from a saved model
        time_steps("sequences", shape)
        if not self.cell.built:
            self.cell.build((shape[0], shape[-1]))
        units = self.cell.units
        if self.rule == "kernl":
            lead = () if self.num_kernels == 1 else (self.num_kernels,)
            self.sensitivity_tensor = self.add_weight(
                name="sensitivity_tensor",
                shape=(*lead, units, units),
                initializer=self._initial_sensitivity,
                trainable=self.train_sensitivity,
                dtype=self.cell.variable_dtype,
                **NO_AUTOCAST,
            )
            self.temporal_filter = self.add_weight(
                name="temporal_filter",
                shape=(*lead, units),
                initializer=self.temporal_filter_initializer or self._initial_filter,
                constraint=tf.nn.relu,  # as "non_neg", which in Keras 2 knows single precision only
                trainable=self._filter_learns,
                dtype=self.cell.variable_dtype,
                **NO_AUTOCAST,
            )
            self._draws = add_counter(self)
        self._trace_shapes = []
        if self._rule is not None and self.implementation != "factored":
            kernels = self.num_kernels
            if self.temporal_kernel == "own":
                kernels = max(self.cell.kernel_groups()) + 1
            self._trace_shapes = trace_shapes(self._rule, kernels, units, shape[-1] + units + 1)
        self.state_size = self._layout().sizes
        super().build(sequences_shape)
        self.built = True

    def _initial_sensitivity(self, shape, dtype=None, **_):
        units = self.cell.units
        if isinstance(self.sensitivity_initializer, str):
            drive = tf.convert_to_tensor(self.cell.parameters().drive, dtype) * tf.ones(units, dtype)
            if self.sensitivity_initializer == "recurrent":
                first = tf.transpose(tf.cast(self.cell.recurrent_weights(), dtype)) * drive[:, None]
            else:
                first = tf.eye(units, dtype=dtype) if self.perturbation == "activity" else tf.linalg.diag(drive)
            if len(shape) == 2:
                return first
            return tf.concat([first[None], tf.zeros((shape[0] - 1, units, units), dtype)], 0)
        return self.sensitivity_initializer(shape, dtype=dtype)

    def _initial_filter(self, shape, dtype=None, **_):
        rate = tf.convert_to_tensor(self.cell.leak_rate(), dtype) * tf.ones(self.cell.units, dtype)
        return rate if len(shape) == 1 else rate * 4.0 ** -tf.range(shape[0], dtype=dtype)[:, None]

    @property
    def _filter_learns(self):
        return self.train_sensitivity and self.train_temporal_filter and self.temporal_kernel == "learned"

    @property
    def sensitivity_weights(self) -> list[tf.Variable]:
        """The variables M and gamma that F trains (M alone where gamma stands still); empty where nothing does."""
        if self.rule != "kernl" or not self.train_sensitivity or not self.trainable:
            return []
        return [self.sensitivity_tensor, *([self.temporal_filter] if self._filter_learns else [])]

    def m_and_gamma(self) -> tuple[tf.Tensor, tf.Tensor]:
        """M [R, H, H] and gamma [R, H]; a rule without them has one kernel of zeros."""
        units, dtype = self.cell.units, self.cell.compute_dtype
        if self.rule != "kernl":
            return tf.zeros((1, units, units), dtype), tf.zeros((1, units), dtype)
        m, gamma = tf.convert_to_tensor(self.sensitivity_tensor), tf.convert_to_tensor(self.temporal_filter)
        return tf.reshape(m, (self.num_kernels, units, units)), tf.reshape(gamma, (self.num_kernels, units))

    def _layout(self):
        return StateLayout(self.cell, self.num_kernels if self.rule == "kernl" else 0, self._trace_shapes)

    # Forward, and the seam at which the rule's gradient replaces the loop's

    def call(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor] | None = None,
        mask: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor | list[tf.Tensor]:
        check_sequences("sequences", tf.nest.flatten(sequences)[0], self.cell.kernel.shape[0])
        count = len(self.state_size)
        what = f"the {count} states that return_state=True gives (the cell's and the rule's)"
        check_states("initial_state", initial_state, count, what)
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], mask: tf.Tensor | None, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Keras' hook: `(last output [B, H], outputs [B, T, H], states)`."""
        sequences = tf.cast(sequences, self.cell.compute_dtype)  # whole numbers, or another dtype policy's
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        steps = None
        if mask is not None:
            steps = ValidSteps(mask)
            sequences = steps.gather(sequences)
        outputs, states = self.loop(sequences, initial_state, steps, training)
        if steps is not None:
            outputs = steps.spread(outputs, self.zero_output_for_mask)
        return outputs[:, -1], outputs, states

    def loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], steps: ValidSteps | None, training: bool
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """`(outputs [B, T, H], states)` of sequences as they are read: forward, and the valid `steps` first."""
        x = tf.transpose(sequences, (1, 0, 2))  # [T, B, I]
        valid = None if steps is None else steps.valid
        layout = self._layout()
        before, perturbed, traces = layout.unpack(initial_state)
        p, weights = self.cell.parameters(), self.cell.recurrent_weights()
        step, self.report = running_step() or Step(), None
        counted = counted_steps(tf.shape(x), steps, step.present)
        sensitivity = None, None, None, None
        # Where a rule gives the gradient, the loop has none: its backward pass is not even traced.
        stop = (lambda part: tf.nest.map_structure(tf.stop_gradient, part)) if self._rule else (lambda part: part)
        if training and self.sensitivity_weights:
            x_stopped, state, perturbed = stop((x, before, perturbed))
            credited = counted_steps(tf.shape(x), steps, step.present, last=self.credit == "last")
            both = PerturbedPass(self, p, weights, x_stopped, valid, credited)
            written, end_state, perturbed, *sensitivity = both(state, perturbed, step.learns)
            perturbed = stop(perturbed)
        else:
            loop = (self.cell, p, stop(weights), stop(self.cell.input_current(x)), stop(before), self.unroll)
            written, end_state = run_clean(*loop, valid)
            if perturbed is not None:  # a later piece that is perturbed starts there
                perturbed = stop(unperturbed(self.sensitivity_mode, end_state, perturbed))
        outputs = written[0]
        if self._rule is not None:
            written, before, end_state = stop((written, before, end_state))
            outputs, traces = self._attach_rule(x, weights, p, written, before, traces, steps)
        self._tell(Report(*sensitivity, *unit_activity(outputs, counted)))
        return tf.transpose(outputs, (1, 0, 2)), layout.pack(end_state, perturbed, traces)

    def _tell(self, report):
        """A `Model` takes F for its own optimizer; any other model has it as an added loss."""
        if running_step() is not None:
            running_step().reports.append(report)
            return
        self.report = report
        if report.sensitivity_loss is not None:
            self.add_loss(report.sensitivity_loss)

    def _attach_rule(self, x, weights, p, written, before, traces, steps):
        """The outputs [T, B, H] with the rule's gradient, and the traces after the last step."""
        rule = RuleGradient(self, self._rule, x, before, written, p, self.reset_gradient, steps)
        outputs = attach_gradient(
            written[0], x, self.cell.kernel, weights, self.cell.bias, lambda error: rule(error, traces)
        )
        carried = traces and (self.stateful or self.return_state)
        return outputs, rule.advance(traces) if carried else traces

    def get_config(self) -> Config:
        initializer = self.sensitivity_initializer
        return {
            **super().get_config(),
            "rule": self.rule,
            "form": self.form,
            "perturbation": self.perturbation,
            "sensitivity_mode": self.sensitivity_mode,
            "resync_every": self.resync_every,
            "observe": self.observe,
            "post_factor": self.post_factor,
            "credit": self.credit,
            "reset_gradient": self.reset_gradient,
            "noise_std": self.noise_std,
            "temporal_kernel": self.temporal_kernel,
            "num_kernels": self.num_kernels,
            "implementation": self.implementation,
            "chunk_size": self.chunk_size,
            "max_perturbation": self.max_perturbation,
            "train_sensitivity": self.train_sensitivity,
            "train_temporal_filter": self.train_temporal_filter,
            "sensitivity_initializer": initializer
            if isinstance(initializer, str)
            else keras.initializers.serialize(initializer),
            "temporal_filter_initializer": self.temporal_filter_initializer
            and keras.initializers.serialize(self.temporal_filter_initializer),
            "seed": self.seed,
        }


def counted_steps(shape, steps, present, last=False):
    """Which steps of which examples count, [T, B]; None for all.

    Args:
        shape: of x, [T, B, I].
        steps: `ValidSteps`, or None where all are valid.
        present: which examples of the model's batch count, > 0; None for all. A layer of another batch counts all.
        last: of each example the last step alone.
    """
    if steps is None and present is None:
        return None
    if steps is None:
        of_steps = tf.range(shape[0])[:, None] >= (shape[0] - 1 if last else 0)  # [T, 1]
    else:
        of_steps = steps.last if last else steps.valid
    every = tf.fill([shape[1]], True)
    if present is not None:
        every = tf.cond(tf.equal(tf.size(present), shape[1]), lambda: present > 0, lambda: every)
    return tf.logical_and(of_steps, every)
