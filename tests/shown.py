"""What README.md and docs/ show: commands with their output, and Python."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    heading: str
    language: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command line of a `console` block."""

    text: str
    output: tuple[str, ...]
    """What is shown below it."""

    @property
    def error(self) -> str | None:
        """The line in which the shown output says what went wrong."""
        return next((line for line in self.output if line.startswith("error: ")), None)


def blocks(page: Path) -> list[Block]:
    found, heading = [], ""
    text = page.read_text()
    for match in re.finditer(r"^(?:(#+ [^\n]*)|```(\w*)\n(.*?)^```)$", text, re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[1].lstrip("# ")
        else:
            found.append(Block(page.name, heading, match[2], tuple(match[3].splitlines())))
    return found


def commands(block: Block) -> Iterator[Command]:
    """The lines that begin with `$ `, each with the output below it."""
    shown: list[str] = []
    text = None
    for line in block.lines:
        if line.startswith("$ "):
            if text is not None:
                yield Command(text, tuple(shown))
            text, shown = line.removeprefix("$ "), []
        else:
            shown.append(line)
    if text is not None:
        yield Command(text, tuple(shown))
