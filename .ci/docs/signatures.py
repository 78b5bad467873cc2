"""What a page shows of a class or a function beside its docstring: signatures as they are written, with their types."""

import ast
import functools
import inspect
import re
import textwrap

from jinja2 import pass_context
from markupsafe import Markup, escape
from pdoc.render_helpers import relative_link

import kernl_keras
from kernl_keras import types
from kernl_keras.keras_version import AbstractRNNCell, keras

TYPES = set(re.findall(r"^(\w+): TypeAlias", inspect.getsource(types), re.MULTILINE))
PAGES = {name: types.__name__ for name in TYPES} | {
    name: room.__name__
    for room in (kernl_keras, kernl_keras.data)
    for name in room.__all__
    if inspect.isclass(getattr(room, name))
}  # name of a type: its page
WIDTH = 90  # characters of a signature on one line


def is_type(variable):
    """Whether it is one of `kernl_keras.types`."""
    return variable.name in TYPES


def is_shown(member):
    """Whether a page shows a class's member: a method of this package that says what it is.

    What a cell has besides are seams for the `RNN` layer; what Keras has too is shown where it has arguments of its
    own.
    """
    cls = getattr(kernl_keras, member.qualname.split(".")[0], object)
    made = inspect.getattr_static(cls, member.name, None)
    made = getattr(made, "fget", getattr(made, "__func__", made))
    if member.name.startswith("_") or issubclass(cls, AbstractRNNCell) or not getattr(made, "__doc__", None):
        return False
    if not getattr(made, "__module__", "").startswith(kernl_keras.__name__):
        return False
    theirs = any(hasattr(base, member.name) for base in cls.__mro__ if not base.__module__.startswith("kernl_keras"))
    return not theirs or "Args:" in made.__doc__


def constructor(cls):
    """The constructor of a class, if it has one of its own."""
    return next((each for each in cls.own_members if each.name == "__init__" and "__init__" in vars(cls.obj)), None)


@pass_context
def signature(context, function):
    """`(name: type = default, ...) -> type`; the types of `kernl_keras.types` are links."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function.obj))).body
    link = functools.partial(relative_link, context["module"].modulename)
    arguments = definition.args
    named = [*zip(arguments.args, [None] * (len(arguments.args) - len(arguments.defaults)) + arguments.defaults)]
    shown = [argument(each, link, default) for each, default in named if each.arg not in ("self", "cls")]
    if arguments.vararg or arguments.kwonlyargs:
        shown.append(argument(arguments.vararg, link, star="*") if arguments.vararg else "*")
    shown += [argument(each, link, default) for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults)]
    if arguments.kwarg:
        shown.append(argument(arguments.kwarg, link, star="**"))
    returns = "" if definition.name == "__init__" else f" → {annotation(definition.returns, link)}"
    written = function.qualname + ", ".join(shown) + returns
    kind = "multiline" if len(re.sub("<.*?>", "", written)) > WIDTH else "condensed"
    shown = [f'<span class="param">{each}{", " * (number < len(shown))}</span>' for number, each in enumerate(shown, 1)]
    returns = f'<span class="return-annotation">{returns}</span>'
    return Markup(f'<span class="signature {kind}">({"".join(shown)}){returns}</span>')


def argument(node, link, default=None, star=""):
    """`name: type = default`."""
    typed = "" if star else f": {annotation(node.annotation, link)}"
    value = "" if default is None else f' = <span class="default">{escape(ast.unparse(default))}</span>'
    return f'<span class="n">{star}{node.arg}</span><span class="type">{typed}</span>{value}'


def annotation(node, link):
    """A type; where it has a page, a link."""

    def linked(name):
        page = PAGES.get(name[0])
        return name[0] if page is None else f'<a href="{link(page)}#{name[0]}">{name[0]}</a>'

    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    return re.sub(r"\w+", linked, escape(text))


def base(cls):
    """The public name of the first base of a class that is not ours."""
    for each in cls.obj.__mro__[1:]:
        for place, room in (("keras.layers", keras.layers), ("keras", keras), ("keras.callbacks", keras.callbacks)):
            if getattr(room, each.__name__, None) is each:
                return f"{place}.{each.__name__}"
    return ""


FILTERS = {each.__name__: each for each in (is_type, is_shown, constructor, signature, base)}
