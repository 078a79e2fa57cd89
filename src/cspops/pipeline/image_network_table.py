"""Linear probes of each image network, on the workspace's own catalogue and split, as a table."""

import json
import logging
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cspops.data.splits import ratio_key
from cspops.errors import DataError, ParamsError
from cspops.files import write_whole
from cspops.imagessl.images import Facts
from cspops.params import Params, completed, value_at
from cspops.pipeline import paths
from cspops.pipeline.image_probes import JUDGED, ImageRow, Probed, Probes, Refusal, chosen, image_network, image_rows
from cspops.report.image_networks_page import ListedNetwork, Network, NetworksDocument, page
from cspops.report.tables import Mean
from cspops.site import Site
from cspops.training.resume import Resume

if TYPE_CHECKING:
    from cspops.host import Host

log = logging.getLogger(__name__)


COMMAND = "image-networks"
SEEDS = 3
"""How many seeds a command uses by default."""


def listing(params: Params, *, also: Sequence[str], seeds: int | None = None) -> list[ListedNetwork]:
    """Return one entry per row: what the network is, and whether the table has its numbers."""
    params = completed(params)
    rows, kept = image_rows(params, also), {one["name"]: one for one in _kept(params)}
    try:
        keys = {row.name: _row_key(params, row, _seeds(params, seeds)) for row in rows}
    except DataError:  # before the first run
        keys = {}
    computed = {name for name, key in keys.items() if name in kept and kept[name]["key"] == key and "scores" in kept[name]}
    return [{**row.about(), "computed": row.name in computed} for row in rows]


def run(
    params: Params,
    host: "Host",
    *,
    names: Sequence[str] = (),
    also: Sequence[str] = (),
    seeds: int | None = None,
    again: bool = False,
) -> NetworksDocument:
    """Fill the rows of these names (all for none) and of ``also``, and write the table as JSON and Markdown.

    A row of the table with an equal key stays, named or not, unless ``again`` is set or it was refused and is named. One
    with another key that is not named is removed. Each finished seed of a row is kept in .dvc/tmp: a killed command
    continues, within the pre-training of a seed too.

    Args:
        seeds: how many of `seeds` to use, from the first on; None: three, or all if there are fewer. Each draws the
            initial weights, the pre-training and the few-shot subset.

    Settings of a method or of the probe that params.yaml lacks are the defaults of cspops.

    Raises:
        ParamsError: a wrong name, model or number of seeds.
        DataError: catalogue or split are missing, stale or broken.
        EnvironmentProblem: another process fills rows on the same catalogue and split.
    """
    params = completed(params)
    numbers = _seeds(params, seeds)
    rows = image_rows(params, also)
    own, others = rows[: len(rows) - len(set(also))], rows[len(rows) - len(set(also)) :]
    requested = others + (chosen(own, names) if names else [])
    inputs = paths.require(COMMAND, params)
    scratch = paths.progress_folder(COMMAND, [COMMAND, paths.input_hashes(COMMAND)])
    site = Site(paths.RAW, inputs, paths.REPORTS, scratch, scratch, host)
    with paths.alone_in(scratch, COMMAND):
        keys = {row.name: _row_key(params, row, numbers) for row in rows}
        kept = {
            one["name"]: one for one in _kept(params) if one["key"] == keys.get(one["name"], _key_of_kept(params, one, numbers))
        }
        due = [
            row
            for row in (chosen(own, names) + others)
            if again or row.name not in kept or ("refused" in kept[row.name] and row in requested)
        ]
        probes = Probes(params, site)
        for row in {row.model: row for row in due if row.model is not None}.values():
            image_network(replace(row, weights="random"), seed=0)
        filled = {row.name: _filled(row, probes, numbers, key=keys[row.name], again=again) for row in due}
        for one in _kept(params):
            if one["name"] not in kept.keys() | filled.keys():
                log.info(f"{COMMAND}: left out, as it belongs to other params, data or seeds: {one['name']}")
        order = [row.name for row in rows] + [name for name in kept if name not in keys]
        every = kept | filled
        document = _document(params, probes, numbers, [every[name] for name in order if name in every])
        json_file, page_file = _files(params)
        write_whole(json_file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        write_whole(page_file, page(document))
        for folder in ("pixels", "training"):
            shutil.rmtree(scratch / folder, ignore_errors=True)
        paths.forget_old_progress(COMMAND)
        return document


def _filled(row: ImageRow, probes: Probes, seeds: Sequence[int], *, key: str, again: bool) -> Network:
    """Return a row of the document, from one piece per seed."""
    out = cast(Network, {**row.about(), "key": key})
    pieces = []
    for seed in seeds:
        try:
            pieces.append(_piece(row, probes, seed, again=again))
        except Refusal as refusal:
            log.info(f"{COMMAND}: {row.name}, seed {seed}: {refusal}")
            return {**out, "refused": str(refusal)}
    facts = _facts([piece["facts"] for piece in pieces])
    note = facts.pop("note", None)
    assert not isinstance(note, dict)
    scores = {
        ratio: {role: _mean_and_sd([piece["scores"][ratio][role] for piece in pieces]) for role in JUDGED if role in by_role}
        for ratio, by_role in pieces[0]["scores"].items()
    }
    return {**out, "dim": pieces[0]["dim"], "note": note, "facts": facts, "scores": scores}


def _piece(row: ImageRow, probes: Probes, seed: int, *, again: bool) -> Probed:
    """Return the piece of one seed, kept as JSON under the hash of all that it depends on."""
    scratch, key = probes.site.scratch, _piece_key(probes.params, row, seed)
    file, training = scratch / f"{key}.json", scratch / "training" / key
    if again:
        file.unlink(missing_ok=True)
        shutil.rmtree(training, ignore_errors=True)
    if (kept := _kept_piece(file)) is not None:
        return kept
    log.info(f"{COMMAND}: {row.name}, seed {seed}")
    piece = probes.piece(row, seed, Resume(training))
    write_whole(file, json.dumps(piece, indent=1) + "\n")
    shutil.rmtree(training, ignore_errors=True)
    return piece


def _kept_piece(file: Path) -> Probed | None:
    """Return a piece as it was written; None, with a warning where there is one that cannot be read."""
    if not file.exists():
        return None
    try:
        piece: Probed = json.loads(file.read_bytes())
        numbers = [piece["dim"], *(number for by_role in piece["scores"].values() for number in by_role.values())]
        if all(isinstance(number, int | float) for number in numbers) and all(map(str, piece["facts"].items())):
            return piece
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    log.warning(f"{file} cannot be read: it is computed anew")
    return None


def _document(params: Params, probes: Probes, seeds: Sequence[int], rows: list[Network]) -> NetworksDocument:
    observations, masks = probes.observations, probes.masks
    return {
        "title": "Image networks: linear probes on their frozen features",
        "dataset": params.dataset.source,
        "rows_of_data": {role: int((observations.label[mask] >= 0).sum()) for role, mask in masks.items() if role != "train"}
        | {"train": int(masks["train"].sum()), "classes": len(observations.classes)},
        "labels": {ratio_key(ratio): probes.labels(ratio, seeds) for ratio in params.split.label_ratios},
        "seeds": list(seeds),
        "probe": value_at(params, "finetune_img.modes.linear_probe").model_dump(mode="json"),
        "rows": rows,
    }


def _seeds(params: Params, count: int | None) -> tuple[int, ...]:
    if count is None:
        return params.seeds[:SEEDS]
    if not 1 <= count <= len(params.seeds):
        raise ParamsError(
            f"--seeds {count}: params.yaml has {len(params.seeds)} seeds, of which the first are taken",
            hint="a smaller --seeds, or more `seeds` in params.yaml and dvc repro split",
        )
    return params.seeds[:count]


def _row_key(params: Params, row: ImageRow, seeds: Sequence[int]) -> str:
    return paths.key_of([[_piece_key(params, row, seed) for seed in seeds]])


def _piece_key(params: Params, row: ImageRow, seed: int) -> str:
    about = {name: value for name, value in row.about().items() if name != "name"}
    probe = value_at(params, "finetune_img.modes.linear_probe").model_dump(mode="json")
    return paths.key_of([about, seed, list(params.split.label_ratios), probe, paths.input_hashes(COMMAND)])


def _key_of_kept(params: Params, one: Network, seeds: Sequence[int]) -> str:
    """Return the key of a row that an earlier --also added, with the present params."""
    return _row_key(params, replace(ImageRow.of(one), images=image_rows(params)[0].images), seeds)


def _files(params: Params) -> tuple[Path, Path]:
    name = f"image_networks_{params.dataset.source}"
    return paths.REPORTS / "tables" / f"{name}.json", paths.REPORTS / "tables" / f"{name}.md"


def _kept(params: Params) -> list[Network]:
    """Return the rows of the table in the workspace; none where it cannot be read."""
    try:
        rows = json.loads(_files(params)[0].read_bytes())["rows"]
        whole = [one for one in rows if isinstance(one["key"], str) and ("refused" in one or one["scores"].keys())]
        for one in whole:
            ImageRow.of(one)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return whole


def _facts(facts_by_seed: Sequence[Facts]) -> dict[str, Mean | str]:
    """Return numbers as mean and standard deviation over seeds, and words as they are."""
    out: dict[str, Mean | str] = {}
    for name in dict.fromkeys(name for facts in facts_by_seed for name in facts):
        values = [facts[name] for facts in facts_by_seed if name in facts]
        numbers = [value for value in values if not isinstance(value, str)]
        whole = len(numbers) == len(values)
        out[name] = _mean_and_sd(numbers) if whole else ", ".join(dict.fromkeys(map(str, values)))
    return out


def _mean_and_sd(values: list[float]) -> Mean:
    """Return mean and sample standard deviation (0 for one seed), rounded to 4 digits."""
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.fmean(values), 4), "sd": round(sd, 4)}
