"""The packaged digits are MNIST's own, pixel by pixel."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from kernl_keras.data.digits import SAMPLE_FILE, load_sample, load_tfds

PIXELS_SHA256 = "525aee69543f006d9bb00b52bd4fecd75874c6a84c6b5bde952efe2f93ea4a54"


@pytest.fixture(scope="module")
def packaged():
    return resources.files("kernl_keras.data").joinpath(SAMPLE_FILE).read_bytes()


@pytest.fixture(scope="module")
def all_digits(data_dir):
    return load_tfds(data_dir, download=False)[0]


def test_the_digits_are_those_that_were_packaged():
    digits = load_sample()
    assert digits.images.shape == (8000, 28, 28) and digits.images.dtype == np.uint8
    assert hashlib.sha256(digits.images.tobytes()).hexdigest() == PIXELS_SHA256
    assert digits.labels.dtype == np.int32 and digits.train == 7000
    np.testing.assert_array_equal(digits.labels, np.arange(8000) % 10)


def test_no_digit_is_there_twice():
    assert len({image.tobytes() for image in load_sample().images}) == 8000


def test_the_file_is_small_and_its_licence_lies_beside_it(packaged):
    assert len(packaged) < 1_200_000
    licence = resources.files("kernl_keras.data").joinpath("mnist_sample.LICENSE.txt").read_text(encoding="utf-8")
    assert "Attribution-ShareAlike 3.0" in licence and "LeCun" in licence and PIXELS_SHA256 in licence


@pytest.mark.slow
def test_the_digits_are_mnist_s_at_the_positions_the_file_names(all_digits):
    sample = load_sample()
    with (
        resources.files("kernl_keras.data").joinpath(SAMPLE_FILE).open("rb") as stream,
        np.load(stream, allow_pickle=False) as file,
    ):
        index = file["index"].astype(int)
    index[7000:] += all_digits.train
    np.testing.assert_array_equal(sample.images, all_digits.images[index])
    np.testing.assert_array_equal(sample.labels, all_digits.labels[index])
