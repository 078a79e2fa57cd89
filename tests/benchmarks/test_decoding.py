"""What is timed gives the same pixels as what it is timed against; `main` itself compares them."""

import pytest

from benchmarks import decoding


def test_it_prints_the_table(capsys):
    decoding.main(["--images", "3", "--side", "40", "--px", "16", "--repeats", "1", "--workers", "0", "1"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("3 JPEGs of 40 x 30 pixels to 16 x 16")
    assert [line[:12].strip() for line in out[2:]] == ["plain", "0 workers", "1 workers"]
    assert float(out[2].split()[-1]) == 1


def test_ways_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(decoding, "ours", lambda folder, table, px, workers: decoding.plain(folder, len(table), px) ^ 1)
    with pytest.raises(AssertionError, match="0 workers"):
        decoding.main(["--images", "2", "--side", "40", "--px", "16", "--repeats", "1", "--workers", "0"])
