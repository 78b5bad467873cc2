"""What the commands of the laboratory share: their parsers, checks of options, and what their results files say."""

import argparse
import pathlib

from kernl_keras import cli
from kernl_keras.experiments.experiment import MAX_SEED
from kernl_keras.experiments.files import UserError
from kernl_keras.experiments.provenance import git_revision, versions


def make_parser(name, doc, run):
    """The parser of the command `python -m notebooks.lab.NAME`, which calls `run(options, command)`.

    Its help begins with the first line of the module's docstring `doc`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m notebooks.lab.{name}", description=doc.splitlines()[0])
    parser.set_defaults(run=run)
    return parser


def provenance(command):
    """How a results file was made. Ask before measuring: the checkout may move on meanwhile."""
    return {"versions": versions(), "git_revision": git_revision(), "command": command}


def add_run_options(parser, output_help=None):
    """What a command takes that trains with several seeds and writes a results file."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of prepared TensorFlow Datasets")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE", help=output_help)
    cli.add_machine_options(parser)


def add_network_options(parser):
    """What a command takes that measures trained networks and writes a results file."""
    parser.add_argument("networks", nargs="+", metavar="RUN_DIR", help="directory of a run, or a pretrained network")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE")


def check_seeds(seeds):
    """Raises `UserError` for a seed that no experiment can have, or that is there twice."""
    if any(not 0 <= seed <= MAX_SEED for seed in seeds) or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds must be from 0 to {MAX_SEED}, each of them once; received {seeds}.")


def check_file(path):
    """The path of a file that is still to be written; raises `UserError` where it cannot be."""
    path = pathlib.Path(path)
    if path.exists():
        raise UserError(f"{path} already exists: name another --output.")
    check_folder(path)
    return path


def check_folder(path):
    """Raises `UserError` where a file has no folder to be written to."""
    if not path.parent.is_dir():
        raise UserError(f"{path.parent} is no directory: make it, or name another --output.")
