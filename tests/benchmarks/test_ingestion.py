"""The synthetic table is as it is described, and the table of measurements is printed."""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks import ingestion
from cspops.intake.judging.ingest import Rules, ingest
from cspops.intake.rows import Source

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("batch", [300, 65536])
def test_the_rows_are_as_many_as_asked_for_and_as_bad_as_said(monkeypatch, tmp_path, batch):
    monkeypatch.setattr(ingestion, "BATCH", batch)
    table = pa.Table.from_batches(list(ingestion.synthetic(1000)))
    assert len(table) == len(set(table["where"].to_pylist())) == 1000
    account = ingest(
        Source(ingestion.synthetic(1000), inspection="none"),
        tmp_path,
        Rules(1, 0.1, "set_aside", "set_aside", merge_labels=True),
        inspect=None,
        scratch=tmp_path / "scratch",
    )
    assert account.reasons == Counter({"latitude is outside [-90, 90]": 1, "obs_id is used by an earlier row": 1})
    assert account.without_position == 2
    assert account.notes == {"position with a decimal comma": 10}


def test_it_prints_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(ingestion, "in_its_own_process", ingestion.measured)
    lines = ingestion.table(1000, tmp_path).splitlines()
    assert len(lines) == 4 and not list(tmp_path.iterdir())
    assert re.match(r" +1,000 +2( +[0-9.]+ s){3} +[0-9,]+ +[0-9,]+ MiB$", lines[1])
    assert re.match(r" +2,000 +4 ", lines[2]) and lines[3].startswith("twice the rows take ")


def test_the_process_of_one_size_prints_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    ingestion.write_table(tmp_path / "data" / "table.csv", 500)
    monkeypatch.setattr(sys, "argv", ["ingestion", "--one", "500", "--folder", str(tmp_path)])
    ingestion.main()
    found = json.loads(capsys.readouterr().out)
    assert found["rejected"] == 2 and found["peak"] > 2**20 and all(found[part] >= 0 for part in ingestion.PARTS)
