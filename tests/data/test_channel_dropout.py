"""Channels that are left out: whole ones, as often as they should be, and the mean stays."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk
from kernl_keras.data.augment import without_channels

X = np.random.default_rng(0).uniform(1, 2, (500, 3, 4)).astype("float32")


def kept(y, x=X, rate=0.25):
    """Which channels [B, I] were kept; each must be wholly 0, or wholly the input over 1 - rate."""
    gone = (y == 0).all(axis=1)
    np.testing.assert_allclose(y, np.where(gone[:, None], 0.0, x / (1 - rate)), rtol=1e-6)
    return ~gone


def test_whole_channels_are_left_out_independently_and_as_often_as_the_rate_says():
    """The share that is gone, of each channel, of each pair and overall, within four standard deviations."""
    found = kept(without_channels(X, 0.25, tf.constant([3, 4], tf.int64)).numpy())
    deviation = np.sqrt(0.25 * 0.75 / len(X))
    np.testing.assert_allclose(found.mean(0), 0.75, atol=4 * deviation)
    assert abs(found.mean() - 0.75) < 2 * deviation  # 2,000 draws
    pairs = found.astype(float).T @ found / len(X)
    np.testing.assert_allclose(pairs[~np.eye(4, dtype=bool)], 0.75**2, atol=4 * np.sqrt(0.5625 * 0.4375 / len(X)))


def test_the_key_decides():
    first, again, other = (
        without_channels(X, 0.5, tf.constant(key, tf.int64)).numpy() for key in ([0, 1], [0, 1], [0, 2])
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.parametrize("rate", [-0.1, 0.95, 1])
def test_the_rate_is_a_probability_that_leaves_something(rate):
    with pytest.raises(ValueError, match=f"channel_dropout must be >= 0 and <= 0.9; received {rate}"):
        kk.data.ecg(channel_dropout=rate)


def test_training_heartbeats_alone_lose_channels_and_others_in_each_epoch():
    settings = {"batch_size": 50, "validation": 100, "seed": 3}
    plain = kk.data.ecg(**settings)
    data = kk.data.ecg(**settings, channel_dropout=0.25)
    for part in ("validation", "test"):
        for (x, y), (expected, classes) in zip(getattr(data, part), getattr(plain, part), strict=True):
            np.testing.assert_array_equal(x, expected)
            np.testing.assert_array_equal(y, classes)
    batches, others = ([batch for _ in range(2) for batch in each.train.as_numpy_iterator()] for each in (data, plain))
    masks = []
    for (x, y), (expected, classes) in zip(batches, others, strict=True):
        masks.append(kept(x, expected))
        np.testing.assert_array_equal(y, classes)
    share = 1 - np.concatenate(masks).mean()
    assert abs(share - 0.25) < 0.03
    half = len(masks) // 2
    assert all(np.any(one != other) for one, other in zip(masks[:half], masks[half:]))
