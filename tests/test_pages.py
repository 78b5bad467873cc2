"""The web site: it is made without a warning, can be searched, and shows equations without a network."""

import inspect
import pathlib
import re
import subprocess
import sys

import pytest

import kernl_keras as kk
from kernl_keras.archives import read_arrays
from kernl_keras.experiments import pretrained
from kernl_keras.keras_version import IS_KERAS_3

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE, PAGES = ROOT / "kernl_keras", ROOT / "notebooks" / "pages"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 160
    links = re.findall(r"\]\((?!#)([^)]+)\)", text)
    assert len(links) > 10
    assert not [link for link in links if not (ROOT / link).is_file()]
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("name", pretrained.NETWORKS)
def test_the_card_of_a_network_says_what_its_record_says(name):
    record, text = pretrained.record(name), (PAGES / "networks.md").read_text(encoding="utf-8")
    assert len(re.findall("^## `", text, re.MULTILINE)) == len(pretrained.NETWORKS)
    (card,) = re.findall(rf"^## `{name}`.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    rows = dict(re.findall(r"^\| ([a-z, ]+) \| (.*) \|$", card, re.MULTILINE))
    file = read_arrays(pretrained.FOLDER / f"{name}.npz")
    sizes = {key: array.size for key, array in file.items() if "/" in key and not key.endswith("/draws")}
    of_m = sizes.pop("hidden/sensitivity_tensor")
    parameters = sum(sizes.values())
    accuracy = re.match(r"([0-9.]+) %, on the ([0-9,]+) test", rows["test accuracy"])
    assert float(accuracy[1]) == round(100.0 * record["test_accuracy"], 1)
    assert int(accuracy[2].replace(",", "")) == record["examples"]["test"]
    assert f"{parameters:,} parameters, and {of_m:,} of M" in rows["units"]
    assert rows["command"] == f"`{record['command']}`"
    assert rows["seed, revision"] == f"{record['seed']}, `{record['git_revision'][:10]}`"
    assert "Not good for: " in card


def test_the_settings_are_few():
    assert (ROOT / "notebooks" / "conf.py").read_text(encoding="utf-8").count("\n") <= 60


def equations_of(text):
    """The numbers of the equations that a text has: (4), and those of (2)-(9)."""
    ranges = re.findall(r"\((\d+)\)-\((\d+)\)", text)
    single = {int(number) for number in re.findall(r"\((\d+)\)", text)}
    return single.union(*(range(int(first), int(last)) for first, last in ranges))


def test_the_map_of_the_code():
    """Its files are there and have the equations that it says, and it leaves out no file of the package."""
    rows = re.findall(r"^\| (`.*?`) \| (.*?) \|", (PAGES / "code.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = set()
    for names, equations in rows:
        paths = [PACKAGE / name for name in re.findall(r"`([^`]+)`", names)]
        files = [file for path in paths for file in (path.glob("*.py") if path.is_dir() else [path])]
        stated = equations_of("".join(file.read_text(encoding="utf-8") for file in files))
        assert equations_of(equations) <= stated, (names, equations)
        listed |= set(files)
    assert {file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"} <= listed


@pytest.mark.slow
@pytest.mark.skipif(not IS_KERAS_3, reason="the site is made once, with Keras 3")
def test_the_site(tmp_path):
    for package in ("sphinx", "myst_nb", "furo", "math_core"):
        pytest.importorskip(package, reason=f'the site needs {package}: pip install -e ".[docs]"')
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-d", tmp_path / "cache"]
    made = subprocess.run([*command, ROOT / "notebooks", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    site = tmp_path / "site"
    pages = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert "Two commands" in pages["index.html"] and 'href="pages/results.html"' in pages["index.html"]

    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("Learning rules", "Long sequences and streams", "ResonatorCell", "perturb", "pictur"):  # words' stems
        assert word in index, word

    shown = {"pages/rules.html": (10, 22, 27), "kernl_keras.html": (1, 9, 22), "learning.html": (24,)}
    for page, number in ((page, number) for page, numbers in shown.items() for number in numbers):
        equation = rf"<math(?:(?!</math).)*<mtext>\({number}\)</mtext>"
        assert re.search(equation, pages[page], re.DOTALL), (page, number)
    api = "".join(content for page, content in pages.items() if page.startswith("pages/api/"))
    for room in (kk, kk.data, kk.naive, kk.rules):
        for name in room.__all__:
            if inspect.isclass(getattr(room, name)) or inspect.isfunction(getattr(room, name)):
                assert f'id="{room.__name__}.{name}"' in api, name
    assert "get_config" not in pages["pages/api/layers.html"], "what is Keras' own is left out"
    everything = "".join(pages.values())
    assert "\\begin{align}" not in everything and "$$" not in everything
    assert not re.search(r'(?:<script[^>]*src|<link[^>]*stylesheet[^>]*href|@import|url\()[=" ]*https?:', everything)
