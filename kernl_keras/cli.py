"""The command line: `python -m kernl_keras`, or `kernl-keras`."""

import argparse
import dataclasses
import datetime
import pathlib
import shlex
import sys

import tensorflow as tf

from .experiments.configs import DEFAULT, EXPERIMENTS
from .experiments.experiment import NETWORKS
from .experiments.feeds import StreamSettings, for_stream
from .experiments.files import UserError, as_user_error
from .experiments.heard import hear_recording
from .experiments.pretrained import experiment_of
from .experiments.provenance import cores
from .experiments.run import evaluate, read_config, read_settings, train
from .rules.rule import NAMES as RULES

STREAM_DEFAULT = "spoken-digits"
THREADS = min(2, cores())


def main(arguments=None):
    """Runs a command line; returns the exit status."""
    return run_command(make_parser(), arguments)


def run_command(parser, arguments=None):
    """Runs a command line by `run`, a function that the parser sets, of the options and the line for the record."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args(arguments)
    try:
        return options.run(options, shlex.join([*parser.prog.split(), *map(_without_folder, arguments)])) or 0
    except UserError as error:
        parser.error(str(error))  # exits with status 2


def _without_folder(argument):
    """An argument as a results file has it: of an absolute path, which is of one machine, the name alone.

    >>> _without_folder("--data-dir=/home/me/datasets"), _without_folder("--steps=3")
    ('--data-dir=datasets', '--steps=3')
    """
    option, equals, value = argument.rpartition("=")
    path = pathlib.Path(value)
    return f"{option}{equals}{path.name}" if path.is_absolute() else argument


def make_parser():
    """The `argparse.ArgumentParser`."""
    parser = argparse.ArgumentParser(prog="kernl-keras", description="Train recurrent networks by KeRNL.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    command = commands.add_parser("train", help="train an experiment", description="Train an experiment.")
    command.set_defaults(run=run_train, verb="train")
    _add_training_options(command, DEFAULT, "EXPERIMENT")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    length.add_argument("--steps", type=int, metavar="N", help="batches to train on")
    option = command.add_argument
    option("--weight-decay", type=float, metavar="X", help="of the weights, over the whole run")
    option("--learn", nargs="*", metavar="NAME", help="constants that learn, such as tau_m period tau_out")
    option("--start", choices=NETWORKS, help="a network that comes with the package, to begin with")
    option("--sensitivity-only", type=int, metavar="N", help="first steps, of M and gamma alone")

    command = commands.add_parser("evaluate", help="test a trained model", description="Test a run's model.")
    command.set_defaults(run=run_evaluate)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--run-dir", type=pathlib.Path, metavar="DIR")
    which.add_argument("--pretrained", choices=NETWORKS, help="a network that comes with the package")
    add_data_options(command)
    add_machine_options(command)

    command = commands.add_parser(
        "stream", help="learn from a stream of words", description="Train a network on an endless stream of words."
    )
    command.set_defaults(run=run_stream, verb="stream")
    _add_training_options(command, STREAM_DEFAULT, "stream")
    option, pieces = command.add_argument, StreamSettings()
    option("--pieces", type=int, metavar="N", help=f"to learn from, {pieces.pieces} if not given")
    option("--piece", type=int, metavar="P", help=f"steps of each, {pieces.piece} if not given")
    said = "say what the network of --run-dir, or the one that --pretrained names, hears in a recording"
    option("--wav", type=pathlib.Path, metavar="FILE", help=said)
    option("--pretrained", choices=NETWORKS, help="a network that comes with the package, for --wav")

    command = commands.add_parser("list", help="list the experiments", description="List the experiments.")
    command.set_defaults(run=run_list)
    return parser


def _add_training_options(command, default, name):
    """Options of a run, in epochs or on a stream; `name` begins that of its directory."""
    option = command.add_argument
    option("--experiment", choices=EXPERIMENTS, help=f"see `list`; {default} if not given")
    add_data_options(command)
    option("--batch-size", type=int, metavar="N", help="sequences, or streams, side by side")
    option("--learning-rate", type=float, metavar="X", help="of the weights")
    option("--rule", choices=RULES, help="learning rule of the hidden layer")
    option("--window", type=int, metavar="C", help="steps inside which errors go back exactly")
    option("--seed", type=int, metavar="N", help="of weights, noise and order of the data")
    option("--run-dir", type=pathlib.Path, metavar="DIR", help=f"runs/{name}-TIME if not given")
    option("--resume", action="store_true", help="go on with the run in --run-dir")
    option("--no-xla", action="store_const", const=False, dest="jit_compile", help="do not compile with XLA")
    add_machine_options(command)


def add_data_options(command):
    """Options that say which data to take."""
    sources = ("sample", "tfds")
    command.add_argument("--data", dest="source", choices=sources, help="digits: packaged, or TensorFlow Datasets")
    command.add_argument("--data-dir", metavar="DIR", help="folder of prepared TensorFlow Datasets")


def add_machine_options(command):
    """Options of how TensorFlow computes, and how much Keras prints."""
    option = command.add_argument
    option(
        "--threads", type=int, default=THREADS, metavar="N", help=f"of TensorFlow's operations, {THREADS} if not given"
    )
    option("--verbose", type=int, choices=(0, 1, 2), default=1, help="0 nothing, 1 a progress bar, 2 a line an epoch")


def override(experiment, options):
    """The experiment with the settings that were given on the command line, by options of their names."""
    fields = [field.name for field in dataclasses.fields(experiment)]
    given = {name: value for name, value in vars(options).items() if name in fields and value is not None}
    if "epochs" in given or "steps" in given:
        given = {"epochs": None, "steps": None, **given}
    if given.get("rule", experiment.rule) != experiment.rule:
        given["rule_settings"] = {}  # the others are those of the experiment's own rule
    if getattr(options, "window", None) is not None:
        given["layer_settings"] = {**experiment.layer_settings, "window": options.window}
    if given.get("source") == "sample":
        given = {"data_dir": None, **given}
    if given.get("source") == "tfds" != experiment.source and experiment.validate_every:
        given["validate_every"] = 10 * experiment.validate_every  # there are ten times as many digits to validate on
    with as_user_error():
        return dataclasses.replace(experiment, **given)


def at_least_one(name, value):
    """Raises `UserError` for an option that must be >= 1 and is not."""
    if value < 1:
        raise UserError(f"{name} must be >= 1; received {value}.")


def set_threads(threads):
    """Large products gain from a second thread (a step takes 0.7 of the time), what stands between them from none."""
    at_least_one("--threads", threads)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # a program that runs TensorFlow already has chosen
        pass


def run_train(options, command):
    """`train` and `stream`: a new run, or the rest of one; returns the exit status."""
    set_threads(options.threads)
    on_stream, settings = options.verb == "stream", None
    if options.resume:
        if options.run_dir is None:
            raise UserError("--resume needs --run-dir, the directory of the run to go on with.")
        experiment, settings = read_settings(options.run_dir, on_stream)
        if options.experiment not in (None, experiment.name):
            raise UserError(f"{options.run_dir} holds a run of {experiment.name}, not of {options.experiment}.")
    else:
        experiment = EXPERIMENTS[options.experiment or (STREAM_DEFAULT if on_stream else DEFAULT)]
        if on_stream:
            experiment, settings = for_stream(experiment), StreamSettings()
    experiment = override(experiment, options)
    if on_stream:
        given = {name: value for name in ("pieces", "piece") if (value := getattr(options, name)) is not None}
        with as_user_error():
            settings = dataclasses.replace(settings, **given)
    time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = options.run_dir or pathlib.Path("runs", f"{'stream' if on_stream else experiment.name}-{time}")
    try:
        train(experiment, run_dir, options.resume, command, options.verbose, settings)
    except KeyboardInterrupt:
        print(f"\nStopped. To go on: kernl-keras {options.verb} --resume --run-dir {run_dir}", file=sys.stderr)
        return 130


def run_evaluate(options, command):
    """`evaluate`: the test set, once more or another."""
    set_threads(options.threads)  # sums in the same order as in training: the same digits
    if not options.pretrained:
        evaluate(options.run_dir, override(read_config(options.run_dir), options), options.verbose)
        return
    with as_user_error(OSError):  # a damaged file
        experiment = override(experiment_of(options.pretrained), options)
        evaluate(None, experiment, options.verbose, options.pretrained)


def run_stream(options, command):
    """`stream`: a run on a stream, the rest of one, or a recording; returns the exit status."""
    if not options.wav:
        if options.pretrained:
            raise UserError("--pretrained needs --wav, a recording: a stream is learned from by a new network.")
        return run_train(options, command)
    if (options.run_dir is None) == (options.pretrained is None):
        raise UserError("--wav needs --run-dir, the directory of a run, or --pretrained, one of them.")
    set_threads(options.threads)
    print(hear_recording(options.wav, options.run_dir, options.pretrained))


def run_list(options, command):
    """`list`: the name, the description and the key settings of every experiment."""
    for name, experiment in EXPERIMENTS.items():
        print(f"{name:20}{experiment.description}{' (the default)' if name == DEFAULT else ''}")
        print(f"{'':20}{experiment.summary()}")
