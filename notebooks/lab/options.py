"""What the commands of the laboratory share: their options, the checks of these, and what their results files say."""

import argparse
import pathlib
import platform

from kernl_keras import cli
from kernl_keras.experiments.experiment import MAX_SEED
from kernl_keras.experiments.files import UserError, read_json
from kernl_keras.experiments.provenance import cores, devices, git_revision, processor, versions


class Command:
    """The command `python -m notebooks.lab.NAME`. It is called with a list of str, or None for the program's arguments.

    Its methods add options and what is to be checked of them. Then it calls `run(options, about)`, where `about` says
    how a results file is made, and returns the exit status. Its help begins with the first line of `doc`.
    """

    def __init__(self, name, doc, run):
        self.run, self.checks, self.says = run, [], False
        self.parser = argparse.ArgumentParser(prog=f"python -m notebooks.lab.{name}", description=doc.splitlines()[0])
        self.parser.set_defaults(run=self._run)
        self.option = self.parser.add_argument

    def __call__(self, arguments=None):
        return cli.run_command(self.parser, arguments)

    def _run(self, options, command):
        for check in self.checks:
            check(options)
        # before measuring: the checkout may move on meanwhile
        status = self.run(options, provenance(command))
        if self.says:
            print(f"Results    {options.output}")
        return status

    def count(self, name, default=None, help="", **settings):
        """An option of whole numbers >= 1."""
        if isinstance(default, int):
            help = f"{help}, {default:,} if not given".removeprefix(", ")
        self.option(name, **{"type": int, "metavar": "N", "default": default, "help": help, **settings})

        def check(options):
            given = getattr(options, name.removeprefix("--"))
            for value in given if isinstance(given, (list, tuple)) else [given]:
                if value is not None:
                    cli.at_least_one(name, value)

        self.checks.append(check)

    def seeds(self, *default):
        """The seeds of the runs."""
        help = f"{' '.join(map(str, default)) or 'its own'} if not given"
        self.option("--seeds", type=int, nargs="+", default=list(default), metavar="N", help=help)
        self.checks.append(lambda options: check_seeds(options.seeds))

    def results(self, default=None, new=True):
        """The results file, which must not be there already where it is to be `new`."""
        path = default and pathlib.Path(default)
        help = None if new else "results file; what it has already stays"
        self.option("--output", type=pathlib.Path, required=not default, default=path, metavar="FILE", help=help)
        self.checks.append(lambda options: (check_file if new else check_folder)(options.output))
        self.says = True

    def data_dir(self):
        """The folder of recordings or digits."""
        self.option("--data-dir", metavar="DIR", help="folder of prepared TensorFlow Datasets")

    def machine(self):
        """The threads of TensorFlow, and how much Keras prints."""
        cli.add_machine_options(self.parser)
        self.checks.append(lambda options: cli.set_threads(options.threads))


def provenance(command):
    """How a results file was made."""
    return {"versions": versions(), "git_revision": git_revision(), "command": command}


def machine():
    """What numbers were measured on."""
    return {"processor": processor(), "cores": cores(), "system": platform.platform(), "device": devices()}


def check_seeds(seeds):
    """Raises `UserError` for a seed that no experiment can have, or that is there twice."""
    if any(not 0 <= seed <= MAX_SEED for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds must be from 0 to {MAX_SEED}, each of them once; received {seeds}.")


def check_file(path):
    """Raises `UserError` where a file is there already, or cannot be written."""
    if path.exists():
        raise UserError(f"{path} already exists: name another --output.")
    check_folder(path)


def made_before(path, kind, part):
    """What a results file holds of a kind, a dict that has the `part`, or None without a file."""
    if not path.exists():
        return None
    try:
        found = read_json(path)[kind]
        found[part]  # a KeyError where it has none
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} holds no such results: name another --output.") from error
    return found


def litert_interpreter():
    """The class `Interpreter` of LiteRT; raises `UserError` where it is not installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError('LiteRT needs ai-edge-litert, which `pip install -e ".[litert]"` brings.') from error
    return Interpreter


def check_folder(path):
    """Raises `UserError` where a file has no folder to be written to."""
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no directory: make it, or name another --output.")
