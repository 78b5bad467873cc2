"""`WordCount`: the number of words in a stream so far, and the share of recent ones that were answered wrongly."""

import collections

import numpy as np


class WordCount:
    """Counts the words of a stream as they end, and the errors among the last of them.

    A word is a run of steps in one row that ask for the same class. It is answered by the class with the largest mean
    output over these steps, and counts when the row no longer asks for it, in the same piece or in a later one.

    `last` is the number of recent words over which errors are counted, and `heard` that of all words that have ended.

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
        self._open = None  # [B], True inside a word; `_class` [B] and `_sum` of outputs [B, O] belong to that word

    @property
    def error(self):
        """The share of the last words that were answered wrongly; NaN before the first."""
        return float(np.mean(self._wrong)) if self._wrong else float("nan")

    def add(self, outputs, classes, weights):
        """Adds a piece: outputs [B, P, O], classes [B, P] and weights [B, P], 0 where no answer is asked for."""
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
        """The count in JSON types."""
        begun = None if self._open is None else [array.tolist() for array in (self._open, self._class, self._sum)]
        return {"heard": self.heard, "wrong": [int(wrong) for wrong in self._wrong], "open": begun}

    def restore(self, state):
        """Continues from a `state`."""
        self.heard = state["heard"]
        self._wrong.clear()
        self._wrong.extend(map(bool, state["wrong"]))
        self._open = None
        if state["open"]:
            self._open, self._class, self._sum = (
                np.array(values, kind) for values, kind in zip(state["open"], (bool, int, float))
            )
