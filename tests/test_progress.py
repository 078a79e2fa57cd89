import pytest

from cspops.progress import Meter, in_bytes


@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2.5e6, "2.5 MB"), (127945569561, "127.9 GB"), (3.5e12, "3.5 TB")],
)
def test_bytes_are_shown_in_decimal_units(n: float, shown: str) -> None:
    assert in_bytes(n) == shown


def test_a_line_at_most_every_few_seconds() -> None:
    """100 bytes a second from 500 of 2000 on, seen each second for 11 seconds: lines after 5 and 10 seconds, with
    2000 - 1000 and 2000 - 1500 bytes left at 100 bytes/s: 10 s and 5 s, which round to 0 minutes."""
    now, lines = [0.0], list[str]()
    with Meter("f", 2000, lines.append, every=5.0, clock=lambda: now[0]) as meter:
        for second in range(12):
            now[0] = float(second)
            meter.to(500 + 100 * second)
    assert lines == [
        "f: 1.0 kB of 2.0 kB (50%), 100 bytes/s, 0 min left",
        "f: 1.5 kB of 2.0 kB (75%), 100 bytes/s, 0 min left",
    ]


def test_a_start_over_does_not_count_against_the_speed() -> None:
    now, lines = [0.0], list[str]()
    with Meter("f", None, lines.append, unit="files", every=1.0, clock=lambda: now[0]) as meter:
        for done in (1000, 0, 50):
            now[0] += 1
            meter.to(done)
    assert lines[-1] == "f: 50, 50 files/s"


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    lines = list[str]()
    with Meter("f", 10, lines.append, every=0.0) as meter:
        meter.to(5, 20)
        assert meter._bar is not None and meter._bar.tasks[0].completed == 5 and meter._bar.tasks[0].total == 20
    assert lines == []
