"""The API pages of `.ci/docs`: what becomes of an equation, and of a docstring."""

import collections
import doctest
import html
import inspect
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

import kernl_keras as kk
from kernl_keras.keras_version import IS_KERAS_3

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / ".ci" / "docs"
CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "munderover": 3}
LETTERS = {"alpha": "α", "beta": "β", "gamma": "γ", "eps": "ε", "zeta": "ζ", "lambda": "λ", "xi": "ξ", "pi": "π"}
LETTERS |= {"tau": "τ", "psi": "ψ", "Gamma": "Γ", "Omega": "Ω", "theta": "θ"}


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    if not FOLDER.is_dir():
        pytest.skip("the pages are made in a checkout, by .ci/docs")
    monkeypatch.syspath_prepend(str(FOLDER))


def read(mathml):
    """MathML as one would write it in LaTeX, without spaces: an own reader, to compare with what a hand wrote."""
    tree = ElementTree.fromstring(f"<math>{mathml}</math>")

    def write(node):
        assert len(node) == CHILDREN.get(node.tag, len(node)), ElementTree.tostring(node)
        parts = [write(child) for child in node]
        match node.tag:
            case "mfrac":
                return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
            case "msub" | "munder":
                return f"{parts[0]}_{{{parts[1]}}}"
            case "msup":
                return f"{parts[0]}^{{{parts[1]}}}"
            case "munderover":
                return f"{parts[0]}_{{{parts[1]}}}^{{{parts[2]}}}"
            case "mover":
                return f"{parts[1]}{{{parts[0]}}}"
        return (node.text or "").replace("\u2061", "") + "".join(parts)

    return write(tree)


@pytest.mark.parametrize(
    "text, left, right",
    [
        ("I(t) = x(t) W_in + S(t-1) W_rec + bias", "I(t)", "=x(t)W_{in}+S(t−1)W_{rec}+bias"),
        ("on    = 1 where r(t-1) < dt, else 0", "on", "=1wherer(t−1)<dt,else0"),
        ("V-(t) = on ? a V(t-1) : V_reset", "V^{−}(t)", "=aV(t−1)whereon,elseV_{reset}"),
        ("z(t)  = 1[V-(t) >= B(t-1)],      B = b0 + beta b", "z(t)", "=𝟏[V^{−}(t)≥B(t−1)],B=b_{0}+βb"),
        ("psi(t) = damping * max(0, 1 - |u|) / B", "ψ(t)", r"=\frac{damping·max(0,1−|u|)}{B}"),
        ("u = (V- - B) / B; 0 where refractory", "u", r"=\frac{V^{−}−B}{B};0whererefractory"),
        ("e_ij(t) = exp(-gamma_i dt) e_ij(t-1)", "e_{ij}(t)", "=exp(−γ_{i}dt)e_{ij}(t−1)"),
        ("dC/dW_ij = sum_b sum_t d_i(t) e_ij(t)", r"\frac{∂C}{∂W_{ij}}", "=∑_{b}∑_{t}d_{i}(t)e_{ij}(t)"),
        ("dC/dx(t) = (R(t) h(t)) W_in^T", r"\frac{∂C}{∂x(t)}", "=(R(t)h(t))W_{in}^{⊤}"),
        ("F = mean (D(t) - Omega(t) M^T)^2", "F", "=mean(D(t)−Ω(t)M^{⊤})^{2}"),
        ("U(t) = exp(2 pi i dt/period) U(t-1)", "U(t)", "=exp(2πidt/period)U(t−1)"),
        ("K_k(d) = Re lambda_k^(d/dt)", "K_{k}(d)", "=Reλ_{k}^{d/dt}"),
        ("y = 1/n sum_{t = T-n+1..T} x(t),  n = window", "y", r"=\frac{1}{n}∑_{t=T−n+1}^{T}x(t),n=window"),
        ("cosine = <g, g_bptt> / (|g| |g_bptt|)", "cosine", r"=\frac{⟨g,g_{bptt}⟩}{|g||g_{bptt}|}"),
        ("L(t) <- L(t) + g(t)", "L(t)", "←L(t)+g(t)"),
        ("z_i(t) ~ Bernoulli(x_i(t))", "z_{i}(t)", "∼Bernoulli(x_{i}(t))"),
        ("x_hat = f'(g(t)) / keep'_i", "^{x}", r"=\frac{f^{′}(g(t))}{keep^{′}_{i}}"),
        ("a / b / c = -2 a - b - c", r"\frac{\frac{a}{b}}{c}", "=−2a−b−c"),
        ("n = context_switch + theta_j", "n", "=context_switch+θ_{j}"),
    ],
)
def test_an_equation(text, left, right):
    from equations import translate

    assert tuple(map(read, translate(text))) == (left, right)


@pytest.mark.parametrize(
    "text", ["x = )(", "x = (a", "x = a]", "x = a ^", "= 1", "x = a $ b", "x = |a", "x = a ? b", ""]
)
def test_what_is_no_equation_is_refused(text):
    from equations import translate

    with pytest.raises(ValueError):
        translate(text)


def test_what_cannot_be_translated_stays_as_it_is():
    from docstrings import markdown

    page, failed = markdown("A line.\n\n    (7) x = ) <y>\n    (8) x = y\n\nAnother.")
    assert failed == ["(7) x = ) <y>"]
    assert "<pre>x = ) &lt;y&gt;</pre>" in page and page.count("<math") == 2


def test_the_example_of_the_translator():
    import equations

    assert doctest.testmod(equations) == (0, 1)


def public_docstrings():
    """`(name, docstring)` of everything public, the pages' modules and the methods included."""
    for room in (kk, kk.data, kk.naive):
        yield room.__name__, inspect.getdoc(room)
        for name in room.__all__:
            value = getattr(room, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{room.__name__}.{name}", inspect.getdoc(value)
            if inspect.isclass(value):
                for method, made in vars(value).items():
                    made = getattr(made, "fget", getattr(made, "__func__", made))
                    if inspect.isfunction(made) and made.__doc__:
                        yield f"{room.__name__}.{name}.{method}", inspect.getdoc(made)


def test_every_numbered_equation_of_the_public_docstrings_is_translated():
    from docstrings import markdown

    numbered, translated = [], []
    for _, docstring in public_docstrings():
        page, failed = markdown(docstring)
        assert not failed
        numbered += re.findall(r"^ {4,}(\(\d+\)) ", docstring, re.MULTILINE)
        translated += re.findall(r'<td class="number">(\(\d+\))</td><td class="left"><math', page)
    assert numbered == translated
    assert {f"({number})" for number in (*range(1, 18), *range(19, 28))} <= set(numbered)


def test_nothing_of_an_equation_is_lost():
    """Its letters and digits, as the docstring has them, are those of the page."""
    from docstrings import markdown

    found = 0
    for name, docstring in public_docstrings():
        for title, row in re.findall(r'<tr title="(.*?)">(.*?)</tr>', markdown(docstring)[0]):
            source = re.sub(r"\^T\b", "⊤", re.sub(r"\bd([A-Z])/d", r"∂\1∂", html.unescape(title)))
            source = re.sub(r"\bsum(?=[_ ])", "∑", source).replace("1[", "𝟏[")
            source = re.sub(r"[A-Za-z]+", lambda word: LETTERS.get(word[0], word[0]), source)
            source = source.replace("on ?", "where on").replace(" : V(", " else V(")
            cells = re.findall(r'<td class="(?:left|right)">(.*?)</td>', row)
            shown = "".join(read(re.sub("</?math.*?>", "", cell)) for cell in cells).replace(r"\frac", "")
            assert symbols(shown) == symbols(source), name
            found += 1
    assert found > 50


def symbols(text):
    """How often each letter, digit and big symbol occurs."""
    return collections.Counter(re.sub(r"[^\w∂∑⊤]", "", text).replace("_", ""))


def test_sections_become_lists():
    from docstrings import markdown

    page, _ = markdown(
        "A line with W_ij and `W_ij`.\n\nArgs:\n    x, y: a batch,\n        of tau_m.\n    **kwargs: the rest.\n\n"
        "Example: one.\n\n>>> f(W_ij)\n1\n\nSource: a paper,\nits second line.\n\nAn end."
    )
    symbol = "<math><msub><mi>W</mi><mrow><mi>i</mi><mi>j</mi></mrow></msub></math>"
    tau = "<math><msub><mi>τ</mi><mi>m</mi></msub></math>"
    assert f"A line with {symbol} and `W_ij`." in page
    assert f'<h6 class="section">Args</h6>\n\n- `x`, `y`: a batch, of {tau}.\n- `**kwargs`: the rest.' in page
    assert '<h6 class="section">Example</h6>\n\none.\n\n>>> f(W_ij)\n1' in page
    assert "**Source:** a paper,\nits second line.\n" in page
    assert page.rstrip().endswith("An end.")


@pytest.mark.slow
@pytest.mark.skipif(not IS_KERAS_3, reason="the pages are made once, with Keras 3")
def test_the_pages(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed: pip install .[docs]")
    subprocess.run([sys.executable, FOLDER, tmp_path], check=True, timeout=300, capture_output=True)
    pages = {
        path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")
    }
    for room in (kk, kk.data, kk.naive):
        page = pages[room.__name__.replace(".", "/") + ".html"]
        for name in room.__all__:
            shown = inspect.isclass(getattr(room, name)) or inspect.isfunction(getattr(room, name))
            assert (f'id="{name}"' in page) == shown, name
    assert "<script" not in "".join(pages.values()), "the pages need no JavaScript"
    assert not re.search(r'(?:src|@import|url\()[=" ]*https?:', "".join(pages.values())), "and no network"
    own = pages["kernl_keras.html"]
    assert "get_config" not in own and "from_preset" in own, "what is Keras' is hidden, what is ours is not"
    assert '<a href="kernl_keras/types.html#Rule">Rule</a>' in own
