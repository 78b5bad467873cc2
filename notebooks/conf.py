"""Settings of the web site: `python -m sphinx -W notebooks .docs/html` makes it, with `pip install -e ".[docs]"`."""

from docutils.nodes import SkipNode
from math_core import LatexToMathML
from sphinx.util.inspect import signature, stringify_signature

from kernl_keras import __version__

project, html_title, html_theme = "kernl_keras", f"kernl_keras {__version__}", "furo"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns, html_show_copyright = ["lab", "results"], False

# Markdown: equations between dollars or in `\begin{align}`, links to headings. Notebooks are shown as they are stored.
myst_enable_extensions, myst_heading_anchors, nb_execution_mode = ["amsmath", "dollarmath"], 3, "off"

# Docstrings: their sections are Google's, `backticks` are code, and the text says what an argument may be.
default_role, highlight_language = "literal", "none"
napoleon_custom_sections, napoleon_use_ivar = [("Call arguments", "params_style")], True
autodoc_member_order, autodoc_typehints, autodoc_inherit_docstrings = "bysource", "none", False
python_maximum_signature_line_length = 100

# Equations become MathML when the site is made: showing them needs neither a network nor JavaScript.
html_math_renderer = "mathml"
to_mathml = LatexToMathML(fancy_error=False).convert_with_local_state


def inline_equation(translator, node):
    translator.body.append(to_mathml(node.astext(), displaystyle=False))
    raise SkipNode


def equation(translator, node):
    translator.body.append(f"<div>{to_mathml(node.astext(), displaystyle=True)}</div>")
    raise SkipNode


def home(app, docname, source):
    if docname == "index":  # the README, whose links start one folder higher, and the lists of pages
        readme = (app.srcdir.parent / "README.md").read_text(encoding="utf-8")
        source[0] = readme.replace("](notebooks/", "](").replace("](C", "](pages/C") + source[0]


def keep_indented(app, what, name, value, options, lines):
    for index in range(len(lines) - 1, 1, -1):  # an indented block is kept as it is, unless it belongs to a section
        above = next((line for line in reversed(lines[:index]) if line), "")
        if lines[index].startswith("    ") and not lines[index - 1] and not above.startswith(" "):
            lines[index:index] = ["::", ""]


def constructor(app, what, name, value, options, shown, returned):
    if shown == "(*args, **kwargs)":  # of Keras' `__new__`
        return stringify_signature(signature(value.__init__, bound_method=True), show_annotation=False), None


def setup(app):
    app.add_html_math_renderer("mathml", (inline_equation, None), (equation, None))
    app.connect("source-read", home)
    app.connect("autodoc-process-docstring", keep_indented, priority=400)  # before napoleon reads the sections
    app.connect("autodoc-process-signature", constructor)
