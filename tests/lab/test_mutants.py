"""The mutants are changes of the code as it is now."""

import pytest

from notebooks.lab.mutants import MUTANTS, ROOT


@pytest.mark.parametrize("file, line, broken", MUTANTS)
def test_the_line_is_there_once(file, line, broken):
    assert (ROOT / "kernl_keras" / file).read_text(encoding="utf-8").count(line) == 1
    assert broken != line
