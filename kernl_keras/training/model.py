"""`Model`: a Keras model that alternates learning of M and gamma with learning of the weights."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ..checks import integer, one_of
from ..keras_version import IS_KERAS_3, Functional, keras
from ..layers.find import rule_layers
from ..layers.rnn import RNN
from ..layers.step import Step, reports_of_here, running
from ..replicas import whole_sum
from ..serialization import serializable
from ..types import Config, OnNonfinite
from .diagnostics import ACTIVITY, DIAGNOSTICS, Diagnostics, check_names, totals
from .nonfinite import Record, Suspect, suspects_of_batch, suspects_of_gradients, suspects_of_model
from .shares import batch_size, logs_of_replica, share_of_loss, share_of_sensitivity_loss
from .state import Kept, lasting, metric_variables, state_kept
from .updates import group, update
from .validation import arguments, show_validation_data
from .watch import Watch, with_callback


class Schedule(NamedTuple):
    """Whether a step updates M and gamma, and whether it updates the weights; scalar bools."""

    sensitivity: Any
    weights: Any


class Learned(NamedTuple):
    """What came of the two updates of a step."""

    of_sensitivity: Any  # `updates.Group` of M and gamma
    of_weights: Any  # of all other weights
    losses: list  # `Suspect` of the weights' loss and, where M and gamma learn, of F; of the whole batch
    finite: Any  # scalar bool: losses and gradients
    good: Any  # scalar bool: finite, and training has not stopped


def present(sample_weight):
    """Which examples count, [B] of 0 and 1; None for all, and for weights that are not one number an example."""
    if sample_weight is None or isinstance(sample_weight, (dict, list, tuple)):
        return None
    sample_weight = tf.convert_to_tensor(sample_weight)
    if sample_weight.shape.rank not in (1, 2):
        return None
    if sample_weight.shape.rank == 2 and sample_weight.shape[1] != 1:
        return None
    return tf.cast(tf.reshape(sample_weight, (-1,)) != 0, sample_weight.dtype)


@serializable
class Model(keras.Model):
    """A Keras model whose training step, for every batch,

        (a) runs the network once, clean and perturbed together;
        (b) in every `sensitivity_every`-th step, updates M and gamma of its `RNN` layers from their sensitivity loss
            F, Eq. (19), with `sensitivity_optimizer`;
        (c) updates every other weight with `optimizer`: the hidden ones by the rule, Eq. (12) or (22), with the new M
            and gamma, the readout and all other layers by their ordinary gradient.

    Built like any functional or subclassed Keras model. Clip gradients with the optimizers' own `clipnorm`,
    `global_clipnorm` or `clipvalue`: one optimizer a group. An example whose sample weight is 0 is left out of F and of
    the activity, too (`kernl_keras.data.full_batches` makes use of it).

    A batch whose loss or gradients are not finite moves nothing that lasts, as if it had never come: no weight, no slot
    of an optimizer, no state of a stateful layer, no running statistic, no count of draws, no metric but
    `skipped_updates`. With `on_nonfinite="skip"` training goes on, and `fit` warns at the end of the epoch; with "stop"
    it ends there, by a `FloatingPointError` out of `fit` or `train_on_batch`. Both name the step and the first tensor
    that held NaN or infinity. `fit` also warns, once, of a network that fell silent or says nothing because it spikes
    at almost every step, and says which settings to turn.

    Besides the compiled metrics, `fit` reports (the mean over an epoch's steps, summed over layers for F and D^2 and
    averaged over layers for the activity):

        sensitivity_loss            F, in units of the noise variance
        explained_variance          1 - F / mean D^2: share of the perturbation's effect that M and gamma predict
        restarted_perturbations     share of steps in which a perturbation exceeded `max_perturbation` and began anew
        firing_rate                 spikes a unit and step (mean absolute activity of rate units)
        silent_units                share of units without a spike in the whole batch
        weight_gradient_norm        norm of the gradient in (c)
        sensitivity_gradient_norm   norm of the gradient in (b)
        skipped_updates             share of steps that were skipped; all else is the mean over the others, NaN if none

    `evaluate` and `predict` draw no noise; `evaluate` reports the loss, the compiled metrics, `firing_rate` and
    `silent_units`, by name with `return_dict=True`.

    Args:
        *args: as of `keras.Model`: `inputs` and `outputs`, or neither in a subclass with a `call` of its own.
        **kwargs: likewise.

    Raises:
        ValueError: when training begins, under a strategy of several replicas, for losses that have no one reduction.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from kernl_keras.keras_version import keras
    >>> inputs = keras.Input((7, 3))
    >>> hidden = kk.RNN(kk.LIFCell(4), name="hidden")(inputs)
    >>> voltage = kk.Readout(2)(hidden)
    >>> model = kk.Model(inputs, kk.TimeAverage(5)(voltage))
    >>> model.compile(keras.optimizers.Adam(1e-2), "mse", sensitivity_optimizer=keras.optimizers.RMSprop(1e-3))
    >>> history = model.fit(np.ones((8, 7, 3)), np.zeros((8, 2)), batch_size=4, verbose=0)
    >>> "explained_variance" in history.history
    True

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Model":
        return super().__new__(FunctionalModel if cls is Model and functional(args, kwargs) else cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if functional(args, kwargs) and not isinstance(self, Functional):
            make_functional(type(self))
        super().__init__(*args, **kwargs)

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "rmsprop",
        loss: str | Callable[..., Any] | None = None,
        sensitivity_optimizer: str | keras.optimizers.Optimizer | None = None,
        sensitivity_only: int = 0,
        sensitivity_every: int = 1,
        on_nonfinite: OnNonfinite = "skip",
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: of the weights.
            loss: Keras loss.
            sensitivity_optimizer: of M and gamma; None for RMSprop with learning rate 1e-3.
            sensitivity_only: number of first steps in which M and gamma learn alone.
            sensitivity_every: M and gamma learn in every n-th step of `optimizer`, to which accumulated batches
                are one step; 1 for each.
            on_nonfinite: what becomes of training at a batch with NaN or infinity in its loss or gradients: "skip"
                leaves the batch out, "stop" raises `FloatingPointError`.
            **kwargs: `metrics`, `jit_compile` and the rest of `keras.Model.compile`'s arguments.

        Raises:
            ValueError: for a metric with the name of a number that `fit` reports itself, a negative `sensitivity_only`,
                `sensitivity_every` < 1, an unknown `on_nonfinite`, or one optimizer for both groups.
        """
        self.sensitivity_only = integer("sensitivity_only", sensitivity_only, low=0)
        self.sensitivity_every = integer("sensitivity_every", sensitivity_every)
        self.on_nonfinite = one_of("on_nonfinite", on_nonfinite, ("skip", "stop"))
        if sensitivity_optimizer is optimizer and not isinstance(optimizer, str):
            raise ValueError(f"sensitivity_optimizer must not be the weights' optimizer; received {optimizer!r} twice.")
        check_names(kwargs)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.sensitivity_optimizer = keras.optimizers.get(sensitivity_optimizer or keras.optimizers.RMSprop(1e-3))
        self._diagnostics = Diagnostics()
        self._nonfinite = Record(stop=on_nonfinite == "stop")
        if self.built:
            self._build_optimizers()

    def get_compile_config(self) -> Config | None:
        """What `compile` was given, for a saved model."""
        config = super().get_compile_config()
        if config:
            config["sensitivity_optimizer"] = keras.saving.serialize_keras_object(self.sensitivity_optimizer)
            config["sensitivity_only"] = self.sensitivity_only
            config["sensitivity_every"] = self.sensitivity_every
            config["on_nonfinite"] = self.on_nonfinite
        return config

    def compile_from_config(self, config: Config) -> None:
        """Compiles a loaded model as it was; its optimizers then find their slots."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The compiled metrics, and the means of what `fit` reports besides."""
        return [*super().metrics, *(self._diagnostics.means if hasattr(self, "_diagnostics") else ())]

    @property
    def rule_layers(self) -> list[RNN]:
        """The `RNN` layers of the model, in order."""
        return rule_layers(self)

    def _groups(self):
        """`(M and gamma of all layers, all other trainable weights)`."""
        sensitivity = [weight for layer in self.rule_layers for weight in layer.sensitivity_weights]
        theirs = {id(weight) for weight in sensitivity}
        return sensitivity, [weight for weight in self.trainable_variables if id(weight) not in theirs]

    def _build_optimizers(self):
        """Each optimizer on its own variables, so that a saved model finds its slots again."""
        for optimizer, variables in zip((self.sensitivity_optimizer, self.optimizer), self._groups()):
            if not getattr(optimizer, "built", False) and not getattr(optimizer, "_built", False):
                with tf.init_scope():
                    optimizer.build(variables)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Keras 3's hook: before the first step under a strategy, what is not built yet is built by a symbolic call.

        Keras takes the mean of the replicas' parts of a batch, which no two workers can form (3.15), nor replicas with
        unlike numbers of examples. The first replica's part will do.
        """
        strategy = self.distribute_strategy
        if iterator is not None and strategy.num_replicas_in_sync > 1:
            for _, _, batches in iterator:
                first = next(batches)
                data_batch = tf.nest.map_structure(lambda part: strategy.experimental_local_results(part)[0], first)
                iterator = None
                break
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
        if self.built and strategy.num_replicas_in_sync > 1:
            with strategy.scope():
                self._build_optimizers()

    def _get_metrics_result_or_logs(self, logs):
        """Keras 3's hook: of what a step of one replica returned the numbers of all. Keras asks for all names or none,
        and an evaluation returns less than there is."""
        of_all = self.get_metrics_result()
        return {name: of_all.get(name, value) for name, value in logs.items()}

    def _validate_and_get_metrics_result(self, logs):
        """The same under its name in Keras 2, whose numbers are Python's by then."""
        logs = self._get_metrics_result_or_logs(logs)
        return {name: value.numpy().tolist() if tf.is_tensor(value) else value for name, value in logs.items()}

    @property
    def losses(self) -> list[tf.Tensor]:
        """The added losses but for F, which has its own optimizer."""
        own = {id(layer.report.sensitivity_loss) for layer in self.rule_layers if layer.report is not None}
        return [loss for loss in super().losses if id(loss) not in own]

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`; callbacks with a method `set_validation_data` first receive the validation data by it.

        Raises:
            FloatingPointError: with `on_nonfinite="stop"`, at a batch that is not finite.
        """
        show_validation_data(super().fit, args, kwargs)
        given = arguments(super().fit, args, kwargs)
        if hasattr(self, "_nonfinite"):
            given["callbacks"] = with_callback(Watch(self._nonfinite, self.rule_layers), given.get("callbacks"))
        with self._averages_of_both():
            return super().fit(**given)

    @contextlib.contextmanager
    def _averages_of_both(self):
        """Within, each optimizer with `use_ema` ends by giving its own variables their averages.

        Keras has one optimizer, and would hand it the variables of both.
        """
        optimizer = getattr(self, "optimizer", None)
        if optimizer is None:
            yield
            return

        def finalize(_):
            for each, variables in zip((self.sensitivity_optimizer, self.optimizer), self._groups()):
                type(each).finalize_variable_values(each, variables)

        vars(optimizer)["finalize_variable_values"] = finalize
        try:
            yield
        finally:
            del vars(optimizer)["finalize_variable_values"]

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.train_on_batch`.

        Raises:
            FloatingPointError: with `on_nonfinite="stop"`, at a batch that is not finite.
        """
        logs = super().train_on_batch(*args, **kwargs)
        self._nonfinite.check()
        return logs

    def _forward(self, x, y, sample_weight=None, learns=None, kept=None):
        """The network once, clean and, where M and gamma learn, perturbed.

        Args:
            kept: `Kept`, which learns of the metrics that come into being here.

        Returns:
            the tape, the predictions, the losses of the weights and of M and gamma (of a replica its share, such that
            the whole batch's are the sums), and the `Totals`.
        """
        with tf.GradientTape(persistent=True) as tape:
            with running(Step(present(sample_weight), learns)) as step:
                y_pred = self(x, training=True)
                self._build_metrics(y, y_pred)
                if kept is not None:
                    kept.add(metric_variables(self))
                loss = self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
            reports = reports_of_here(step)
            whole = [report.of_whole_batch() for report in reports]
            sensitivity_loss = share_of_sensitivity_loss(reports, whole)
            loss = share_of_loss(loss, self.loss, y_pred, x)
        return tape, y_pred, loss, sensitivity_loss, totals(whole)

    def _build_metrics(self, y, y_pred):
        """So that all there is can be put back, and read, after a batch that does not count."""
        if not IS_KERAS_3:
            if not self.compiled_loss.built:  # it counts the losses of each output
                self.compiled_loss.build(y_pred)
            if self.compiled_metrics is not None and not self.compiled_metrics.built:
                self.compiled_metrics.build(y_pred, y)
        elif self._compile_metrics is not None and not self._compile_metrics.built:
            self._compile_metrics.build(y, y_pred)

    def gradients(self, x: Any, y: Any) -> list[tf.Tensor | None]:
        """What the optimizers would receive for a batch: of M and gamma that of F, of every other weight the rule's.

        Nothing is updated, and no state moves: the noise is that of the next training step.

        Args:
            x, y: a batch, as for `fit`.

        Returns:
            one gradient for each of `trainable_variables`, in their order; None for a weight that no loss reaches.
        """
        x, y = tf.nest.map_structure(tf.convert_to_tensor, (x, y))
        with state_kept(self):
            tape, _, loss, sensitivity_loss, _ = self._forward(x, y)
        sensitivity, weights = self._groups()
        gradients = tape.gradient(sensitivity_loss, sensitivity) if sensitivity else []
        gradients = [*gradients, *tape.gradient(loss, weights)]
        gradients = [gradient if gradient is None else whole_sum(gradient) for gradient in gradients]
        of = {id(variable): gradient for variable, gradient in zip([*sensitivity, *weights], gradients)}
        return [of[id(variable)] for variable in self.trainable_variables]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch: (a) forward, (b) M and gamma, (c) weights, metrics; and all back again if it was not finite."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        learns = None
        if self.built and self.sensitivity_every > 1:  # the other steps need no perturbed pass
            learns = self._schedule(self._groups()[0]).sensitivity
        kept = Kept(lasting(self))
        tape, y_pred, loss, sensitivity_loss, report = self._forward(x, y, sample_weight, learns, kept)
        learned = self._learn(tape, loss, sensitivity_loss, kept)
        if IS_KERAS_3:  # Keras 2 counts the loss in `compute_loss`
            self._loss_tracker.update_state(learned.losses[0].tensor, sample_weight=batch_size(x))
        logs = self.compute_metrics(x, y, y_pred, sample_weight)
        kept.put_back(tf.logical_not(learned.good))
        suspects = [*suspects_of_model(self), *suspects_of_batch(self, x, y, sample_weight), *learned.losses]
        suspects += suspects_of_gradients(self, learned.of_sensitivity, "sensitivity gradient")
        suspects += suspects_of_gradients(self, learned.of_weights, "gradient")
        self._nonfinite.write(learned.finite, suspects)
        self._diagnostics.update(report, learned.of_sensitivity.norm, learned.of_weights.norm, learns, learned.good)
        return logs_of_replica({**logs, **self.get_metrics_result()})

    def _learn(self, tape, loss, sensitivity_loss, kept):
        """(b) M and gamma, then (c) the weights with the new ones, both unless something is not finite.

        Args:
            kept: `Kept`, which M and gamma and their optimizer are added to: they have learned before the gradient of
                the weights is known.

        Returns:
            `Learned`.
        """
        self._build_optimizers()
        sensitivity, weights = self._groups()
        kept.add([*sensitivity, *self.sensitivity_optimizer.variables])
        now, going_on = self._schedule(sensitivity), self._nonfinite.open()
        losses = [Suspect("loss", "result", whole_sum(loss))]
        if sensitivity_loss is not None:
            losses.append(Suspect("sensitivity loss F", "result", whole_sum(sensitivity_loss)))
        of_sensitivity = group(tape.gradient(sensitivity_loss, sensitivity) if sensitivity else [], sensitivity)
        update(self.sensitivity_optimizer, of_sensitivity, tf.logical_and(going_on, now.sensitivity))
        of_weights = group(tape.gradient(loss, weights), weights)
        finite = [of_sensitivity.finite, of_weights.finite, *(tf.math.is_finite(each.tensor) for each in losses)]
        finite = tf.reduce_all(tf.stack(finite))
        good = tf.logical_and(going_on, finite)
        update(self.optimizer, of_weights, tf.logical_and(good, now.weights))
        return Learned(of_sensitivity, of_weights, losses, finite, good)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch without learning: M, gamma and the traces stay as they are."""
        with running(Step(present(keras.utils.unpack_x_y_sample_weight(data)[2]))) as step:
            super().test_step(data)
        self._diagnostics.update(totals([report.of_whole_batch() for report in reports_of_here(step)]))
        logs = self.get_metrics_result()
        return logs_of_replica({n: value for n, value in logs.items() if n not in DIAGNOSTICS or n in ACTIVITY})

    def predict_step(self, data: Any) -> tf.Tensor:
        """One batch without targets."""
        with running(Step()):
            return super().predict_step(data)

    def _schedule(self, sensitivity):
        """Which groups this step updates. The optimizers' own counts decide, so a resumed run goes on as before."""
        if not sensitivity:
            return Schedule(False, True)
        steps = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)
        warm = tf.cast(tf.convert_to_tensor(self.sensitivity_optimizer.iterations), tf.int64) >= self.sensitivity_only
        return Schedule(steps % self.sensitivity_every == 0, warm)


@serializable
class FunctionalModel(Model, Functional):
    """What `Model(inputs, outputs)` makes.

    Keras would make the class `Model` itself a functional one, and none of its subclasses that has a `call` of its
    own could be built any more.
    """

    __init__ = Functional.__init__  # Keras 2 saves the layers of models that are made as its own are


def functional(args, kwargs):
    """Whether these are the arguments of a functional model."""
    return "inputs" in kwargs or len(args) > 1


def make_functional(cls):
    """Makes a subclass of `Model` a functional one, as Keras does, but leaves `Model` as it is."""
    if cls is Model:
        return FunctionalModel
    if issubclass(cls, Model):
        cls.__bases__ = tuple(make_functional(base) for base in cls.__bases__)
    return cls
