"""How many bad inputs were tried, of which class, and what each got; and the strategies that draw them."""

import collections
import math

import hypothesis
import pytest
from hypothesis import strategies as st

TRIED = collections.defaultdict(set)  # {(class, what it got): {the inputs}}, each input once

# The same examples on every machine and in every run; no time limit, for a machine may be busy.
CHECKS = {"derandomize": True, "deadline": None, "suppress_health_check": list(hypothesis.HealthCheck)}
many = hypothesis.settings(max_examples=60, **CHECKS)  # of arguments: no graph is made
some = hypothesis.settings(max_examples=24, **CHECKS)  # of inputs: a layer runs
few = hypothesis.settings(max_examples=8, **CHECKS)  # of batches: a step is trained


def count(kind, got, what):
    """Remembers that an input `what` of a class got something."""
    TRIED[kind, got].add(repr(what))


def refused(kind, what, make, *arguments, names, received=None, **settings):
    """`make(...)` must raise a ValueError or TypeError that `names` the argument and says what was `received`.

    Args:
        kind: class of bad inputs.
        what: the input, for the count.
        make: a function, and then its arguments.
        names: what the message must hold.
        received: another part that the message must hold, or several, of which one will do; None for none.

    Returns:
        the message.
    """
    try:
        made = make(*arguments, **settings)
    except (ValueError, TypeError) as error:
        message = str(error)
        assert names in message, message
        received = [received] if isinstance(received, str) else received
        assert received is None or any(part in message for part in received), f"{received} is not in: {message}"
        count(kind, f"{type(error).__name__} that names it", what)
        return message
    pytest.fail(f"{what!r} was accepted: {made!r}")


# What is no number, no matter of which kind.
OBJECTS = st.sampled_from([None, "", "much", b"ab", True, False, 1j, {}, {"a": 1}, (), [], object, Ellipsis, {1.0}])
NONFINITE = st.sampled_from([math.nan, math.inf, -math.inf])
WORDS = st.one_of(st.text(max_size=5), st.sampled_from([None, 0, 1, True, 2.5, ("kernl",), [], {}, math.nan, b"hard"]))
TOO_LARGE = st.integers(2**31, 10**400)


class Kind:
    """What an argument may be: a strategy of good values, and of bad ones by their class."""

    def __init__(self, good, **bad):
        self.good = good
        self.bad = {name.replace("_", " "): strategy for name, strategy in bad.items()}

    def but(self, good, *allowed):
        """With other good values; of the bad ones some may be allowed."""
        made = Kind(good)
        made.bad = {name: bad.filter(lambda value: value not in allowed) for name, bad in self.bad.items()}
        return made


def optional(kind):
    """The same, or None."""
    return kind.but(st.none() | kind.good, None)


def number(low=None, above=None, good=None):
    """A finite number >= `low` or > `above`."""
    bad = {"a_wrong_type": OBJECTS, "NaN_or_infinity": NONFINITE}
    if above is not None:
        bad["a_number_out_of_range"] = st.floats(max_value=above, allow_infinity=False) | st.integers(max_value=above)
    if low is not None:
        bad["a_number_out_of_range"] = st.floats(max_value=low, exclude_max=True, allow_infinity=False)
    return Kind(good if good is not None else st.floats(1e-3, 1e3), **bad)


def integer(low=1, good=None):
    """An integer >= `low`."""
    fraction = st.floats(low + 0.01, 1e6).filter(lambda value: value % 1)
    bad = {"a_wrong_type": OBJECTS, "NaN_or_infinity": NONFINITE, "too_large_a_number": TOO_LARGE}
    bad["a_number_out_of_range"] = st.integers(max_value=low - 1) | fraction
    return Kind(good if good is not None else st.integers(low, low + 5), **bad)


def word(*words):
    """One of some words."""
    return Kind(st.sampled_from(words), an_unknown_word=WORDS.filter(lambda value: value not in words))


def flag():
    """True or False."""
    return Kind(st.booleans(), a_wrong_type=OBJECTS.filter(lambda value: not isinstance(value, bool)) | st.integers())


def per_unit(units, above=None, low=None, good=None):
    """A number, or a list of one a unit."""
    one = number(low=low, above=above, good=good)
    wrong = [OBJECTS.filter(lambda value: not callable(value)), st.lists(one.good, min_size=1, max_size=9)]
    bad_entry = st.tuples(st.sampled_from([math.nan, -1.0, "1", None, math.inf]), st.integers(0, units - 1))
    made = Kind(
        one.good | st.lists(one.good, min_size=units, max_size=units),
        a_list_that_does_not_fit=wrong[1].filter(lambda value: len(value) != units),
        a_bad_entry_of_a_list=bad_entry.map(lambda at: [at[0] if n == at[1] else 1.0 for n in range(units)]),
    )
    made.bad |= {**{n.replace("_", " "): s for n, s in one.bad.items()}, "a wrong type": wrong[0]}
    return made
