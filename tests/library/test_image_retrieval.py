"""Retrieval embeddings against a direct loop, and what a place must not retrieve."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_runs import ROWS, WIDTH, write_images
from in_process import command_line
from location_runs import CONFIG, make_classifier, write_location_run
from sklearn.linear_model import RidgeCV

from cspops.errors import DataError
from cspops.geo import haversine, unit_vectors
from cspops.library import retrieval
from cspops.library.loading import load
from cspops.library.retrieval import Database, Retrieval, features_of, read_database, run_with_images, with_retrieval
from cspops.models.location_encoder import LocationEncoder

GENERATOR = torch.Generator().manual_seed(0)


def database(n: int = 40, *, place: list[int] | None = None) -> Database:
    lonlat = torch.rand(n, 2, generator=GENERATOR, dtype=torch.float64) * torch.tensor([300, 140]) - torch.tensor([150, 70])
    return Database(lonlat, torch.randn(n, 3, generator=GENERATOR), torch.tensor(place or [-1] * n))


def encoder() -> LocationEncoder:
    return make_classifier().encoder


def test_it_is_the_formula_by_a_direct_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """r(x) = [(1 - b) g V + b s V ; e(x)], a place and an image at a time; in blocks of one place."""
    images, e = database(), encoder()
    places = torch.tensor([[8.5, 47.4], [179.9, -60.0], [-70.0, -33.5]], dtype=torch.float64)
    with torch.no_grad():
        loc, q = e(images.lonlat), e(places)
    v = images.features.double().numpy()
    standard = (v - v.mean(0)) / v.std(0)
    keys = torch.from_numpy(RidgeCV(alphas=retrieval.STRENGTHS).fit(standard, loc.double().numpy()).predict(standard))
    keys = keys / keys.norm(dim=1, keepdim=True)
    expected = []
    for x, of_place in zip(places, q.double(), strict=True):
        s, g, total_s, total_g = np.zeros(3), np.zeros(3), 0.0, 0.0
        for at, key, value in zip(images.lonlat, keys, v, strict=True):
            alike = np.exp(12 * float(of_place @ key) / float(of_place.norm()))
            near = np.exp(40 * float(unit_vectors(x) @ unit_vectors(at)) - 40)
            s, total_s, g, total_g = s + alike * value, total_s + alike, g + near * value, total_g + near
        expected.append(np.concatenate((0.5 * s / total_s + 0.5 * g / total_g, of_place)))
    found = Retrieval(e, images)(places)
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(retrieval, "TABLE", 1)
    torch.testing.assert_close(Retrieval(e, images)(places), found)


def test_the_image_of_a_place_and_those_within_the_distance_never_answer() -> None:
    """Another image there, whatever it shows, changes nothing; one a little farther does."""
    images = database()
    asked = images.lonlat[:1]
    km = haversine(asked, images.lonlat)
    farther = int((km > 0).nonzero()[:, 0][km[km > 0].argmin()])
    kept = Retrieval(encoder(), images)
    for row, leave_out_km, changes in ((0, 0.0, False), (farther, 0.0, True), (farther, float(km[farther]) + 1, False)):
        features = images.features.clone()
        features[row] += 100.0
        other = Retrieval(encoder(), Database(images.lonlat, features, images.place), leave_out_km=leave_out_km)
        other.keys, kept.leave_out_km = kept.keys, leave_out_km  # only the values differ
        assert torch.equal(other(asked), kept(asked)) != changes


def test_all_rows_of_a_place_are_left_out_with_one_of_them() -> None:
    images = database(place=[5, 5, 9, *[-1] * 37])
    left_out = Retrieval(encoder(), images)._left_out(unit_vectors(images.lonlat[[0, 2, 3]]) @ unit_vectors(images.lonlat).T)
    assert [row.nonzero()[:, 0].tolist() for row in left_out] == [[0, 1], [2], [3]]


def test_a_place_that_must_not_see_any_image_is_refused() -> None:
    with pytest.raises(DataError, match="all 40 images lie within 10000 km of one place"):
        Retrieval(encoder(), Database(torch.zeros(40, 2, dtype=torch.float64), torch.randn(40, 3), torch.full((40,), -1)),
                  leave_out_km=10_000.0)(torch.zeros(1, 2, dtype=torch.float64))  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_location_run(folder)
    write_images(folder)
    return folder


def test_the_database_is_of_training_rows_with_a_position(run: Path) -> None:
    images = read_database(run)
    assert len(images.lonlat) == ROWS - 10 - 1
    assert not bool(images.lonlat.isnan().any())
    assert (images.place >= 0).nonzero()[:, 0].tolist() == [0, 1]


def test_features_are_found_by_id(run: Path) -> None:
    found = features_of(run, ("row59", "row3"))
    assert found is not None and found.shape == (2, WIDTH)
    assert torch.equal(found[1], read_database(run).features[3])
    assert features_of(run, ("row3", "elsewhere")) is None


@pytest.mark.parametrize("below", ["", "pretrain/seed_0", "finetune_loc/seed_0/label_100"])
def test_the_images_are_those_of_the_run_around(run: Path, below: str) -> None:
    assert run_with_images(run / below) == run.resolve() or run_with_images(run / below) == run
    model = with_retrieval(load(run / below, images=False), run / below, leave_out_km=1.0)
    embeddings = model.encode_location([[8.5, 47.4], [np.nan, np.nan]])
    assert embeddings.shape == (2, WIDTH + CONFIG["dim"])
    assert np.isnan(embeddings[1]).all() and np.isfinite(embeddings[0]).all()


def test_without_a_run_there_is_nothing_to_retrieve(tmp_path: Path) -> None:
    write_location_run(tmp_path / "artifacts")
    with pytest.raises(DataError, match="belongs to no run with image features"):
        with_retrieval(load(tmp_path, images=False), tmp_path, leave_out_km=1.0)


@pytest.fixture
def embed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    return command_line(monkeypatch, capsys, "embed")


def test_the_command_writes_them(embed, run: Path, tmp_path: Path) -> None:
    place = ("--lon", "8.5", "--lat", "47.4", "--model", run, "--out", tmp_path / "e.npy")
    assert embed(*place, "--retrieval", "--leave-out-km", "300")[0] == 0
    written = np.load(tmp_path / "e.npy")
    model = with_retrieval(load(run, images=False), run, leave_out_km=300.0)
    np.testing.assert_allclose(written, model.encode_location([[8.5, 47.4]]), rtol=1e-5)
    assert embed(*place)[0] == 0
    assert np.load(tmp_path / "e.npy").shape == (1, CONFIG["dim"])
