"""From a configuration to its data and its compiled model."""

from ..cells.adlif import AdLIFCell
from ..cells.leaky_rnn import LeakyRNNCell
from ..cells.lif import LIFCell
from ..cells.lstm import LSTMCell
from ..cells.resonator import ResonatorCell
from ..data import adding_problem, anbn, ecg, sequential_mnist, spoken_digits
from ..keras_version import keras
from ..layers.audio import AudioEncoder
from ..layers.encoder import SpikeEncoder
from ..layers.readout import Readout
from ..layers.rnn import RNN
from ..layers.time_average import TimeAverage
from ..training.model import Model
from .files import as_user_error

CELLS = {"lif": LIFCell, "adlif": AdLIFCell, "resonator": ResonatorCell, "leaky_rnn": LeakyRNNCell, "lstm": LSTMCell}
OWN_DATA = {"adding": adding_problem, "anbn": anbn, "ecg": ecg}  # tasks that have no source to choose
LOSSES = {
    "cross_entropy": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "mse": keras.losses.MeanSquaredError,
}


def load_data(experiment, skip_batches=0, repeat=True):
    """The experiment's `SequenceData`, training batches as one endless stream, or as epochs without `repeat`."""
    settings = {**experiment.task_settings, "batch_size": experiment.batch_size, "seed": experiment.seed}
    settings |= {"repeat": repeat, "skip_batches": skip_batches}
    with as_user_error(ImportError, OSError, ValueError):
        if experiment.task in OWN_DATA:
            return OWN_DATA[experiment.task](**settings)
        settings["data_dir"] = experiment.data_dir
        if experiment.task == "spoken_digits":
            return spoken_digits(front_end=front_end(experiment), **settings)
        return sequential_mnist(experiment.source, **settings)


def front_end(experiment):
    """The experiment's `AudioEncoder`, with the seed that it has in training."""
    return AudioEncoder(**experiment.front_end_settings, seed=2 * experiment.seed, name="front_end")


def build_model(experiment, time_steps, features, total_steps, rows=None):
    """The experiment's `Model`, built and compiled; its seed decides all initial weights and all noise.

    The learning rate falls over `total_steps`. `rows` is the batch size of a network for a stream, which is stateful.
    """
    keras.utils.set_random_seed(experiment.seed)
    return assemble(experiment, time_steps, features, total_steps, rows)


def assemble(experiment, time_steps, features, total_steps, rows=None):
    """`build_model` without its seed: the initial weights are drawn from the present random state."""
    stateful = rows is not None
    x = inputs = keras.Input((time_steps, features), batch_size=rows, name="inputs")
    if experiment.encoder_settings is not None:
        seed = 2 * experiment.seed
        x = SpikeEncoder(**experiment.encoder_settings, seed=seed, stateful=stateful, name="encoder")(x)
    for number, layer in enumerate(experiment.hidden_layers, 1):
        x = _hidden_layer(experiment, layer, number, x, stateful)
    learn = [name for name in experiment.learn if name == "tau_out"]
    outputs = Readout(**experiment.readout_settings, learn=learn, stateful=stateful, name="readout")(x)
    if experiment.answer_steps != 0:
        outputs = TimeAverage(experiment.answer_steps, stateful=stateful, name="answer")(outputs)
    model = Model(inputs, outputs, name=experiment.name.replace("-", "_"))
    rate, settings = experiment.learning_rate, dict(experiment.optimizer_settings)
    updates = max(total_steps - experiment.sensitivity_only, 1)  # of the weights
    falls = experiment.schedule == "cosine"
    if experiment.weight_decay:  # an update takes away the learning rate times Keras' `weight_decay`, a tenth at most
        each = experiment.weight_decay / (updates * (0.5 if falls else 1.0))
        settings["weight_decay"] = min(each, 0.1) / rate
    if falls:
        rate = keras.optimizers.schedules.CosineDecay(rate, updates)
    optimizer = getattr(keras.optimizers, experiment.optimizer)
    m_optimizer = None
    if experiment.sensitivity_optimizer:
        m_optimizer = getattr(keras.optimizers, experiment.sensitivity_optimizer)
        m_optimizer = m_optimizer(experiment.sensitivity_learning_rate, **experiment.sensitivity_optimizer_settings)
    model.compile(
        optimizer=optimizer(rate, **settings),
        loss=LOSSES[experiment.loss](),
        **{"weighted_metrics" if stateful else "metrics": [experiment.metric]},
        sensitivity_optimizer=m_optimizer,
        sensitivity_only=experiment.sensitivity_only,
        sensitivity_every=experiment.sensitivity_every,
        jit_compile=experiment.jit_compile,
    )
    return model


def _hidden_layer(experiment, layer, number, x, stateful):
    """The outputs of the hidden layer `number`, from 1, for x; `layer` is an entry of `Experiment.hidden_layers`."""
    name = "hidden" if number == 1 else f"hidden_{number}"
    if layer["normalization"] == "batch":
        x = keras.layers.BatchNormalization(name=f"{name}_normalization")(x)
    # No two layers have the same seed, or noise and input spikes would be made of the same bits; the encoder's is even.
    seed = (2 * experiment.seed + 2 * number - 1) % 2**31
    if layer["dropout"]:
        x = keras.layers.Dropout(layer["dropout"], seed=seed, name=f"{name}_dropout")(x)
    kind, learn = CELLS[layer["cell"]], layer["learn"]
    cell = kind(**layer["cell_settings"], **({"learn": learn} if kind.LEARNABLE or learn else {}))
    return RNN(cell, rule=layer["rule"], seed=seed, stateful=stateful, name=name, **layer["layer_settings"])(x)
