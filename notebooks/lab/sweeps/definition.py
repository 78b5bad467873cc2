"""What a sweep is: variants of one experiment."""

import dataclasses

from kernl_keras.rules.settings import serialized


@dataclasses.dataclass(frozen=True)
class Variant:
    """A row of a table: what is changed in the sweep's experiment."""

    name: str
    rule: str | None = None  # another rule; its settings are then the variant's alone
    settings: dict = dataclasses.field(default_factory=dict)  # of the rule
    cell: dict = dataclasses.field(default_factory=dict)  # settings of the cell
    layer: dict = dataclasses.field(default_factory=dict)  # settings of `RNN`
    changes: dict = dataclasses.field(default_factory=dict)  # fields of `Experiment`

    def of(self, experiment):
        """The experiment with the changes."""
        base = experiment.with_rule(self.rule or experiment.rule)
        settings = {name: serialized(value) for name, value in self.settings.items()}
        return dataclasses.replace(
            base,
            rule_settings={**base.rule_settings, **settings},
            cell_settings={**base.cell_settings, **self.cell},
            layer_settings={**base.layer_settings, **self.layer},
            **self.changes,
        )


ADAFACTOR = {  # M by Adafactor, where least squares would find it
    "sensitivity_optimizer": "Adafactor",
    "sensitivity_learning_rate": 0.1,
    "sensitivity_optimizer_settings": {"relative_step": False, "epsilon_1": 1e-14},
}
RULES = {
    "KeRNL": "kernl",
    "e-prop": "eprop",
    "RFLO": "rflo",
    "readout only": "readout_only",
    "backpropagation": "bptt",
    "truncated backpropagation": "bptt",
}


def named(*names):
    """Variants that are what their names say: a rule, a window, linear memory. KeRNL's own window is one step."""
    found = []
    for name in names:
        rule, *words = name.split(", ")
        layer = {"traces": "linear"} if "linear memory" in words else {}
        for word in words:
            if word.startswith("window ") and name != "KeRNL, window 1":
                layer["window"] = int(word.removeprefix("window "))
        found.append(Variant(name, RULES[rule], layer=layer))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Variants of one experiment, of which each takes the learning rate that is best on the validation data.

    The learning rate is chosen with the first seed; the other seeds run with the chosen one alone.
    """

    name: str
    description: str
    experiment: object  # `Experiment`
    variants: tuple
    learning_rates: tuple
    seeds: tuple = (0, 1, 2)


def sweep(name, description, experiment, variants, learning_rates, seeds=(0, 1, 2), **changes):
    """The sweep of an experiment with changes of its fields; without weight decay, where no row says otherwise."""
    changes = {"weight_decay": 0.0, **changes}
    return Sweep(name, description, dataclasses.replace(experiment, **changes), variants, learning_rates, seeds)
