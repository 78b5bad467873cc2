"""A network that knows four speakers meets the fifth and learns on, word by word.

The experiment `spoken-digits` is trained without one speaker, and so is a GRU. Then each hears 100 words of this
speaker, one at a time: the ten digits in a random order, and again. After each word it is updated some times, with
words that it has heard so far and with old ones, 400 recordings of the other speakers, which it keeps. All of them are
moved at random, as in training. It answers with other weights than those that learn: four parts of their mean over the
last updates, and one of those it began with.

Along the way it is tested on the speaker's other 400 words, and on words of the old speakers that it was not trained
on. Every speaker is the fifth once. Two speakers chose: where a way has several learning rates, it takes that with the
fewest errors on them, in the mean of all tests along the way, with the first seed; and on them the numbers below were
found by hand.
"""

import dataclasses
import itertools
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.data.augment import shifted
from kernl_keras.data.spoken_digits import SPEAKERS
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import SPOKEN_DIGITS
from kernl_keras.experiments.files import UserError, read_json, write_json
from kernl_keras.experiments.pretrained import variables
from kernl_keras.experiments.provenance import git_revision
from kernl_keras.keras_version import keras

from . import gru
from .options import Command, litert_interpreter
from .training import compiled

CHOOSING = ("george", "jackson")
WORDS = (10, 30, 100)
DIGITS = 10
KEPT = 40  # old recordings of each digit
RATES = (1e-3, 3e-3)
AVERAGED = 0.97  # share of an average that stays at an update
ANSWERING = 0.8  # share of the averages in the weights that answer
GRU_RATE = 3e-3  # in training, which validation data chose
ANY_ORDER = "KeRNL, words in any order"
IN_LITERT = "KeRNL, LiteRT"
WAYS = {  # the network; its rule, or what learns of it; and the learning rates to choose from
    "readout only": ("kernl", "readout_only", RATES),
    "e-prop": ("kernl", "eprop", RATES[:1]),  # as backpropagation; for that 1e-3 was chosen by hand
    "KeRNL": ("kernl", "kernl", RATES[:1]),
    ANY_ORDER: ("kernl", "kernl", RATES[:1]),
    "backpropagation": ("kernl", "bptt", RATES[:1]),
    "GRU, readout only": ("gru", "readout", RATES),
    "GRU": ("gru", "all", RATES),
    IN_LITERT: ("kernl", "kernl", RATES[:1]),
}


def updates(heard):
    """How many updates follow a word, when so many words have been heard."""
    return min(max(320 // heard, 4), 32)


class Learner:
    """A network that learns from a few words at a time: so many `heard` ones, and so many that are `kept`."""

    heard, kept = 4, 12

    def __init__(self, model, time_steps, features):
        size = self.heard + self.kept
        self.model = model
        model.train_on_batch(np.zeros((size, time_steps, features), "float32"), np.zeros(size, "int32"))  # all slots
        optimizers = [model.optimizer, getattr(model, "sensitivity_optimizer", None)]
        self.slots = [slot for each in optimizers if each is not None for slot in optimizer_slots(each)]

    def start(self, weights, rate):
        """Sets the weights, and the optimizers as they are before their first step."""
        for slot in self.slots:
            slot.assign(tf.zeros_like(slot))
        for name, variable in variables(self.model).items():
            if name in weights:
                variable.assign(weights[name])
        self.model.optimizer.learning_rate = rate
        self.begin = self.averages = self._weights()

    def learn(self, x, y):
        """An update."""
        self.model.train_on_batch(x, y)
        self.averages = averaged(self.averages, self._weights())

    def errors(self, *parts):
        """The share of words that it takes for another digit, of each part (x, y)."""
        weights = self._weights()
        self._set(answering(self.begin, self.averages))
        found = [float(np.mean(self._answers(x) != y)) for x, y in parts]
        self._set(weights)
        return found

    def _answers(self, x):
        return self.model.predict(x, batch_size=100, verbose=0).argmax(-1)

    def _weights(self):
        return [weight.numpy() for weight in self.model.trainable_variables]

    def _set(self, weights):
        for variable, weight in zip(self.model.trainable_variables, weights):
            variable.assign(weight)


class OnDevice:
    """The same in LiteRT, step by step: an update comes after all words."""

    def __init__(self, model, answer_steps, time_steps):
        Interpreter = litert_interpreter()
        steps = (Learner.heard + Learner.kept) * time_steps
        learner, self.last = kk.learner(compiled(model, 1e-3), update_every=steps), answer_steps
        self.device = Interpreter(model_content=learner.to_litert(), num_threads=1)
        self.run = {name: self.device.get_signature_runner(name) for name in self.device.get_signature_list()}
        self.first, self.names = self.run["save"](), list(learner.tensors["weights"])

    def start(self, weights, rate):
        """Sets the weights, and all else as it is before the first step."""
        weights = {name: weights[name.replace("_", "/", 1)] for name in self.names}
        self.run["restore"](**{**self.first, **weights, "optimizer_learning_rate": np.float32(rate)})
        self.begin = self.averages = self._weights()

    def learn(self, x, y):
        """Learns from words one after the other."""
        for word, digit in zip(x, y):
            self.run["reset"]()
            for number, now in enumerate(word):
                asked = np.float32([number >= len(word) - self.last])
                self.run["learn"](x=now[None], y=np.int32([digit]), sample_weight=asked)
        self.averages = averaged(self.averages, self._weights())

    def errors(self, *parts):
        """As `Learner.errors`."""
        saved = self.run["save"]()
        self.run["restore"](**{**saved, **dict(zip(self.names, answering(self.begin, self.averages)))})
        found = [float(np.mean([self._answer(word) != digit for word, digit in zip(x, y)])) for x, y in parts]
        self.run["restore"](**saved)
        return found

    def _answer(self, word):
        self.run["reset"]()
        return np.mean([self.run["step"](x=now[None])["outputs"][0] for now in word][-self.last :], 0).argmax()

    def _weights(self):
        saved = self.run["save"]()
        return [saved[name] for name in self.names]


def averaged(averages, weights):
    """The averages after an update."""
    return [AVERAGED * average + (1.0 - AVERAGED) * weight for average, weight in zip(averages, weights)]


def answering(begin, averages):
    """The weights that answer."""
    return [ANSWERING * average + (1.0 - ANSWERING) * first for average, first in zip(averages, begin)]


def optimizer_slots(optimizer):
    """Iterations and moments, without the learning rate."""
    rate = getattr(optimizer, "_learning_rate", None)
    made = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [slot for slot in made if slot is not rate]


def make_learner(way, experiment, time_steps, features):
    """The `Learner` of a way, or `OnDevice`."""
    network, learns, _ = WAYS[way]
    if network == "gru":
        model = gru.network(time_steps, features, experiment)
        model.get_layer("hidden").trainable = learns == "all"
        return Learner(compiled(model, GRU_RATE), time_steps, features)
    size = Learner.heard + Learner.kept
    fine = dataclasses.replace(experiment.with_rule(learns), batch_size=size, schedule="constant", weight_decay=0.0)
    model = build_model(fine, time_steps, features, 1)
    return OnDevice(model, fine.answer_steps, time_steps) if way == IN_LITERT else Learner(model, time_steps, features)


def trained(network, experiment, folder):
    """A trained network, `{name: weight}` and the git revision that it was trained with: from a folder, if it is there.

    `network` is "kernl" or "gru".
    """
    speaker, settings = experiment.task_settings["speaker"], json.dumps(shown(experiment))
    path = folder / f"{network}-{speaker}-{experiment.seed}.npz" if folder else None
    if path and path.exists():
        found = dict(np.load(path, allow_pickle=False))
        if str(found.pop("experiment")) != settings:
            raise UserError(f"{path} was trained by another experiment: name another --networks.")
        return found, str(found.pop("git_revision"))
    data, revision = load_data(experiment), git_revision()
    steps = data.steps_per_epoch.train
    if network == "kernl":
        model = build_model(experiment, data.time_steps, data.features, experiment.total_steps(steps))
    else:
        keras.utils.set_random_seed(experiment.seed)
        model = gru.build(data, experiment, GRU_RATE)
    model.fit(data.train, epochs=experiment.epochs, steps_per_epoch=steps, shuffle=False, verbose=0)
    weights = {name: weight.numpy() for name, weight in variables(model).items()}
    if path:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, experiment=settings, git_revision=revision, **weights)
    return weights, revision


def recordings(experiment):
    """(x, y) of what the network was trained on, without moves and copies, of the new speaker and of old speakers."""
    plain = {**experiment.task_settings, "shift": (0, 0), "poor_copies": 0}
    data = load_data(dataclasses.replace(experiment, task_settings=plain, batch_size=1), repeat=False)
    return [kk.data.arrays(part) for part in (data.train, data.test, data.validation)]


def lessons(y, rng, any_order=False):
    """The numbers of the words that are heard, and those of the others.

    Every ten words have each digit once, or they come as they may.
    """
    order = rng.permutation(len(y))
    if not any_order:
        places = np.zeros(len(y))
        for digit in range(DIGITS):
            of_digit = order[y[order] == digit]
            places[of_digit] = np.arange(len(of_digit)) + rng.random(len(of_digit))
        order = np.argsort(np.floor(places) + rng.random(len(y)))
    return order[: max(WORDS)], order[max(WORDS) :]


def course(learner, weights, rate, parts, rng, shift, any_order=False):
    """The errors along the way: rows of (words, errors on the speaker's other words, errors on old speakers)."""
    (known_x, known_y), (x, y), old = parts
    heard, asked = lessons(y, rng, any_order)
    chosen = [rng.permutation(np.flatnonzero(known_y == digit))[:KEPT] for digit in range(DIGITS)]
    kept = np.concatenate(chosen)
    learner.start(weights, rate)
    rows = [(0, *learner.errors((x[asked], y[asked]), old))]
    for count in range(1, max(WORDS) + 1):
        for number in range(updates(count)):
            now = heard[rng.integers(0, count, Learner.heard)]
            if number == 0:
                now[0] = heard[count - 1]
            then = rng.choice(kept, Learner.kept)
            words = moved(np.concatenate([x[now], known_x[then]]), shift, rng)
            learner.learn(words, np.concatenate([y[now], known_y[then]]))
        if count in WORDS:
            rows.append((count, *learner.errors((x[asked], y[asked]), old)))
    return rows


def moved(x, shift, rng):
    """Words, each moved as in training."""
    return shifted(tf.constant(x), shift, tf.constant(rng.integers(0, 2**62, 2), tf.int64)).numpy()


def shown(experiment):
    """The settings of an experiment, without the folder of its recordings."""
    return {**dataclasses.asdict(experiment), "data_dir": None}


class Measuring:
    """Courses of all ways: what they need is made once."""

    def __init__(self, options):
        self.experiment, self.folder = dataclasses.replace(SPOKEN_DIGITS, data_dir=options.data_dir), options.networks
        self.parts, self.networks, self.learners = {}, {}, {}

    def __call__(self, way, seed, speaker, rate):
        """The rows of a course."""
        settings = {**self.experiment.task_settings, "speaker": speaker}
        experiment = dataclasses.replace(self.experiment, task_settings=settings, seed=seed)
        if speaker not in self.parts:
            self.parts[speaker] = recordings(experiment)
        parts = self.parts[speaker]
        network = WAYS[way][0], speaker, seed
        if network not in self.networks:
            self.networks[network] = trained(network[0], experiment, self.folder)
        if way not in self.learners:
            self.learners[way] = make_learner(way, self.experiment, *parts[0][0].shape[1:])
        weights, revision = self.networks[network]
        rng, shift = np.random.default_rng((seed, SPEAKERS.index(speaker))), self.experiment.task_settings["shift"]
        found = course(self.learners[way], weights, rate, parts, rng, shift, way == ANY_ORDER)
        ends = ", ".join(f"{100 * error:.1f} ({100 * old:.1f})" for _, error, old in found)
        print(f"{speaker:10} seed {seed}  {way}, {rate:g}:  errors (of old speakers) {ends} %", flush=True)
        row = {"seed": seed, "speaker": speaker, "way": way, "learning_rate": rate, "network_git_revision": revision}
        return [{**row, "words": words, "error": error, "old_error": old} for words, error, old in found]


def mean_error(rows):
    """The mean error on the new speaker."""
    return float(np.mean([row["error"] for row in rows]))


def run(options, about):
    """Measures the networks of all seeds, and writes the results file after each way; it keeps those not measured."""
    measure, first = Measuring(options), options.seeds[0]
    found = read_json(options.output).get("speakers", {}).get("ways", {}) if options.output.exists() else {}
    for way in options.ways:
        rates = WAYS[way][2] if len(WAYS[way][2]) > 1 else ()
        tried = {rate: {(first, speaker): measure(way, first, speaker, rate) for speaker in CHOOSING} for rate in rates}
        means = {rate: mean_error(itertools.chain(*of_rate.values())) for rate, of_rate in tried.items()}
        rate = min(means, key=means.get) if means else WAYS[way][2][0]
        rows, known = [], tried.get(rate, {})
        for case in itertools.product(options.seeds, options.speakers):
            rows += known[case] if case in known else measure(way, *case, rate)
        found[way] = {"rows": rows, "tried": list(means.items()), **about}
        found = {name: found[name] for name in WAYS if name in found}
        settings = {"chosen_on": CHOOSING, "experiment": shown(measure.experiment)}
        write_json(options.output, {"speakers": {"ways": found, **settings}})


main = Command("speakers", __doc__, run)
main.seeds(0, 1, 2)
main.option("--ways", nargs="+", choices=WAYS, default=list(WAYS), metavar="WAY", help=f"of {', '.join(WAYS)}")
main.option("--speakers", nargs="+", choices=SPEAKERS, default=list(SPEAKERS), metavar="NAME", help="of the new ones")
main.option("--networks", type=pathlib.Path, metavar="DIR", help="folder that keeps the trained networks")
main.data_dir()
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
