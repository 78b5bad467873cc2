"""The notebook runs from top to bottom, small, and the committed one holds its outputs and pictures."""

import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "kernl_keras.ipynb"
PICTURES = 9

nbformat = pytest.importorskip("nbformat", reason="reading the notebook needs nbformat")


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(notebook):
    return [output for output in outputs(notebook) if "image/png" in output.get("data", {})]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::(nbclient|jupyter_client|zmq|asyncio|tornado)")  # other people's
def test_every_cell_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="running the notebook needs nbclient")
    for name in ("matplotlib", "ipykernel"):
        pytest.importorskip(name, reason=f"the notebook's kernel needs {name}")
    monkeypatch.setenv("KERNL_KERAS_NOTEBOOK_STEPS", "2")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # whatever the shell says
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    notebook = read()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    resources = {"metadata": {"path": str(tmp_path)}}  # the kernel's working directory
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()

    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert len(pictures(notebook)) == PICTURES


def test_the_committed_notebook_holds_its_outputs():
    notebook = read()
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))  # one run, from top to bottom
    assert len(pictures(notebook)) == PICTURES
    assert {output.output_type for output in outputs(notebook)} <= {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert notebook.metadata.kernelspec.name == "python3"
    assert NOTEBOOK.stat().st_size < 1.5e6


def test_the_committed_notebook_names_no_machine():
    assert not re.search(r"(?:/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\)[A-Za-z]", NOTEBOOK.read_text("utf-8"))


def test_the_notebook_states_each_equation_once():
    numbers = [int(n) for cell in read().cells for n in re.findall(r"\\tag\{(\d+)\}", cell.source)]
    assert numbers == [*range(1, 10), *range(16, 23)]
