"""`RNN`: the recurrent layer that learns by a rule."""

import math
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from ..cells.hidden import HiddenCell
from ..cells.wide import wide_policy
from ..checks import integer, keras_object
from ..draws import check_seed
from ..keras_version import built_eagerly, keras, serializable, short_name
from ..regularizers import cost_of_activity
from ..rules import BPTT, LinearTraces, Rule, get
from ..rules.above import NOTHING_ABOVE, SHORTEST, Earlier
from ..rules.backward import Past, checked_shapes
from ..rules.learned_sensitivity import LearnedSensitivity
from ..rules.memory import LinearMemory, get_traces
from ..rules.perturbed_pass import PerturbedPass, unperturbed
from ..rules.settings import serialized
from ..rules.window import way_back
from ..sequences.clean_pass import clean_pass
from ..sequences.masks import Marks
from ..sequences.time_loop import map_tensors
from ..types import Config, Regularizer, RuleName, TracesName
from .credit import constants_without_gradient
from .diagnostics import Diagnostics, Report, activity, tell
from .stateful import LayerOverCell, StateLayout
from .step import Call, Step, running_step

MOST_NUMBERS = 10_000_000
"""A layer warns if its traces have more numbers for each example: 40 MB in single precision."""


@serializable
class RNN(LayerOverCell):
    """A recurrent layer that learns by a rule, such as KeRNL or e-prop, instead of by automatic differentiation.

    Forward it is `keras.layers.RNN` over the cell. Backward the rule takes the errors of the outputs, L(t) = dC/dz(t),
    to the weights of the cell and to the layer below. A rule that learns a sensitivity tensor M draws noise while the
    layer trains, and adds a loss of value zero whose gradient reaches M (and gamma) alone. So the layer learns in any
    Keras model; `kernl_keras.Model` gives M and gamma their own optimizer and alternates the two updates.

    Args:
        cell: `kernl_keras.LIFCell`, `kernl_keras.AdLIFCell`, `kernl_keras.ResonatorCell`, `kernl_keras.LeakyRNNCell`,
            `kernl_keras.LSTMCell`, or a `kernl_keras.Unit` of your own.
        rule: "kernl", "plain_kernl", "eprop", "rflo", "bptt", "readout_only", or an object from `kernl_keras.rules`,
            which has the rule's settings.
        window: C, the number of steps in a window. Errors go back exactly inside their window, as by backpropagation
            through time. Before it they reach the unit's own state under "eprop"; also, by M, the units that affected
            it under "kernl"; and nothing under "bptt", which is then truncated. Windows begin at steps 0, C, 2C and so
            on of what a call reads, wherever sequences start. None for one window over the whole call under "bptt" and
            with linear traces, and for windows of one step otherwise; on whole sequences of T steps KeRNL often
            learns more with T // 2. "plain_kernl", "rflo" and "readout_only" allow None or 1 alone.
        traces: what the layer remembers of the steps before a window or a piece of a sequence, so that later errors
            still reach them. "linear", for "kernl" and "eprop": filters of the J = I + H + 1 inputs of the units, and
            the mean linear step of each unit (`kernl_keras.rules.LinearTraces`); in a `kernl_keras.Model` errors then
            also come back to outputs of earlier pieces from the layer above. True: the exact eligibility traces,
            one or several of [H, J] numbers, or of [H, H, J] for KeRNL's kernel "whole_unit" and for rate units. False:
            nothing goes on to the next piece. None: False unless the layer is `stateful`; then "linear" under KeRNL,
            False under "bptt", and True under other rules and with the exponential kernel.
        seed: of the noise, an integer >= 0; None for one from Python's generator, which the configuration keeps.
        return_sequences: whether to return the output of every step (True by default, unlike in `keras.layers.RNN`).
        activity_regularizer: any Keras regularizer, such as `kernl_keras.FiringRate(10.0)`, of all outputs of the call
            [B, T, H], which are 0 at steps that do not count; one whose call takes a `mask` gets that. Its result,
            divided by the number of examples, is added to the loss, and its error to L(t). Pieces have a cost each.
        **kwargs: `return_state`, `go_backwards`, `stateful`, `unroll`, `name` and the rest of `keras.layers.RNN`'s. A
            `kernl_keras.Model` keeps states that are not finite out of a stateful layer.

    Call arguments:
        sequences: x [B, T, I], T >= 1.
        initial_state: list of states as `return_state` gives them; zeros where None.
        mask: True where a step counts [B, T]; None where all do. At the others all states stay as they are and the
            output repeats (0 before the first that counts, and everywhere with `zero_output_for_mask`), so that a
            padded batch has the gradients of its sequences without the padding.
        reset: True where an example starts a new sequence [B, T], bool; None for nowhere. All states are reset there,
            and no error goes further back. At a step that does not count it applies to the next one that does, or,
            where none follows, to the states at the end. `go_backwards` divides the sequences at the same places.
        training: M and gamma learn, and noise is drawn, only where True.

    Returns:
        The spikes (or rates) [B, T, H], or of the last step [B, H]; with `return_state` also the states: the cell's,
        those of the perturbed pass, and the traces, flattened. Except under `rules.BPTT(tape=True)` they carry no
        gradient: an error reaches the layer through its outputs alone.

    Attributes:
        trace_size: how many numbers the traces have for each example; known when the layer is built.
        trace_operations: how many multiplications linear memory takes for each example and piece of one window; None
            where the layer has no such memory, or does not know how long a piece is.
        diagnostics: what the layer measured; `layer.diagnostics.result()` is a dict, see `Model.diagnostics`.

    Raises:
        ValueError: for another kind of cell, an unknown rule, a rule, window or traces that do not fit each other or
            the cell, and a seed < 0; in a call, for sequences that are not [B, T, I], another number of features or
            states, a reset that is not bool [B, T], and for `stateful=True` without a static batch size.

    Warns:
        UserWarning: where `learn` of the cell names constants to which the rule gives no gradient; for traces of more
            than ten million numbers an example.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> layer = kk.RNN(kk.LIFCell(4), rule="eprop", name="hidden")
    >>> tuple(layer(np.ones((2, 7, 3), "float32")).shape)
    (2, 7, 4)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019; for the other rules see `kernl_keras.rules`.
    """

    STATES = "the cell's and the rule's"

    def __init__(
        self,
        cell: HiddenCell,
        rule: RuleName | Rule | Config = "kernl",
        window: int | None = None,
        traces: TracesName | bool | LinearTraces | Config | None = None,
        seed: int | None = None,
        return_sequences: bool = True,
        activity_regularizer: Regularizer | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(cell, HiddenCell):
            kinds = "a LIFCell, an AdLIFCell, a ResonatorCell, a LeakyRNNCell, an LSTMCell or a Unit"
            raise ValueError(f"cell must be {kinds}; received {cell!r}.")
        kwargs["dtype"] = wide_policy(kwargs.get("dtype") or cell.dtype_policy)
        super().__init__(cell, return_sequences, **kwargs)
        self._rule = get(rule, cell)
        # Keras' own attribute would make Keras regularize states and masked steps as well.
        self.regularizer = keras_object("regularizers", "activity_regularizer", activity_regularizer)
        self.window = None if window is None else integer("window", window)
        self.traces = get_traces(traces)
        self.seed = check_seed(seed)  # a saved layer continues with the same noise
        self.carries_traces = self.traces
        if traces is None:
            self.carries_traces = self.stateful and self.rule.stream_traces(cell)
        self.rule.check(cell, self.carries_traces)
        self.memory: LinearMemory | None = None
        self.trace_size, self.trace_operations = 0, None  # known when the layer is built
        if self.window is not None and self.rule.by_tape:  # it would be without effect
            raise ValueError(f"window must be None for {self.rule!r}, which has no windows; received {window!r}.")
        if self.window not in (None, 1) and not self.rule.windows:
            raise ValueError(f"window must be None or 1 for {self.rule!r}, which has no windows; received {window!r}.")
        self.report: Report | None = None
        self.diagnostics = Diagnostics()

    @built_eagerly
    def build(self, sequences_shape: Any = None, initial_state_shape: Any = None) -> None:  # no shape: called with None
        shape = self.build_cell(sequences_shape)
        features, lengths = shape[-1], [n for n in (self.window, shape[1]) if n is not None]
        self.rule.build(self)
        self.diagnostics.build(features)
        presynaptic = features + self.cell.units + 1  # J: inputs, units and bias
        shapes, columns = [], self.cell.currents * presynaptic + len(self.cell.fields())
        if isinstance(self.carries_traces, LinearTraces):
            self.memory = LinearMemory(self.cell, self.rule, self.carries_traces, presynaptic)
            shapes = [shape for shape in self.memory.shapes if shape is not None]
            self.trace_operations = self.memory.operations(min(lengths)) if lengths else None
        elif self.carries_traces:
            shapes = [(*shape, columns) for shape in checked_shapes(self.rule, self.cell, traces=True)]
        self._layout = StateLayout(self.cell, self.rule.perturbed_rows(self.cell), shapes)
        self.trace_size = sum(map(math.prod, shapes))
        if self.trace_size > MOST_NUMBERS:
            warnings.warn(
                f"traces={self.carries_traces!r} make layer {self.name!r} keep {self.trace_size:,} numbers for each "
                f"example, and go through all of them after each piece. {self._fewer_numbers()}",
                stacklevel=2,
            )
        self.state_size = self._layout.sizes
        super().build(sequences_shape)
        self.built = True
        if names := constants_without_gradient(self):
            warnings.warn(
                f"learn should name constants that {self.rule!r} moves; received {', '.join(map(repr, names))} of "
                f"{type(self.cell).__name__}, which have no gradient under it and stay as they are.",
                stacklevel=2,
            )

    def _fewer_numbers(self) -> str:
        if isinstance(self.carries_traces, LinearTraces):
            return "LinearTraces(poles=n) with a smaller n keeps fewer."
        try:
            self.rule.check(self.cell, LinearTraces())
        except ValueError:
            if isinstance(self.rule, LearnedSensitivity):
                return (
                    'rule="eprop" has fewer, and with any kernel but "whole_unit" so have units that share their time '
                    "constants."
                )
            return "Fewer units have fewer."
        return 'traces="linear" keeps a few for each input.'

    @property
    def rule(self) -> Rule:
        """The rule. It cannot be changed: build another layer, and load the weights that this one has saved."""
        return self._rule

    @property
    def sensitivity_weights(self) -> list[tf.Variable]:
        """The variables M and gamma that the perturbation trains; empty where nothing does."""
        learning = self.rule.sensitivity_weights(self) if self.trainable and self.built else []
        return [variable for variable in learning if variable.trainable]

    def reset_sensitivity(self) -> None:
        """Starts M and gamma anew, from the weights as they are now."""
        self.rule.reset(self)

    def inner_loop(
        self, sequences: tf.Tensor, initial_state: Sequence[tf.Tensor], mask: Marks, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Keras' hook: `(last output [B, H], outputs [B, T, H], states)`."""
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(f"unroll=True needs a static number of steps; received shape {tuple(sequences.shape)}.")
        model, below, own = running_step(), None, None
        if training and self.memory is not None and model is not None and not model.exact and not self.go_backwards:
            # Errors of earlier outputs can reach the layer below, and this one.
            below = model.earlier_outputs(sequences, mask)
            if below is None or below.window != self.window:
                below = None
            else:
                windows = self.window is not None and (sequences.shape[1] or math.inf) > self.window >= SHORTEST
                below.read_by(self.memory.filters, windows)
            own = Earlier(self.memory.filters, self.window, mask, self.cell.compute_dtype)
            model.earlier.append(own)
        sequences = tf.cast(sequences, self.cell.compute_dtype)
        if self.go_backwards:
            sequences = tf.reverse(sequences, [1])
            mask = mask.read_backwards()
        steps = mask.steps()
        if steps is not None:
            sequences = steps.gather(sequences)
        outputs, states = self._learn(sequences, initial_state, steps, training, below, own)
        if steps is not None:
            outputs = steps.scatter(outputs, self.zero_output_for_mask)
        outputs = tf.cast(outputs, self.compute_dtype)
        if own is not None:
            own.outputs = outputs
        return outputs[:, -1], outputs, states

    def _learn(self, sequences, initial_state, steps, training, below, own):
        """`(outputs [B, T, H], states)` from sequences in the order in which they are read, valid `steps` first.

        `below` and `own` are the `Earlier` of the layer below and of this one, or None.
        """
        model = running_step() or Step()
        rule = BPTT() if model.exact and not self.rule.by_tape else self.rule
        x = tf.transpose(sequences, (1, 0, 2))  # [T, B, I]
        valid, starts = (None, None) if steps is None else (steps.valid, steps.starts)
        before, perturbed, traces = self._layout.unpack(initial_state)
        p, weights = self.cell.parameters(), self.cell.recurrent_weights()
        stop = (lambda part: part) if rule.by_tape else partial(map_tensors, tf.stop_gradient)
        # Where a rule gives the gradient, the loop has none: its backward pass is not even traced.
        before = stop(before)
        learned = [getattr(p, field) for field in self.cell.fields()]
        p = p._replace(**{name: stop(value) for name, value in p._asdict().items() if tf.is_tensor(value)})
        sensitivity = None, None, None, None
        if training and self.sensitivity_weights:
            credited = counted_steps(tf.shape(x), steps, model.present, last=self.rule.last)
            passes = PerturbedPass(self, p, weights, stop(x), steps, credited, model.solves)
            residuals, end, perturbed, *sensitivity = passes(before, stop(perturbed), model.learns)
        else:
            current = stop(self.cell.input_current(x))
            residuals, end = clean_pass(self.cell, p, stop(weights), current, before, valid, self.unroll, starts)
            if perturbed is not None:  # a later piece that is perturbed starts there
                perturbed = unperturbed(self.rule.perturbation, end, perturbed)
        outputs = residuals.output
        if not rule.by_tape:
            past = Past(self, x, before, stop(residuals), p, steps)
            outputs, traces = self._attach(rule, past, x, weights, learned, traces, below, own)
            end = stop(end)
        counted = counted_steps(tf.shape(x), steps, model.present)
        square = self.diagnostics.look_at_inputs(tf.stop_gradient(x), counted, training)
        tell(self, Report(*sensitivity, square, *activity(outputs, counted, self.cell.highest_activity)), training)
        outputs = tf.transpose(outputs, (1, 0, 2))
        if self.regularizer is not None:
            mask = None if counted is None else tf.transpose(counted)
            self.add_loss(cost_of_activity(self.regularizer, outputs, mask))
        model.calls.append(Call(self, sequences, initial_state, steps, outputs))
        states = self._layout.pack(end, None if perturbed is None else stop(perturbed), traces)
        return outputs, states if steps is None else steps.left(states)

    def _attach(self, rule, past, x, weights, learned, traces, below, own):
        """The outputs [T, B, H] with the rule's gradient, and the traces after the last step.

        The gradient takes the place of the loop's. It is by x, the weights of the cell and the fields of `parameters()`
        that learn; and, if errors of earlier outputs can reach this layer or the one below, by their tokens, Eq. (42).
        """
        carried, window, memory = (traces, self.window, self.memory) if rule is self.rule else ((), None, None)
        cell, outputs = self.cell, past.residuals.output
        tokens, below_tokens = ([] if earlier is None else earlier.tokens for earlier in (own, below))
        rows = cell.kernel.shape[0], cell.units, *[1] * (1 + len(learned))  # of dC/dW: inputs, units, bias, constants

        def back():  # made when the errors come: M may have learned since the forward pass
            return way_back(rule, past, window, bool(carried), memory, below)

        @tf.custom_gradient
        def attached(inputs, kernel, recurrent_weights, bias, *constants_and_below):
            def gradient(error, *above):
                given = [] if memory is None else [own.given(above) if above else NOTHING_ABOVE]
                current, weights_gradient, *tokens_gradient = back()(error, carried, *given)
                kernel_gradient, recurrent_gradient, *rest = tf.split(weights_gradient, rows)
                x_gradient = tf.einsum("tbh,ih->tbi", current, kernel)  # Eq. (15)
                tokens_gradient = [] if below is None else tokens_gradient[0]
                return x_gradient, kernel_gradient, recurrent_gradient, *(row[0] for row in rest), *tokens_gradient

            return [tf.identity(each) for each in (outputs, *tokens)], gradient

        bias = tf.zeros(cell.kernel.shape[1], outputs.dtype) if cell.bias is None else tf.convert_to_tensor(cell.bias)
        outputs, *received = attached(x, tf.convert_to_tensor(cell.kernel), weights, bias, *learned, *below_tokens)
        if own is not None:
            own.tokens = received
        if carried and (self.stateful or self.return_state):
            traces = back().advance(traces)
        return outputs, traces

    def save_own_variables(self, store: Any) -> None:
        """Keras' hook: M, gamma and the count of draws by name, so that a layer with another rule can read them."""
        for name, variable in self._own_variables().items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Keras' hook: loads this rule's own weights. Those that the file lacks stay as they are, with a warning."""
        missing = []
        for name, variable in self._own_variables().items():
            if name not in store or tuple(store[name].shape) != tuple(variable.shape):
                missing.append(name)
            else:
                variable.assign(store[name])
        if missing:
            warnings.warn(
                f"The file has no {' and no '.join(missing)} for layer {self.name!r}: it was saved with another rule. "
                "They stay as they were; reset_sensitivity() starts them from the weights that were loaded.",
                stacklevel=2,
            )

    def _own_variables(self):
        """The weights of the layer but not of the cell, `{name: variable}`."""
        cell_weights = {id(variable) for variable in self.cell.weights}
        own = [variable for variable in self.weights if id(variable) not in cell_weights]
        return {short_name(variable): variable for variable in own}

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "rule": keras.saving.serialize_keras_object(self.rule),
            "window": self.window,
            "traces": serialized(self.traces),
            "seed": self.seed,
            "activity_regularizer": keras.regularizers.serialize(self.regularizer),
        }


def counted_steps(shape, steps, present, last=False):
    """True where a step of an example counts [T, B], or with `last` alone its last step; None for all.

    `present` is > 0 for the examples of the model's batch that count, None for all, as for layers of other batches.
    """
    if steps is None and present is None:
        return None
    if steps is None:
        counted = tf.range(shape[0])[:, None] >= (shape[0] - 1 if last else 0)  # [T, 1]
    else:
        counted = steps.last if last else steps.valid
    examples = tf.fill([shape[1]], True)
    if present is not None:
        examples = tf.cond(tf.equal(tf.size(present), shape[1]), lambda: present > 0, lambda: examples)
    return tf.logical_and(counted, examples)
