"""Kills training at random moments, goes on with it, and compares with a run that nobody killed.

    python -m notebooks.lab.kills --kills 100 --output notebooks/results/kills.json
    python -m notebooks.lab.kills --of stream --kills 100 --output notebooks/results/kills-stream.json

A trial is one run directory: a process trains there, on sequences or on a stream, and is killed (SIGKILL), another one
goes on by `resume`, is killed again, and so on until one comes to the end. Then every variable of the backup, every
number of the model, the curve, the test and every scalar in TensorBoard must be those of the run that nobody killed, to
the bit.

Half of the kills fall anywhere in the life of a process (by its processor time), half within milliseconds of a change
in the run directory, which is where a file could be caught half written. This process imports TensorFlow but runs none
of it, so that the trained ones are forks of it, which saves each of them the import. TensorBoard gets scalars alone:
its images would take more time than all the rest.
"""

import collections
import contextlib
import dataclasses
import functools
import io
import json
import os
import pathlib
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from typing import Any, NamedTuple

import h5py

from kernl_keras.archives import read_arrays
from kernl_keras.callbacks.stream_backup import StreamBackup
from kernl_keras.callbacks.tensorboard import TensorBoard
from kernl_keras.experiments import feeds, files
from kernl_keras.experiments.configs import EXPERIMENTS
from kernl_keras.experiments.run import train

from .options import Command

VALIDATE_EVERY = REPORT_EVERY = 5
NEAR = 0.02  # s after a change in the directory, the longest
HEADER = 200  # bytes of an event file, at the most, in which nothing is logged yet
TICK = 0.002  # s between two looks at it


class Kind(NamedTuple):
    """What is killed."""

    experiment: Any
    stream: Any  # `StreamSettings`, or None for a run in epochs
    steps: int  # batches of the whole run
    results: tuple  # the entries of the results file that must be the same

    def learn(self, folder):
        """Trains there, or goes on."""
        feeds.REPORT_EVERY = REPORT_EVERY
        feeds.TensorBoard = functools.partial(TensorBoard, histograms=False, images=False, raster=False)
        resume = (folder / files.CONFIG).exists()
        train(self.experiment, folder, resume=resume, verbose=0, stream=self.stream)


def of_training(epochs):
    """A small run of `train` with all that could be forgotten: counters of noise, optimizers, a schedule, a rest."""
    experiment = dataclasses.replace(
        EXPERIMENTS["adding"],
        name="tiny",
        task_settings={"steps": 7, "examples": 23, "validation": 8, "test": 5},
        encoder_settings={"units": 3, "code": "bernoulli"},
        cell="lif",
        cell_settings={"units": 5, "tau_m": 4.0, "adaptation_strength": 0.5, "tau_a": 9.0},
        rule_settings={"kernel": "exponential", "perturbation": "tangent"},
        answer_steps=3,
        batch_size=4,
        learning_rate=0.01,
        sensitivity_only=4,
        sensitivity_every=1,
        validate_every=VALIDATE_EVERY,
        epochs=None,
        steps=VALIDATE_EVERY * epochs + 3,
        seed=3,
        jit_compile=False,
    )
    return Kind(experiment, None, experiment.steps, ("curve", "test", "best_epoch", "steps"))


def of_stream(epochs):
    """A run of `stream`."""
    experiment = feeds.for_stream(
        dataclasses.replace(
            EXPERIMENTS["row-mnist"],
            name="tiny",
            cell_settings={"units": 6, "tau_m": 9.0, "period": 7.0},
            rule_settings={"perturbation": "tangent"},
            batch_size=3,
            sensitivity_every=2,
            jit_compile=False,
            seed=3,
        )
    )
    settings = feeds.StreamSettings(pieces=REPORT_EVERY * epochs + 3, piece=12)
    return Kind(experiment, settings, settings.pieces, ("curve", "words", "test_words", "test_word_error"))


KINDS = {"train": of_training, "stream": of_stream}


def saved_steps(folder):
    """How many batches the backup in a run directory has learned."""
    return StreamBackup(folder / files.BACKUP).pieces


def kept(kind, folder):
    """What the backup and the results file hold, by name, but for what tells the time."""
    backup, results = read_arrays(folder / files.BACKUP, ""), files.read_json(folder / files.RESULTS)
    progress = json.loads(str(backup.pop("progress")))
    del progress["seconds"]
    for row in (*progress["curve"], *results["curve"]):
        row.pop("seconds", None)
    found = {f"backup {name}": (value.dtype.str, value.shape, value.tobytes()) for name, value in backup.items()}
    found |= {f"progress {name}": value for name, value in progress.items()}
    return found | {f"results {name}": results[name] for name in kind.results}


def start(kind, folder, log):
    """Forks a process that trains, or goes on; returns its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), 1)
        os.dup2(1, 2)
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if not (folder / files.RESULTS).exists():  # else it was killed after its end
            kind.learn(folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def look(folder):
    """What lies in a run directory and its events: names, sizes, times."""
    found = set()
    for place in (folder, *(folder / files.EVENTS / part for part in ("train", "validation", "stream"))):
        with contextlib.suppress(FileNotFoundError), os.scandir(place) as entries:  # not there yet, or no more
            found |= {(entry.path, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries}
    return found


def age(process):
    """Seconds of processor time that a process has used: how far it is, however busy the machine."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def live(kind, folder, log, limit=None, change=None, delay=0.0):
    """The life of one process, killed at an age of `limit`, or `delay` after the `change`-th change in its directory.

    A dict: whether it was `killed`, its age in `seconds`, and the `changes` that were seen.
    """
    child, lived, changes, seen = start(kind, folder, log), 0.0, 0, look(folder)
    try:
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            lived = age(child)
            if (now := look(folder)) != seen:
                seen, changes = now, changes + 1
                if changes == change:
                    time.sleep(delay)
                    break
            if limit is not None and lived >= limit:
                break
            time.sleep(TICK)
        else:
            child = None
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
    if os.WIFEXITED(ended[1]) and os.WEXITSTATUS(ended[1]):
        raise SystemExit(f"the process ended with status {os.WEXITSTATUS(ended[1])}:\n{log.read_text()}")
    return {"killed": os.WIFSIGNALED(ended[1]), "seconds": lived, "changes": changes}


def phase(kind, folder, since):
    """Where a killed process stood, as what it left in the directory since it began tells."""
    if parts := [path for path in sorted(folder.glob(".part-*")) if path.stat().st_mtime >= since]:
        return f"writing {parts[0].name.removeprefix('.part-')}"
    times = {
        name: (folder / name).stat().st_mtime if (folder / name).exists() else 0.0
        for name in (files.CONFIG, files.RESULTS, files.MODEL, files.BACKUP)
    }
    events = [path.stat() for path in (folder / files.EVENTS).rglob("*.v2")]
    ours = [status for status in events if status.st_mtime >= since]
    if not times[files.CONFIG]:
        return "before the first file"
    if times[files.RESULTS]:
        return "after the results"
    if not ours:
        return "start"
    if times[files.MODEL] > max(times[files.BACKUP], since):
        return f"between {files.MODEL} and {files.BACKUP}"
    if any(status.st_size > HEADER and status.st_mtime > times[files.BACKUP] for status in ours):
        return f"between events and {files.MODEL}"
    return "test" if saved_steps(folder) == kind.steps else "in an epoch"


def outcome(kind, folder):
    """All that a run leaves, by name, as bytes or numbers; but for what tells the time."""
    found = kept(kind, folder)
    with zipfile.ZipFile(folder / files.MODEL) as archive:
        # Keras numbers objects by where they lie in memory
        found["model"] = re.sub(r'"shared_object_id": \d+', "", archive.read("config.json").decode())
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            names = []
            weights.visit(names.append)
            found |= {f"model {n}": weights[n][()].tobytes() for n in names if isinstance(weights[n], h5py.Dataset)}
    return found | scalars(folder / files.EVENTS)


def scalars(folder):
    """Every scalar in TensorBoard, `{run, tag, step: {value}}`; an epoch may be there twice, but not in two ways."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util import tensor_util

    found = {}
    for path in folder.rglob("events.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars" or value.tag.startswith("fit/"):
                    number = tensor_util.make_ndarray(value.tensor).tobytes()
                    found.setdefault(f"scalar {path.parent.name} {value.tag} {event.step}", set()).add(number)
    return found


def differences(ours, theirs):
    """Names of what is not the same."""
    return sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))


def trial(kind, folder, whole_life, draw, kills):
    """Kills and goes on until a process comes to its end, `kills` times at most; returns a list of the kills."""
    made, path, log = [], folder / "run", folder / "log.txt"
    while True:
        near = draw.random() < 0.5
        aim = {"limit": draw.uniform(0.0, whole_life["seconds"])}
        if near:
            aim = {"change": draw.randint(1, whole_life["changes"]), "delay": draw.uniform(0.0, NEAR)}
        since = time.time()
        life = live(kind, path, log, **(aim if len(made) < kills else {}))
        if not life["killed"]:
            return made
        where = {"saved_steps": saved_steps(path), "near": near, "phase": phase(kind, path, since)}
        made.append({"seconds": round(life["seconds"], 3), **where})


def run(options, about):
    """Makes the trials and writes the report; returns the exit status."""
    kind, draw, trials = KINDS[options.of](options.epochs), random.Random(options.seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        whole_life = live(kind, folder / "run", folder / "log.txt")
        expected = outcome(kind, folder / "run")
        print(f"{whole_life['seconds']:.1f} s, {len(expected)} things to compare", flush=True)
        while (made := sum(len(each["kills"]) for each in trials)) < options.kills:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                kills = trial(kind, pathlib.Path(place), whole_life, draw, options.kills - made)
                different = differences(outcome(kind, pathlib.Path(place, "run")), expected)
            trials.append({"kills": kills, "differences": different})
            print(f"{len(trials):3}: {[kill['phase'] for kill in kills]} {different or 'identical'}", flush=True)
            phases = collections.Counter(kill["phase"] for each in trials for kill in each["kills"])
            report = {
                **about,
                "seed": options.seed,
                "experiment": dataclasses.asdict(kind.experiment),
                "life": whole_life,
                "compared": len(expected),
                "kills": phases.total(),
                "phases": dict(sorted(phases.items())),
                "runs": len(trials),
                "identical": sum(not each["differences"] for each in trials),
                "trials": trials,
            }
            files.write_json(options.output, report)
    print(f"{report['kills']} kills, {report['identical']} of {report['runs']} runs identical")
    return int(report["identical"] < report["runs"])


main = Command("kills", __doc__, run)
main.option("--of", choices=KINDS, default="train", help="the command whose runs are killed")
main.option("--kills", type=int, default=100)
main.option("--epochs", type=int, default=8, help="of the run, and a rest")
main.option("--seed", type=int, default=0, help="of the moments")
main.option("--output", type=pathlib.Path, default=pathlib.Path("kills.json"))

if __name__ == "__main__":
    sys.exit(main())
