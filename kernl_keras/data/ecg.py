"""ECG: which part of a heartbeat is on, at every step of two leads."""

from importlib import resources

import numpy as np

from ..archives import read_arrays
from ..checks import number
from .augment import without_channels
from .batches import SequenceData, array_data, counted, held_out

ECG_FILE = "ecg_qtdb.npz"


def load_ecg():
    """The packaged crossings int8 [N, 1301, 4], classes int32 [N, 1301], and how many, the first, are for training."""
    file = read_arrays(resources.files(__package__).joinpath(ECG_FILE), "Install kernl_keras again.")
    return file["crossings"], file["classes"].astype(np.int32), int(file["train"])


def ecg(
    *,
    validation: int = 100,
    channel_dropout: float = 0.0,
    batch_size: int = 16,
    seed: int = 0,
    repeat: bool = False,
    skip_batches: int = 0,
) -> SequenceData:
    """Heartbeats of the QT Database, two leads, with the part of the beat that is on at every step.

    Each lead is given by its level crossings: one channel for those upward and one for those downward, 1 where the
    signal crossed a level in that step: x [B, 1301, 4]. (The last step of every sequence has -1 in the first channel.)
    The classes are parts of a beat, numbers 0 to 5, one at every step: y [B, 1301]. 8 % of the steps have none in
    the source; they count as class 0, as in the published comparisons. The most frequent class has 33 % of the steps.

    Args:
        validation: int, how many sequences are held out from the end of the 618 for training, whatever the seed; 0 for
            no validation part. The 141 for testing come from other recordings.
        channel_dropout: float in [0, 0.9], the probability that a channel of a training sequence is 0 at all steps,
            drawn anew each time. Channels that stay are multiplied by 1/(1 - channel_dropout). So a network learns to
            do without any one of them, which helps with new patients.
        batch_size: int, B.
        seed: int, the seed of the order of the training sequences, and of the channels that are left out.
        repeat, skip_batches: as in `sequential_mnist`.

    Returns:
        `SequenceData` of x float32 [B, 1301, 4] and y int32 [B, 1301].

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import kernl_keras as kk
        >>> kk.data.ecg().examples
        Splits(train=518, validation=100, test=141)

    References:
        Laguna, Mark, Goldberger, Moody 1997, "A database for evaluation of algorithms for measurement of QT and other
        waveform intervals in the ECG"; Goldberger et al. 2000, "PhysioBank, PhysioToolkit, and PhysioNet"; level
        crossings by Yin, Corradi, Bohté 2021, "Accurate and efficient time-domain classification with adaptive
        spiking recurrent neural networks"; channels that are left out, there of pictures: Tompson et al. 2015,
        "Efficient object localization using convolutional networks".
    """
    crossings, classes, train = load_ecg()
    examples = held_out(validation, train, len(classes), "sequences")
    rate = number("channel_dropout", channel_dropout, low=0.0, high=0.9)
    return array_data(
        crossings,
        classes,
        examples,
        f"heartbeats of the QT Database, which come with kernl_keras: {counted(examples, ' sequences')}",
        augment=(lambda x, key: without_channels(x, rate, key)) if rate else None,
        **dict(batch_size=batch_size, seed=seed, repeat=repeat, skip_batches=skip_batches),
    )
