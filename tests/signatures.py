"""What a constructor takes, where a class passes its `**kwargs` on to its base class."""

import inspect


def constructor_arguments(kind):
    """The parameters of a class's constructor and of those of its bases in kernl_keras, `{name: inspect.Parameter}`."""
    found = {}
    for each in kind.__mro__:
        if each.__module__.startswith("kernl_keras.") and "__init__" in vars(each):
            for name, parameter in inspect.signature(each.__init__).parameters.items():
                if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    found.setdefault(name, parameter)
    return found
