"""Makes the pages of the public names from their docstrings: `python .ci/docs OUTPUT_DIR`, with `pip install .[docs]`.

A warning is an error, and so is a numbered equation that cannot be translated and a link that leads nowhere.
"""

import functools
import os
import pathlib
import re
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # the checkout's package, installed or not

import pdoc
from docstrings import markdown
from signatures import FILTERS

import kernl_keras

# With what the first names in its `__all__`; `naive.rate` is a function there, and no page for the module besides.
MODULES = ("kernl_keras", "kernl_keras.types", r"!kernl_keras\..+\..+")


def main(folder):
    """Writes the pages into a folder and checks them."""
    warnings.simplefilter("error")
    failed = []
    pdoc.render.configure(
        template_directory=HERE / "templates",
        include_undocumented=False,
        search=False,
        show_source=False,
        footer_text=f"kernl_keras {kernl_keras.__version__}",
    )
    pdoc.render.env.filters |= {**FILTERS, "to_markdown": functools.partial(to_markdown, failed=failed)}
    pdoc.pdoc(*MODULES, output_directory=folder)
    if failed:
        raise SystemExit(f"equations that cannot be translated: {failed}")
    if broken := broken_links(folder):
        raise SystemExit(f"links that lead nowhere: {broken}")


def to_markdown(docstring, failed):
    """What pdoc makes HTML of."""
    text, some_failed = markdown(docstring)
    failed += some_failed
    return text


def broken_links(folder):
    """`page: link` of each link within the pages whose file or anchor is not there."""
    pages = {page.resolve(): page.read_text(encoding="utf-8") for page in folder.rglob("*.html")}
    broken = []
    for page, content in pages.items():
        for link in re.findall(r'href="([^"]+)"', content):
            if not re.match(r"[a-z]+:", link):
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                if target not in pages or (anchor and f'id="{anchor}"' not in pages[target]):
                    broken.append(f"{page.name}: {link}")
    return broken


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python .ci/docs OUTPUT_DIR")
    main(pathlib.Path(sys.argv[1]))
