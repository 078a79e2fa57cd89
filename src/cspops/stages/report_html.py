"""report.html: everything about one run on one page that needs no network."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cspops.data.splits import ratio_key, read_few_shot
from cspops.evaluation.metrics import BINS
from cspops.evaluation.reliability import reliability
from cspops.report import charts, html_tables
from cspops.report.headline import counting_sentence, main_sentences
from cspops.report.html_page import render
from cspops.report.html_parts import Group, Picture, Section, Table, data_uri, mean_text
from cspops.report.image_section import MEANINGS
from cspops.report.locator import locator
from cspops.report.maps import region
from cspops.report.page import LEAST_ROWS, where_sentence
from cspops.report.tables import TITLES, ratio_title
from cspops.stages.report_examples import examples
from cspops.stages.report_material import Material
from cspops.stages.report_mistakes import Turned, confusion_rows, confusions, matrices, turned_rows
from cspops.stages.run_facts import differences, facts, package_version, value_of
from cspops.stages.site import Site

SECTIONS = {
    "run": "What was run",
    "accuracy": "Accuracy",
    "training": "Training",
    "maps": "Maps",
    "mistakes": "Commonest mistakes",
    "examples": "Where location turned a guess",
    "regions": "Accuracy by region",
    "data": "Data",
    "network": "Image network",
    "calibration": "Calibration",
    "reproduce": "How to reproduce",
}
CALIBRATION = ("image", "combined", "calibrated")
LEAST_IN_BIN = 20


def html(of: Material, site: Site) -> str:
    """The page."""
    seeds = len(of.view.seeds)
    source = str(value_of(of.records, "dataset.source"))
    accuracy = html_tables.accuracy_table(of.metrics, seeds=seeds, source=source)
    return render(
        {
            "title": f"What location adds to the image: {html_tables.DATASETS.get(source, source)}",
            "sections": [Section(anchor, title) for anchor, title in SECTIONS.items()],
            "main_sentences": main_sentences(of.metrics, of.intervals),
            "counting_sentence": counting_sentence(of.metrics),
            "headline": Picture(
                "What location adds to the image: combined minus image alone, in points of top-1, with 95 % intervals",
                charts.gains(of.intervals, "gains", "Points of top-1 that location adds at each label ratio"),
            ),
            "run_facts": _run_facts(of, site),
            "differences": _differences(of),
            "accuracy": accuracy,
            "no_paper_ratio": not any((group.title or "").startswith("Paper") for group in accuracy.groups),
            "accuracy_charts": list(_accuracy_charts(of)),
            "main_set": TITLES[of.main],
            "all_metrics": html_tables.metric_table(
                of.metrics[of.main][ratio_key(of.largest)], role=of.main, ratio=ratio_key(of.largest), seeds=seeds
            ),
            "all_intervals": html_tables.interval_table(of.intervals),
            **_training(of),
            **_maps(of),
            **_mistakes(of, site),
            **_regions(of),
            **_data(of),
            **_calibration(of),
            "version": package_version(),
        }
    )


def _run_facts(of: Material, site: Site) -> list[tuple[str, str]]:
    seed, obs_id = of.view.seeds[0], of.observations.obs_id
    few = {ratio: read_few_shot(site.inputs["split"], obs_id, seed=seed, ratio=ratio) for ratio in of.view.label_ratios}
    return facts(
        of.records,
        loss=of.view.loss,
        roles={TITLES.get(role, role): int(mask.sum()) for role, mask in of.roles.items() if mask.any()},
        labels=[f"{ratio_title(ratio_key(ratio))} ({int(mask.sum()):,})" for ratio, mask in few.items()],
        classes=len(of.observations.classes),
    )


def _differences(of: Material) -> Table | None:
    rows = differences(of.records, {"report": of.view.report.model_dump(mode="json")})
    return Table("Keys of params.yaml", ["key", "default", "this run"], [Group(None, rows)], 3) if rows else None


def _accuracy_charts(of: Material) -> Iterator[Picture]:
    best = max(
        models[model]["top1"]["mean"] + models[model]["top1"]["sd"]
        for ratios in of.metrics.values()
        for models in ratios.values()
        for model in charts.LINES
    )
    spread = ", bars of one standard deviation over seeds" if len(of.view.seeds) > 1 else ""
    for role, ratios in of.metrics.items():
        title = f"{TITLES[role].capitalize()}: top-1 against the share of labels{spread}"
        top = min(100.0, 1.06 * best)
        yield Picture(title, charts.accuracy(ratios, f"acc-{role}", title, top=top, seeds=len(of.view.seeds)))


def _training(of: Material) -> dict[str, Any]:
    groups = []
    for number, (title, rows) in enumerate(of.curves.items()):
        if not rows:
            continue
        _, *columns = dict.fromkeys(name for row in rows for name in row)
        validation = [name for name in columns if "_val_" in name]
        of_ratios = [name for name in columns if name.startswith("label_") and name not in validation]
        single = [name for name in columns if name not in (*validation, *of_ratios)]
        pictures = []
        for place, (caption, shown, unit) in enumerate(
            [(_term(name), [name], MEANINGS_UNITS.get(name, "loss")) for name in single]
            + [("training loss of each label ratio", of_ratios, "loss")] * bool(of_ratios)
            + [("validation loss of each label ratio", validation, "nll")] * bool(validation)
        ):
            drawn = rows if shown != validation else [_without_suffix(row) for row in rows]
            names = [name.partition("_val_")[0] for name in shown]
            pictures.append(
                Picture(caption, charts.curve(drawn, names, f"curve-{number}-{place}", f"{title}: {caption}", unit=unit))
            )
        groups.append((title[0].upper() + title[1:], pictures))
    return {
        "curve_groups": groups,
        "training_words": "Means over seeds where there are several. Each chart has a scale of its own.",
    }


TERMS = {
    "B": "B, in-batch: the image against other images",
    "L": "L, negative locations",
    "D": "D, dropout positives",
    "total": "total",
}
MEANINGS_UNITS = {"knn_km": "km", "neighbour_share": "share"}


def _term(column: str) -> str:
    return TERMS.get(column, MEANINGS.get(column, column))


def _without_suffix(row: Mapping[str, float]) -> dict[str, float]:
    return {
        name.partition("_val_")[0]: value for name, value in row.items() if "_val_" in name or not name.startswith("label_")
    }


def _maps(of: Material) -> dict[str, Any]:
    name = of.observations.classes[of.chosen]
    return {
        "cluster_words": f"The embeddings e(x) of a grid of places on land, in {of.view.report.clusters} clusters, before and after "
        "fine-tuning on the fewest labels. Colours before it run from the poles to the equator; each cluster after it has the "
        f"colour of the one that it overlaps most. {100 * of.drawn.kept:.0f} % of the land keeps its colour.",
        "cluster_maps": _pictures(of.drawn.clusters, "Map of the clusters of location embeddings"),
        "class_name": name,
        "class_words": f"P({name} | x) by the location classifier, which sees no image, with the labelled observations of the class "
        "that it has learned from and those of both test sets.",
        "class_maps": _pictures(of.drawn.classes, f"Map of P({name} | x)"),
        "observation_maps": _pictures(of.drawn.observations, "Map of observations"),
    }


def _pictures(files: Mapping[str, Path], alt: str) -> list[Picture]:
    return [
        Picture(title[0].upper() + title[1:], uri=data_uri(file.read_bytes(), "png"), alt=f"{alt}: {title}")
        for title, file in files.items()
    ]


def _mistakes(of: Material, site: Site) -> dict[str, Any]:
    judged, names = of.judged[of.largest], of.observations.classes
    found, ratio, rows_of = confusions(judged, len(names)), ratio_title(ratio_key(of.largest)), TITLES[of.main]
    turned = turned_rows(judged, of.observations)
    positions = of.observations.lonlat[of.observations.located].numpy()
    ground = locator(of.world, region(positions, of.world))
    header, *body = confusion_rows(found, names, seeds=judged.seeds)
    caption = f"The commonest mistakes, rows{' a seed' if judged.seeds > 1 else ''}"
    return {
        "confusions": Table(caption, header, [Group(None, body)], 2) if found else None,
        "matrices": matrices(judged, names) if found else [],
        "mistakes_words": f"On the {rows_of} set at {ratio} of the labels: the pairs of classes that image and combined mix up most "
        "often, counted over both so that the choice favours neither, and what location changes.",
        "examples_words": _examples_words(turned, rows_of, ratio, of.view.seeds[0]),
        "ground": ground,
        "helped": examples(turned.helped, judged, of.observations, ground, site),
        "harmed": examples(turned.harmed, judged, of.observations, ground, site),
    }


def _examples_words(turned: Turned, rows_of: str, ratio: str, seed: int) -> str:
    return (
        f"Of the {turned.rows:,} located rows of the {rows_of} set, at {ratio} of the labels and seed {seed}, location turned "
        f"{turned.to_right:,} wrong guesses right and {turned.to_wrong:,} right ones wrong. Shown are those whose probability of "
        "the true class changed most, one a class where there are enough; they are extremes, not typical rows."
    )


def _regions(of: Material) -> dict[str, Any]:
    key = ratio_key(of.largest)
    places = {role: ratios[key] for role, ratios in of.regions.items() if any(ratios[key].values())}
    drawn = []
    for kind, what in (("distance", "distance to the nearest labelled row"), ("latitude", "latitude")):
        for role, kinds in places.items():
            large = [row for row in kinds[kind] if row["rows"] >= LEAST_ROWS]
            title = f"{TITLES[role].capitalize()}, by {what}"
            if large:
                drawn.append(Picture(title, charts.regions(large, kind, f"region-{kind}-{role}", title)))
    captions = {
        "distance": "By distance to the nearest labelled row",
        "latitude": "By latitude",
        "cell": "By cells of 30 degrees",
    }
    return {
        "regions_words": f"At {ratio_title(key)} of the labels, over all rows of all seeds. Charts leave out regions of fewer than "
        f"{LEAST_ROWS} rows a seed.",
        "where_sentences": [where_sentence(kinds["cell"], role) for role, kinds in places.items()],
        "region_charts": drawn,
        "region_tables": [html_tables.region_table(places, kind, f"{caption}, {ratio_title(key)} of the labels; top-1, per cent")
                          for kind, caption in captions.items()] if places else [],
    }  # fmt: skip


def _data(of: Material) -> dict[str, Any]:
    account, facts_of_image = of.account, of.pretrain_img
    rows, rejected = account["rows"], account["rejected"]
    sizes = dict(sorted(account["classes"].items(), key=lambda item: (-item[1], item[0])))
    counts = sorted(sizes.values())
    pairs = [
        ("Rows of the source", f"{rows:,}"),
        ("Observations", f"{account['observations']:,}"),
        ("Set aside", f"{rejected:,} ({100 * rejected / rows:.2g} %)" if rejected else "0"),
        ("Without position", f"{account['without_position']:,}"),
        ("Without label", f"{account['without_label']:,}"),
        ("Rows of a class", f"{counts[0]:,} to {counts[-1]:,}, median {counts[len(counts) // 2]:,}" if counts else "–"),
    ]
    tables = [
        ("Rows that were set aside", "reason", account["reasons"]),
        ("Rows that were kept with a note", "note", account["notes"]),
    ]
    said = {name: value for name, value in facts_of_image.items() if name != "note"}
    shown = dict(list(sizes.items())[:MOST_SIZES])
    if len(sizes) > MOST_SIZES:
        shown[f"{len(sizes) - MOST_SIZES:,} smaller classes"] = sum(list(sizes.values())[MOST_SIZES:])
    return {
        "data_facts": pairs,
        "data_tables": [html_tables.count_table(caption, what, counts) for caption, what, counts in tables if counts],
        "warnings": account["warnings"],
        "class_sizes": html_tables.count_table("Observations of each class", "class", shown),
        "image_facts": [(name.replace("_", " "), value) for name, value in said.items()],
        "image_words": [
            *([f"{facts_of_image['note']}."] if "note" in facts_of_image else []),
            *(f"{start}: {text}." for start, text in MEANINGS.items() if any(name.startswith(start) for name in said)),
        ],
    }


MOST_SIZES = 60


def _calibration(of: Material) -> dict[str, Any]:
    drawn = []
    for number, (ratio, judged) in enumerate(of.judged.items()):
        bins = {model: reliability(judged.confidence[model], judged.hit(model), least=LEAST_IN_BIN) for model in CALIBRATION}
        title = f"{TITLES[of.main].capitalize()}, {ratio_title(ratio_key(ratio))} of the labels"
        drawn.append(Picture(title, charts.reliability(bins, f"reliability-{number}", f"Reliability: {title}")))
    ratios, seeds = of.metrics[of.main], len(of.view.seeds)
    groups = [
        Group(
            title,
            [
                [html_tables.model_name(model), *(mean_text(models[model][metric], seeds=seeds) for models in ratios.values())]
                for model in CALIBRATION
            ],
        )
        for metric, title in (("ece", "ece, per cent"), ("nll", "nll, nats"))
    ]
    return {
        "bins": BINS,
        "reliability_charts": drawn,
        "calibration_words": f"Over all seeds; bins of fewer than {LEAST_IN_BIN} rows are not drawn. Calibrated is "
        "softmax(z / T) P(y|x)^w with T and w of least negative log-likelihood on the labelled validation rows, which may be "
        "more than the labels of a small ratio.",
        "calibration_table": Table(
            f"Calibration on the {TITLES[of.main]} set", ["model", *(ratio_title(key) for key in ratios)], groups
        ),
    }
