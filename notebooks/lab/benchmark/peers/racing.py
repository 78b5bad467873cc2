"""A worker that trains against the clock, and says how good it has become.

It is a worker as in `protocol`, but is given "data", an .npz of digits, and asked nothing: it trains for "seconds", and
whenever the clock has passed one of "marks" it says {"seconds": ..., "steps": ..., "accuracy": ...}. The
clock runs while the network is built, compiled and trained, and stands while it is evaluated. The learning rate falls
to zero, along a cosine, in "seconds". The last line has the accuracy on the test digits as well, "test".
"""

import math
import time

import numpy as np
import protocol

CHUNK = 100  # validation digits that are evaluated at a time


def run(build, build_racer):
    """Runs a worker to its end: in a race if its settings are of one, else as `protocol.serve(build)`.

    `build_racer` is a function `settings -> (train, predict, versions)`: `train(pixels, labels, rate)` trains on a
    batch, pixels [B, T] in [0, 1], float32, and labels [B], int64, with a learning rate, and waits for its end;
    `predict(pixels)` returns the digits that it sees [B]; `versions` names the packages that decide its time.
    """
    if "data" in protocol.settings():
        protocol.answering(lambda say: race(build_racer, say))
    else:
        protocol.serve(build)


def race(build, say):
    """Trains to the end of the race."""
    settings = protocol.settings()
    with np.load(settings["data"], allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    marks = sorted({mark for mark in settings["marks"] if mark < settings["seconds"]} | {settings["seconds"]})
    start = time.perf_counter()
    train, predict, versions = build(settings)
    seconds, steps = time.perf_counter() - start, 0
    say(versions=versions)
    for rows in batches(len(data["labels"]), settings["batch"], settings["seed"]):
        pixels, labels = data["pixels"][rows], data["labels"][rows]
        start = time.perf_counter()
        train(pixels, labels, falling(settings["learning_rate"], seconds / settings["seconds"]))
        seconds, steps = seconds + time.perf_counter() - start, steps + 1
        if seconds >= marks[0]:
            found = {"seconds": seconds, "steps": steps, "accuracy": accuracy(predict, data, "validation")}
            marks = [mark for mark in marks if mark > seconds]  # a step may have passed more than one
            say(**found, **({} if marks else {"test": accuracy(predict, data, "test")}))
            if not marks:
                return


def falling(rate, share):
    """The learning rate after a share of the time."""
    return rate * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def batches(count, batch, seed):
    """Numbers of examples [batch], epoch after epoch in another order, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(count)
        for first in range(0, count - batch + 1, batch):
            yield order[first : first + batch]


def accuracy(predict, data, part):
    """The share of digits of a part that are seen as what they are."""
    pixels, labels = data[f"{part}_pixels"], data[f"{part}_labels"]
    seen = [predict(pixels[first : first + CHUNK]) for first in range(0, len(pixels), CHUNK)]
    return float(np.mean(np.concatenate(seen) == labels))
