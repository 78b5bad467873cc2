"""The kernel of one's own that the page of the rules shows, and its hop once more, by the loops of the reference."""

import math
import pathlib
import re

import numpy as np

import kernl_keras as kk
from kernl_keras.keras_version import keras

PAGE = pathlib.Path(__file__).parents[2] / "notebooks" / "pages" / "rules.md"


def from_page():
    """The class `Alpha`, as it stands there."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if "class Alpha(" in block)
    names = {"__name__": __name__, "math": math, "keras": keras, "kk": kk}
    exec(block.partition("\ninputs = ")[0].replace('"mine"', '"tests"'), names)  # under a name of its own
    return names["Alpha"]


Alpha = from_page()


def alpha_hop(steps, m, k):
    """The effect of a spike on others d steps after it has arrived is M_ki (d + 1) k^d: a hop for `naive.rules`."""

    def hop(sent_before, sent, t):
        sent_before = [*(sent_before or []), sent]  # [B, W, H] of each step so far
        omega = sum((d + 1) * k**d * each for d, each in enumerate(reversed(sent_before)))
        return np.einsum("bk,ki,bwi->bwik", steps.psi[:, t], m, omega), sent_before

    return hop


def alpha_noise(xi, k):
    """Omega [B, T, H] of the noise xi."""
    weights = [(d + 1) * k**d for d in range(xi.shape[1])]
    return np.stack([sum(w * xi[:, t - d] for d, w in enumerate(weights[: t + 1])) for t in range(xi.shape[1])], 1)
