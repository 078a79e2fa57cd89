"""The table of image networks as rows of text, which `cspops image-networks` shows and writes to reports/tables/."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from cspops.report.page import MEANINGS
from cspops.report.tables import TITLES, Mean, as_text, cell, joined, markdown, ratio_title


class About(TypedDict):
    """What a network is: `pipeline.image_probes.ImageRow` as plain values."""

    name: str
    model: str | None
    weights: str | None
    images: Mapping[str, Any]
    method: str
    settings: Mapping[str, Any] | None
    files: Mapping[str, str | None]


class ListedNetwork(About):
    computed: bool


class Network(About):
    """A row of the table: its numbers, or why it was refused."""

    key: str
    refused: NotRequired[str]
    dim: NotRequired[int]
    note: NotRequired[str | None]
    facts: NotRequired[Mapping[str, Mean | str]]
    scores: NotRequired[Mapping[str, Mapping[str, Mean]]]


class Probe(TypedDict):
    l2: list[float]
    max_iterations: int


class NetworksDocument(TypedDict):
    """reports/tables/image_networks_SOURCE.json."""

    title: str
    dataset: str
    rows_of_data: dict[str, int]
    labels: dict[str, list[int]]
    seeds: list[int]
    probe: Probe
    rows: list[Network]


ROLES = ("test", "val")
"""The sets in the order of display."""

FEW = 500
"""With fewer rows than this a remark states how many points one row is."""

NAMES = {
    "colour statistics": "Colour statistics: mean and standard deviation of each channel, 6 numbers per image.",
    "random": "Random: the network of `image_encoder.model` with random weights.",
    "published": "Published: the same network with the weights that its library publishes.",
}


def roles(document: NetworksDocument) -> list[str]:
    """Return the sets that have numbers, in the order of display."""
    return [role for role in ROLES if role in document["rows_of_data"]]


def heading(role: str) -> str:
    """Return the title of the table of one set."""
    return f"Top-1 on {TITLES[role]}, per cent"


def data_sentence(document: NetworksDocument) -> str:
    """Return on which data the numbers were measured, and what a seed determines."""
    counts = document["rows_of_data"]
    judged = " and ".join(f"{counts[role]:,} {TITLES[role]}" for role in roles(document))
    seeds = ", ".join(map(str, document["seeds"]))
    return (
        f"Measured on {document['dataset']}: {counts['train']:,} training rows, {judged} rows with a label, "
        f"{counts['classes']:,} classes. A seed ({seeds}) draws the network's initial weights, its pre-training and the "
        "labelled rows; L2 is chosen on validation."
    )


def accuracy_rows(document: NetworksDocument, role: str) -> list[list[str]]:
    """Return a header and top-1 of each network on one set, a dash where there is none; a refused row is missing."""
    ratios, spread = list(document["labels"]), len(document["seeds"]) > 1
    body = []
    for row in document["rows"]:
        scores = row.get("scores", {})
        numbers = [cell(scores[ratio][role], spread=spread) if role in scores.get(ratio, {}) else "-" for ratio in ratios]
        body.append([row["name"], "missing" if "refused" in row else str(row.get("dim", "-")), *numbers])
    return [["features", "numbers", *map(ratio_title, ratios)], *body]


def fact_rows(document: NetworksDocument) -> list[list[str]]:
    """Return a header and the facts of each method's run: mean and standard deviation over seeds, or words."""
    form = "{mean:.4g} ({sd:.4g})" if len(document["seeds"]) > 1 else "{mean:.4g}"
    body = [
        [row["name"], name, value if isinstance(value, str) else form.format(**value)]
        for row in document["rows"]
        for name, value in row.get("facts", {}).items()
    ]
    return [["features", "fact", "value"], *body]


def setting_rows(document: NetworksDocument) -> list[list[str]]:
    """Return a header and, for each network, what it is and how it was trained."""
    body = []
    for row in document["rows"]:
        settings = {"weights": row["weights"], **row["images"], **(row["settings"] or {})}
        words = {True: "true", False: "false"}
        shown = ", ".join(
            f"{name} {words[value] if isinstance(value, bool) else value}"
            for name, value in settings.items()
            if value is not None
        )
        body.append([row["name"], row["model"] or "-", row["method"], shown])
    return [["features", "network", "pre-training", "settings"], *body]


def listing_rows(rows: Sequence[ListedNetwork]) -> list[list[str]]:
    """Return a header and one line per row that could be computed."""
    header = ["features", "network", "weights", "pre-training", "in the table"]
    body = [
        [row["name"], row["model"] or "-", row["weights"] or "-", row["method"], "yes" if row["computed"] else "no"]
        for row in rows
    ]
    return [header, *body]


def remarks(document: NetworksDocument) -> list[str]:
    """Return what else a reader must know: notes of methods, missing networks, methods that refused."""
    rows, rows_of_data = document["rows"], document["rows_of_data"]
    notes = [f"{row['name']}: {row['note']}" for row in rows if row.get("note")]
    refused = [f"Missing: {row['name']}: {row['refused']}" for row in rows if "refused" in row]
    facts = [name for row in rows for name in row.get("facts", {})]
    meanings = [f"{start}: {text}" for start, text in MEANINGS.items() if any(name.startswith(start) for name in facts)]
    few = [
        f"{n} {TITLES[role]} rows: one is {100 / n:.1f} points" for role in roles(document) if (n := rows_of_data[role]) < FEW
    ]
    return [*notes, *refused, *meanings, *few]


def page(document: NetworksDocument) -> str:
    """Return the whole page as Markdown."""
    ratios = "; ".join(f"{ratio_title(ratio)}: {_labels(counts)}" for ratio, counts in document["labels"].items())
    seeds = len(document["seeds"])
    over = f"mean (standard deviation) over {seeds} seeds" if seeds > 1 else "one seed"
    parts = [
        f"# {document['title']}",
        f"{data_sentence(document)} Top-1, per cent: {over}. Labels taught: {ratios}.",
    ]
    for role in roles(document):
        parts += [f"## {TITLES[role].capitalize()}", _table(accuracy_rows(document, role), text_columns=1)]
    if len(facts := fact_rows(document)) > 1:
        parts += ["## Facts of the methods' runs", _table(facts, text_columns=2)]
    shown = [text for name, text in NAMES.items() if any(row["name"] == name for row in document["rows"])]
    parts += ["## Remarks", "\n".join(f"- {line}" for line in (*shown, *map(as_text, remarks(document)))) or "None."]
    probe = document["probe"]
    parts += [
        "## Settings",
        _table(setting_rows(document), text_columns=4),
        f"Probe: L2 one of {', '.join(f'{one:g}' for one in probe['l2'])}, at most {probe['max_iterations']} iterations.",
    ]
    return joined(parts)


def _table(rows: list[list[str]], *, text_columns: int) -> str:
    header, *body = rows
    return markdown([header, *([as_text(text) for text in row] for row in body)], text_columns=text_columns)


def _labels(counts: list[int]) -> str:
    return " or ".join(f"{count:,}" for count in counts)
