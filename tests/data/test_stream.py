"""Streams: where the words are, what is asked, and that a piece is a function of seed and number alone."""

import numpy as np
import pytest
import tensorflow as tf

import kernl_keras as kk

from ..reference.tools import all_same

N, T, I = 7, 6, 2  # noqa: E741
LENGTHS = np.array([6, 1, 3, 4, 2, 5, 6])
# Step u of word n is 10 n + u + 1, and its negative: a step tells where it is from.
WORDS = np.stack([10 * np.arange(N)[:, None] + np.arange(T) + 1, -(10 * np.arange(N)[:, None] + np.arange(T) + 1)], -1)
CLASSES = np.arange(N) + 100
EVERY_STEP = 1000 + WORDS[..., 0]


def pieces(count, y=CLASSES, **settings):
    """The first pieces, joined: x [B, count P, I], y and weight [B, count P, ...]."""
    settings = {"lengths": LENGTHS, "batch_size": 3, "piece": 40, "answer": 3, **settings}
    data = kk.data.stream(WORDS, y, **settings)
    assert data.cardinality() == tf.data.INFINITE_CARDINALITY
    found = list(data.take(count).as_numpy_iterator())
    assert all(x.shape == (3, settings["piece"], I) for x, _, _ in found)
    return [np.concatenate(part, 1) for part in zip(*found)]


def heard(row):
    """`(first step, word)` of each word in a row [steps, I], found by walking along it; every other step is silent."""
    found, step = [], 0
    while step < len(row):
        if row[step, 0] == 0:
            assert not row[step].any()
            step += 1
            continue
        word = int(row[step, 0] - 1) // 10
        for u in range(LENGTHS[word]):
            np.testing.assert_array_equal(row[step + u], WORDS[word, u])
        found.append((step, word))
        step += LENGTHS[word]
    return found


@pytest.mark.parametrize("every", [8, 11, 95])  # a piece has 40 steps
def test_every_stretch_has_one_word_and_its_answer(every):
    x, y, weight = pieces(20, every=every)
    steps, words = 800 // every * every, []
    for row in range(3):
        found = heard(x[row, :steps])
        assert [begin // every for begin, _ in found] == list(range(steps // every))
        target, asked = np.zeros(steps, int), np.zeros(steps)
        for begin, word in found:
            last = begin + LENGTHS[word] - 1
            assert (last + 2) // every == begin // every  # its answer does not reach into the next stretch
            target[last : last + 3], asked[last : last + 3] = CLASSES[word], 1.0
        np.testing.assert_array_equal(y[row, :steps], target)
        np.testing.assert_array_equal(weight[row, :steps], asked)
        words.append([word for _, word in found])
    order = np.array(words).T.ravel()  # stretch by stretch, row by row
    for first in range(0, len(order) - N + 1, N):
        assert sorted(order[first : first + N]) == list(range(N))  # each word once
    assert len({tuple(order[first : first + N]) for first in range(0, len(order) - N + 1, N)}) > len(order) // N // 3


def test_words_begin_anywhere_in_their_stretch():
    """A word of one step with one step to answer in 10 steps: each place with 1/10, standard error 0.3 / 900^0.5."""
    x, _, _ = pieces(75, lengths=np.ones(N, int), every=10, answer=1)
    places = [step % 10 for row in x for step in np.flatnonzero(row[:, 0])]
    assert len(places) == 900
    np.testing.assert_allclose(np.bincount(places, minlength=10) / 900, 0.1, atol=0.04)


def test_a_target_at_every_step():
    x, y, weight = pieces(5, y=EVERY_STEP, answer=None, every=9)
    np.testing.assert_array_equal(weight, x[..., 0] != 0)
    np.testing.assert_array_equal(y, np.where(weight > 0, 1000 + x[..., 0], 0))
    assert y.dtype == np.int32


def test_one_long_recording_without_pauses():
    x, y, weight = pieces(6, y=EVERY_STEP, answer=None, lengths=None, every=T)
    assert weight.all()
    np.testing.assert_array_equal(y, 1000 + x[..., 0])
    np.testing.assert_array_equal((x[..., 0] - 1) % 10, np.tile(np.arange(240) % T, (3, 1)))


def test_targets_of_several_numbers():
    targets = np.random.default_rng(0).normal(size=(N, 4))
    _, y, weight = pieces(3, y=targets)
    assert y.shape == (3, 120, 4) and y.dtype == np.float32 and not y[weight == 0].any()
    known = {tuple(row) for row in targets.astype("float32").tolist()}
    assert {tuple(row) for row in y[weight == 1].tolist()} <= known


NOISY = dict(every=13, noise=0.5, seed=5)


def test_pieces_of_any_length_are_the_same_stream():
    """To the last bit but one: sine and logarithm of few numbers round otherwise than those of many."""
    whole = pieces(3, **NOISY)
    for piece in (1, 8, 120):
        other = pieces(120 // piece, piece=piece, **NOISY)
        np.testing.assert_allclose(whole[0], other[0], rtol=1e-6, atol=1e-6)
        all_same(whole[1:], other[1:])


def test_skipping_goes_on_to_the_bit():
    whole, late = pieces(8, **NOISY), pieces(4, skip_pieces=10**9 - 1, **NOISY)
    for skip, before, pieces_before in ((5, whole, 5), (10**9, late, 1)):
        first = 40 * pieces_before
        all_same([part[:, first : first + 120] for part in before], pieces(3, skip_pieces=skip, **NOISY))


def test_the_seed_decides_order_times_and_noise():
    settings = {**NOISY, "lengths": np.full(N, 4)}  # no word takes another one's times
    first = x, y, weight = pieces(5, **settings)
    tf.random.set_seed(99)
    all_same(first, pieces(5, **settings))
    other_x, other_y, other_weight = pieces(5, **{**settings, "seed": 6})
    assert np.mean(x == other_x) < 0.01

    def asked(y, weight, row):
        """When words are asked for, and which."""
        begins = np.flatnonzero(np.diff(weight[row]) > 0)[:10] + 1
        return begins.tolist(), y[row, begins].tolist()

    for row in range(3):
        both = zip(asked(y, weight, row), asked(other_y, other_weight, row))
        assert all(one != other for one, other in both)


def test_the_noise_is_gaussian_and_its_own_at_every_step():
    silent, noisy = pieces(50, every=13), pieces(50, every=13, noise=0.5)
    noise = (noisy[0] - silent[0]) / 0.5  # 3 x 2000 x 2
    assert abs(noise.mean()) < 0.04 and abs(noise.std() - 1.0) < 0.03 and abs(np.mean(noise**4) - 3.0) < 0.3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.06
    assert abs(np.corrcoef(noise[0, :, 0], noise[1, :, 0])[0, 1]) < 0.1
    all_same(silent[1:], noisy[1:])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"x": WORDS[..., 0]}, r"x must be numbers \[words, time, features\]; received int64 of shape \(7, 6\)"),
        ({"x": [WORDS[0].tolist(), WORDS[1, :2].tolist()]}, "x must be words of one length: .* received 2 words"),
        ({"x": WORDS[:0]}, r"x must be numbers .*received int64 of shape \(0, 6, 2\)"),
        ({"x": WORDS.astype(str)}, "x must be numbers .*received <U"),
        ({"y": CLASSES[:3]}, r"y must have a target for each word, \(7,\); received int64 of shape \(3,\)"),
        ({"x": 1e300 * WORDS}, "x must hold numbers of at most 3.403e.38, as float32 has; received"),
        ({"y": CLASSES + 2**40}, "y must hold integers of 32 bits; received them from 1099"),
        (
            {"x": np.where(WORDS == WORDS[3, 0, 0], np.nan, WORDS)},
            "x must be finite in the steps that count; received NaN",
        ),
        ({"y": np.full(N, np.inf)}, "y must be finite in the steps that count; received NaN or infinity"),
        ({"noise": 1e38}, "noise must be >= 0 and <= 3.4.*; received 1e.38"),
        ({"answer": None}, r"y must have a target for each step, as answer=None, \(7, 6\); received .*\(7,\)"),
        ({"y": EVERY_STEP}, r"answer must be None for targets at every step, y of shape \(7, 6\); received 3"),
        ({"lengths": LENGTHS + 1}, "lengths must be 7 integers from 1 to 6; received array"),
        ({"every": 7}, "every must be at least 8, the longest word and its answer; received 7"),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        kk.data.stream(**{"x": WORDS, "y": CLASSES, "lengths": LENGTHS, "answer": 3, **settings})


def test_what_is_behind_a_word_may_be_anything():
    behind = np.arange(T) >= LENGTHS[:, None]
    words = np.where(behind[..., None], np.nan, WORDS)
    data = kk.data.stream(words, CLASSES, lengths=LENGTHS, batch_size=3, piece=40, answer=3)
    all_same([part.numpy() for part in next(iter(data))], pieces(1))


def test_arrays_of_what_has_no_end_or_no_targets():
    with pytest.raises(ValueError, match="data must have an end"):
        kk.data.arrays(kk.data.ecg(repeat=True).train)
    with pytest.raises(ValueError, match="data must have at least one batch; received none"):
        kk.data.arrays(tf.data.Dataset.from_tensor_slices((WORDS, CLASSES)).batch(2).take(0))
    for data, what in ((WORDS, r"ndarray\."), (tf.data.Dataset.range(3), "<")):
        with pytest.raises(ValueError, match=rf"data must be a tf.data.Dataset of batches \(x, y\); received {what}"):
            kk.data.arrays(data)
