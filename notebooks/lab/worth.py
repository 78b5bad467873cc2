"""What the settings of linear memory are worth: how near the gradient comes to backpropagation's, and at what cost.

Networks after 150 updates of backpropagation, as for `python -m notebooks.lab.memory`, and KeRNL whose M is exact. One
setting is changed at a time. Beside the cosine stand the numbers that an example needs for what was before the window,
and the multiplications of a window, in which there are 64 steps. Last, the same networks after 150 updates of KeRNL in
linear memory: M as they learned it, and M exact.
"""

import dataclasses
import itertools
import sys

from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.files import write_json
from kernl_keras.rules import BPTT, LinearTraces
from kernl_keras.training.alignment import backpropagated_errors

from .gradients import Gradients, agreement, linear_memory, numbers_behind
from .memory import EARLY, HOP, network_and_digits
from .options import Command, made_before

WINDOW, UPDATES = 64, 150
LEARNED, EXACT = "M as it learned it, after as many updates of KeRNL", "M exact, in the same networks"


def variants(layer):
    """Settings that differ from the default in one number, by what a reader calls them."""
    memory = linear_memory(layer, HOP, True)
    poles, settings = len(memory.filters.poles), memory.settings
    return {
        "as by default": {},
        "a quarter of the filters": {"poles": max(1, poles // 4)},
        "half the filters": {"poles": poles // 2},
        "twice the filters": {"poles": 2 * poles},
        "no hops": {"hops": 0},
        "one hop": {"hops": 1},
        "two hops": {"hops": 2},
        "eight hops": {"hops": 8},
        "hops not damped": {"damping": 1.0},
        "no segments": {"segments": 0},
        "a third of the segments": {"segments": max(1, settings.segments // 3)},
        "twice the segments": {"segments": 2 * settings.segments},
        "four times the segments": {"segments": 4 * settings.segments},
    }


def measure(name, seed, kept):
    """The rows of one network, a list of dicts; `kept` has what is compiled, by the network's name."""
    model, batch, _ = network_and_digits(name, seed, UPDATES)
    model, gradients = same_network(name, model, kept)
    rows = rows_of(model, gradients, batch, variants(gradients.layer))
    model, gradients = same_network(f"{name}, by KeRNL", learned(name, seed), kept)
    rows += rows_of(model, gradients, batch, {LEARNED: {}})
    gradients.layer.reset_sensitivity()
    rows += rows_of(model, gradients, batch, {EXACT: {}})
    return [{"network": name, "seed": seed, **row} for row in rows]


def learned(name, seed):
    """The network of an experiment after some updates of KeRNL in linear memory, M as it was learned with it."""
    experiment = EXPERIMENTS[name]
    changes = {"rule_settings": {**experiment.rule_settings, "kernel": "membrane"}, "weight_decay": 0.0, "seed": seed}
    changes["layer_settings"] = {"window": WINDOW, "traces": "linear"}
    experiment = dataclasses.replace(experiment, **changes)
    data = load_data(experiment)
    model = build_model(experiment, data.time_steps, data.features, experiment.steps)
    model.fit(data.train, steps_per_epoch=UPDATES, verbose=0)
    return model


def same_network(key, model, kept):
    """A network with the weights of `model`, and its `Gradients`, which are compiled once for each key."""
    if key in kept:
        kept[key][0].set_weights(model.get_weights())
    return kept.setdefault(key, (model, Gradients(model.get_layer("hidden"))))


def rows_of(model, gradients, batch, settings):
    """A row for each of the `settings`, `{label: changes}`."""
    layer, rows = gradients.layer, []
    (call,), (error,) = backpropagated_errors(model, [layer], *batch, None)
    exact = gradients(call, error, BPTT())
    for label, changes in settings.items():
        traces = LinearTraces(**changes)
        found = agreement(gradients(call, error, HOP, WINDOW, traces), exact)
        costs = {
            "numbers": numbers_behind(layer, HOP, traces),
            "multiplications": linear_memory(layer, HOP, traces).operations(WINDOW),
        }
        rows.append({"settings": label, **found, **costs})
    return rows


def run(options, about):
    """A results file, written anew after each network; it keeps the rows of other networks that it has."""
    before = (made_before(options.output, "worth", "rows") or {"rows": []})["rows"]
    rows, kept = [row for row in before if row["network"] not in options.networks], {}
    for name, seed in itertools.product(options.networks, options.seeds):
        for row in measure(name, seed, kept):
            rows.append({**row, "git_revision": about["git_revision"]})
            print(f"{name} {seed} {row['settings']:26} {row['cosine']:.3f}", flush=True)
        write_json(options.output, {"worth": {"window": WINDOW, "rows": rows, **about}})


main = Command("worth", __doc__, run)
main.option("--networks", nargs="+", choices=EARLY, default=EARLY)
main.seeds(0, 1, 2)
main.results("worth.json", new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
