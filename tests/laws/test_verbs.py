"""Each command is commands/VERB.py, with its tests in tests/commands/test_VERB.py; the stages are in commands/stages.py."""

from pathlib import Path

import pytest
import typer
from typer.models import CommandInfo

from cspops.commands import app
from cspops.params import VIEWS

ROOT = Path(__file__).parents[2]


def commands(group: typer.Typer, before: str = "") -> dict[str, CommandInfo]:
    """By verb, those of the groups below too, such as `data_check`."""
    verbs = {}
    for one in group.registered_commands:
        assert one.callback is not None
        verbs[before + (one.name or one.callback.__name__).replace("-", "_")] = one
    for below in group.registered_groups:
        assert below.typer_instance is not None
        verbs |= commands(below.typer_instance, f"{below.name}_")
    return verbs


COMMANDS = commands(app)
STAGES = {stage.replace("-", "_") for stage in ("check", *VIEWS)}


def test_the_stages_are_commands() -> None:
    assert COMMANDS.keys() > STAGES


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_is_a_file_of_its_name(verb: str) -> None:
    module = COMMANDS[verb].callback.__module__  # type: ignore[union-attr]
    assert module == f"cspops.commands.{'stages' if verb in STAGES else verb}"


@pytest.mark.parametrize("verb", sorted(COMMANDS.keys() - STAGES))
def test_a_command_has_tests_of_its_name(verb: str) -> None:
    assert (ROOT / f"tests/commands/test_{verb}.py").is_file()
