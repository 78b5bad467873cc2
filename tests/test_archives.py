"""Archives: what is damaged, foreign or dangerous is refused with the file's name, and nothing in one is ever run."""

import ast
import io
import json
import pathlib
import stat
import zipfile

import numpy as np
import pytest

from kernl_keras.archives import checked, read_arrays

ROOT = pathlib.Path(__file__).parents[1]
ARRAYS = {"weights": np.linspace(-1.0, 1.0, 7, dtype="float32"), "layer/count": np.array(3), "text": np.array("ten")}


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.fixture
def good(tmp_path):
    np.savez_compressed(tmp_path / "good.npz", **ARRAYS)
    return tmp_path / "good.npz"


def same(arrays):
    return arrays.keys() == ARRAYS.keys() and all(
        value.dtype == ARRAYS[name].dtype and np.array_equal(value, ARRAYS[name]) for name, value in arrays.items()
    )


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([Payload(tmp_path / "ran")]))
    with pytest.raises(OSError, match=r"a\.npz cannot be read: Object arrays cannot be loaded when allow_pickle=False"):
        read_arrays(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()
    with np.load(tmp_path / "a.npz", allow_pickle=True) as file:  # the payload is one
        file["x"]
    assert (tmp_path / "ran").exists()


def test_arrays_come_back_unless_their_file_is_cut_short_anywhere(good):
    assert same(read_arrays(good))
    whole = good.read_bytes()
    for length in range(len(whole)):
        good.write_bytes(whole[:length])
        with pytest.raises(OSError, match=r"good\.npz cannot be read: .*\. Do this\.$"):
            read_arrays(good, "Do this.")


def test_a_wrong_byte_anywhere_changes_no_array(good):
    """Refused, or harmless: a member's date; or a name in the table of contents, which then misses an array."""
    whole, refused = good.read_bytes(), 0
    for place in range(len(whole)):
        good.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            found = read_arrays(good)
            assert same({name: found.get(name, array) for name, array in ARRAYS.items()}), place
        except OSError as error:
            assert str(good) in str(error)
            refused += 1
    assert refused > len(whole) / 2


def test_what_is_no_archive_of_arrays(tmp_path):
    for name, content in {"empty": b"", "text": b"PK it is not"}.items():
        (tmp_path / name).write_bytes(content)
    with (tmp_path / "npy").open("wb") as stream:
        np.save(stream, np.arange(3))
    with zipfile.ZipFile(tmp_path / "zip of text", "w") as archive:
        archive.writestr("letter.txt", "dear all")
    (tmp_path / "folder").mkdir()
    for name in ("empty", "text", "npy", "zip of text", "folder", "missing"):
        with pytest.raises(OSError, match=f"{name} cannot be read: .+"):
            read_arrays(tmp_path / name)


OUT = "../x.npy", "/x.npy", "a/../../x.npy", "..\\x.npy", "C:x.npy", "C:/x.npy", "x\0.npy", "link.npy"


@pytest.mark.parametrize("name", OUT)
def test_a_member_that_leads_out_is_refused(tmp_path, name):
    content, place = io.BytesIO(), tmp_path / "in" / "a.npz"
    np.lib.format.write_array(content, np.arange(3))
    place.parent.mkdir()
    with zipfile.ZipFile(place, "w") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = member.orig_filename = name  # as an attacker would, past the constructor
        if name == "link.npy":
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, content.getvalue())
    for read in (read_arrays, lambda path: checked(path).__enter__()):
        with pytest.raises(OSError, match="leads out of it"):
            read(place)
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.npz"]


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", "one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", "other")
    with pytest.raises(OSError, match=r"its member 'x\.npy' is there twice"):
        read_arrays(tmp_path / "a.npz")


# What reads code as data. `eval`, `exec` and `compile` of the language itself; those of a model are attributes.
FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "compile", "__import__"}


def dangerous(source):
    """Lines that unpickle, or could: `np.load` must say that it does not."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        if FORBIDDEN & set(names):
            yield node.lineno
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in BUILTINS:
            yield node.lineno
        keywords = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name == "load" and owner in ("np", "numpy") and keywords.get("allow_pickle") is not False:
            yield node.lineno
        if name.endswith("load_model") and keywords.get("safe_mode", True) is not True:
            yield node.lineno


RUN_BLOCKS = ROOT / "tests" / "test_examples.py", ROOT / "tests" / "reference" / "own_kernel.py"  # of our own pages


def sources():
    """`{name: source}` of the package, the notebooks and their scripts, and what checks them."""
    found = {}
    for folder in ("kernl_keras", "notebooks", ".ci", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path not in (pathlib.Path(__file__), *RUN_BLOCKS):
                found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        for path in sorted((ROOT / folder).rglob("*.ipynb")):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            lines = [line for cell in cells if cell["cell_type"] == "code" for line in [*cell["source"], "\n"]]
            found[str(path.relative_to(ROOT))] = "".join(line for line in lines if line.lstrip()[:1] not in ("%", "!"))
    return found


def test_no_line_unpickles_or_runs_what_it_reads():
    found = sources()
    assert len(found) > 150
    assert not {name: lines for name, source in found.items() if (lines := list(dangerous(source)))}


@pytest.mark.parametrize(
    "line, count",
    [
        ("import pickle", 1),
        ("from joblib import load", 1),
        ("def f():\n    import dill as d", 1),
        ("np.load('a.npz')", 1),
        ("np.load('a.npz', allow_pickle=True)", 1),
        ("eval(text)", 1),
        ("keras.models.load_model('a.keras', safe_mode=False)", 1),
        ("np.load(f, allow_pickle=False); model.compile(x); keras.models.load_model(path)", 0),
    ],
)
def test_a_planted_line_is_found_and_a_safe_one_left_alone(line, count):
    assert len(list(dangerous(line))) == count
