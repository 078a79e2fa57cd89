"""report.md: the tables and figures of one run, the short form of report.html for pull requests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cspops.data.json_files import Document
from cspops.data.splits import ratio_key
from cspops.evaluation.groups import LEAST_ROWS as GROUP_ROWS
from cspops.evaluation.groups import WITHIN_KM
from cspops.evaluation.metrics import MODELS
from cspops.report.headline import few_rows, main_sentences, meaning, measured
from cspops.report.html_tables import counting
from cspops.report.material import Drawn, Material
from cspops.report.mistakes import confusion_rows, turned_table
from cspops.report.photo_and_overhead import section
from cspops.report.probed import probe_section
from cspops.report.reach import OTHERS
from cspops.report.reliability import CLASS_WORDS, chance_sentence, class_rows
from cspops.report.run_facts import described, value_of
from cspops.report.tables import (
    FUSION,
    TITLES,
    Metrics,
    Places,
    Region,
    accuracy_rows,
    as_code,
    as_text,
    counted,
    effort_rows,
    interval_rows,
    joined,
    markdown,
    metric_rows,
    percent,
    ratio_title,
    region_rows,
    region_title,
    shown_models,
    worst_rows,
)

LEAST_ROWS = 50
"""Regions of fewer rows are not named in a sentence."""


def page(material: Material) -> str:
    """Return the whole page as Markdown; figures are named relative to reports/."""
    view, scores, metrics, main = material.view, material.scores, material.scores.metrics, material.main
    largest, several = ratio_key(material.largest), len(view.seeds) > 1
    judged = material.judged[material.largest]
    places = {role: ratios[largest] for role, ratios in scores.regions.items()}
    observations = ", ".join(
        f"{int(mask.sum()):,} {TITLES.get(role, role)}" for role, mask in material.roles.items() if mask.any()
    )
    parts = [
        f"# {as_text(material.title)}",
        *(f"**{sentence}**" for sentence in few_rows(scores.intervals, metrics)),
        "\n".join(f"- {sentence}" for sentence in answer(material)),
        "## Top-1 accuracy",
        f"Pre-training loss `{view.loss}`. Per cent, "
        + (f"mean (standard deviation) over seeds {', '.join(map(str, view.seeds))}" if several else f"of seed {view.seeds[0]}")
        + ". A seed draws its own few-shot labels, pre-trains and fine-tunes; all are tested on the same rows.",
        markdown(accuracy_rows(metrics), text_columns=2),
        "`image`: P(y|I) alone. `location`: P(y|x) alone. `product`: P(y|I) P(y|x), as in the paper. `pool`: image, "
        "learned location and labelled neighbours, weighted on validation. "
        + ("`fusion`: P(y|I, x) of one network. " if FUSION in shown_models(metrics) else "")
        + " ".join(notes_on_sets(material)),
        "![Top-1 accuracy against the share of labels, for image, location, product and pool](figures/accuracy.png)",
        f"## All metrics at {ratio_title(largest)} labels, {TITLES[main]}",
        markdown(metric_rows(metrics[main][largest], rows=len(judged.first_seed)), text_columns=1),
        "Per cent, but `nll` (mean negative log-likelihood) in nats; `ece`: expected calibration error of the top class. "
        + chance_sentence(judged, material.largest),
        *_by_class(material),
        "## Differences",
        "Top-1 in percentage points with 95 % paired bootstrap intervals over rows and seeds. On validation, the pool is "
        "measured on the rows that chose its weights.",
        markdown(interval_rows(scores.intervals), text_columns=2),
        "<details><summary>Location priors without learning</summary>",
        "Top-1 of priors that only count the labelled positions, beside the learned `location` and `pool`: the classes' "
        "`frequency`, a longitude-latitude `histogram`, the nearest neighbours (`knn`; `distance_knn` weighs them by "
        "1 / distance) and a kernel density (`kde`), each smoothed towards the frequency. Their neighbours, cells and "
        "bandwidths were chosen on validation.",
        markdown(accuracy_rows(metrics, models=("location", "pool", *counting(metrics[main]))), text_columns=2),
        "</details>",
        f"## Accuracy by region, {ratio_title(largest)} labels",
        *where_sentences(places),
        "By distance to the nearest labelled row; top-1 over all rows of all seeds, rows per seed:",
        markdown(region_rows(places, "distance"), text_columns=2),
        "By latitude:",
        markdown(region_rows(places, "latitude"), text_columns=2),
        *_groups(places),
        _mistakes(material),
        "## Training",
        "![Loss of each term against epochs or steps, for each training stage](figures/curves.png)",
        image_section(material.pretrain_img),
        *section(material.pretrain_img),
        data_section(material.account, dict(zip(material.observations.classes, material.class_titles, strict=True))),
        f"{observations}.",
        "![Where the observations are: unlabelled, few-shot labelled, validation and test](figures/observations.png)",
        map_section(
            material.observations.classes[material.chosen],
            title=material.class_titles[material.chosen],
            clusters=list(material.drawn.clusters),
            words=cluster_words(view.report.clusters, material.drawn),
            tested=tested_places(metrics),
        ),
        *probe_section(material.probed, seed=view.seeds[0]),
    ]
    return joined(parts)


SPATIAL = "The spatial test set lies in blocks of the map that hold no training row and have none near."
SAME_LABELS = (
    "At 100 % every seed has the same labels, so that the image model, which has no other randomness, has no deviation."
)


def notes_on_sets(material: Material) -> list[str]:
    """Return a sentence on the spatial test set and one on the largest label ratio, where the run has them."""
    view = material.view
    spatial = [SPATIAL] if "spatial_test" in material.scores.metrics else []
    return spatial + ([SAME_LABELS] if len(view.seeds) > 1 and view.label_ratios[-1] == 1 else [])


EXTREMES = "They are the extremes of many cells, and chance makes extremes: no interval was computed for them."


def answer(material: Material) -> list[str]:
    """Return what was measured, the main numbers with their intervals, and what they mean."""
    metrics, intervals = material.scores.metrics, material.scores.intervals
    data = described(str(value_of(material.records, "dataset.source")))
    means = meaning(metrics, intervals)
    return [
        measured(
            data,
            classes=len(material.observations.classes),
            seeds=len(material.view.seeds),
            intervals=means is not None,
        ),
        *main_sentences(metrics, intervals),
        *([means] if means is not None else []),
    ]


def where_sentences(places: Mapping[str, Places]) -> list[str]:
    """Return a sentence per set on the cells where pool minus image is greatest and least, and one on their worth."""
    said = [_where(kinds["cell"], role) for role, kinds in places.items()]
    return [*said, EXTREMES] if any(" greatest " in one for one in said) else said


def _where(cells: Sequence[Region], role: str) -> str:
    large = sorted((row for row in cells if row["rows"] >= LEAST_ROWS), key=lambda row: row["gain"])
    if len(large) < 2:
        return f"On the {TITLES[role]} set, fewer than two cells of 30 degrees have {LEAST_ROWS} rows."
    least, most = (
        f"{region_title(row, 'cell')} ({row['gain']:+.1f} points, {counted(row['rows'])} rows)" for row in (large[0], large[-1])
    )
    return (
        f"On the {TITLES[role]} set, pool minus image is greatest in {most} and least in {least}, of the {len(large)} cells of "
        f"30 degrees with at least {LEAST_ROWS} rows."
    )


DENSITY = f"By the number of labelled rows within {WITHIN_KM:g} km"
WORST = (
    f"The worst of the continents and of the countries with at least {GROUP_ROWS} rows, with 95 % bootstrap intervals of their "
    "own top-1. The least of many is low by chance, too."
)
EFFORT = (
    "Rank correlations, over cells of 5 degrees, of P(y|x) at a test place with the number of training observations per area: "
    "of each class, and of the number of classes that P(y|x) leaves open (exp of its entropy). A model that tells where people "
    "looked, and not where classes live, has large ones."
)


def _by_class(material: Material) -> list[str]:
    rows = class_rows(material.judged[material.largest], "pool", material.class_titles)
    table = markdown([[as_text(name), *numbers] for name, *numbers in rows], text_columns=1)
    return [CLASS_WORDS, table] if len(rows) > 1 else []


def _groups(places: Mapping[str, Places]) -> list[str]:
    """Return accuracy in sparse and dense places, the worst groups, and presence against effort; each where there is any."""
    parts = []
    if any(kinds.get("density") for kinds in places.values()):
        parts += [f"{DENSITY}:", markdown(region_rows(places, "density"), text_columns=2)]
    for words, rows, text_columns in ((WORST, worst_rows(places), 4), (EFFORT, effort_rows(places), 1)):
        if len(rows) > 1:
            parts += [words, markdown(rows, text_columns=text_columns)]
    return parts


def _mistakes(material: Material) -> str:
    """Return the classes that are taken for others, and the rows where location changed P of the true class most."""
    judged, names = material.judged[material.largest], material.class_titles
    obs_id = material.observations.obs_id

    def table(rows: Sequence[Sequence[str]], text_columns: int) -> str:
        if len(rows) < 2:
            return "None."
        return markdown([[as_text(cell) for cell in row] for row in rows], text_columns=text_columns)

    where = f"{ratio_title(ratio_key(material.largest))} labels, {TITLES[material.main]}"
    return "\n\n".join(
        [
            f"## Commonest mistakes, {where}",
            f"Rows{' per seed' if judged.seeds > 1 else ''} of a class that are taken for another, by the image alone and by "
            "the pool; the pairs that both together mix up most often.",
            table(confusion_rows(material.confusions, names, seeds=judged.seeds), 2),
            "Rows that location turned right, those whose probability of the true class rose most, one per class; `P` is that "
            "of the guess before it:",
            table(turned_table(material.turned.helped, judged, obs_id, names), 3),
            "Rows that location turned wrong:",
            table(turned_table(material.turned.harmed, judged, obs_id, names), 3),
        ]
    )


HATCHED_CLASSES = (
    "Hatched: land farther from every labelled place than the distance in the title, within which "
    f"nearly all of these places have {OTHERS} others."
)


def hatched(end: str | None) -> str:
    """Return a sentence, after a space, on the land that is hatched; nothing where none is."""
    return "" if end is None else f" Hatched: land {end}."


def cluster_words(count: int, drawn: Drawn) -> str:
    """Return what the maps of ``count`` clusters show."""
    what = f"The embeddings e(x) of a grid of places on land, in {count} clusters (Ward's linkage of embeddings of length 1)"
    if len(drawn.clusters) == 1:
        return (
            f"{what}. Fine-tuning on the fewest labels left them all as they were, so that one map shows before and after. "
            f"Colours run from the poles to the equator.{hatched(drawn.end)}"
        )
    return (
        f"{what}, before and after fine-tuning on the fewest labels. Colours before it run from the poles to the equator; each "
        "cluster after it has the colour of its match, the pairing that overlaps most. "
        f"{100 * drawn.kept:.0f} % of the land keeps its colour.{hatched(drawn.end)}"
    )


def tested_places(metrics: Metrics) -> str:
    """Return what the test rows on the map of a class are called."""
    return "those of both test sets" if len(metrics) > 1 else "those of the test set"


def map_section(name: str, *, title: str, clusters: Sequence[str], words: str, tested: str) -> str:
    """Return the section of the maps of location embeddings and of P(y|x).

    Args:
        name: the class whose P(y|x) is drawn.
        title: its name with what it means.
        clusters: the titles of the maps of the clusters.
        words: what these show.
        tested: `tested_places`.
    """
    parts = [
        "## Location embeddings",
        words,
        f"![World {'maps' if len(clusters) > 1 else 'map'} of the clusters: {' and '.join(clusters)}](figures/clusters.png)",
        f"## Where {as_code(title)} is",
        f"P({as_text(name)} | x), with the labelled observations of the class that the location classifier has seen and "
        f"{tested}. {HATCHED_CLASSES}",
        f"![World maps of P({as_text(name)} | x) at the smallest and the largest label ratio](figures/class.png)",
        "The most likely class by the same classifier at the largest label ratio, with the share of the drawn land that each "
        "class takes:",
        "![Map of the most likely class](figures/most_likely_class.png)",
    ]
    return "\n\n".join(parts)


NAMED = 40
"""Most classes that are named."""


def data_section(account: Document, titles: Mapping[str, str]) -> str:
    """Return counts, reasons and remarks of account.json as Markdown, with classes under their titles."""
    rows, rejected = account["rows"], account["rejected"]
    share = f" ({100 * rejected / rows:.2g} %)" if rejected else ""
    sizes = {titles.get(name, name): count for name, count in account["classes"].items()}
    lacking = [f"{account[key]:,} without {key.removeprefix('without_')}" for key in ("without_position", "without_label")]
    parts = [
        "## Data",
        f"{rows:,} rows of the source: {account['observations']:,} observations, {rejected:,} rows set aside{share}. "
        f"Of the observations {' and '.join(lacking)}. {_classes(sizes)}",
    ]
    for title, counts in (("set aside because", account["reasons"]), ("kept, but", account["notes"])):
        if counts:
            parts.append(
                markdown([[title, "rows"], *([as_text(why), f"{count:,}"] for why, count in counts.items())], text_columns=1)
            )
    if account["warnings"]:
        parts.append("\n".join(f"- {as_text(warning)}" for warning in account["warnings"]))
    return "\n\n".join(parts)


def _classes(sizes: Mapping[str, int]) -> str:
    counts = sorted(sizes.values())
    if not counts:
        return "There is no class."
    span = f"{counts[0]:,} to {counts[-1]:,} observations, median {counts[len(counts) // 2]:,}"
    if counts[0] == counts[-1]:
        span = f"{counts[0]:,} observations each"
    return f"{len(sizes):,} classes of {span}: {_names(list(sizes))}."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(as_text(name) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown


MEANINGS = {
    "knn_km": "the median distance between a training image and its nearest neighbour in features, in kilometres",
    "neighbour_share": "the share of training images with another one no farther than neighbour_km",
    "without_land_cover": "training images outside the raster, which were left out",
    "temporal_fallback": "the share of images whose second view was their own, as no other shows their place at another date",
    "places_of_one_date": "the places left out because all their images are of one date",
    "queue": "the places that were negatives at each step",
    "terms": "the parts of the loss, which is half their sum",
    "temperature": "the temperature of the cosines, where it is learned",
}
"""Explanations of facts, by the beginning of their names; these columns of a curve are no losses."""


def image_section(facts: Document) -> str:
    """Return a paragraph on reports/pretrain_img.json: the method, its note and its numbers with their meanings."""
    rest = {name: value for name, value in facts.items() if name not in ("method", "note", "retrieval")}
    parts = [f"Pre-training of the image network: {as_code(str(facts['method']))}."]
    if "note" in facts:
        parts.append(f"{facts['note']}.")
    if rest:
        parts.append("; ".join(f"{as_code(name)} {value}" for name, value in rest.items()) + ".")
    parts += [f"{as_code(start)}: {text}." for start, text in MEANINGS.items() if any(name.startswith(start) for name in rest)]
    return " ".join(parts)


SETS = ("test", "spatial_test")
"""The sets of the columns, whether they have rows or not, so that dvc.yaml can name the columns."""


def write_accuracy(file: Path, metrics: Metrics) -> None:
    """Write a header and one line per label ratio, in per cent; cells are empty where a set has no row."""
    ratios = list(next(iter(metrics.values())))
    lines = ["\t".join(("labels", *(f"{role}_{model}" for role in SETS for model in MODELS)))]
    for ratio in ratios:
        cells = [f"{percent(ratio):g}"]
        for role in SETS:
            scores = metrics.get(role, {}).get(ratio, {})
            cells += [f"{scores[model]['top1']['mean']:.4f}" if model in scores else "" for model in MODELS]
        lines.append("\t".join(cells))
    file.write_text("\n".join(lines) + "\n")
