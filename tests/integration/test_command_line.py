"""The command line: what it prints and writes, and how it answers mistakes."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from kernl_keras import cli
from kernl_keras.archives import read_arrays
from kernl_keras.experiments import build, feeds
from kernl_keras.experiments.configs import DEFAULT, EXPERIMENTS
from kernl_keras.experiments.files import write_json
from kernl_keras.keras_version import keras

STREAM = ["stream", "--data-dir", "NOWHERE"]
HEAR = ["stream", "--wav", "a.wav"]
TFDS = {"source": "tfds", "validate_every": 10 * EXPERIMENTS[DEFAULT].validate_every}
TINY = dataclasses.replace(
    EXPERIMENTS["adding"], name="tiny", task_settings={"steps": 7, "examples": 22, "validation": 5, "test": 5},
    cell_settings={"units": 4}, batch_size=5, rule="eprop", rule_settings={}, epochs=2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)


@pytest.mark.slow
def test_train_and_evaluate(tmp_path, capsys):
    folder = tmp_path / "run"
    flags = ["--experiment", "tiny", "--steps", "3", "--learning-rate", "0.5", "--seed", "7", "--no-xla"]
    command = ["train", *flags, "--run-dir", str(folder), "--verbose", "0"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    results = json.loads((folder / "results.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    expected = dict(name="tiny", steps=3, epochs=None, learning_rate=0.5, seed=7, jit_compile=False, rule="eprop")
    assert {name: config[name] for name in expected} == expected
    assert results["command"] == f"kernl-keras {' '.join(command)}".replace(str(folder), folder.name)
    tested = f"Test mse {results['test_mse']:.4f} (chance 0.17), loss {results['test']['loss']:.4f}\n"
    for said in (
        "Experiment tiny: The adding problem",
        "drawn from seed 7: 22 examples for training, 5 for validation, 5 for testing",
        "Sequences  7 steps of 2 values",
        "4 leaky_rnn units, eprop, Adam 0.5 cosine, batches of 5, 3 steps",
        f"Keras {keras.__version__}; XLA no",
        f"Writes to  {folder}\n",
        tested,
        f"tensorboard --logdir {folder / 'tensorboard'}",
    ):
        assert said in printed
    assert list((folder / "tensorboard").rglob("events.out.tfevents.*"))

    assert cli.main(["evaluate", "--run-dir", str(folder), "--verbose", "0"]) == 0
    assert tested in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, changed",
    [
        ([], {}),
        (["--epochs", "3"], {"epochs": 3, "steps": None}),
        (["--steps", "9"], {"epochs": None, "steps": 9}),
        (["--data", "tfds", "--data-dir", "here"], {**TFDS, "data_dir": "here"}),
        (["--data", "sample"], {}),
        (["--batch-size", "7", "--rule", "bptt"], {"batch_size": 7, "rule": "bptt", "rule_settings": {}}),
        (["--learning-rate", "0.5", "--seed", "7"], {"learning_rate": 0.5, "seed": 7}),
        (["--learn", "tau_m", "tau_out"], {"learn": ["tau_m", "tau_out"]}),
        (["--window", "9"], {"layer_settings": {"window": 9}}),
        (["--rule", "kernl"], {}),  # the experiment's own rule, with its settings
        (["--sensitivity-only", "30"], {"sensitivity_only": 30}),
        (["--start", "smnist"], {"start": "smnist"}),
        (["--no-xla"], {"jit_compile": False}),
    ],
)
def test_options_change_the_configuration(flags, changed, monkeypatch, tmp_path):
    """And no run directory means one under runs/, named by experiment and time."""
    called = []
    monkeypatch.setattr(cli, "train", lambda *arguments: called.append(arguments))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *flags]) == 0
    ((experiment, run_dir, resume, command, verbose, stream),) = called
    assert experiment == dataclasses.replace(EXPERIMENTS[DEFAULT], **changed)
    assert run_dir.parts[0] == "runs" and run_dir.name.startswith(f"{DEFAULT}-2")
    assert (resume, command, verbose, stream) == (False, " ".join(["kernl-keras", "train", *flags]), 1, None)


def test_resume_takes_the_configuration_of_the_run(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(cli, "train", lambda *arguments: called.append(arguments))
    saved = dataclasses.replace(EXPERIMENTS["row-mnist"], seed=5, epochs=None, steps=8)
    write_json(tmp_path / "config.json", dataclasses.asdict(saved))
    assert cli.main(["train", "--resume", "--run-dir", str(tmp_path)]) == 0
    assert cli.main(["train", "--resume", "--run-dir", str(tmp_path), "--steps", "9"]) == 0  # `train` refuses it
    experiments = saved, dataclasses.replace(saved, steps=9)
    assert [arguments[:3] for arguments in called] == [(each, tmp_path, True) for each in experiments]


def test_ctrl_c_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "train", stop)
    assert cli.main(["train", "--run-dir", str(tmp_path)]) == 130
    assert f"kernl-keras train --resume --run-dir {tmp_path}" in capsys.readouterr().err


def test_list(capsys):
    assert cli.main(["list"]) == 0
    printed = capsys.readouterr().out
    for experiment in EXPERIMENTS.values():
        assert f"{experiment.name:20}{experiment.description}" in printed
        assert experiment.summary() in printed
    assert printed.count("(the default)") == 1


@pytest.mark.parametrize(
    "command, message",
    [
        ([], "COMMAND"),
        (["train", "--experiment", "mnist"], "invalid choice: 'mnist'"),
        (["train", "--rule", "hebb"], "invalid choice: 'hebb'"),
        (["train", "--epochs", "1", "--steps", "1"], "not allowed with"),
        (["train", "--epochs", "x"], "invalid int value: 'x'"),
        (["train", "--epochs", "0"], "epochs must be an integer >= 1; received 0"),
        (["train", "--batch-size", "7000"], "batch_size must be at most the 6500 training examples; received 7000"),
        (["train", "--window", "0"], "window must be an integer >= 1; received 0"),
        (["train", "--learn", "mass"], "learn must be names out of"),
        (["train", "--start", "imagenet"], "invalid choice: 'imagenet'"),
        (["train", "--threads", "0"], "--threads must be >= 1; received 0"),
        (["train", "--run-dir", "RUN"], "already holds something"),
        (["train", "--resume"], "--resume needs --run-dir"),
        (["train", "--resume", "--run-dir", "RUN", "--experiment", "adding"], "holds a run of smnist, not of adding"),
        (["train", "--resume", "--run-dir", "STREAM"], "STREAM holds a run of `stream`, not of `train`"),
        (["evaluate"], "one of the arguments --run-dir --pretrained is required"),
        (["evaluate", "--run-dir", "EMPTY"], "holds no run: it has no config.json"),
        (["evaluate", "--run-dir", "BROKEN"], "config.json cannot be read: Expecting value"),
        (["evaluate", "--run-dir", "RUN"], "model.keras cannot be read: File is not a zip file. Put a good copy of it"),
        (STREAM, "there is no folder NOWHERE"),
        ([*STREAM, "--pretrained", "spoken-digits"], "--pretrained needs --wav, a recording"),
        ([*STREAM, "--resume"], "--resume needs --run-dir"),
        ([*STREAM, "--resume", "--run-dir", "EMPTY"], "holds no run: it has no config.json"),
        ([*STREAM, "--resume", "--run-dir", "RUN"], "holds a run of `train`, not of `stream`"),
        ([*STREAM, "--resume", "--run-dir", "STREAM", "--piece", "9"], "piece was 100, now 9"),
        ([*STREAM, "--run-dir", "RUN"], "already holds something"),
        ([*STREAM, "--experiment", "ecg"], "needs an experiment whose sequences have one class each; received ecg"),
        ([*STREAM, "--pieces", "0"], "pieces must be an integer >= 1; received 0"),
        ([*STREAM, "--piece", "0"], "piece must be an integer >= 1; received 0"),
        (HEAR, "--wav needs --run-dir, the directory of a run, or --pretrained, one of them"),
        ([*HEAR, "--run-dir", "STREAM", "--pretrained", "smnist"], "--wav needs --run-dir, the directory"),
        ([*HEAR, "--pretrained", "smnist"], "smnist hears no sound"),
        ([*HEAR, "--pretrained", "spoken-digits"], "a.wav cannot be read: No such file or directory"),
        ([*HEAR, "--run-dir", "STREAM"], "holds no model.keras: the run stopped before its first epoch"),
        ([*HEAR, "--run-dir", "DIGITS"], "holds a run of row-mnist, which hears no sound"),
    ],
)
def test_mistakes(command, message, tmp_path, capsys, monkeypatch):
    """Status 2 and one line that says what is wrong; nothing is written."""

    def missing(**settings):
        raise FileNotFoundError(f"there is no folder {settings['data_dir']}")

    monkeypatch.setattr(build, "spoken_digits", missing)
    monkeypatch.chdir(tmp_path)
    for name in ("EMPTY", "RUN", "BROKEN", "STREAM", "DIGITS"):
        (tmp_path / name).mkdir()
    write_json(tmp_path / "RUN" / "config.json", dataclasses.asdict(EXPERIMENTS["smnist"]))
    (tmp_path / "RUN" / "model.keras").write_text("not one")
    (tmp_path / "BROKEN" / "config.json").write_text("")
    for name, experiment in (("STREAM", "spoken-digits"), ("DIGITS", "row-mnist")):
        experiment, settings = feeds.for_stream(EXPERIMENTS[experiment]), feeds.StreamSettings()
        content = {"experiment": dataclasses.asdict(experiment), "stream": dataclasses.asdict(settings)}
        write_json(tmp_path / name / "config.json", content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as exit:
        cli.main(command)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_as_a_program(tmp_path):
    """`python -m kernl_keras`, with Keras' progress bar, and without what TensorFlow logs once it is imported.

    Twice, with as many threads: the same bits.
    """
    flags = ["--experiment", "row-mnist", "--steps", "2", "--batch-size", "500", "--rule", "eprop"]
    command = [sys.executable, "-m", "kernl_keras", "train", *flags]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "200"}
    env.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which the tests set for themselves
    backups = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        process = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        assert "2/2" in process.stdout and "XLA yes" in process.stdout and "Compiling" in process.stdout
        logged = [line for line in process.stderr.splitlines() if re.match("[IWEF][0-9]{4} ", line)]
        assert not [line for line in logged if "port.cc" not in line and "cudart_stub.cc" not in line]
        (run_dir,) = (folder / "runs").iterdir()
        backups.append(read_arrays(run_dir / "backup.npz"))
    names = {"config.json", "results.json", "model.keras", "backup.npz", "tensorboard"}
    assert names == {path.name for path in run_dir.iterdir()}
    results = json.loads((run_dir / "results.json").read_text())
    assert results["examples"]["train"] == 6_500 and results["steps"] == 2
    assert results["computed_with"][0]["threads"] == cli.THREADS
    for name in backups[0].keys() - {"progress"}:  # which has the seconds
        np.testing.assert_array_equal(*(each[name] for each in backups), err_msg=name)


@pytest.mark.slow
def test_full_mnist(data_dir, tmp_path):
    flags = ["--experiment", "row-mnist", "--data", "tfds", "--data-dir", data_dir, "--steps", "2", "--rule", "eprop"]
    assert cli.main(["train", *flags, "--batch-size", "1000", "--run-dir", str(tmp_path), "--verbose", "0"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["examples"] == {"train": 55_000, "validation": 5_000, "test": 10_000}
