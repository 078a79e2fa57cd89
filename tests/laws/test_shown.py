"""A command that is shown is run by a test."""

import re
from pathlib import Path

from shown import PAGES, blocks

TESTS = Path(__file__).parents[1]
RUN_BY = {  # commands in blocks that tests/pipeline/test_shown_commands.py does not run, and the test that runs them
}
COMMAND = re.compile(r"^(?:\$ )?((?:cspops|dvc|git|python -m benchmarks\.\w+)(?: .*)?)$")


def test_commands_stand_in_blocks_that_are_run_or_are_run_elsewhere() -> None:
    shown = {
        match[1].split("  ")[0].split(" #")[0].strip()
        for page in PAGES
        for block in blocks(page)
        if block.language != "console"
        for line in block.lines
        if (match := COMMAND.match(line))
    }
    assert shown == set(RUN_BY)


def test_the_tests_named_here_are_there() -> None:
    for command, test in RUN_BY.items():
        file, name = test.split("::")
        assert f"def {name}(" in (TESTS / file).read_text(), command
