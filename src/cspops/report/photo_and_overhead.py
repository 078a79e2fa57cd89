"""How photos and overhead images find one another after `pretrain_img.method: gair`, from reports/pretrain_img.json."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from cspops.data.json_files import Document
from cspops.gair.score_maps import ScoreMaps
from cspops.report.figures import BLUE, STYLE, save
from cspops.report.html_parts import Group, Picture, Table, data_uri, place_text
from cspops.report.maps import PROBABILITY
from cspops.report.tables import TITLES, markdown

TITLE = "Photo and overhead image"
CAPTION = "Retrieval within held-out blocks: the share of queries whose own row is among the first k, per cent"
HEADER = ("set", "query and gallery", "candidates", "R@1", "R@5", "R@10", "median km")
DIRECTIONS = {"photo_to_overhead": "photo to overhead", "overhead_to_photo": "overhead to photo"}
WITHIN = "photo to places of its overhead image"
TERMS = {
    "overhead_to_photo": "the overhead feature at a place against the batch's photos",
    "photo_to_overhead": "a photo against the batch's overhead features",
    "photo_to_place": "a photo against the places of the queue",
    "overhead_to_place": "the overhead feature at a place against the places of the queue",
}
"""What each term of the loss compares."""
WORDS = (
    "An overhead image is read at the place of the photo, by NILI, and rows of one set are ranked by the cosine of both "
    "embeddings; within an image, its own place and random ones are. No training row lies in their blocks. The median is of "
    "the distance from the right place to the best match."
)
NOTHING = (
    "No held-out block has rows with a photo and an overhead image: retrieval was not measured. "
    "`split.spatial_val` and `split.spatial_test` are the shares of such blocks."
)


MAPS = (
    "Photos of a held-out block, their overhead images, and how well each part of these fits the photo (dark: best, in a scale "
    "of its own); the cross is the photo's place"
)
OVERHEAD_MAPS = "overhead.png"
"""Their picture, in the stage's folder."""
EXTENT = (0.0, 1.0, 0.0, 1.0)


def is_gair(facts: Document) -> bool:
    """Whether the image network is GAIR's."""
    return bool(facts["method"] == "gair")


def sentence(facts: Document) -> str:
    """Return what was trained on what."""
    terms = [TERMS.get(term, term) for term in str(facts["terms"]).split(", ")]
    said = f"Trained on {facts['rows']:,} rows without their labels, by {len(terms)} term{'s' * (len(terms) > 1)}: "
    said += f"{'; '.join(terms)}."
    queue = f" The queue held {facts['queue']:,} places." if "place" in str(facts["terms"]) else ""
    return said + queue


def retrieval_groups(facts: Document) -> list[tuple[str, list[list[str]]]]:
    """Return by set the rows of the table, each direction and chance: direction, rows, R@1, R@5, R@10, median km."""
    groups = []
    for role, found in facts.get("retrieval", {}).items():
        n = found["rows"]
        rows = [
            [text, f"{n:,}", *(f"{found[way][f'r_{k}']:.2f}" for k in (1, 5, 10)), _km(found[way]["median_km"])]
            for way, text in DIRECTIONS.items()
        ]
        rows.append(_chance("chance", f"{n:,}", n, "–"))
        within = found["within_image"]
        m = within["places"]
        of = f"{m:,} of one image"
        rows += [
            [WITHIN, of, *(f"{within[f'r_{k}']:.2f}" for k in (1, 5, 10)), _km(within["median_km"])],
            _chance("chance within the image", of, m, _km(within["chance_km"])),
        ]
        groups.append((TITLES.get(role, role), rows))
    return groups


def _km(distance: float) -> str:
    """Return whole kilometres, or two digits where they are fewer."""
    return f"{distance:,.0f}" if distance >= 10 else f"{distance:.2g}"


def _chance(text: str, candidates: str, n: int, km: str) -> list[str]:
    return [text, candidates, *(f"{min(100.0, 100 * k / n):.2f}" for k in (1, 5, 10)), km]


def section(facts: Document) -> list[str]:
    """Return the parts of the section in Markdown; none where the image network is not GAIR's."""
    if not is_gair(facts):
        return []
    groups = retrieval_groups(facts)
    body = [[role, *row] for role, rows in groups for row in rows]
    told = [f"{CAPTION}. {WORDS}", markdown([list(HEADER), *body], text_columns=2)] if groups else [NOTHING]
    return [f"## {TITLE}", sentence(facts), *told]


def html_part(facts: Document, picture: Path) -> dict[str, object]:
    """Return what the template takes; the table is None where nothing was measured, so is the picture where there is none."""
    if not is_gair(facts):
        return {"overhead_words": [], "overhead_table": None, "overhead_maps": None}
    groups = [Group(f"{role.capitalize()} set", rows) for role, rows in retrieval_groups(facts)]
    table = Table(CAPTION, HEADER[1:], groups) if groups else None
    maps = Picture(MAPS, uri=data_uri(picture.read_bytes(), "png"), alt=MAPS) if picture.is_file() else None
    words = [sentence(facts), WORDS if groups else NOTHING]
    return {"overhead_words": words, "overhead_table": table, "overhead_maps": maps}


def draw_maps(maps: ScoreMaps, file: Path) -> None:
    """Draw each photo above its overhead image and the scores of all parts of it, with the photo's place."""
    m = len(maps.photo)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.3 * m, 7.2), layout="constrained")
        for column, axes in enumerate(figure.subplots(3, m, squeeze=False).T):
            lon, lat = maps.lonlat[column].tolist()
            axes[0].imshow(maps.photo[column].numpy())
            axes[1].imshow(maps.overhead[column].numpy(), extent=EXTENT)
            axes[2].imshow(maps.scores[column].numpy(), extent=EXTENT, cmap=PROBABILITY)
            for ax in axes[1:]:
                x, y = maps.at[column].tolist()
                for colour, wide in (("#FFFFFF", 4.5), (BLUE, 2)):
                    ax.plot(x, 1 - y, "x", color=colour, markersize=10, markeredgewidth=wide)
            for ax, text in zip(axes, (place_text(lon, lat), "its overhead image", "cosine at each point"), strict=True):
                ax.set(xticks=[], yticks=[])
                ax.set_title(text, fontsize=9)
                ax.grid(visible=False)
        save(figure, file)
