"""Whatever a stage chooses by labels of validation, it sees only those that may choose at the seed and label ratio."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from judged_set import ENCODER, RATIOS, ROLES, SEEDS, UNLABELLED, UNLOCATED, VIEW, N, place, write_site

from cspops.data.features import read_features
from cspops.evaluation.pool_fit import Choosers
from cspops.models.checkpoint import save_model
from cspops.models.location_encoder import LocationEncoder
from cspops.params import default_params, with_values
from cspops.params.graph import FinetuneImgView, FinetuneLocView
from cspops.pipeline import evaluate, finetune_img, finetune_loc
from cspops.site import Site

MAY_CHOOSE = {(0, 0.5): {20, 21, 22}, (0, 1.0): {20, 21, 22, 25}, (1, 0.5): {23, 24}, (1, 1.0): {20, 23, 24, 29}}
"""Of the rows of role val, by seed and label ratio; row 20 has no position."""
JUDGED = [row for row in range(N) if ROLES[row] not in ("train", "buffer") and row not in UNLABELLED]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = write_site(tmp_path)
    levels = {
        f"seed_{seed}": pa.array([min((r for r in RATIOS if row in MAY_CHOOSE[seed, r]), default=None) for row in range(N)])
        for seed in SEEDS
    }
    table = pa.table({"obs_id": [f"o{row}" for row in range(N)]} | {name: one.cast("float32") for name, one in levels.items()})
    pq.write_table(table, tmp_path / "split" / "choosing.parquet")
    for seed in SEEDS:
        save_model(tmp_path / "pretrain" / f"seed_{seed}", LocationEncoder(ENCODER), ENCODER)
    (tmp_path / "reports" / "curves").mkdir(parents=True)
    made.inputs["pretrain"] = tmp_path / "pretrain"
    return made


def watch(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, note: Callable[..., set[int]]) -> list[set[int]]:
    """The rows that ``note`` reads off the arguments of each call of a function, which runs as ever."""
    seen, function = [], getattr(owner, name)

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(note(*arguments, **options))
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, watched)
    return seen


def same(seen: list[set[int]], expected: list[set[int]]) -> bool:
    return sorted(map(sorted, seen)) == sorted(map(sorted, expected))


LOCATED = [rows - {*UNLOCATED} for rows in MAY_CHOOSE.values()]


def test_the_image_probe(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeds of equal few-shot subsets, as here, share no fit where other rows choose."""
    features = torch.from_numpy(read_features(site.inputs["featurize"], [f"o{row}" for row in range(N)])[:]).float()

    def rows(x: Any, y: Any, val_x: torch.Tensor, *_: Any, **__: Any) -> set[int]:
        return {int((features == one).all(1).nonzero()) for one in val_x}

    seen = watch(monkeypatch, finetune_img, "linear_probe", rows)
    probe = default_params().finetune_img.modes.linear_probe
    assert probe is not None
    settings = probe.model_copy(update={"max_iterations": 2, "l2": (0.1,)})
    finetune_img.run(FinetuneImgView(SEEDS, RATIOS, "linear_probe", settings), site)
    assert same(seen, [*MAY_CHOOSE.values()])


def test_early_stopping_of_the_location_classifier(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    lonlat = place()

    def rows(*_: Any, val: Any, **__: Any) -> set[int]:
        return {int((lonlat == one).all(1).nonzero()) for one in val.lonlat}

    seen = watch(monkeypatch, finetune_loc, "finetune_loc", rows)
    changes = {"steps": 4, "check_every": 2, "patience": 1, "batch_size": 8}
    params = with_values(default_params(), [(f"finetune_loc.modes.full.{key}", value) for key, value in changes.items()])
    full, loss = params.finetune_loc.modes.full, params.finetune_losses.presence_absence
    assert full is not None and loss is not None
    finetune_loc.run(FinetuneLocView(SEEDS, RATIOS, "full", full, "presence_absence", loss, params.finetune_loc.fusion), site)
    assert same(seen, LOCATED)


def test_the_pool_and_the_settings_of_priors(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """All labelled rows are judged as ever. Row 20 chooses the power of the image alone."""

    def fitting(*arguments: Any, **_: Any) -> set[int]:
        chosen = next(one for one in arguments if isinstance(one, Choosers))
        return {JUDGED[row] for row in (*chosen.val.tolist(), *chosen.spatial_val.tolist(), *chosen.alone.tolist())}

    fitted = watch(monkeypatch, evaluate.pool_fit, "fit", fitting)
    chosen = watch(
        monkeypatch, evaluate, "Choice", lambda *_, chooser, **__: {JUDGED[row] for row in chooser.nonzero()[:, 0].tolist()}
    )
    evaluate.run(VIEW, site)
    assert same(fitted, [*MAY_CHOOSE.values()]) and same(chosen, LOCATED)
    assert pq.read_table(site.out / "predictions.parquet").num_rows == len(MAY_CHOOSE) * len(JUDGED)
