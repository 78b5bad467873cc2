"""The public names, pinned: a name that comes or goes is a decision."""

import kernl_keras as kk

NAMES = {
    "AudioEncoder",
    "ContextCell",
    "FiringRate",
    "GradientAlignment",
    "InputSpikeCell",
    "RNN",
    "Model",
    "LeakyRNNCell",
    "ResonatorCell",
    "AdLIFCell",
    "LIFCell",
    "LSTMCell",
    "TensorBoard",
    "LogSpaced",
    "LogUniform",
    "Readout",
    "ReadoutCell",
    "SpikeEncoder",
    "StreamBackup",
    "StreamMonitor",
    "TimeAverage",
    "Unit",
    "__version__",
    "data",
    "gradient_alignment",
    "learner",
    "load_pretrained",
    "naive",
    "one_step",
    "rules",
    "to_nir",
}


def test_public_names():
    assert set(kk.__all__) == NAMES


def test_public_names_of_data():
    assert set(kk.data.__all__) == {
        "SequenceData",
        "Splits",
        "adding_problem",
        "anbn",
        "arrays",
        "ecg",
        "full_batches",
        "sequential_mnist",
        "spoken_digits",
        "stream",
    }
