"""report.html: one file that opens without a network, its template and style beside this module."""

import functools
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render(page: Mapping[str, Any]) -> str:
    """The page; text among ``page`` is escaped, a name that the template asks for and ``page`` lacks is an error."""
    text = _environment().get_template("page.html.jinja").render(page, style=Markup(_text("page.css")))
    return text.replace(" %", "\N{NO-BREAK SPACE}%") + "\n"


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    made.filters["p"] = lambda share: f"{share:.2f}" if 0.01 <= share <= 0.99 else "< 0.01" if share < 0.01 else "> 0.99"
    made.filters["level"] = lambda share: min(9, int(10 * share))
    return made


def _text(name: str) -> str:
    return files("cspops").joinpath("report", "html", name).read_text(encoding="utf-8")
