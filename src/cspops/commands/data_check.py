"""`cspops data check`: read a source and report what is in it."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cspops.commands.app import data
from cspops.commands.layout import Cell, ending, shortened, show, width
from cspops.commands.options import JsonOption, require_folder
from cspops.commands.output import print_json
from cspops.data.json_files import Document
from cspops.errors import CspopsError, ParamsError
from cspops.pipeline.run import read_host, read_params
from cspops.terminal import say

if TYPE_CHECKING:
    from cspops.params import Params

log = logging.getLogger(__name__)


@data.command("check", epilog="Example: cspops data check ~/photos --source folder --map where.png")
def data_check(
    path: Annotated[Path | None, typer.Argument(help="Default: the folder that data.dvc names.", metavar="PATH")] = None,
    source: Annotated[
        str | None, typer.Option(help="As dataset.source, which is the default: folder, table, ...", metavar="SOURCE")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The table's column of labels, as for cspops init.", metavar="COLUMN")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="Draw a map into a PNG file.", metavar="FILE")] = None,
    json: JsonOption = False,
) -> None:
    """Read a source and report what is in it, good and bad; change nothing. PATH needs no project.

    The exit code is 3 when more rows would be set aside than dataset.max_rejected allows.
    """
    from cspops.commands import checked_source
    from cspops.pipeline import paths

    if map_file is not None:
        require_folder(map_file)
    in_project, asked = paths.PARAMS.exists(), None
    if in_project:
        params, place = read_params(), path
        if label is not None:
            key = f"dataset.{source or params.dataset.source}.columns.label"
            raise ParamsError("--label is for a PATH outside of a project", hint=f"in a project params.yaml names it: {key}")
    elif path is not None:
        params, place, asked = checked_source.outside(path, source, label)
    else:
        raise ParamsError(
            f"{paths.PARAMS} is missing: this folder is no project",
            hint="cspops data check PATH checks any folder; cspops init makes a project",
        )
    options = [f"--source {source}"] if source else []
    if label is not None:
        options.append(f"--label {shlex.quote(label)}")
    elif asked is not None:
        options.append(asked.option)
    new = None if in_project else " ".join(["cspops init NAME --data", shlex.quote(str(path)), *options])
    with _hints_about(new):
        checked = checked_source.run(params, read_host(), path=place, source=source)
    if asked is not None:
        checked.document["warnings"].append(asked.text)
    if map_file is not None:
        checked_source.draw(checked, map_file)
    if json:
        print_json(checked.document, ensure_ascii=False)
    else:
        from cspops.report.character_map import character_map

        document = checked.document
        show(f"{document['source']}: {ending(document['path'])}", overview_rows(document), text_columns=2)
        for rows in (class_rows(document), reason_rows(document), note_rows(document)):
            if len(rows) > 1:
                show("", rows, text_columns=len(rows[0]) - 1)
        for warning in document["warnings"]:
            say(f"warning: {shortened(warning, wide=1000)}")
        say(*character_map(checked.lonlat, width=min(width(), 120)))
        if (about := about_season(document, params)) is not None:
            log.info(about)
    with _hints_about(new):
        checked.refuse()
    if new is not None and not json:
        say(f"next: {new}")


@contextmanager
def _hints_about(new: str | None) -> Iterator[None]:
    """Let a hint at params.yaml name the one that the command ``new`` makes, where there is none yet."""
    try:
        yield
    except CspopsError as error:
        if new is not None and error.hint:
            error.hint = error.hint.replace("in params.yaml", f"in the params.yaml that {new} makes", 1)
        raise


def about_season(document: Document, params: "Params") -> str | None:
    """Return a hint at dates, where most rows have one and the location encoder takes none."""
    dated, rows = document["dates"]["rows"], document["observations"]
    if 2 * dated <= rows or params.location_encoder.time != "none" or params.loss == "gair":
        return None
    return f"{dated:,} of {rows:,} observations have a date: with location_encoder.time: cos_sin the model learns the season"


MOST_CLASSES = 20


def overview_rows(document: Document) -> list[list[str]]:
    """Return a header and the counts of the whole set."""
    sizes = sorted(document["classes"].values())
    dates, box = document["dates"], document["box"]
    shares = f"{100 * document['share_rejected']:.1f} %, {100 * document['max_rejected']:g} % allowed"
    rows = [
        ["rows", f"{document['rows']:,}"],
        ["observations", f"{document['observations']:,}"],
        ["set aside", f"{document['rejected']:,} ({shares})"],
        ["without position", f"{document['without_position']:,}"],
        ["without label", f"{document['without_label']:,}"],
        ["classes", f"{len(sizes):,}"],
    ]
    if covered := document.get("with_overhead"):
        rows.append(["with an overhead image", f"{covered:,}"])
    if sizes:
        rows.append(["rows of a class", f"{sizes[0]:,} to {sizes[-1]:,}, median {sizes[len(sizes) // 2]:,}"])
        rows.append(["classes with one row", f"{document['single_classes']:,}"])
    split = ", ".join(f"{role} {count:,}" for role, count in document["official_split"].items())
    rows.append(["split of its own", split or "none"])
    if dates["rows"]:
        rows.append(["taken", f"{dates['first'][:10]} to {dates['last'][:10]} ({dates['rows']:,} rows)"])
    if box:
        rows.append(["longitudes", f"{box['west']:.5g} to {(box['east'] + 180) % 360 - 180:.5g} degrees"])
        rows.append(["latitudes", f"{box['south']:.5g} to {box['north']:.5g} degrees"])
    return [["what", "how many"], *rows]


def class_rows(document: Document) -> list[list[str]]:
    """Return a header, the largest classes and a last row that counts the others."""
    largest = sorted(document["classes"].items(), key=lambda item: (-item[1], item[0]))
    rows = [[shortened(name), f"{size:,}"] for name, size in largest[:MOST_CLASSES]]
    if rest := largest[MOST_CLASSES:]:
        rows.append([f"{len(rest):,} other classes", f"{sum(size for _, size in rest):,}"])
    return [["class", "rows"], *rows]


def reason_rows(document: Document) -> list[list[Cell]]:
    """Return a header and the reasons why rows are set aside, commonest first, with the first places."""
    examples = document["examples"]["reasons"]
    rows: list[list[Cell]] = []
    for reason, count in document["reasons"].items():
        places = [
            f"{ending(one['where'])} ({one['detail']})" if one["detail"] else ending(one["where"]) for one in examples[reason]
        ]
        rows.append([reason, _places(places, count), f"{count:,}"])
    return [["set aside because", "where", "rows"], *rows]


def note_rows(document: Document) -> list[list[Cell]]:
    """Return a header and the notes on rows that are kept, commonest first."""
    examples = document["examples"]["notes"]
    rows: list[list[Cell]] = []
    for note, count in document["notes"].items():
        rows.append([note, _places(list(map(ending, examples.get(note, []))), count), f"{count:,}"])
    return [["kept, with a note", "where", "rows"], *rows]


def _places(places: list[str], count: int) -> list[str]:
    return [*places, *(["..."] if places and count > len(places) else [])]
