"""What every test shares: quiet TensorFlow, fixed seeds, and the full data sets where a machine has them."""

import contextlib
import functools
import gc
import importlib
import os
import pathlib
import random
import sys
import typing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads these once, when it is imported
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: one thread each
    os.environ.update(dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1"))

import pytest

gc.set_threshold(300_000, 20, 50)  # Python's collector comes more rarely; `memory` calls it after each file
if sys.version_info < (3, 12):  # where a protocol lists its names anew for each of TensorFlow's operations
    typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)


def pytest_collection_finish(session):
    """Where tests run. The process that hands them out to others needs no TensorFlow."""
    if session.config.option.collectonly or not session.items:
        return
    from tensorflow.python.eager import context

    def set_global_seed(self, seed):
        self._seed, self._rng = seed, random.Random(seed)

    # TensorFlow's own also throws away all kernels, for the sake of operations that keep a random state, which nothing
    # here has: to make the hundred kernels of a small test again would take longer than most of these tests.
    context.Context._set_global_seed = set_global_seed
    # What is imported is some hundred thousand objects, which the collector would walk through again and again.
    gc.collect()
    gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--proof", metavar="FILE", help="write the largest error of each check to FILE, as JSON")
    parser.addoption("--contract", metavar="FILE", help="write what each test of the contract came to, as JSON")
    parser.addoption("--bad-input", metavar="FILE", help="write what each class of bad inputs got to FILE, as JSON")
    parser.addoption("--one-row-in", type=int, default=1, metavar="N", help="of the rows of each test run one in N")


@pytest.hookimpl(tryfirst=True, specname="pytest_collection_modifyitems")
def pytest_slow_rows(items):  # pytest looks at no other names
    """Of the rows of a test that is marked `sampled(n)` all but one in n are slow."""
    rows = {}
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            rows.setdefault(item.nodeid.partition("[")[0], []).append((item, *sampled.args))
    for number, of_test in enumerate(rows.values()):
        for row, (item, every) in enumerate(of_test):
            if row % every != number % every:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)  # when `-m` has taken its choice
def pytest_collection_modifyitems(config, items):
    """Leaves out all but one in N of the rows of each test, and begins with another row from test to test."""
    every, tests = config.getoption("--one-row-in"), {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    rows = (of[number % min(every, len(of)) :: every] for number, of in enumerate(tests.values()))
    left = {id(item) for of_test in rows for item in of_test}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in left])
    items[:] = [item for item in items if id(item) in left]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """A table is filled in one process."""
    if any(config.getoption(name) for name in ("--proof", "--contract", "--bad-input")):
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []


def pytest_configure(config):
    for option, record in (("--proof", "Proof"), ("--contract", "Contract"), ("--bad-input", "BadInput")):
        if path := config.getoption(option):
            from . import records

            config.pluginmanager.register(getattr(records, record)(path))


@pytest.fixture(autouse=True)
def seeds():
    """Python, NumPy and TensorFlow start every test from the same seed, whatever ran before it."""
    from kernl_keras.keras_version import keras

    keras.utils.set_random_seed(1)


@pytest.fixture(autouse=True, scope="module")
def memory():
    """What a file's models leave behind, some GB over the whole suite, is given back."""
    yield
    from tensorflow.python.framework import ops

    from kernl_keras.keras_version import keras

    keras.backend.clear_session()
    # TensorFlow registers the gradient of every `tf.custom_gradient` for good, and by it holds the graph that it is of.
    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    gc.collect()


@pytest.fixture(scope="session")
def data_dir():
    """A folder of TensorFlow Datasets that holds MNIST, named by KERNL_KERAS_DATA_DIR; nothing is downloaded."""
    name = os.environ.get("KERNL_KERAS_DATA_DIR")
    if not name:
        pytest.skip("KERNL_KERAS_DATA_DIR is not set: it names a folder of TensorFlow Datasets that holds mnist")
    if not pathlib.Path(name, "mnist").is_dir():
        pytest.skip(f"KERNL_KERAS_DATA_DIR={name} holds no folder mnist")
    return name


@pytest.fixture(scope="module")
def packaged_data_read_once():
    """The packaged digits and heartbeats are read from their files by the first test of a module that needs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in (("mnist", "load_sample"), ("ecg", "load_ecg")):
            module = importlib.import_module(f"kernl_keras.data.{name}")
            patch.setattr(module, function, functools.cache(getattr(module, function)))
        yield


def run_eagerly():
    """No function is traced, which takes longer than small runs."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


eager, eagerly = pytest.fixture(run_eagerly), pytest.fixture(run_eagerly, scope="module")  # for a test, for a file


@pytest.fixture
def short_disk():
    """A context in which no file of this process grows beyond so many bytes: the system itself refuses to write on."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limit(size):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limit
