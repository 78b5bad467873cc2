"""`--one-row-in N` leaves out rows, and never a test."""

from types import SimpleNamespace

import pytest

from .conftest import pytest_collection_modifyitems

ROWS = {"one": 1, "two": 2, "five": 5, "seven": 7}


def chosen(every):
    """The tests left, and those left out, of tests with as many rows as `ROWS` says."""
    names = [f"test_{name}[{row}]" for name, count in ROWS.items() if count > 1 for row in range(count)] + ["test_one"]
    items, left_out = [SimpleNamespace(nodeid=name) for name in names], []
    config = SimpleNamespace(
        getoption=lambda name: {"--one-row-in": every}[name],
        hook=SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items)),
    )
    pytest_collection_modifyitems(config, items)
    assert sorted(item.nodeid for item in items + left_out) == sorted(names)
    return [item.nodeid for item in items]


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_every_test_keeps_a_row(every):
    """And all of its rows without the option, which is 1."""
    left = chosen(every)
    for name, count in ROWS.items():
        kept = [one for one in left if one.partition("[")[0] == f"test_{name}"]
        assert max(1, count // every) <= len(kept) <= -(-count // every)
