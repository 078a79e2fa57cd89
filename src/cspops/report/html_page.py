"""report.html: everything about one run on one page that needs no network."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cspops.data.given_features import GIVEN
from cspops.data.splits import ratio_key, read_few_shot
from cspops.report import charts, html_tables
from cspops.report.examples import examples, locator
from cspops.report.headline import few_rows
from cspops.report.html_parts import Group, Picture, Section, Table, data_uri, render
from cspops.report.material import Material
from cspops.report.mistakes import Turned, confusion_rows, matrices
from cspops.report.page import HATCHED_CLASSES, MEANINGS, answer, cluster_words, notes_on_sets, tested_places
from cspops.report.photo_and_overhead import OVERHEAD_MAPS, html_part, is_gair
from cspops.report.photo_and_overhead import TERMS as GAIR_TERMS
from cspops.report.photo_and_overhead import TITLE as GAIR_TITLE
from cspops.report.probed import TITLE as PROBE_TITLE
from cspops.report.probed import probe_part
from cspops.report.run_facts import differences, facts, package_version, value_of
from cspops.report.scores import accuracy_charts, calibration_part, regions_part
from cspops.report.tables import TITLES, ratio_title
from cspops.site import Site
from cspops.training.loop import Curve

TERMS = {
    "B": "B, in-batch: the image against other images",
    "L": "L, negative locations",
    "D": "D, dropout positives",
} | GAIR_TERMS
KM = {f"knn_km_{when}": f"Median km of the nearest neighbour in features, {when} training" for when in ("before", "after")}
FACTS = {"method": "Pre-training"} | KM
"""Words in place of the names of facts on the image network."""
UNITS = {"knn_km": "km", "neighbour_share": "share"}
RATIO_CHARTS = {
    "": ("training loss at each label ratio", "loss"),
    "_val_nll": ("validation loss at each label ratio", "nll"),
    "_val_top1": ("validation accuracy at each label ratio", "top-1, per cent"),
}
"""Columns `label_5`, `label_5_val_nll` ... by suffix: caption and unit."""
RATIO = re.compile(r"(label_[0-9p]+)(_val_nll|_val_top1|)")


def training_part(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return the charts of every curve by its title; curves without a row are left out."""
    groups = []
    for number, (title, rows) in enumerate(curves.items()):
        if rows:
            drawn = [
                Picture(caption, charts.curve(part, columns, f"curve-{number}-{place}", f"{title}: {caption}", unit=unit))
                for place, (caption, unit, columns, part) in enumerate(_charts(rows))
            ]
            groups.append((title[0].upper() + title[1:], drawn))
    return {
        "curve_groups": groups,
        "training_words": "Means over seeds where there are several. Each chart has a scale of its own.",
    }


def _charts(rows: Curve) -> list[tuple[str, str, list[str], Curve]]:
    """Return caption, unit, columns and rows of each chart."""
    x, *columns = dict.fromkeys(name for row in rows for name in row)
    matches = {name: RATIO.fullmatch(name) for name in columns}
    out = [
        (TERMS.get(name, MEANINGS.get(name, name)), UNITS.get(name, "loss"), [name], rows)
        for name, match in matches.items()
        if match is None
    ]
    for end, (caption, unit) in RATIO_CHARTS.items():
        ratios = {match[1]: name for name, match in matches.items() if match is not None and match[2] == end}
        if ratios:
            part = [{x: row[x]} | {ratio: row[name] for ratio, name in ratios.items() if name in row} for row in rows]
            out.append((caption, unit, list(ratios), part))
    return out


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
    "overhead": GAIR_TITLE,
    "calibration": "Calibration",
    "probe": PROBE_TITLE,
    "reproduce": "How to reproduce",
}
MOST_SIZES = 60
"""Most classes whose sizes are listed."""


def html(material: Material, site: Site) -> str:
    """Return the page."""
    seeds, largest = len(material.view.seeds), ratio_key(material.largest)
    source = str(value_of(material.records, "dataset.source"))
    scores = material.scores
    return render(
        {
            "title": material.title,
            "sections": _sections(material),
            "few_rows": few_rows(scores.intervals, scores.metrics),
            "answer": answer(material),
            "headline": Picture(
                "Pool minus image alone, in points of top-1, with 95 % intervals",
                charts.gains(scores.intervals, "gains", "Pool minus image alone, in points of top-1, at each label ratio"),
            ),
            "run_facts": _run_facts(material, site),
            "differences": _differences(material),
            "accuracy": html_tables.accuracy_table(scores.metrics, seeds=seeds),
            "accuracy_notes": notes_on_sets(material),
            "priors": html_tables.prior_table(scores.metrics, seeds=seeds),
            "paper": html_tables.paper_table(list(scores.metrics[material.main]), source),
            "same_data": source in html_tables.DATASETS,
            "accuracy_charts": list(accuracy_charts(material)),
            "main_set": TITLES[material.main],
            "all_metrics": html_tables.metric_table(
                scores.metrics[material.main][largest],
                role=material.main,
                ratio=largest,
                seeds=seeds,
                rows=len(material.judged[material.largest].first_seed),
            ),
            "all_intervals": html_tables.interval_table(scores.intervals),
            **disjoint(
                training_part(material.curves),
                _maps(material),
                _mistakes(material, site),
                regions_part(material),
                _data(material),
                html_part(material.pretrain_img, site.out / OVERHEAD_MAPS),
                calibration_part(material),
                probe_part(material.probed, seed=material.view.seeds[0]),
            ),
            "version": package_version(),
        }
    )


def disjoint(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all sections show; ValueError where two have one name, so that one would show what is the other's."""
    out: dict[str, Any] = {}
    for part in parts:
        if twice := out.keys() & part.keys():
            raise ValueError(f"two sections of the page have the same name: {', '.join(sorted(twice))}")
        out |= part
    return out


def _sections(material: Material) -> list[Section]:
    """Return the sections of the page; two are there where the run has what they show."""
    optional = {"overhead": is_gair(material.pretrain_img), "probe": bool(material.probed)}
    return [Section(anchor, title) for anchor, title in SECTIONS.items() if optional.get(anchor, True)]


def _run_facts(material: Material, site: Site) -> list[tuple[str, str]]:
    seed, obs_id = material.view.seeds[0], material.observations.obs_id
    few = {ratio: read_few_shot(site.inputs["split"], obs_id, seed=seed, ratio=ratio) for ratio in material.view.label_ratios}
    return facts(
        material.records,
        loss=material.view.loss,
        roles={TITLES.get(role, role): int(mask.sum()) for role, mask in material.roles.items() if mask.any()},
        labels=[f"{ratio_title(ratio_key(ratio))} ({int(mask.sum()):,})" for ratio, mask in few.items()],
        classes=len(material.observations.classes),
        given=material.pretrain_img.get("method") == GIVEN,
    )


def _differences(material: Material) -> Table | None:
    rows = differences(material.records, {"report": material.view.report.model_dump(mode="json")})
    return Table("Keys of params.yaml", ["key", "default", "this run"], [Group(None, rows)], 3) if rows else None


def _maps(material: Material) -> dict[str, Any]:
    name, title = (classes[material.chosen] for classes in (material.observations.classes, material.class_titles))
    return {
        "cluster_words": cluster_words(material.view.report.clusters, material.drawn),
        "cluster_maps": _pictures(material.drawn.clusters, "Map of the clusters of location embeddings"),
        "class_title": title,
        "class_words": f"P({name} | x) by the location classifier, which sees no image, with the labelled observations of "
        f"the class that it has learned from and {tested_places(material.scores.metrics)}. {HATCHED_CLASSES}",
        "class_maps": _pictures(material.drawn.classes, f"Map of P({name} | x)"),
        "likeliest_map": _pictures(material.drawn.likeliest, "Map of the most likely class")[0],
        "likeliest_legend": material.drawn.legend,
        "observation_maps": _pictures(material.drawn.observations, "Map of observations"),
    }


def _pictures(files: Mapping[str, Path], alt: str) -> list[Picture]:
    return [
        Picture(title[0].upper() + title[1:], uri=data_uri(file.read_bytes(), "png"), alt=f"{alt}: {title}")
        for title, file in files.items()
    ]


def _mistakes(material: Material, site: Site) -> dict[str, Any]:
    judged, names, titles = material.judged[material.largest], material.observations.classes, material.class_titles
    confusions, turned = material.confusions, material.turned
    ratio, test_set = ratio_title(ratio_key(material.largest)), TITLES[material.main]
    ground = locator(material.world)
    header, *body = confusion_rows(confusions, titles, seeds=judged.seeds)
    caption = f"The commonest mistakes, rows{' per seed' if judged.seeds > 1 else ''}"
    return {
        "confusions": Table(caption, header, [Group(None, body)], 2) if confusions else None,
        "matrices": matrices(judged, names) if confusions else [],
        "mistakes_words": f"On the {test_set} set at {ratio} of the labels: the pairs of classes that image and pool mix "
        "up most often, counted over both so that the choice favours neither, and what location changes.",
        "examples_words": _examples_words(turned, test_set, ratio, material.view.seeds[0]),
        "ground": ground,
        "helped": examples(turned.helped, judged, material.observations, titles, ground, site),
        "harmed": examples(turned.harmed, judged, material.observations, titles, ground, site),
    }


def _examples_words(turned: Turned, test_set: str, ratio: str, seed: int) -> str:
    if not turned.rows:
        return f"No row of the {test_set} set has a position."
    return (
        f"Of the {turned.rows:,} located rows of the {test_set} set, at {ratio} of the labels and seed {seed}, location turned "
        f"{turned.to_right:,} wrong guesses right and {turned.to_wrong:,} right ones wrong. Shown are those whose probability "
        "of the true class changed most, one per class where there are enough; they are extremes, not typical rows."
    )


def _data(material: Material) -> dict[str, Any]:
    account, image_facts = material.account, material.pretrain_img
    rows, rejected = account["rows"], account["rejected"]
    titles = dict(zip(material.observations.classes, material.class_titles, strict=True))
    sizes = {titles[name]: n for name, n in sorted(account["classes"].items(), key=lambda item: (-item[1], item[0]))}
    counts = sorted(sizes.values())
    pairs = [
        ("Rows of the source", f"{rows:,}"),
        ("Observations", f"{account['observations']:,}"),
        ("Set aside", f"{rejected:,} ({100 * rejected / rows:.2g} %)" if rejected else "0"),
        ("Without position", f"{account['without_position']:,}"),
        ("Without label", f"{account['without_label']:,}"),
        ("Rows per class", f"{counts[0]:,} to {counts[-1]:,}, median {counts[len(counts) // 2]:,}" if counts else "–"),
    ]
    tables = [
        ("Rows that were set aside", "reason", account["reasons"]),
        ("Rows that were kept with a note", "note", account["notes"]),
    ]
    numbers = {name: value for name, value in image_facts.items() if name not in ("note", "retrieval")}
    shown = dict(list(sizes.items())[:MOST_SIZES])
    if len(sizes) > MOST_SIZES:
        shown[f"{len(sizes) - MOST_SIZES:,} smaller classes"] = sum(list(sizes.values())[MOST_SIZES:])
    return {
        "data_facts": pairs,
        "data_tables": [html_tables.count_table(caption, what, counts) for caption, what, counts in tables if counts],
        "warnings": account["warnings"],
        "class_sizes": html_tables.count_table("Observations of each class", "class", shown),
        "image_facts": [(FACTS.get(name, name), f"{n:,.1f}" if name in KM else n) for name, n in numbers.items()],
        "image_words": [
            *([f"{image_facts['note']}."] if "note" in image_facts else []),
            *(
                f"{start}: {text}."
                for start, text in MEANINGS.items()
                if any(name.startswith(start) for name in numbers.keys() - KM)
            ),
        ],
    }
