"""Parts of the page: tables, figures and examples, as plain values that the template escapes."""

import base64
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from cspops.report.tables import probability
from cspops.terminal import visible


@dataclass(frozen=True)
class Group:
    """Rows of a table under a title of their own; the first ``Table.text_columns`` cells of a row are its names."""

    title: str | None
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table; the first ``text_columns`` columns are aligned left, the others right."""

    caption: str
    header: Sequence[str]
    groups: Sequence[Group]
    text_columns: int = 1


@dataclass(frozen=True)
class Picture:
    """A chart within the page, or an image as a data URI with its alternative text."""

    caption: str
    chart: Markup | None = None
    uri: str = ""
    alt: str = ""


@dataclass(frozen=True)
class Heat:
    """A matrix of shares, 0 to 1, by true class (row) and guess (column)."""

    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Example:
    """One row of the test set, and the models' guesses."""

    name: str
    thumbnail: str | None
    """A data URI."""
    true: str
    image: tuple[str, float]
    """The guess and its P."""
    pool: tuple[str, float]
    p_true: tuple[float, float]
    """P of the true class by the image alone and by the pool."""
    dot: tuple[int, int]
    place: str


@dataclass(frozen=True)
class Section:
    """A section of the page, for its navigation."""

    anchor: str
    title: str


def data_uri(content: bytes, kind: str) -> str:
    """Return for example `data:image/png;base64,...`."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def place_text(lon: float, lat: float) -> str:
    """Return for example `47.37° N, 8.54° E`."""
    return f"{abs(lat):.2f}° {'S' if lat < 0 else 'N'}, {abs(lon):.2f}° {'W' if lon < 0 else 'E'}"


def render(page: Mapping[str, Any]) -> str:
    """Return the page; text in ``page`` is escaped and made `visible`; a name of the template that it lacks is an error."""
    text = _environment().get_template("page.html.jinja").render(page, style=Markup(_text("page.css")))
    return visible(text.replace(" %", "\N{NO-BREAK SPACE}%"), keep="\n\t") + "\n"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_text), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    environment.filters["p"] = probability
    environment.filters["level"] = lambda share: min(9, int(10 * share))
    return environment


def _text(name: str) -> str:
    return files("cspops").joinpath("report", "html", name).read_text(encoding="utf-8")
