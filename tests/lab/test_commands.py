"""Mistakes on the command lines of the laboratory are said before anything is measured, and nothing is written."""

import importlib

import pytest

MISTAKES = [
    ("alignment", ["--output", "no/such/a.json"], "no/such is no directory: make it, or name another --output."),
    ("alignment", ["--output", "there.json"], "there.json already exists: name another --output."),
    ("alignment", ["--every", "0"], "--every must be >= 1; received 0."),
    ("alignment", ["--seeds", "1073741824"], "--seeds must be from 0 to 1073741823, each of them once; received [107"),
    ("alignment", ["--seeds", "0", "-1"], "--seeds must be from 0 to 1073741823, each of them once; received [0, -1]."),
    ("benchmark.__main__", ["--repeats", "0"], "--repeats must be >= 1; received 0"),
    ("benchmark.__main__", ["--threads", "-1"], "--threads must be >= 1; received -1"),
    ("benchmark.__main__", ["--output", "nowhere/at/all.json"], "nowhere/at is no directory"),
    ("benchmark.__main__", ["--only", "everything"], "invalid choice: 'everything'"),
    ("device", ["--steps", "0", "--output", "a.json"], "--steps must be >= 1; received 0."),
    ("borders", ["--windows", "60", "--output", "a.json"], "--windows must divide 256; received 60"),
    ("memory", ["--windows", "0", "--output", "a.json"], "--windows must be >= 1; received 0"),
    ("memory", ["--networks", "decayed", "--output", "a.json"], "the network decayed needs --run-dir"),
    ("memory", ["--output", "there.json"], "there.json holds no such results: name another --output."),
    ("nir_round_trip", [], "KERNL_KERAS_NIR_PYTHON must name the Python of an environment"),
    ("race", ["--output", "no/such.json"], "no is no directory: make it, or name another --output."),
    ("race", ["--units", "0"], "--units must be >= 1; received 0."),
    ("race", ["--seconds", "0"], "--seconds must be > 0; received 0.0."),
    ("race", ["--seconds", "nan"], "--seconds must be > 0; received nan."),
    ("race", ["--seed", "-1"], "--seed must be from 0 to 1073741823; received -1."),
    ("race", ["--only", "hebb"], "invalid choice: 'hebb'"),
    ("repeat", ["--output", "there.json"], "there.json holds no such results: name another --output."),
    ("repeat", ["no-file", "--output", "a.json"], "received ['no-file']."),
    ("repeat", ["--output", "repeated.json"], "repeated.json holds runs of 2 updates: name another --output."),
    ("results", ["--document", "page.md"], "page.md cannot be used: No such file or directory"),
    ("stablehlo.__main__", ["--output", "there.json"], "there.json already exists: name another --output."),
    ("stablehlo.__main__", ["--output", "no/such"], "no is no directory: make it, or name another --output."),
    ("stablehlo.__main__", ["--output", "new", "--batches", "4", "0"], "--batches must be >= 1; received 0."),
    ("stablehlo.__main__", ["--output", "new", "--units", "0"], "--units must be >= 1; received 0."),
    ("stablehlo.__main__", ["--output", "new", "--rules", "hebb"], "invalid choice: 'hebb'"),
    ("stablehlo.timing", ["none.stablehlo"], "none.stablehlo must be a module, with its .npz beside it."),
    ("stablehlo.timing", ["a.stablehlo", "--repeats", "0"], "--repeats must be >= 1 and --warm-up >= 0; received 0"),
    ("stablehlo.timing", ["a.stablehlo", "--output", "a.npz"], "a.npz already exists: name another --output."),
    ("stablehlo.timing", ["a.stablehlo", "--output", "no/such.json"], "no is no directory: make it, or name another"),
    ("stream", ["--pieces", "0", "--output", "a.json"], "--pieces must be >= 1; received 0."),
    ("stream", ["--weight-decay", "-0.1", "--output", "a.json"], "--weight-decay must be at least 0 and less than 1;"),
    ("streams", ["digits", "--rates", "0.1", "1.5", "--output", "a.json"], "--rates must be between 0 and 1; rec"),
    ("streams", ["cue", "--output", "there.json"], "holds no such results"),
    ("streams_braintrace", ["--only", "hebb"], "invalid choice: 'hebb'"),
    ("streams_braintrace", ["--output", "there.json"], "holds no such results"),
    ("sweep", ["everything"], "invalid choice: 'everything'"),
    ("sweep", ["layers", "--seeds", "1", "1"], "--seeds must be from 0 to 1073741823, each of them once; received [1"),
    ("sweep", ["psmnist-56000", "--only", "x"], "--only must name variants of psmnist-56000, ['KeRNL, window 419'];"),
    ("sweep", ["layers", "--output", "no/layers.json"], "no is no directory: make it, or name another --output."),
]  # fmt: skip
BESIDE = {"repeated.json": '{"repeat": {"updates": 2, "rows": []}}', "there.json": '{"streams": 3}'}
BESIDE |= {"a.stablehlo": "", "a.npz": ""}


@pytest.mark.parametrize("command, flags, message", MISTAKES)
def test_a_mistake_is_said_and_nothing_is_written(command, flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("KERNL_KERAS_NIR_PYTHON", raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in BESIDE.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module(f"notebooks.lab.{command}").main(flags)
    said = capsys.readouterr()
    assert message in said.err.splitlines()[-1] and not said.out
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == BESIDE
