"""The public names, pinned: a name that comes or goes is a decision."""

import kernl_keras as kk

NAMES = """
__version__ AdLIFCell AudioEncoder ContextCell data FiringRate gradient_alignment GradientAlignment InputSpikeCell
LeakyRNNCell learner LIFCell load_pretrained LogSpaced LogUniform LSTMCell Model naive one_step Readout ReadoutCell
ResonatorCell RNN rules SpikeEncoder StreamBackup StreamMonitor TensorBoard TimeAverage to_nir Unit
""".split()


def test_public_names():
    assert sorted(kk.__all__) == sorted(NAMES)


def test_public_names_of_data():
    names = "SequenceData Splits adding_problem anbn arrays ecg full_batches sequential_mnist spoken_digits stream"
    assert sorted(kk.data.__all__) == names.split()
