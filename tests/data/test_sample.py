"""The packaged digits are MNIST's own, pixel by pixel, and the script that chose them writes the same file again."""

import hashlib
import io
import zlib
from importlib import resources

import numpy as np
import pytest

from kernl_keras.data import make_sample
from kernl_keras.data.sample import SAMPLE_FILE, Digits, load_sample
from kernl_keras.data.tfds_mnist import load_tfds

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


def test_the_script_writes_the_packaged_file_again(data_dir, tmp_path, packaged, capsys):
    output = tmp_path / "again.npz"
    make_sample.main(["--data-dir", data_dir, "--output", str(output)])
    with np.load(output, allow_pickle=False) as again, np.load(io.BytesIO(packaged), allow_pickle=False) as first:
        assert again.files == first.files
        for name in first.files:
            np.testing.assert_array_equal(again[name], first[name], strict=True)
    if "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION:  # which packs the same arrays into other bytes
        assert output.read_bytes() == packaged
    assert "8000 digits" in capsys.readouterr().out


def test_the_script_does_not_download(tmp_path):
    with pytest.raises(FileNotFoundError, match="give data_dir="):
        make_sample.main(["--data-dir", str(tmp_path), "--output", str(tmp_path / "sample.npz")])


@pytest.mark.parametrize(
    "pixels",
    [
        [0, 0, 5, 6, 0],
        [5, 0, 0, 6],
        [7] * 600 + [0] * 255 + [1],
        [0] * 254 + [1] * 255 + [0] * 256 + [1] * 510 + [0] * 766,
        [0] * 3,
        [9] * 3,
    ],
)
def test_runs_give_the_pixels_back(pixels):
    """Decoded by hand, one run at a time."""
    runs = make_sample.run_lengths(np.array(pixels) > 0)
    assert runs.dtype == np.uint8
    ink, decoded = iter([p for p in pixels if p]), []
    for place, length in enumerate(runs):
        decoded += [next(ink) if place % 2 else 0 for _ in range(length)]
    assert decoded == pixels


def test_the_sample_is_read_as_it_was_written(tmp_path, monkeypatch):
    """A made-up MNIST with inked borders goes through the script's functions and back."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9000, 28, 28), np.uint8) * (random.random((9000, 28, 28)) < 0.2)
    digits = Digits(images.astype(np.uint8), random.permutation(np.arange(9000) % 10).astype(np.int32), 7600)
    make_sample.write_npz(tmp_path / SAMPLE_FILE, make_sample.sample_arrays(digits))
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    sample = load_sample()
    for part, chosen, per_class in ((slice(0, 7000), slice(0, 7600), 700), (slice(7000, None), slice(7600, None), 100)):
        for digit in range(10):
            expected = digits.images[chosen][digits.labels[chosen] == digit][:per_class]
            np.testing.assert_array_equal(sample.images[part][digit::10], expected)
