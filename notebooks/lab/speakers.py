"""A network that knows four speakers meets the fifth and learns on, word by word.

The experiment `spoken-digits` is trained without one speaker. Then it hears 100 of this speaker's words, one at a time,
and after each learns from it or not, in four ways. Along the way it is tested on the speaker's other 400 words, and on
words of the old speakers that it was not trained on. Every speaker is the fifth once. The learning rate of each way is
the one with the fewest errors on the first speaker, in the mean of all tests along the way; the table leaves that
speaker out.
"""

import dataclasses
import itertools
import sys

import numpy as np
import tensorflow as tf

from kernl_keras.data.spoken_digits import SPEAKERS
from kernl_keras.experiments.build import build_model, load_data
from kernl_keras.experiments.configs import SPOKEN_DIGITS
from kernl_keras.experiments.files import write_json
from kernl_keras.experiments.pretrained import variables

from .options import Command

WAYS = {"readout only": "readout_only", "e-prop": "eprop", "KeRNL": "kernl"}
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
WORDS = (10, 30, 100)


def known(speaker, seed, experiment):
    """A network that was trained without a speaker, `{name: weight}`, and the words that it is tested on.

    These are (x, y) of the speaker's words, in a random order, and of the old speakers'.
    """
    settings = {**experiment.task_settings, "speaker": speaker}
    experiment = dataclasses.replace(experiment, task_settings=settings, seed=seed)
    data = load_data(experiment)
    steps = data.steps_per_epoch.train
    model = build_model(experiment, data.time_steps, data.features, experiment.total_steps(steps))
    model.fit(data.train, epochs=experiment.epochs, steps_per_epoch=steps, verbose=0)
    words, old = (
        [np.concatenate(each) for each in zip(*part.as_numpy_iterator())] for part in (data.test, data.validation)
    )
    order = np.random.default_rng(seed).permutation(len(words[0]))
    weights = {name: weight.numpy() for name, weight in variables(model).items()}
    return weights, [part[order] for part in words], old


class Learner:
    """A network that learns from one word at a time."""

    def __init__(self, experiment, rule, time_steps, features):
        alone = dataclasses.replace(experiment.with_rule(rule), batch_size=1, schedule="constant", sensitivity_every=1)
        self.model = build_model(alone, time_steps, features, 1)
        self.word = np.zeros((1, time_steps, features), "float32"), np.zeros(1, "int32")
        self.model.train_on_batch(*self.word)  # makes all variables
        optimizers = [self.model.optimizer, self.model.sensitivity_optimizer]
        self.slots = [slot for each in optimizers if each is not None for slot in optimizer_slots(each)]

    def start(self, weights, rate):
        """Sets the weights, and the optimizers as they are before their first step."""
        for slot in self.slots:
            slot.assign(tf.zeros_like(slot))
        for name, variable in variables(self.model).items():
            if name in weights:
                variable.assign(weights[name])
        self.model.optimizer.learning_rate = rate

    def learn(self, x, y):
        """Hears words, and learns from each."""
        for word, digit in zip(x, y):
            self.model.train_on_batch(word[None], digit[None])

    def errors(self, x, y):
        """The share of words that it takes for another digit."""
        return float(np.mean(self.model.predict(x, batch_size=50, verbose=0).argmax(-1) != y))


def optimizer_slots(optimizer):
    """Iterations and moments, without the learning rate."""
    rate = getattr(optimizer, "_learning_rate", None)
    made = optimizer.variables() if callable(optimizer.variables) else optimizer.variables
    return [slot for slot in made if slot is not rate]


def course(learner, weights, rate, words, old):
    """The errors along the way: rows of (words, errors on the speaker's other words, errors on old speakers)."""
    learner.start(weights, rate)
    (x, y), last, rows = words, max(WORDS), []
    for heard, count in zip((0, 0, *WORDS), (0, *WORDS)):
        learner.learn(x[heard:count], y[heard:count])
        rows.append((count, learner.errors(x[last:], y[last:]), learner.errors(*old)))
    return rows


def run(options, about):
    """Measures the networks of all seeds, and writes the results file after each."""
    experiment = dataclasses.replace(SPOKEN_DIGITS, data_dir=options.data_dir)
    shown = {**dataclasses.asdict(experiment), "data_dir": None}
    rows, learners, rates = [], {}, {}
    for seed, speaker in itertools.product(options.seeds, SPEAKERS):
        weights, words, old = known(speaker, seed, experiment)
        ends = []
        for way, rule in WAYS.items():
            if way not in learners:
                learners[way] = Learner(experiment, rule, *words[0].shape[1:])
            choice = [rates[way]] if way in rates else RATES
            tried = {rate: course(learners[way], weights, rate, words, old) for rate in choice}
            rate = rates[way] = min(tried, key=lambda rate: sum(error for _, error, _ in tried[rate]))
            for heard, error, old_error in tried[rate]:
                row = {"speaker": speaker, "seed": seed, "way": way, "learning_rate": rate}
                rows.append({**row, "words": heard, "error": error, "old_error": old_error})
            ends.append(f"{way} {100 * tried[rate][-1][1]:.1f}")
            before = tried[rate][0][1]
        after = f"after {max(WORDS)} words: {', '.join(ends)} %"
        print(f"{speaker:10} seed {seed}  errors {100 * before:.1f} %; {after}")
        found = {"rows": rows, "rates": rates, "chosen_on": SPEAKERS[0]}
        write_json(options.output, {"speakers": {**found, "experiment": shown, **about}})


main = Command("speakers", __doc__, run)
main.seeds(0, 1, 2)
main.data_dir()
main.results(new=False)
main.machine()

if __name__ == "__main__":
    sys.exit(main())
