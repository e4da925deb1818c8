"""Damaged files load or are refused in one sentence, at little cost; fuzz_files.py tries more."""

import pytest

from tests.support.fuzz_files import KINDS, fuzz


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_load_or_are_refused_in_one_sentence(tmp_path, kind):
    wrong = [f"number {number}: {wrong}" for number, _, wrong in fuzz(kind, 60, 0, tmp_path)]
    assert not wrong, "\n".join(wrong)
