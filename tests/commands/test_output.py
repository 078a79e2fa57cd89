"""Help, loudness, colours and completion of every command, in this process where that proves as much."""

import errno
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cspops.commands import app, evaluate, output
from cspops.commands.app import main
from cspops.evaluation.metrics import METRICS

ROOT = Path(__file__).parents[2]
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;[\d;]+)m")


def commands(group=None, *names: str) -> dict[tuple[str, ...], typer.core.TyperCommand]:
    """Every command by the words that call it."""
    group = group or get_command(app)
    found = {}
    for name, one in group.commands.items():
        found |= commands(one, *names, name) if hasattr(one, "commands") else {(*names, name): one}
    return found


COMMANDS = commands()


@pytest.fixture(autouse=True)
def usual_loudness():
    yield
    output.set_verbosity(quiet=False, verbose=False)


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cspops", *arguments])
    code = main()
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_ends_with_an_example_of_it(words):
    """Of a command that runs a stage the example may be DVC's, which runs it."""
    shown = CliRunner().invoke(app, [*words, "-h"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    assert shown.output == CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"}).output
    example = COMMANDS[words].epilog or ""
    name = " ".join(words)
    assert re.search(rf"\bcspops {name}\b|\bdvc repro {name}\b|\bdvc exp run -S \w+", example), f"{name}: {example!r}"
    assert " ".join(example.split())[:40] in " ".join(shown.output.split())


def test_examples_name_options_that_exist():
    for words, command in COMMANDS.items():
        known = {option for parameter in command.params for option in parameter.opts}
        for part in re.split(r"[;|\n]", command.epilog or ""):
            if f"cspops {' '.join(words)}" in part:
                for option in re.findall(r"(?<!\S)--[a-z-]+", part):
                    assert option in known, f"{words}: {option}"


def write_metrics(folder: Path) -> None:
    (folder / "reports").mkdir()
    one = {name: {"mean": 50.0, "sd": 1.0} for name in METRICS}
    models = dict.fromkeys(("image", "location", "combined", "pool"), one)
    (folder / "reports" / "scores.json").write_text(json.dumps({"test": {"label_5": models, "label_100": models}}))
    intervals = {"test": {"label_5": {"pool_minus_image": {"mean": 0.0, "low": 0.0, "high": 0.0, "rows": 1000, "seeds": 3}}}}
    (folder / "reports" / "intervals.json").write_text(json.dumps(intervals))


@pytest.mark.parametrize("option", [[], ["-q"], ["--quiet"], ["-v"], ["--verbose"]])
def test_loudness_changes_nothing_on_stdout(tmp_path, monkeypatch, capsys, option):
    monkeypatch.chdir(tmp_path)
    write_metrics(tmp_path)
    code, out, err = call(monkeypatch, capsys, *option, "evaluate", "--show", "--json")
    assert (code, out) == (0, (tmp_path / "reports" / "scores.json").read_text())
    if option and option[0] in ("-v", "--verbose"):
        assert re.fullmatch(r"took \d+\.\d s, at most [\d.]+ .B of memory(, .* of the GPU's)?\n", err)
    else:
        assert err == ""


def test_quiet_keeps_warnings_and_errors_and_verbose_adds_detail(monkeypatch, capsys):
    def said(quiet: bool, verbose: bool) -> str:
        output.set_verbosity(quiet=quiet, verbose=verbose)
        log = logging.getLogger("cspops.pipeline.split")
        log.info("progress")
        log.warning("watch out")
        log.debug("detail")
        return capsys.readouterr().err

    assert said(True, False) == "warning: watch out\n"
    assert said(False, False) == "progress\nwarning: watch out\n"
    assert said(False, True) == "progress\nwarning: watch out\ndetail\n"
    code, _, err = call(monkeypatch, capsys, "-q", "evaluate", "--seed", "1")
    assert (code, err.splitlines()[0]) == (2, "error: --seed is for --on, which is not given")


@pytest.mark.parametrize(("variable", "lines"), [("CSPOPS_QUIET", 0), ("CSPOPS_VERBOSE", 1)])
def test_loudness_from_the_environment(tmp_path, monkeypatch, capsys, variable, lines):
    monkeypatch.chdir(tmp_path)
    write_metrics(tmp_path)
    monkeypatch.setenv(variable, "1")
    assert call(monkeypatch, capsys, "evaluate", "--show", "--json")[2].count("\n") == lines


def test_both_loudnesses_are_a_usage_error(monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, "-q", "-v", "check")
    assert (code, out) == (2, "")
    assert "exclude each other" in err


def test_verbose_shows_where_the_machine_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def unreadable(*given, **named):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "reports/scores.json")

    monkeypatch.setattr(evaluate, "show_last", unreadable)
    for option, traceback in (([], False), (["-v"], True)):
        code, _, err = call(monkeypatch, capsys, *option, "evaluate", "--show")
        assert code == 4
        assert "error: Is a directory: reports/scores.json" in err
        assert ("Traceback" in err) is traceback


def cspops(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from cspops.__main__ import run; sys.argv[0] = 'cspops'; run()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (">&-", 0, ""),
        ("<&- 2>&-", 0, '{"'),
        ("<&- >&- 2>&-", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_a_stream_that_is_closed_or_closes_early_is_no_traceback(tmp_path, words, code, out):
    write_metrics(tmp_path)
    line = f"'{sys.executable}' -m cspops evaluate --show --json {words}"
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout[:2], done.stderr) == (code, out, "")


def test_a_json_document_holds_what_steers_a_terminal_as_json_escapes_it(capsys):
    document = {"a\x1b": "\x7f\x9b\u202e\u2028\ud800 ö動\n"}
    output.print_json(document, ensure_ascii=False)
    said = capsys.readouterr().out
    assert json.loads(said) == document
    assert "ö動" in said and not {*"\x1b\x7f\x9b\u202e\u2028\ud800"} & {*said}


@pytest.mark.parametrize("columns", ["1", "0", "nonsense", "39", "99999"])
def test_no_width_loses_the_words_of_a_table(tmp_path, monkeypatch, capsys, columns):
    monkeypatch.chdir(tmp_path)
    write_metrics(tmp_path)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "dumb")
    code, out, err = call(monkeypatch, capsys, "evaluate", "--show")
    assert (code, err) == (0, "")
    assert "…" not in out
    assert out.count("50.00") == 8


def test_no_color_takes_the_colours_away(tmp_path):
    assert COLOUR.search(cspops("predict", "-h", cwd=tmp_path, FORCE_COLOR="1").stdout)
    assert not COLOUR.search(cspops("predict", "-h", cwd=tmp_path, FORCE_COLOR="1", NO_COLOR="1").stdout)


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o default -F _cspops_completion cspops"),
        ("zsh", "compdef _cspops_completion cspops"),
        ("fish", "complete --command cspops"),
    ],
)
def test_the_script_of_each_shell_is_printed_into_a_pipe(tmp_path, shell, line):
    """Which shell asks is detected from the processes above; here it is named."""
    done = cspops("--show-completion", shell, cwd=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert line in done.stdout


@pytest.fixture
def trained(tmp_path):
    (tmp_path / "artifacts" / "download").mkdir(parents=True)
    (tmp_path / "artifacts" / "download" / "classes.json").write_text(r'["oak", "old oak", "Oat", "fir", "o\u001b[31m"]')
    for name in ("finetune_loc/seed_0/label_5", "finetune_loc/seed_0/label_100", "pretrain/seed_0", "imported/csp"):
        (tmp_path / "artifacts" / name).mkdir(parents=True)
    return tmp_path


def completed(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    done = CliRunner().invoke(app, [], prog_name="cspops", env=words | {"_CSPOPS_COMPLETE": "complete_bash"})
    assert done.exit_code == 0, done.exception
    return [one for one in done.output.splitlines() if one]


def test_names_of_classes_and_of_models_are_completed(trained, monkeypatch):
    monkeypatch.chdir(trained)
    assert completed("cspops map o") == ["oak", "old oak"]
    assert completed("cspops map --model artifacts/finetune_loc/seed_0/label_5 O") == ["Oat"]
    assert completed("cspops predict --model artifacts/p") == ["artifacts/pretrain/seed_0"]
    monkeypatch.chdir(trained.parent)
    assert completed("cspops map o") == []
    assert completed(f"cspops evaluate --model {trained}/artifacts/f") == [
        f"{trained}/artifacts/finetune_loc/seed_0/label_100",
        f"{trained}/artifacts/finetune_loc/seed_0/label_5",
    ]
