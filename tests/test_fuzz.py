"""A part of the fuzz (``make fuzz``), which holds the stage normalise against a plain parser of the same bytes."""

import pytest
from fuzz import fuzz


def test_every_document_of_a_damaged_file_is_accounted_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the damage, each document is an event, a reject or ignored, and each reject is on its line."""
    batches = list(fuzz(300, seed=2))
    assert [sentence for _, broken, _ in batches for sentence in broken] == [], capsys.readouterr().out
    assert len({form for form, _, counts in batches if counts["events"] and counts["rejects"]}) == len(batches)
