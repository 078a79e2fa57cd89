import io
import logging

import pytest

from cspops.progress import Meter, in_bytes, show_from, silence


@pytest.mark.parametrize(
    ("n", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (2.5e6, "2.5 MB"), (127945569561, "127.9 GB"), (3.5e12, "3.5 TB")],
)
def test_bytes_are_shown_in_decimal_units(n: float, shown: str) -> None:
    assert in_bytes(n) == shown


def test_a_line_at_most_every_few_seconds(said: list[str]) -> None:
    """100 bytes a second from 500 of 2000 on, seen each second for 11 seconds: lines after 5 and 10 seconds, with
    2000 - 1000 and 2000 - 1500 bytes left at 100 bytes/s: 10 s and 5 s, which round to 0 minutes."""
    now = [0.0]
    with Meter("f", 2000, every=5.0, clock=lambda: now[0]) as meter:
        for second in range(12):
            now[0] = float(second)
            meter.to(500 + 100 * second)
    assert said == [
        "f: 1.0 kB of 2.0 kB (50%), 100 bytes/s, 0 min left",
        "f: 1.5 kB of 2.0 kB (75%), 100 bytes/s, 0 min left",
    ]


def test_a_start_over_does_not_count_against_the_speed(said: list[str]) -> None:
    """1000 after a second, none after two, 50 after three: 50 in the two seconds since the first."""
    now = [0.0]
    with Meter("f", None, unit="files", every=1.0, clock=lambda: now[0]) as meter:
        for done in (1000, 0, 50):
            now[0] += 1
            meter.to(done)
    assert (said[0], said[-1]) == ("f: 1000 files", "f: 50, 25 files/s")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, said: list[str], terminal: bool) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    with Meter("f", 10, every=0.0) as meter:
        meter.to(5, 20)
    assert (said == []) == terminal


def test_a_name_on_a_bar_is_no_markup_and_steers_nothing(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setenv("NO_COLOR", "1")
    with Meter("[red]a\x9b[/]", 10) as meter:
        meter.to(5)
    assert r"[red]a\x9b[/]" in stderr.getvalue()


def test_what_is_not_to_be_shown_is_not(said: list[str]) -> None:
    with Meter("f", 10, shown=False, every=0.0) as meter:
        meter.to(5)
    assert said == []


def test_what_is_logged_is_a_line_on_stderr_and_silence_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("cspops.somewhere")
    show_from(logging.INFO)
    log.info("x" * 300)
    with silence():
        log.warning("not heard")
    log.warning("heard")
    show_from(logging.WARNING)
    log.info("not heard")
    assert capsys.readouterr() == ("", f"{'x' * 300}\nwarning: heard\n")
