"""report.md: the tables and figures of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

from cspops.report.data_section import data_section
from cspops.report.headline import PRODUCT
from cspops.report.tables import (
    TITLES,
    accuracy_rows,
    as_code,
    as_text,
    counted,
    interval_rows,
    markdown,
    metric_rows,
    ratio_title,
    region_rows,
    region_title,
)

LEAST_ROWS = 50
"""Regions of fewer rows are not named in a sentence."""


def page(
    *,
    loss: str,
    seeds: tuple[int, ...],
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Any],
    regions: Mapping[str, Any],
    roles: Mapping[str, int],
    image_network: str,
    account: Mapping[str, Any],
    mistakes: str,
    maps: str,
) -> str:
    """The whole page as Markdown; figures are named relative to reports/."""
    main = next(iter(metrics))  # test, where it has rows
    first = next(iter(metrics[main]))
    places = {role: ratios[first] for role, ratios in regions.items()}
    priors = _priors(metrics[main][first])
    products = ("combined", *(f"{PRODUCT}{name}" for name in priors))
    observations = ", ".join(f"{count:,} {TITLES.get(role, role)}" for role, count in roles.items())
    parts = [
        "# Report",
        f"Pre-training loss `{loss}`, seeds {', '.join(map(str, seeds))}. Accuracies are per cent: "
        + ("mean over seeds (standard deviation)" if len(seeds) > 1 else "of one seed, so that (0.00) is no deviation")
        + ". A seed draws its own few-shot labels, pre-trains and fine-tunes; all meet the same test rows.",
        "## Top-1 accuracy",
        markdown(accuracy_rows(dict(metrics)), text_columns=2),
        "`image`: P(y|I) alone. `location`: P(y|x) alone. `combined`: P(y|I) P(y|x). `calibrated`: softmax(z_I / T) P(y|x)^w "
        "with T and w of least negative log-likelihood on the labelled validation rows, which may be more than the labels of "
        "a small ratio. The spatial test set lies in blocks of the map that hold no training row and have none near. At 100 % "
        "every seed has the same labels, so that the image model, which draws nothing else, has no deviation.",
        "![Top-1 accuracy against the share of labels, for image, location and combined](figures/accuracy.png)",
        f"## All metrics at {ratio_title(first)} labels, {TITLES[main]}",
        markdown(metric_rows(metrics[main][first]), text_columns=1),
        "Per cent, but `nll` (mean negative log-likelihood) in nats; `ece`: expected calibration error of the top class.",
        "## Differences",
        "Top-1 in percentage points with 95 % paired bootstrap intervals over rows and seeds. On validation, calibrated minus "
        "combined is of the rows that chose T and w.",
        markdown(interval_rows(dict(intervals)), text_columns=2),
        "## Location priors without learning",
        "Top-1 of priors that only count the labelled positions, beside the learned `location` and `combined`: the classes' "
        "`frequency`, a longitude-latitude `histogram`, the nearest neighbours (`knn`; `distance_knn` weighs them by "
        "1 / distance) and a kernel density (`kde`), each smoothed towards the frequency. Their neighbours, cells and "
        "bandwidths are those of least negative log-likelihood of image x prior on validation.",
        *(best_prior_sentence(ratios, role) for role, ratios in metrics.items()),
        markdown(accuracy_rows(dict(metrics), models=("location", *priors)), text_columns=2),
        markdown(accuracy_rows(dict(metrics), models=products), text_columns=2),
        f"## Where location helps and where it harms, {ratio_title(first)} labels",
        *(where_sentence(kinds["cell"], role) for role, kinds in places.items()),
        "By distance to the nearest labelled row; top-1 over all rows of all seeds, rows a seed:",
        markdown(region_rows(places, "distance"), text_columns=2),
        "By latitude:",
        markdown(region_rows(places, "latitude"), text_columns=2),
        mistakes,
        "## Training",
        "![Loss of each term against epochs or steps, for each training stage](figures/curves.png)",
        image_network,
        data_section(account),
        f"{observations}.",
        "![Where the observations are: unlabelled, few-shot labelled, validation and test](figures/observations.png)",
        maps,
    ]
    return "\n\n".join(parts) + "\n"


def _priors(models: Mapping[str, Any]) -> list[str]:
    """The priors that were scored, in the order of metrics.json."""
    return [name.removeprefix(PRODUCT) for name in models if name.startswith(PRODUCT)]


def where_sentence(cells: Sequence[Mapping[str, Any]], role: str) -> str:
    """In which of the 30-degree cells with ``LEAST_ROWS`` rows combined - image is greatest, and in which it is least."""
    large = sorted((row for row in cells if row["rows"] >= LEAST_ROWS), key=lambda row: row["gain"])
    where = f"On the {TITLES[role]} set, of the 30-degree cells with at least {LEAST_ROWS} rows,"
    if not large:
        return f"{where} there is none."
    least, most = (
        f"{region_title(dict(row), 'cell')} ({row['gain']:+.2f} points over the image alone, {counted(row['rows'])} rows)"
        for row in (large[0], large[-1])
    )
    if large[0]["gain"] >= 0:
        return f"{where} location harms in none; it helps most in {most} and least in {least}."
    if large[-1]["gain"] <= 0:
        return f"{where} location helps in none; it harms most in {least} and least in {most}."
    return f"{where} location helps most in {most} and harms most in {least}."


def best_prior_sentence(ratios: Mapping[str, Any], role: str) -> str:
    """At which label ratios the best product of the image with a prior is above the learned `combined`, and by how much."""

    def top1(models: Mapping[str, Any], model: str) -> float:
        return float(models[model]["top1"]["mean"])

    above = []
    for ratio, models in ratios.items():
        best = max(_priors(models), key=lambda name: top1(models, f"{PRODUCT}{name}"))
        gain = top1(models, f"{PRODUCT}{best}") - top1(models, "combined")
        if gain > 0:
            above.append(f"at {ratio_title(ratio)} labels (image x `{best}`, {gain:+.2f} points)")
    what = f"On the {TITLES[role]} set a prior without learning beats the learned location model in the product"
    return f"{what} {', '.join(above)}." if above else f"{what} at no label ratio."


def mistakes_section(
    role: str,
    ratio: str,
    seeds: int,
    *,
    confusions: Sequence[Sequence[str]],
    helped: Sequence[Sequence[str]],
    harmed: Sequence[Sequence[str]],
) -> str:
    """Classes that are taken for others, and the rows where location changed P of the true class most.

    Args:
        role: the set.
        ratio: key of the label ratio.
        seeds: how many seeds the confusions are a mean of; the rows are of the first one.
        confusions: a header and rows, as the two below.
        helped: rows that location turned right.
        harmed: rows that it turned wrong.
    """

    def table(rows: Sequence[Sequence[str]], text_columns: int) -> str:
        if len(rows) < 2:
            return "None."
        return markdown([[as_text(cell) for cell in row] for row in rows], text_columns=text_columns)

    where = f"{ratio_title(ratio)} labels, {TITLES[role]}"
    return "\n\n".join(
        [
            f"## Commonest mistakes, {where}",
            f"Rows{' a seed' if seeds > 1 else ''} of a class that are taken for another, by the image alone and by image and "
            "location combined; the pairs that both together mix up most often.",
            table(confusions, 2),
            "Rows that location turned right, those whose probability of the true class rose most, one a class; `P` is of the "
            "guess before it:",
            table(helped, 3),
            "Rows that location turned wrong:",
            table(harmed, 3),
        ]
    )


def map_section(encoder: str, name: str, *, clusters: int, kept: float) -> str:
    """The maps of location embeddings and of P(y|x).

    Args:
        encoder: what the location encoder has gone through before fine-tuning.
        name: the class whose P(y|x) is drawn.
        clusters: of the embeddings.
        kept: the share of the land that has matched clusters.
    """
    parts = [
        "## Location embeddings",
        f"The embeddings e(x) of a grid of places on land, in {clusters} clusters (Ward's linkage of embeddings of length 1), "
        "before and after fine-tuning on the fewest labels. Colours before it run from the poles to the equator; each "
        "cluster after it has the colour of the one it is matched with, so as to overlap most. "
        f"{100 * kept:.0f} % of the land keeps its colour.",
        f"![Two world maps of the clusters: {encoder}, and fine-tuned](figures/clusters.png)",
        f"## Where {as_code(name)} is",
        f"P({as_text(name)} | x), with the labelled observations of the class that the location classifier has seen and those "
        "of both test sets. Spatial test rows lie in blocks that hold no labelled one.",
        f"![World maps of P({as_text(name)} | x) at the smallest and the largest label ratio](figures/class.png)",
    ]
    return "\n\n".join(parts)
