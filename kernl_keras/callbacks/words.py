"""`WordCount`: how many words a network has heard in a stream, and how many of the last ones it took for others."""

import collections

import numpy as np


class WordCount:
    """Counts the words of a stream as they end, and the errors among the last of them.

    A word is a run of steps in one row that ask for the same class. It is answered by the class with the largest mean
    output over these steps, and counts when the row no longer asks for it, in the same piece or in a later one.

    Args:
        last: over how many words errors are counted.

    Attributes:
        heard: int, how many words have ended so far.

    Example: two words in one row, of classes 1 and 0; the second, whose outputs are the same, is taken for a 1.

    >>> count = WordCount(last=10)
    >>> outputs = np.broadcast_to([0.2, 0.8], (1, 5, 2))
    >>> count.add(outputs, np.array([[1, 1, 0, 0, 0]]), np.array([[1, 1, 0, 1, 0]]))
    >>> count.heard, count.error
    (2, 0.5)
    """

    def __init__(self, last):
        self.heard = 0
        self._wrong = collections.deque(maxlen=last)
        self._open = None  # [B], whether the row asks for a word; its class [B], and the sum of its outputs [B, O]

    @property
    def error(self):
        """The share of the last words that were answered wrongly; NaN before the first."""
        return float(np.mean(self._wrong)) if self._wrong else float("nan")

    def add(self, outputs, classes, weights):
        """Goes on with a piece: outputs [B, P, O], classes [B, P] and weights [B, P], which are 0 where none asks."""
        rows, steps, count = outputs.shape
        if self._open is None:
            self._open, self._class, self._sum = np.zeros(rows, bool), np.zeros(rows, int), np.zeros((rows, count))
        for step in range(steps):
            asked, now = weights[:, step] > 0, classes[:, step]
            ended = self._open & ~(asked & (now == self._class))
            for row in np.flatnonzero(ended):
                finite = np.isfinite(self._sum[row]).all()
                self._wrong.append(not finite or int(np.argmax(self._sum[row])) != self._class[row])
            self.heard += int(ended.sum())
            begins = asked & (ended | ~self._open)
            self._sum[begins], self._class[begins] = 0.0, now[begins]
            self._sum[asked] += outputs[asked, step]
            self._open = asked

    def state(self):
        """All of it in lists and numbers, as JSON has them."""
        begun = None if self._open is None else [each.tolist() for each in (self._open, self._class, self._sum)]
        return {"heard": self.heard, "wrong": [int(wrong) for wrong in self._wrong], "open": begun}

    def restore(self, state):
        """Goes on from a `state`."""
        self.heard = state["heard"]
        self._wrong.clear()
        self._wrong.extend(map(bool, state["wrong"]))
        self._open = None
        if state["open"]:
            self._open, self._class, self._sum = (
                np.array(each, kind) for each, kind in zip(state["open"], (bool, int, float))
            )
