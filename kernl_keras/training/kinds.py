"""Which kind of model the arguments of `Model` ask for: inputs and outputs, a list of layers, or a subclass's own.

Keras would make the class `Model` itself a functional one, and none of its subclasses that has a `call` of its own
could be built any more. So each kind is a subclass, and classes of users are given it as a base.
"""

FUNCTIONAL, SEQUENTIAL = "functional", "sequential"


def kind_of(args, kwargs):
    """`FUNCTIONAL`, `SEQUENTIAL` or None for arguments of a model."""
    if len(args) > 1 or "inputs" in kwargs or "outputs" in kwargs:
        return FUNCTIONAL
    if "layers" in kwargs or (args and isinstance(args[0], (list, tuple))):
        return SEQUENTIAL
    return None


def give_kind(cls, base, kind):
    """Replaces the class `base` by the class `kind` among all bases of a class; returns what to use instead of it.

    Args:
        cls: a subclass of `base`, or `base`, which stays as it is.
        base: the common base of all models.
        kind: subclass of `base`.
    """
    if cls is base:
        return kind
    if issubclass(cls, base):
        cls.__bases__ = tuple(give_kind(each, base, kind) for each in cls.__bases__)
    return cls
