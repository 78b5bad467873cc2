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


def test_colours_between_two_of_the_map_are_mixed():
    assert diverging(np.array([0.25, 1.0]))[0].tolist() == [234, 176, 166]  # half of white and red, 234.5 to even
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


def test_an_entry_is_a_block_of_its_colour():
    matrix = np.array([[-1.0, 0.5, 0.0], [1.0, -0.5, 0.5]])
    for values, expected in ((matrix, matrix), (matrix.T, matrix)):  # the tall one is turned
        (picture,) = pictures(values)
        assert picture.shape == (266, 399, 3)  # 400 // 3 = 133 pixels an entry
        for row in range(2):
            for column in range(3):
                block = picture[133 * row : 133 * (row + 1), 133 * column : 133 * (column + 1)]
                assert (block == diverging(expected)[row, column]).all()


def test_a_stack_has_one_scale():
    first, second = pictures(np.stack([np.full((2, 2), 4.0), np.full((2, 2), -2.0)]))
    assert (first == DARK_RED).all()
    assert (second == BLUE).all()


def test_a_vector_takes_the_colours_given():
    assert (pictures(np.array([0.2, 0.2]), sequential) == YELLOW).all()


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
    picture = raster(outputs)[0]
    assert picture.shape == (600, 838, 3)
    columns = (np.arange(350) * 838 / 350).astype(int)
    rows = (np.arange(250) * 600 / 250).astype(int)
    shrunk = (picture[rows][:, columns] == 0).all(-1)
    for step, unit in spikes:
        assert shrunk[(rows // 3 == unit)][:, (columns >= step) & (columns < step + 3)].any()
    assert (picture == 0).all(-1).sum() == 184 * 9  # and draws nothing else


def test_a_raster_leaves_the_outputs_alone():
    outputs = np.random.default_rng(0).integers(0, 2, (1, 838, 3)).astype("float32")
    before = outputs.copy()
    raster(outputs)
    np.testing.assert_array_equal(outputs, before)


def test_rates_have_a_sign():
    outputs = np.zeros((1, 2, 3))
    outputs[0, 0, 1], outputs[0, 1, 2] = -0.5, 1.0
    (picture,) = raster(outputs, spikes=False)
    # 133 pixels an entry: units downwards, two steps rightwards
    assert [[tuple(picture[67 + 133 * unit, 67 + 133 * step].tolist()) for step in range(2)] for unit in range(3)] == [
        [WHITE, WHITE],
        [BLUE, WHITE],
        [WHITE, DARK_RED],
    ]


def test_activity_above_zero_has_the_colours_of_activity():
    """Also where no unit of the picture is below 0: a reader knows them from spikes."""
    picture = raster(np.array([[[0.5], [1.0]]]), spikes=False)
    assert [tuple(picture[0, 0, column].tolist()) for column in (0, -1)] == [RED, DARK_RED]
