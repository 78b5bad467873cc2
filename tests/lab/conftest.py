"""What the tests of the laboratory share."""

import json

import pytest


@pytest.fixture
def results(tmp_path, capsys):
    """Runs a command, and returns what its results file holds."""

    def results(module, *arguments):
        path = tmp_path / "out.json"
        assert module.main([*arguments, "--output", str(path)]) == 0
        assert f"Results    {path}" in capsys.readouterr().out
        return json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)  # no NaN, which is no JSON

    return results
