"""`Model`: a Keras model whose training step alternates learning of M and gamma with learning of the weights."""

import contextlib
from typing import Any, NamedTuple

import tensorflow as tf

from ..keras_version import IS_KERAS_3, Functional, keras, serializable
from ..layers.names import rule_layers
from ..layers.rnn import RNN
from ..layers.step import Step, running
from ..replicas import logs_of_replica, share_of_loss, share_of_sensitivity_loss, whole_sum
from .compiled import CompiledModel, NotInHDF5, gradients_released_with
from .data_checks import ORDERED, check_data, check_dt, check_stateful, show_data
from .diagnostics import Watch, with_callback
from .metrics import build_metrics, counted_targets, present, update_metrics
from .nonfinite import Suspect, all_finite, suspects_left, suspects_of_step
from .optimizers import (
    LeastSquares,
    build_optimizers,
    ending_in_averages,
    loss_scale,
    lower_loss_scale,
    optimizer_variables,
    schedule,
    take_gradients,
    unscaled,
    update,
    variable_groups,
    warn_of_unreached,
)
from .state import Kept, begin_anew, finite_goes_on, fresh_states, lasting


@serializable
class Model(CompiledModel):
    """A Keras model whose training step, for every batch,

        (a) runs the network once, and where M and gamma learn a perturbed one beside it;
        (b) in every `sensitivity_every`-th step, updates M and gamma of its `RNN` layers: M by least squares, Eq. (45),
            or both from their sensitivity loss F, Eq. (19), with `sensitivity_optimizer`;
        (c) updates every other weight with `optimizer`: the hidden ones by the layer's rule, with the new M and gamma,
            the readout and all other layers by their ordinary gradient.

    It is built like any Keras model: of inputs and outputs, of a list of layers as `keras.Sequential` is, or as a
    subclass with a `call`. Each optimizer clips its own group by its own `clipnorm`, `global_clipnorm` or `clipvalue`.

    Sample weights: an example of weight 0 is left out of F and of the activity, too (`kernl_keras.data.full_batches`
    makes use of it). Where the model answers at every step, weights are [B, T] and say which answers are asked for; all
    steps count in F then. A target with a weight of 0, or at a masked step, does not count and may be NaN, also in
    `weighted_metrics`. Keras passes no weights to `metrics`: they count every target as it is, and become NaN.

    NaN and infinity: a batch is skipped if its loss, its gradients, the new states of stateful layers or running
    statistics are not finite. It changes nothing, as if it had never come: no weight, no slot of an optimizer, no
    state, no running statistic, no count of draws, no metric. With `on_nonfinite="skip"` training goes on, and `fit`
    warns at the end of the epoch; with "stop" a `FloatingPointError` ends `fit` or `train_on_batch`. Both name the step
    and the first tensor that was not finite. A batch whose gradients overflow by the scale of a `LossScaleOptimizer`,
    above 1, is left out as well, and the scale is halved, without a warning. In `evaluate` and `predict` a row of the
    batch whose new states are not finite keeps its old states, in all stateful layers; other rows continue. In any
    other call, such as `model(x)`, NaN stays in the states, as in Keras' own layers, until `reset_state()`.

    Checks: data that do not fit a model are refused before anything is traced, by a ValueError that says what to do:
    batches that a stateful model has no states for, sequences of different lengths, targets that do not fit the loss or
    the outputs. Losses of your own are not checked. `fit` warns, once, of a layer whose inputs are not scaled, that is
    silent or spikes at almost every step, or whose perturbations restart too often; of weights that no loss reaches;
    and of an epoch in which the learning rate of a schedule was 0.

    `fit` and `evaluate` report the loss and the compiled metrics, as in any Keras model; `diagnostics()` has other
    measurements. `evaluate` and `predict` draw no noise.

    Args:
        *args: as in `keras.Model` or `keras.Sequential`: `inputs` and `outputs`, or a list of layers, or neither in a
            subclass with a `call`.
        **kwargs: likewise.

    Raises:
        TypeError: for a list of layers, if the class, one of your own, was made of inputs and outputs before, or the
            other way round.
        ValueError: when training begins, under a strategy of several replicas, for losses that have no one reduction;
            by `save` or `keras.saving.save_model`, for a file that could not hold both optimizers.

    Example:

    >>> import numpy as np, kernl_keras as kk
    >>> from tensorflow import keras
    >>> inputs = keras.Input((7, 3))
    >>> hidden = kk.RNN(kk.LIFCell(20), name="hidden")(inputs)
    >>> voltage = kk.Readout(2)(hidden)
    >>> model = kk.Model(inputs, kk.TimeAverage(5)(voltage))
    >>> model.compile("adam", "mse", metrics=["mae"])
    >>> history = model.fit(np.ones((8, 7, 3)), np.zeros((8, 2)), batch_size=4, verbose=0)
    >>> list(history.history), "explained_variance" in model.diagnostics()
    (['loss', 'mae'], True)

    Source: Roth, Kanitscheider, Fiete, Kernel RNN Learning, ICLR 2019.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "Model":
        kind, maker = _kind_of(args, kwargs), next(base for base in cls.__mro__ if "__init__" in vars(base))
        ours = maker in (FunctionalModel, SequentialModel)  # else the arguments are those of a user's own class
        if kind and ours and not issubclass(cls, kind):
            ways = "a list of layers", "inputs and outputs"
            now, before = ways if kind is SequentialModel else ways[::-1]
            raise TypeError(
                f"{cls.__name__} must be made of {before} again, as before in this process; received {now}. "
                "Derive a class of its own for these."
            )
        return super().__new__(kind if cls is Model and kind else cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kind := _kind_of(args, kwargs):
            _give_kind(type(self), kind)
        super().__init__(*args, **kwargs)

    @property
    def rule_layers(self) -> list[RNN]:
        """The `RNN` layers of the model, in order."""
        return rule_layers(self)

    def reset_state(self) -> None:
        """Lets all stateful layers begin new sequences, in all rows of the batch."""
        begin_anew(self)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """`keras.Model.fit`. If layers are stateful, each validation begins new sequences; training continues its own.

        Callbacks first receive the validation data by `set_validation_data`, and x as it was given by
        `set_training_data`, where they have these methods. Arrays are shuffled unless `shuffle=False`. A
        `tf.data.Dataset` and a generator keep their order.

        Raises:
            ValueError: before anything is traced, for data that do not go with the model.
            FloatingPointError: with `on_nonfinite="stop"`, at a batch that is not finite.
        """
        given = check_data(self, super().fit, args, kwargs)
        check_dt(self)
        check_stateful(self, given)
        show_data(given)
        if isinstance(given.get("x"), ORDERED):
            given.setdefault("shuffle", False)  # the default, True, makes Keras 3.15 warn
        if hasattr(self, "_nonfinite"):
            given["callbacks"] = with_callback(Watch(self), given.get("callbacks"))
        with ending_in_averages(self):
            return super().fit(**given)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.train_on_batch`; it raises as `fit` does."""
        check_data(self, super().train_on_batch, args, kwargs)
        self._measure_anew()
        logs = super().train_on_batch(*args, **kwargs)
        self._nonfinite.check()
        return logs

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.evaluate`."""
        check_data(self, super().evaluate, args, kwargs)
        self._measure_anew(training=False)
        validates = kwargs.get("_use_cached_eval_dataset", False)  # as `fit` validates
        with fresh_states(self) if validates else contextlib.nullcontext():
            logs = super().evaluate(*args, **kwargs)
        if isinstance(logs, dict) and self.reports_diagnostics:
            return {**logs, **self.diagnostics(training=False), **logs}
        return logs

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.test_on_batch`."""
        check_data(self, super().test_on_batch, args, kwargs)
        self._measure_anew(training=False)
        return super().test_on_batch(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.predict`."""
        check_data(self, super().predict, args, kwargs)
        return super().predict(*args, **kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.predict_on_batch`."""
        check_data(self, super().predict_on_batch, args, kwargs)
        return super().predict_on_batch(*args, **kwargs)

    def _measure_anew(self, training=True):
        if hasattr(self, "_diagnostics"):  # if not, Keras says that the model must be compiled
            self._diagnostics.reset_state(training)

    def diagnostics(self, training: bool = True) -> dict[str, float]:
        """Measurements of the last epoch of `fit`, or of the last `train_on_batch`: means over its steps.

            sensitivity_loss            F, in units of the noise variance, summed over layers
            explained_variance          1 - F / mean D^2: share of the perturbation's effect that M and gamma predict
            restarted_perturbations     share of steps in which a perturbation exceeded `max_perturbation` and restarted
            firing_rate                 spikes a unit and step (mean absolute activity of rate units)
            silent_units                share of units without a spike in a whole batch
            saturated_units             share of units that spiked at nearly every step at which they could
            weight_gradient_norm        norm of the gradient in (c)
            sensitivity_gradient_norm   norm of the gradient in (b), or of the step that least squares give
            skipped_updates             share of steps that were skipped; all else is the mean over the others

        Entries about M and gamma are there only where these learn. Each layer's own numbers are in
        `layer.diagnostics.result()`.

        Args:
            training: False for the last evaluation, in which the activity alone is measured.

        Returns:
            dict of floats, NaN where nothing was counted.

        Raises:
            ValueError: for a model that is not compiled.
        """
        if not hasattr(self, "_diagnostics"):
            raise ValueError("You must call `compile()` before `diagnostics()`: nothing was measured yet.")
        return self._diagnostics.result(training)

    def gradients(self, x: Any, y: Any) -> list[tf.Tensor | None]:
        """The gradients that the optimizers would get for a batch: of F for M and gamma, the rule's for other weights.

        Where least squares find M, Eq. (45), their step with the other sign takes the place of dF/dM. Nothing is
        updated, and no state changes: the noise is that of the next training step.

        Args:
            x, y: a batch, as for `fit`.

        Returns:
            one gradient for each of `trainable_variables`, in their order, without the scale of a `LossScaleOptimizer`;
            None for a weight that no loss reaches.
        """
        x, y = tf.nest.map_structure(lambda part: None if part is None else tf.convert_to_tensor(part), (x, y))
        gradients: dict[int, tf.Tensor] = {}
        with gradients_released_with(self):
            with Kept(lasting(self)):
                forward = run_forward(self, x, y)
            losses = forward.sensitivity_loss, forward.loss
            optimizers = self.sensitivity_optimizer, self.optimizer
            for loss, variables, optimizer in zip(losses, variable_groups(self), optimizers):
                group = take_gradients(forward.tape, loss, variables, optimizer)
                for variable, gradient in zip(group.variables, group.gradients):
                    gradients[id(variable)] = unscaled(gradient, loss_scale(optimizer))
        return [gradients.get(id(variable)) for variable in self.trainable_variables]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """Keras' hook: the loss of a batch. A target that does not count may be NaN."""
        y = counted_targets(self, y, y_pred, sample_weight)
        more = {"training": training} if IS_KERAS_3 else {}
        return super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **more)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, tf.Tensor]:
        """Keras' hook: adds a batch to the compiled metrics. For the weighted ones such a target may be NaN as well."""
        update_metrics(self, y, y_pred, sample_weight)
        return self.get_metrics_result()

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch: (a) forward, (b) M and gamma, (c) weights, metrics; all is put back if it was not finite."""
        with gradients_released_with(self):
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)

            if tf.executing_eagerly() and not self.built:  # or a bad first batch could not be put back
                with Kept(lasting(self, metrics=False)):
                    self(tf.nest.map_structure(tf.zeros_like, x), training=False)
                    begin_anew(self)

            # The network once, and the losses that both updates start from. A step without M needs no perturbed pass.
            kept = Kept(lasting(self))
            learns = schedule(self)[0] if self.built and self.sensitivity_every > 1 else None
            forward = run_forward(self, x, y, sample_weight, learns, kept)
            left, losses = suspects_left(self, kept), [Suspect("loss", "result", whole_sum(forward.loss))]
            if forward.sensitivity_loss is not None:
                losses.append(Suspect("sensitivity loss F", "result", whole_sum(forward.sensitivity_loss)))

            # M and gamma by F, if they learn in this step. The gradient of the weights uses the new ones.
            build_optimizers(self)
            tape, m_optimizer = forward.tape, self.sensitivity_optimizer
            (sensitivity, weights), (sensitivity_now, weights_now) = variable_groups(self), schedule(self)
            kept.add([*sensitivity, *optimizer_variables(m_optimizer)])
            goes_on = self._nonfinite.goes_on()
            sensitivity_group = take_gradients(tape, forward.sensitivity_loss, sensitivity, m_optimizer)
            update(sensitivity_group, goes_on & sensitivity_group.finite & sensitivity_now)

            # All other weights by the loss, with the new M and gamma, if everything is finite.
            weight_group = take_gradients(tape, forward.loss, weights, self.optimizer)
            warn_of_unreached(weights, weight_group)
            if not sensitivity_group.variables:  # the weights would wait for an M that never learns
                weights_now = True
            groups, before = (sensitivity_group, weight_group), all_finite([*left, *losses])
            finite = before & sensitivity_group.finite & weight_group.finite
            good = goes_on & finite
            update(weight_group, good & weights_now)

            # Metrics. Then, after a bad batch, all is put back, but for a loss scale that was too large.
            targets = counted_targets(self, y, forward.y_pred, sample_weight)
            if IS_KERAS_3:  # Keras 2 counts the loss in `compute_loss`
                self._loss_tracker.update_state(losses[0].tensor, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])
            logs = self.compute_metrics(x, y, forward.y_pred, sample_weight)
            kept.put_back(~good)
            if tf.executing_eagerly() and not good:  # metrics that first made their variables now
                for metric in self.metrics:
                    if any(id(variable) not in kept.before for variable in metric.variables):
                        metric.reset_state()
            overflow = goes_on & before & ~finite & tf.reduce_all([group.finite | group.overflow for group in groups])
            for group in groups:
                lower_loss_scale(group, overflow & group.overflow)

            # The record and the diagnostics. As in Keras, gradients that overflow are not reported.
            suspects = suspects_of_step(self, (x, targets, sample_weight), [*left, *losses], groups)
            self._nonfinite.write(finite | overflow, suspects)
            self._diagnostics.count_training(forward.reports, sensitivity_group, weight_group, good, learns)
            return logs_of_replica({**logs, **self.get_metrics_result()})  # of a skipped batch the old ones

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One batch without learning: M, gamma and the traces stay as they are."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with gradients_released_with(self):
            with running(Step(present=present(sample_weight, x, y))) as step, finite_goes_on(self):
                logs = super().test_step(data)
            for layer, report in step.own_reports():
                layer.diagnostics.update(report.over_whole_batch(), training=False)
        return logs_of_replica(logs)

    def predict_step(self, data: Any) -> tf.Tensor:
        """One batch without targets."""
        with gradients_released_with(self), running(Step()), finite_goes_on(self):
            return super().predict_step(data)


@serializable
class FunctionalModel(NotInHDF5, Model, Functional):
    """The class of `Model(inputs, outputs)`."""

    __init__ = Functional.__init__  # Keras 2 saves the layers of models that are made as its own are


@serializable
class SequentialModel(NotInHDF5, Model, keras.Sequential):
    """The class of `Model([layer, layer])`."""

    __init__ = keras.Sequential.__init__


class Forward(NamedTuple):
    """The results of the forward pass. The losses are a replica's shares, which add up to those of the whole batch."""

    tape: tf.GradientTape  # persistent
    y_pred: Any
    loss: Any  # for the weights
    sensitivity_loss: Any  # F; None where M and gamma do not learn
    reports: list  # `(layer, Report)` for every call of a layer, of the whole batch


def run_forward(model, x, y, sample_weight=None, learns=None, kept=None):
    """The `Forward` of a `Model`: clean and, if M and gamma learn, perturbed; `kept` gets metrics that are built."""
    solves = isinstance(model.sensitivity_optimizer, LeastSquares)
    with tf.GradientTape(persistent=True) as tape:
        with running(Step(present(sample_weight, x, y), learns, solves)) as step:
            y_pred = model(x, training=True)
            build_metrics(model, y, y_pred)
            if kept is not None:
                kept.add(variable for metric in model.metrics for variable in metric.variables)
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight)
        reports = step.own_reports()
        whole = [(layer, report.over_whole_batch()) for layer, report in reports]
        sensitivity_loss = share_of_sensitivity_loss(reports, whole, mean=solves)
        loss = share_of_loss(loss, model.loss, y_pred, x)
    return Forward(tape, y_pred, loss, sensitivity_loss, whole)


def _kind_of(args, kwargs):
    """The class that the arguments of a model ask for; None for a subclass with a `call` of its own.

    Keras would change the class `Model` itself, and no subclass with a `call` could be built any more.
    """
    if len(args) > 1 or "inputs" in kwargs or "outputs" in kwargs:
        return FunctionalModel
    if "layers" in kwargs or (args and isinstance(args[0], (list, tuple))):
        return SequentialModel
    return None


def _give_kind(cls, kind):
    """Replaces `Model` by the class `kind` among all bases of a class; returns what to use instead of the class."""
    if cls is Model:
        return kind
    if issubclass(cls, Model):
        cls.__bases__ = tuple(_give_kind(base, kind) for base in cls.__bases__)
    return cls
