"""Released predictions from the stage that fetches them to the metrics: which rows are judged, by which models."""

import json
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from judged_set import RATIOS, ROLES, SEEDS, UNLABELLED, UNLOCATED, VIEW, N, Q, write_site
from scipy import sparse

from cspops.data.splits import piece
from cspops.errors import DataError
from cspops.evaluation.predictor import combined_log_p
from cspops.evaluation.released import FLOOR, NAME, predicted, read_released, released_log_p, write_released
from cspops.params.graph import FinetuneImgView
from cspops.params.image_networks import Released
from cspops.pipeline import evaluate, finetune_img
from cspops.pixels.reading import GIVEN_FEATURES
from cspops.site import Site

TESTED = [i for i, role in enumerate(ROLES) if role == "test"]


def table(rows: list[int], seed: int = 0) -> Any:
    """Probabilities of some rows, one of three classes at zero."""
    dense = np.zeros((N, Q), dtype=np.float32)
    p = np.random.default_rng(seed).dirichlet(np.ones(2), size=len(rows))
    first = np.array(rows, dtype=int) % Q
    dense[rows, first], dense[rows, (first + 1) % Q] = p.T
    return sparse.csr_array(dense)


def settings() -> FinetuneImgView:
    return FinetuneImgView(SEEDS, RATIOS, "released", Released())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return write_site(tmp_path)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the data came with, in the place of the module that reads it; None for nothing."""
    state = SimpleNamespace(released=None, asked=[])

    def probabilities(ratio: float, *, rows: pa.ChunkedArray, classes: list[str]) -> Any:
        state.asked.append((ratio, rows.to_pylist(), classes))
        return state.released

    def read(folder: Path, *, data_root: Path) -> Any:
        return None if state.released is None else SimpleNamespace(probabilities=probabilities)

    module = ModuleType("cspops.intake.sources.released")
    module.read_released = read  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cspops.intake.sources.released", module)
    return state


def with_given_features(site: Site) -> list[dict[str, Any]]:
    file = site.inputs["download"] / "observations.parquet"
    given = [{"path": "val.npy", "row": i} for i in range(N)]
    pq.write_table(pq.read_table(file).append_column("image_features", pa.array(given, GIVEN_FEATURES)), file)
    return given


def everywhere(site: Site, probabilities: Any) -> None:
    for seed in SEEDS:
        for ratio in RATIOS:
            write_released(site.inputs["finetune-img"] / piece(seed, ratio), probabilities)


def written(site: Site, name: str) -> Any:
    return json.loads((site.out / name).read_text())


def test_the_stage_writes_what_the_source_has_for_each_seed_and_ratio(site: Site, source: SimpleNamespace) -> None:
    given, source.released = with_given_features(site), table(TESTED)
    finetune_img.run(settings(), site)
    assert source.asked == [(ratio, given, ["a", "b", "c"]) for ratio in sorted(RATIOS, reverse=True)]  # seeds share them
    for seed in SEEDS:
        for ratio in RATIOS:
            found = read_released(site.out / piece(seed, ratio), (N, Q))
            assert (found.toarray() == source.released.toarray()).all()
    assert (site.out / piece(0, 0.5) / NAME).read_bytes() == (site.out / piece(1, 1.0) / NAME).read_bytes()


@pytest.mark.parametrize("case", ["no predictions", "no column", "empty"])
def test_a_source_without_predictions_is_told_the_way_out(site: Site, source: SimpleNamespace, case: str) -> None:
    if case != "no column":
        with_given_features(site)
    if case != "no predictions":
        source.released = table([] if case == "empty" else TESTED)
    with pytest.raises(DataError, match=r"released prediction|without predictions") as error:
        finetune_img.run(settings(), site)
    assert "finetune_img.mode: linear_probe" in str(error.value.hint)
    assert not list(site.out.rglob(NAME))


def test_of_another_catalogue_they_are_refused(site: Site) -> None:
    everywhere(site, table(TESTED)[:-1])
    with pytest.raises(DataError, match=r"released.npz has 59 rows and 3 classes, the catalogue 60 and 3"):
        evaluate.run(VIEW, site)


def test_log_p_is_normalised_with_a_floor_below_all_that_is_published() -> None:
    """Row 0 sums to 1/2: (1/4, 1/4, 0) becomes (1/2, 1/2, floor x 2); row 1 has no prediction and is uniform."""
    csr = sparse.csr_array(np.array([[0.25, 0.25, 0], [0, 0, 0], [2**-100, 0, 0]], dtype=np.float32))
    got = released_log_p(csr, torch.tensor([0, 1, 2]))
    assert got[0].tolist() == pytest.approx([math.log(0.5), math.log(0.5), math.log(2 * FLOOR)])
    assert got[1].tolist() == pytest.approx([-math.log(3)] * 3)
    assert got[2, 0] > got[2, 1] == got[2, 2]
    assert predicted(csr).tolist() == [True, False, True]


def test_zeros_are_last_and_ordered_by_the_location() -> None:
    """A class of P(y|I) = 0 comes after every other, whatever P(y|x) says; among themselves P(y|x) orders them."""
    image = released_log_p(sparse.csr_array(np.array([[1e-6, 0, 0, 1]], dtype=np.float32)), torch.tensor([0]))
    location = torch.tensor([[1e-12, 0.1, 0.9, 1e-12]]).double().log()
    product = combined_log_p(image, location, torch.tensor([True]))
    assert product[0].argsort(descending=True).tolist() == [3, 0, 2, 1]


def test_validation_without_predictions_is_judged_by_location_and_chooses_by_it_alone(site: Site) -> None:
    """Only the rows of role test have predictions, as in the released sets."""
    everywhere(site, table(TESTED))
    evaluate.run(VIEW, site)
    metrics, validation = written(site, "reports/scores.json"), written(site, "reports/validation.json")
    assert list(metrics) == ["test"]  # no row of spatial_test has a prediction
    assert metrics["test"]["label_50"]["pool"] == metrics["test"]["label_50"]["combined"]
    assert list(validation) == ["val", "spatial_val"]
    for of_role in validation.values():
        assert list(of_role["label_50"]) == ["location", "frequency", "histogram", "knn", "distance_knn", "kde"]
    assert written(site, "seed_0/label_50/chosen.json")["rows"] == {"val": 0, "spatial_val": 0, "alone": 0}
    rows = pq.read_table(site.out / "predictions.parquet").to_pylist()
    assert {row["role"] for row in rows} == {"test"}
    assert list(written(site, "reports/intervals.json")) == ["test"]


def test_the_prior_is_chosen_by_its_own_nll_when_no_validation_row_has_a_prediction(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    add = evaluate.Choice.add

    def spy(self: Any, rows: torch.Tensor, log_image: torch.Tensor) -> None:
        asked.append((log_image[self.chooser[rows]].abs().sum().item(), int(self.chooser.sum())))
        add(self, rows, log_image)

    monkeypatch.setattr(evaluate.Choice, "add", spy)
    everywhere(site, table(TESTED))
    evaluate.run(VIEW, site)
    located_val = sum(role == "val" and i not in UNLOCATED and i not in UNLABELLED for i, role in enumerate(ROLES))
    assert set(asked) == {(0.0, located_val)}


def test_rows_of_a_role_that_lack_a_prediction_are_not_judged(site: Site) -> None:
    some = [i for i, role in enumerate(ROLES) if role in ("test", "val") and i % 2]
    everywhere(site, table(some))
    evaluate.run(VIEW, site)
    rows = pq.read_table(site.out / "predictions.parquet").to_pylist()
    assert {int(row["obs_id"][1:]) for row in rows} == {i for i in some if i not in UNLABELLED}
    chosen = [i for i in some if ROLES[i] == "val" and i not in UNLOCATED and i not in UNLABELLED]
    assert written(site, "seed_0/label_50/chosen.json")["rows"]["val"] == len(chosen)


@pytest.mark.parametrize("lacking", RATIOS)
def test_a_row_that_one_ratio_lacks_is_judged_at_none_so_that_ratios_can_be_compared(site: Site, lacking: float) -> None:
    everywhere(site, table(TESTED))
    for seed in SEEDS:
        write_released(site.inputs["finetune-img"] / piece(seed, lacking), table(TESTED[1:]))
    evaluate.run(VIEW, site)
    rows = pq.read_table(site.out / "predictions.parquet").to_pylist()
    assert {int(row["obs_id"][1:]) for row in rows} == {i for i in TESTED[1:] if i not in UNLABELLED}


def test_no_test_row_with_a_prediction_leaves_nothing_to_report(site: Site) -> None:
    everywhere(site, table([0, 1, 2]))
    with pytest.raises(DataError, match="no row of role test or spatial_test has a label and a released prediction"):
        evaluate.run(VIEW, site)


def test_the_probabilities_reach_predictions_parquet(site: Site) -> None:
    csr = table(TESTED)
    everywhere(site, csr)
    evaluate.run(VIEW, site)
    for row in pq.read_table(site.out / "predictions.parquet").to_pylist():
        p = csr[[int(row["obs_id"][1:])]].toarray()[0].astype(float)
        want = math.log(max(p[row["label"]], FLOOR) / np.maximum(p, FLOOR).sum())
        assert row["image_log_p"] == pytest.approx(want, rel=1e-6, abs=1e-6)
        assert row["image"][0] == p.argmax()
