"""Pictures: colours by hand, places of single entries, and no spike lost where a picture is shrunk."""

import numpy as np
import pytest

from kernl_keras.callbacks.images import diverging, pictures, raster, sequential

WHITE, RED, BLUE, DARK_RED, DARK_BLUE = (255, 255, 255), (214, 96, 77), (67, 147, 195), (103, 0, 31), (5, 48, 97)
PURPLE, YELLOW, MAGENTA, BLACK = (68, 1, 84), (253, 231, 37), (255, 0, 255), (0, 0, 0)


@pytest.mark.parametrize(
    "colours, values, expected",
    [
        (diverging, [-4.0, -2.0, 0.0, 2.0, 4.0], [DARK_BLUE, BLUE, WHITE, RED, DARK_RED]),
        (diverging, [0.0, 1.0], [WHITE, DARK_RED]),  # centred on 0, also where all are positive
        (diverging, [1e-30, -1e-30], [DARK_RED, DARK_BLUE]),
        (diverging, [0.0, 0.0], [WHITE, WHITE]),
        (diverging, [np.nan, 2.0, np.inf, -np.inf], [MAGENTA, DARK_RED, MAGENTA, MAGENTA]),
        (diverging, [0.25, 1.0], [(234, 176, 166), DARK_RED]),  # half of white and red, 234.5 to even
        (sequential, [0.0, 0.5], [PURPLE, YELLOW]),
        (sequential, [0.3, 0.3], [YELLOW, YELLOW]),
        (sequential, [0.0, 0.0], [PURPLE, PURPLE]),
        (sequential, [0.0, np.nan, 7.0], [PURPLE, MAGENTA, YELLOW]),
    ],
)
def test_colours(colours, values, expected):
    painted = colours(np.array(values, "float32"))
    assert painted.dtype == np.uint8
    assert [tuple(colour) for colour in painted.tolist()] == expected


def test_larger_values_are_brighter():
    brightness = sequential(np.linspace(0.0, 1.0, 50)).astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > 0.0).all()


@pytest.mark.parametrize(
    "shape, size",
    [
        ((200, 200), (1, 400, 400)),
        ((81, 200), (1, 162, 400)),
        ((200, 10), (1, 40, 400)),  # turned on its side; rows of 4 pixels, for 2 would be too thin a band
        ((200,), (1, 40, 400)),
        ((3,), (1, 133, 399)),
        ((2, 200), (1, 40, 400)),
        ((2, 5, 5), (2, 400, 400)),
        ((500, 300), (1, 300, 500)),
        ((1,), (1, 400, 400)),
    ],
)
def test_sizes_of_pictures(shape, size):
    assert pictures(np.ones(shape)).shape == (*size, 3)


def entries(picture, rows, columns):
    """The colours of a picture of so many entries, each of which is a block of 133 pixels: [rows, columns, 3]."""
    assert picture.shape == (133 * rows, 133 * columns, 3)
    found = picture[::133, ::133]
    np.testing.assert_array_equal(picture, found.repeat(133, 0).repeat(133, 1))
    return found.tolist()


def test_an_entry_is_a_block_of_its_colour():
    """The tall matrix is turned; a stack has one scale; rasters of activity have the colours of activity."""
    matrix = np.array([[-1.0, 0.5, 0.0], [1.0, -0.5, 0.5]])
    for values in (matrix, matrix.T):
        (picture,) = pictures(values)
        assert entries(picture, 2, 3) == diverging(matrix).tolist()
    first, second = pictures(np.stack([np.full((2, 2), 4.0), np.full((2, 2), -2.0)]))
    assert (first == DARK_RED).all() and (second == BLUE).all()
    assert (pictures(np.array([0.2, 0.2]), sequential) == YELLOW).all()
    for outputs in (matrix.T, np.abs(matrix.T)):  # also where no unit is below 0: a reader knows them from spikes
        (picture,) = raster(outputs[None], spikes=False)  # 3 steps rightwards of 2 units downwards
        assert entries(picture, 2, 3) == diverging(outputs.T).tolist()


@pytest.mark.parametrize("time_steps, scale", [(7, 57), (150, 2), (400, 1)])
def test_a_spike_is_a_black_block_at_its_step_and_unit(time_steps, scale):
    outputs = np.zeros((2, time_steps, 5), "float32")
    outputs[1, 4, 3] = 1.0  # example, step, unit
    silent, spiking = raster(outputs)
    assert (silent == 255).all()
    rows, columns = np.nonzero((spiking == BLACK).all(-1))
    height = max(scale, 8)  # 5 units in at least 40 pixels
    assert spiking.shape == (5 * height, time_steps * scale, 3)
    assert (rows.min(), rows.max()) == (3 * height, 4 * height - 1)
    assert (columns.min(), columns.max()) == (4 * scale, 5 * scale - 1)
    assert len(rows) == height * scale


def test_a_long_raster_loses_no_spike_where_it_is_shrunk_to_a_card():
    outputs = np.zeros((1, 838, 200), "float32")
    spikes = [(100 + 4 * i, i) for i in range(184)]
    for step, unit in spikes:
        outputs[0, step, unit] = 1.0
    before = outputs.copy()
    picture = raster(outputs)[0]
    np.testing.assert_array_equal(outputs, before)  # which it leaves alone
    assert picture.shape == (600, 838, 3)
    columns = (np.arange(350) * 838 / 350).astype(int)
    rows = (np.arange(250) * 600 / 250).astype(int)
    shrunk = (picture[rows][:, columns] == 0).all(-1)
    for step, unit in spikes:
        assert shrunk[(rows // 3 == unit)][:, (columns >= step) & (columns < step + 3)].any()
    assert (picture == 0).all(-1).sum() == 184 * 9  # and draws nothing else
