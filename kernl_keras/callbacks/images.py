"""Pictures of matrices, of spikes and of activity, in pure NumPy: uint8 [N, height, width, 3]."""

import numpy as np

# Evenly spaced colours of the maps; between two of them the colours are mixed.
BLUE_WHITE_RED = np.array([(5, 48, 97), (67, 147, 195), (255, 255, 255), (214, 96, 77), (103, 0, 31)], float)
PURPLE_GREEN_YELLOW = np.array(
    [(68, 1, 84), (72, 40, 120), (62, 73, 137), (49, 104, 142), (38, 130, 142),
     (31, 158, 137), (53, 183, 121), (110, 206, 88), (181, 222, 43), (253, 231, 37)], float,
)  # fmt: skip
WHITE_BLACK = np.array([(255, 255, 255), (0, 0, 0)], float)
NOT_FINITE = (255, 0, 255)

LONG_SIDE = 400  # pixels; smaller pictures are enlarged to this, larger ones keep a pixel an entry
SHORT_SIDE = 40  # pixels; a vector becomes a band of this height


def diverging(values):
    """Blue below 0, white at 0, red above, of ColorBrewer's RdBu, Harrower and Brewer (2003): [..] -> uint8 [.., 3]."""
    largest = _largest(values)
    return _paint(values, -largest, largest, BLUE_WHITE_RED)


def sequential(values):
    """Purple at 0, yellow at the largest value, all >= 0: [..] -> uint8 [.., 3]; ten colours of viridis."""
    return _paint(values, 0.0, _largest(values), PURPLE_GREEN_YELLOW)


def pictures(values, colours=diverging):
    """A vector [n], matrix [n, m] or stack of matrices [R, n, m] as uint8 [R or 1, height, width, 3].

    All have one scale of `colours`, `diverging` or `sequential`. A matrix that is higher than wide is turned to lie on
    its side. An entry becomes a rectangle of whole pixels: a square, or higher where the picture would be a thin line.
    """
    values = np.asarray(values)
    values = values.reshape((1,) * (3 - values.ndim) + values.shape)
    if values.shape[1] > values.shape[2]:
        values = values.transpose(0, 2, 1)
    return _enlarge(colours(values))


def raster(outputs, spikes=True):
    """Outputs [B, T, H] of a layer as uint8 [B, height, width, 3]: time runs rightwards, unit 0 is at the top.

    Spikes, 0 or 1, are black on white; the activity of other units is drawn as `diverging`. TensorBoard shows a picture
    that is wider than its card by leaving columns and rows out. So the spike of a long sequence is drawn longer than
    its step, and the line of its unit as much higher.
    """
    outputs = np.asarray(outputs).transpose(0, 2, 1)
    thickness = -(-outputs.shape[2] // LONG_SIDE)
    if not spikes:
        painted = diverging(outputs)
    else:
        marks = outputs.copy()
        for delay in range(1, thickness):
            np.maximum(marks[..., delay:], outputs[..., :-delay], out=marks[..., delay:])
        painted = _paint(marks, 0.0, _largest(marks), WHITE_BLACK)
    return _enlarge(painted.repeat(thickness, 1))


def _largest(values):
    magnitudes = np.abs(np.asarray(values, float))
    return magnitudes[np.isfinite(magnitudes)].max(initial=0.0) or 1.0


def _paint(values, low, high, colours):
    """[..] -> uint8 [.., 3]: `low` has the first of the colours [n, 3], `high` the last, what is not finite magenta."""
    values = np.asarray(values, float)
    places = np.linspace(low, high, len(colours))
    painted = np.stack([np.interp(values, places, channel) for channel in colours.T], -1)
    painted[~np.isfinite(values)] = NOT_FINITE
    return painted.round().astype(np.uint8)


def _enlarge(painted):
    height, width = painted.shape[1:3]
    scale = max(LONG_SIDE // max(height, width), 1)
    return painted.repeat(max(scale, -(-SHORT_SIDE // height)), 1).repeat(scale, 2)
