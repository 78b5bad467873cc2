"""`Experiment`: every setting of a run."""

import dataclasses
import pathlib

from ..checks import integer, number, one_of
from ..rules.learned_sensitivity import LearnedSensitivity
from ..rules.rule import NAMES as RULES

SOURCES = {  # task: where its data may come from
    "mnist": ("sample", "tfds"),
    "adding": (None,),
    "ecg": (None,),
    "anbn": (None,),
    "spoken_digits": ("tfds",),
}
FOLDER = pathlib.Path(__file__).parent / "networks"
NETWORKS = sorted(path.stem for path in FOLDER.glob("*.npz"))  # that come with the package
MAX_SEED = 2**30 - 1  # two int32 seeds are made of one
ABOVE: dict = {  # the keys of an entry of `Experiment.above`, and their defaults
    "cell": None,
    "cell_settings": None,
    "rule": None,  # that of the experiment
    "rule_settings": {},  # of a rule that is named
    "layer_settings": {},
    "learn": [],  # constants of the cell
    "normalization": None,  # "batch": of the outputs of the layer below
    "dropout": 0.0,  # share of the outputs of the layer below
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All settings of a run, as `config.json` holds them: plain numbers, strings, lists and dicts only.

    Raises:
        ValueError: for a setting out of range, and for settings that do not go together.

    Example:

    >>> import dataclasses
    >>> from kernl_keras.experiments.configs import EXPERIMENTS
    >>> EXPERIMENTS["smnist"].with_rule("eprop").make_rule()
    EProp(adaptation=True, reset_gradient=False)
    """

    name: str
    description: str
    # data
    task: str  # "mnist", "adding", "ecg", "anbn" or "spoken_digits"
    source: str | None  # "sample" or "tfds"; None for a task that draws its own
    task_settings: dict  # of `data.sequential_mnist` or of the task's own function in `data`
    # network
    encoder_settings: dict | None  # of `SpikeEncoder`; None where the hidden layer receives the data itself
    cell: str  # "lif", "adlif", "resonator", "leaky_rnn" or "lstm"
    cell_settings: dict  # of the cell
    readout_settings: dict  # of `ReadoutCell`
    answer_steps: int | None  # last steps whose mean is the answer; None for all, 0 for an answer at every step
    # goal
    loss: str  # "cross_entropy" or "mse"
    metric: str  # "accuracy" or "mse"
    chance: float  # what the metric is of an answer that knows nothing of the input
    # learning
    batch_size: int
    learning_rate: float
    optimizer: str = "Adam"
    optimizer_settings: dict = dataclasses.field(default_factory=dict)
    schedule: str = "cosine"  # of the learning rate: down to 0 over the run, or "constant"
    weight_decay: float = 0.0  # over the run: without gradients a weight w would end at exp(-weight_decay) w
    rule: str = "kernl"  # a word of `kernl_keras.rules`
    rule_settings: dict = dataclasses.field(default_factory=dict)  # of that rule
    layer_settings: dict = dataclasses.field(default_factory=dict)  # of `RNN`: its window and traces
    learn: list = dataclasses.field(default_factory=list)  # constants of the first hidden layer and of the readout
    sensitivity_optimizer: str | None = None  # of M and gamma; None for the default of `Model.compile`
    sensitivity_learning_rate: float | None = None  # of an optimizer that is named
    sensitivity_optimizer_settings: dict = dataclasses.field(default_factory=dict)
    sensitivity_only: int = 0  # first steps, in which M and gamma learn alone
    sensitivity_every: int = 1
    # run
    epochs: int | None = None  # epochs or steps, one of them
    steps: int | None = None
    validate_every: int | None = None  # steps; None for whole epochs
    seed: int = 0
    jit_compile: bool = True
    data_dir: str | None = None  # of "tfds"
    front_end_settings: dict | None = None  # of `AudioEncoder`, of the task "spoken_digits" alone
    above: list = dataclasses.field(default_factory=list)  # further hidden layers, dicts as `ABOVE`
    start: str | None = None  # a network that comes with the package, with whose numbers the run begins

    def __post_init__(self):
        one_of("task", self.task, SOURCES)
        if self.source not in SOURCES[self.task]:
            named = " or ".join(repr(source) for source in SOURCES[self.task] if source) or "left out"
            raise ValueError(f"data must be {named} for experiment {self.name}; received {self.source!r}.")
        if self.data_dir is not None and self.source != "tfds":
            raise ValueError(
                f"data_dir is where data 'tfds' lie; received {self.data_dir!r} with data {self.source!r}."
            )
        one_of("rule", self.rule, RULES)
        one_of("schedule", self.schedule, ("cosine", "constant"))
        if (self.epochs is None) == (self.steps is None):
            raise ValueError(f"epochs or steps must be given, one; received {self.epochs!r} and {self.steps!r}.")
        integer(*(("epochs", self.epochs) if self.steps is None else ("steps", self.steps)))
        integer("batch_size", self.batch_size)
        if self.validate_every is not None:
            integer("validate_every", self.validate_every)
        number("learning_rate", self.learning_rate, above=0.0)
        number("weight_decay", self.weight_decay, low=0.0)
        number("seed", integer("seed", self.seed, low=0), high=MAX_SEED)
        for entry in self.above:
            if not isinstance(entry, dict) or not {"cell", "cell_settings"} <= entry.keys() <= ABOVE.keys():
                raise ValueError(
                    f"above must hold dicts with cell and cell_settings, of {list(ABOVE)}; received {entry!r}."
                )
            layer = {**ABOVE, **entry}
            if layer["rule"] is not None:
                one_of("rule", layer["rule"], RULES)
            elif layer["rule_settings"]:
                raise ValueError(
                    f"rule_settings must be left out where no rule is named; received {layer['rule_settings']!r}."
                )
            one_of("normalization", layer["normalization"], (None, "batch"))
            number("dropout", layer["dropout"], low=0.0, high=0.9)
        if self.start is not None:
            one_of("start", self.start, NETWORKS)
        if self.sensitivity_optimizer is not None:
            number("sensitivity_learning_rate", self.sensitivity_learning_rate, above=0.0)
        elif self.sensitivity_learning_rate is not None or self.sensitivity_optimizer_settings:
            raise ValueError(
                "sensitivity_optimizer must be named where sensitivity_learning_rate or sensitivity_optimizer_settings "
                f"are given; received {self.sensitivity_learning_rate!r} and {self.sensitivity_optimizer_settings!r}."
            )
        if integer("sensitivity_only", self.sensitivity_only, low=0) and not self.learns_sensitivity:
            raise ValueError(f"sensitivity_only needs a rule that has M, such as 'kernl'; received {self.rule!r}.")

    @property
    def hidden_layers(self):
        """The hidden layers, from the first on: dicts as `ABOVE`, with the rule itself."""
        own = self.make_rule()
        first = {name: getattr(self, name) for name in ("cell", "cell_settings", "layer_settings")}
        learn = [name for name in self.learn if name != "tau_out"]
        layers = [{**ABOVE, **first, "learn": learn, "rule": own}]
        for entry in self.above:
            layer = {**ABOVE, **entry}
            rule = RULES[layer["rule"]].from_config(layer["rule_settings"]) if layer["rule"] else own
            layers.append({**layer, "rule": rule})
        return layers

    @property
    def learns_sensitivity(self):
        """Whether a hidden layer has M."""
        rules = [self.rule, *(entry["rule"] for entry in self.above if entry.get("rule"))]
        return any(issubclass(RULES[rule], LearnedSensitivity) for rule in rules)

    def make_rule(self):
        """The rule with its settings."""
        return RULES[self.rule].from_config(self.rule_settings)

    def with_rule(self, rule):
        """The experiment with another rule, by its word, as it is by default; or itself, where that is its own."""
        return self if rule == self.rule else dataclasses.replace(self, rule=rule, rule_settings={})

    def total_steps(self, steps_per_epoch):
        """The number of training steps of the run."""
        return self.steps if self.epochs is None else self.epochs * steps_per_epoch

    def summary(self):
        """The key settings in one line."""
        units = " and ".join(f"{each['cell_settings']['units']} {each['cell']}" for each in self.hidden_layers)
        length = f"{self.steps} steps" if self.epochs is None else f"{self.epochs} epochs"
        averages = ", averaged weights" if self.optimizer_settings.get("use_ema") else ""
        averages += f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        return (
            f"{units} units, {self.rule}, {self.optimizer} "
            f"{self.learning_rate:g} {self.schedule}{averages}, batches of {self.batch_size}, {length}"
        )
