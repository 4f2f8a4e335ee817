"""Journals read from their end or in a stream give what reading them whole gives."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import InvalidInput
from nas.records import journal
from nas.records.journal import newest_records, read_journal, streamed_records

TEXT = st.text(max_size=40)
RECORDS = st.lists(st.fixed_dictionaries({"stage": TEXT}, optional={"origin": TEXT, "state": TEXT}))


@given(RECORDS, st.booleans(), st.integers(1, 64))
def test_three_ways_to_read_a_journal_agree(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, str]], torn: bool, block: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + '{"stage": "fr' * torn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "BLOCK", block)
        assert list(newest_records(path))[::-1] == list(streamed_records(path)) == read_journal(path)[0] == records


def test_a_missing_journal_has_no_records_and_a_broken_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert [*newest_records(path), *streamed_records(path)] == []
    path.write_text('{"stage": "fine"}\nnone\n')
    for read in (newest_records, streamed_records):
        with pytest.raises(InvalidInput, match=r"journal\.jsonl, .*line"):
            list(read(path))
