"""What XLA makes of a training step, counted, not timed: instructions, products and copies against a recorded baseline.

`python -m tests.lab.benchmark.test_guard` records the baseline anew.
"""

import json
import pathlib
import re
import sys

import pytest
import tensorflow as tf

from kernl_keras.keras_version import IS_KERAS_3
from kernl_keras.training.optimizers import build_optimizers
from notebooks.lab.benchmark import floor, network, plan

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
SETTINGS = {
    "batch": 3, "steps": 70, "inputs": 9, "units": 11, "outputs": 5, "threads": 1,
    "rule": "kernl", "rule_settings": plan.KERNL,
}  # fmt: skip
KINDS = ("fusion", "dot", "copy", "while", "dynamic-update-slice", "transpose")
pytestmark = pytest.mark.slow  # whole training steps compiled by XLA, which no other part of the code needs
# `%name = type kind(operands)`
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%\S+ = (\(.*?\)|\S+) ([\w-]+)\(", re.MULTILINE)


def compiled(**settings):
    """The text of the optimized module of a training step."""
    with tf.device("CPU"):  # what the baseline was recorded on
        model = network.build_model({**SETTINGS, **settings})
        build_optimizers(model)
        x = tf.ones((SETTINGS["batch"], SETTINGS["steps"], 2))
        y = tf.zeros(SETTINGS["batch"], tf.int64)
        model.train_on_batch(x, y)  # makes what is made in a first step
        step = tf.function(lambda x, y: model.train_step((x, y)), jit_compile=True)
        return step.experimental_get_compiler_ir(x, y)(stage="optimized_hlo")


def computations(module):
    """`{name: text}` of the module's computations."""
    parts = re.split(r"\n(?=%|ENTRY)", module)
    return {part.split(" ", 1)[0]: part for part in parts[1:]}


def loop_bodies(module):
    """The computations that are bodies of loops."""
    every = computations(module)
    return [every[name] for name in sorted(set(re.findall(r"body=(%[\w.-]+)", module)))]


def counts(module):
    """How many instructions of each kind there are, in all and in the bodies of loops; those inside fusions apart."""
    fused = set(re.findall(r"calls=(%[\w.-]+)", module))
    outside = [text for name, text in computations(module).items() if name not in fused]
    found = {}
    for place, texts in (("module", outside), ("loops", loop_bodies(module))):
        kinds = [kind for text in texts for _, kind in INSTRUCTION.findall(text)]
        found[place] = {kind: kinds.count(kind) for kind in KINDS}
    return found


def whole_sequences(text):
    """The shapes with an axis of all steps that are copied in a computation."""
    shapes = [shape for shape, kind in INSTRUCTION.findall(text) if kind == "copy"]
    axes = [re.search(r"\[(.*?)\]", shape)[1].split(",") for shape in shapes]
    return [each for each in axes if str(SETTINGS["steps"]) in each and len(each) > 1]


@pytest.fixture(scope="module")
def module():
    return compiled()


@pytest.mark.skipif(not IS_KERAS_3, reason="the baseline is of Keras 3; both share the layers that it watches over")
def test_no_more_instructions_than_recorded(module):
    baseline = json.loads(BASELINE.read_text())
    if baseline["tensorflow"] != tf.__version__:
        pytest.skip(f"the baseline is of TensorFlow {baseline['tensorflow']}; this is {tf.__version__}")
    assert baseline["settings"] == SETTINGS
    found = counts(module)
    for place, kinds in baseline["counts"].items():
        for kind, recorded in kinds.items():
            assert found[place][kind] <= recorded + max(1, recorded // 20), (place, kind)


def test_no_loop_copies_a_whole_sequence(module):
    """Automatic differentiation of a loop did: the time of a step then grows with the square of T."""
    bodies = loop_bodies(module)
    assert len(bodies) >= 4  # forward, backward, each with its blocks
    assert not any(whole_sequences(body) for body in bodies)


def test_the_guard_sees_such_a_copy():
    """In the gradient of `keras.layers.RNN` over the readout cell, at which it was found."""
    assert any(whole_sequences(body) for body in loop_bodies(compiled(rule="keras_bptt")))


def test_the_products_are_the_floors(module):
    """A product that the floor lacks, or that the step makes twice, changes their number; (14) comes in two parts."""
    assert counts(module)["module"]["dot"] == len(floor.products(SETTINGS)) + 1


def test_the_flop_of_the_floor_by_hand():
    """T B = 210: 2 210 9 11 + 2 70 6 11 11 + 4 times 2 210 11 11 + 2 210 20 11 + 3 times 2 210 11 5."""
    expected = 41_580 + 101_640 + 4 * 50_820 + 92_400 + 3 * 23_100
    assert sum(product.flop for product in floor.products(SETTINGS)) == expected


if __name__ == "__main__":
    record = {"tensorflow": tf.__version__, "settings": SETTINGS, "counts": counts(compiled())}
    BASELINE.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(BASELINE.read_text())
