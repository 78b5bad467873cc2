"""Processes that each train the network in one package, one of them at a time."""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

OURS = pathlib.Path(__file__).with_name("worker.py")


class Row(NamedTuple):
    """One line of a table: what is timed, and how it is started."""

    name: str
    settings: dict
    python: Any = sys.executable
    script: Any = OURS


class Measured(NamedTuple):
    """What came of a row; seconds and units of 10^6 bytes."""

    name: str
    settings: dict
    seconds: float  # median of a step
    every: list  # of all steps
    first_seconds: float  # the first step, compiling and tracing with it
    idle_mb: float  # memory after the import
    peak_mb: float  # most memory of the process, compiling with it
    loss: float
    versions: dict


def answers_of(label, python, script, settings):
    """What a worker says that is asked nothing, a list of dicts. Raises `RuntimeError` where it fails."""
    command = [str(python), str(script), json.dumps(settings)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    said = [json.loads(line) for line in done.stdout.splitlines()] or [{"error": "the process ended"}]
    if done.returncode or "error" in said[-1]:
        raise RuntimeError(f"{label}: {said[-1].get('error', 'the process ended')}\n{done.stderr[-2000:]}")
    return said


class Worker:
    """A running process for a `Row`. Raises `RuntimeError` where it fails."""

    def __init__(self, row):
        self.row, self.every = row, []
        # a pipe that nobody reads fills
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [str(row.python), str(row.script), json.dumps(row.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
        )
        self._ready = self._answer()

    def step(self):
        """Trains for a step, and keeps its seconds."""
        self.every.append(self._ask("step")["seconds"])

    def finish(self):
        """Ends the process; returns what was `Measured`."""
        end = self._ask("quit")
        self.close()
        answers = {"seconds": statistics.median(self.every), "every": self.every, **self._ready, **end}
        kept = {name: answers[name] for name in Measured._fields if name in answers}
        return Measured(name=self.row.name, settings=self.row.settings, **kept)

    def close(self):
        """Ends the process, where it has not ended by itself, and closes all that led to it."""
        if not self._errors.closed:
            self._process.kill()
            self._process.communicate()
            self._errors.close()

    def _ask(self, command):
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words follow
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read()[-2000:]
            self.close()
            raise RuntimeError(f"{self.row.name}: {answer['error']}\n{said}")
        return answer


def measure(rows, repeats):
    """Runs the rows side by side, a step of each in turn: what slows the machine for a while slows all of them.

    `repeats` is the number of steps of each, after the first two. Returns a list of `Measured`.
    """
    workers = []
    try:
        for row in rows:
            print(f"  {row.name}")
            workers.append(Worker(row))
        for _ in range(repeats):
            for worker in workers:
                worker.step()
        return [worker.finish() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
