"""`--one-row-in N` leaves out rows, and never a test."""

from types import SimpleNamespace

import pytest

from .conftest import pytest_collection_modifyitems

TESTS = [["test_one"], *([f"test_{count}[{row}]" for row in range(count)] for count in (2, 5, 7))]  # and their rows


@pytest.mark.parametrize("every", [1, 2, 3, 100])
def test_every_test_keeps_a_row(every):
    """And all of its rows without the option, which is 1."""
    items, left_out = [SimpleNamespace(nodeid=row) for row in sum(TESTS, [])], []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    pytest_collection_modifyitems(SimpleNamespace(getoption={"--one-row-in": every}.get, hook=hook), items)
    assert sorted(item.nodeid for item in items + left_out) == sorted(sum(TESTS, []))
    for rows in TESTS:
        kept = [item.nodeid for item in items if item.nodeid in rows]
        assert max(1, len(rows) // every) <= len(kept) <= -(-len(rows) // every)
