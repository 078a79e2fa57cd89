"""What a model answers: kinds, sizes, rows without a position."""

import dataclasses

import numpy as np
import pytest
import torch
from location_runs import CLASSES, PLACES, POOL, make_classifier

from cspops.data.dates import day_share
from cspops.errors import DataError, ParamsError
from cspops.evaluation.pool import Places
from cspops.geo import haversine
from cspops.library import model as module
from cspops.library.model import Model, top_classes


def location_model() -> Model:
    classifier = make_classifier()
    return Model(classifier.encoder, classifier, classes=tuple(CLASSES))


@pytest.mark.parametrize("n", [0, 1, 7])
def test_batches_have_any_size_and_blocks_change_nothing(monkeypatch, n):
    model = location_model()
    places = torch.rand(n, 2, generator=torch.Generator().manual_seed(0)) * 50
    whole, p = model.encode_location(places), model.predict_proba(lonlat=places)
    assert (whole.shape, p.shape, whole.dtype, p.dtype) == ((n, 6), (n, 3), torch.float32, torch.float64)
    monkeypatch.setattr(module, "ROWS", 2)
    torch.testing.assert_close(model.encode_location(places), whole)
    torch.testing.assert_close(p.sum(1), torch.ones(n, dtype=torch.float64))


def test_arrays_for_arrays_and_tensors_for_tensors():
    model, place = location_model(), [[8.5, 47.4]]
    assert isinstance(model.encode_location(torch.tensor(place)), torch.Tensor)
    for given in (place, np.array(place)):
        assert isinstance(model.encode_location(given), np.ndarray)
        assert isinstance(model.predict_proba(lonlat=given), np.ndarray)


def test_a_row_without_a_position_has_no_embedding_and_uniform_classes():
    model, places = location_model(), np.array([[8.5, 47.4], [np.nan, np.nan]])
    found = model.encode_location(places)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    assert model.predict_proba(lonlat=places)[1] == pytest.approx([1 / 3] * 3)


def test_exchanged_coordinates_are_refused():
    with pytest.raises(DataError, match="latitude comes first"):
        location_model().encode_location([[35.7, 139.7]])


def test_dates_go_to_the_encoder_row_by_row(monkeypatch):
    """Whatever the blocks; a row without a date is what it is without dates at all, by embedding, class and neighbours."""
    classifier = make_classifier(dated=True)
    places = Places(PLACES.lonlat, PLACES.label, torch.tensor([0.2, 0.7, torch.nan], dtype=torch.float64))
    pool = dataclasses.replace(POOL, kernel_days=30.0)
    model = Model(classifier.encoder, classifier, classes=tuple(CLASSES), pool=pool, places=places)
    lonlat, dates = [[8.5, 47.4]] * 3, ["2024-06-15", None, "2024-12-24"]
    when = torch.tensor([day_share("2024-06-15"), torch.nan, day_share("2024-12-24")], dtype=torch.float64)
    assert model.takes_time and "time='cos_sin'" in repr(model)
    with torch.inference_mode():
        embedded = classifier.encoder(torch.tensor(lonlat, dtype=torch.float64), when).numpy()
    monkeypatch.setattr(module, "ROWS", 2)
    np.testing.assert_allclose(model.encode_location(lonlat, dates), embedded, rtol=1e-5)
    np.testing.assert_allclose(model.encode_location(lonlat)[1], embedded[1], rtol=1e-5)
    for combine in ("location", "pool"):
        p = model.predict_proba(lonlat=lonlat, dates=dates, combine=combine)
        assert p[1] == pytest.approx(model.predict_proba(lonlat=lonlat, combine=combine)[1])
        assert len(np.unique(p.round(9), axis=0)) == 3
        one = model.predict_proba(lonlat=lonlat[:1], dates="2024-12-24", combine=combine)
        assert one[0] == pytest.approx(p[2])
        assert model.predict(lonlat=lonlat, dates=dates, combine=combine, top=1)[2][0][1] == pytest.approx(p[2].max())
    near = places.near(torch.tensor(lonlat, dtype=torch.float64), when)
    log_p = model.location_log_p(torch.tensor(lonlat, dtype=torch.float64), when)
    by_hand = pool.place_log_p(log_p, near)
    torch.testing.assert_close(model.place_log_p(torch.tensor(lonlat, dtype=torch.float64), when), by_hand)


def test_dates_for_a_model_without_time_are_refused():
    model = location_model()
    assert not model.takes_time
    for asked in (model.encode_location, lambda lonlat, dates: model.predict(lonlat=lonlat, dates=dates)):
        with pytest.raises(ParamsError, match="knows no season"):
            asked([[8.5, 47.4]], "June")


def test_nothing_given_and_parts_that_lack():
    model = location_model()
    with pytest.raises(DataError, match="neither images nor positions"):
        model.predict_proba()
    with pytest.raises(DataError, match="no image network"):
        model.predict_proba(["a.jpg"])
    with pytest.raises(DataError, match="no pool of image, location and labelled neighbours: it was not evaluated"):
        model.predict_proba(lonlat=[[8.5, 47.4]], combine="pool")
    with pytest.raises(DataError, match="combine='image' needs images"):
        model.predict_proba(lonlat=[[8.5, 47.4]], combine="image")
    with pytest.raises(DataError, match="combine='location' needs positions"):
        model.predict_proba(["a.jpg"], combine="location")
    for combine in (None, "product", "location"):
        with pytest.raises(DataError, match="2 images and 1 positions" if combine == "location" else "no image network"):
            model.predict_proba(["a.jpg", "b.jpg"], [[8.5, 47.4]], combine=combine)
    with pytest.raises(ParamsError, match="combine is 'sum'"):
        model.combination("sum")


@pytest.mark.parametrize("combine", [None, "location"])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_the_likeliest_classes_by_name(combine, kind):
    places = kind([[8.5, 47.4], [np.nan, np.nan]])
    p = location_model().predict_proba(lonlat=places, combine=combine)
    first, second = location_model().predict(lonlat=places, top=2, combine=combine)
    assert first == sorted(zip(CLASSES, p[0].tolist(), strict=True), key=lambda one: -one[1])[:2]
    assert [probability for _, probability in second] == pytest.approx([1 / 3] * 2)
    assert len(location_model().predict(lonlat=places, top=9)[0]) == 3
    assert location_model().predict(lonlat=places[:0]) == []


def test_what_cannot_be_predicted_by_name():
    with pytest.raises(DataError, match="no named classes"):
        dataclasses.replace(location_model(), classes=None).predict(lonlat=[[8.5, 47.4]])
    with pytest.raises(ParamsError, match="top is 0"):
        location_model().predict(lonlat=[[8.5, 47.4]], top=0)


def test_a_model_without_a_pool_falls_back_on_the_learned_one():
    model = location_model()
    assert (model.combination(None), pooled().combination(None)) == ("product", "pool")
    place = torch.tensor([[8.5, 47.4]], dtype=torch.float64)
    torch.testing.assert_close(model.place_log_p(place), model.location_log_p(place))
    assert torch.equal(model.predict_proba(lonlat=place), model.predict_proba(lonlat=place, combine="location"))


def test_the_learned_model_alone_looks_for_no_neighbours(monkeypatch):
    place = torch.tensor([[8.5, 47.4]], dtype=torch.float64)
    learned = location_model().location_log_p(place)
    monkeypatch.setattr(Places, "near", lambda *_, **__: pytest.fail("a search"))
    torch.testing.assert_close(pooled().location_log_p(place), learned)


def pooled(**changes) -> Model:
    return dataclasses.replace(location_model(), pool=POOL, places=PLACES, **changes)


def counted(model: Model, place: list[float]) -> tuple[np.ndarray, float]:
    """P_n at a place, and the distance to the nearest labelled place, by the formulas of the pool."""
    at = torch.tensor([place], dtype=torch.float64)
    km = haversine(at, PLACES.lonlat).numpy()
    weight = POOL.count_weight * np.exp(-0.5 * (km / POOL.kernel_km) ** 2)
    counts = np.array([weight[PLACES.label.numpy() == label].sum() for label in range(3)])
    return (counts + model.location_log_p(at).exp()[0].numpy()) / (weight.sum() + 1), float(km.min())


@pytest.mark.parametrize("place", [[8.0, 47.0], [8.6, 47.6], [12.0, 50.0], [150.0, -80.0]])
def test_positions_alone_are_judged_by_the_place_part_of_the_pool(place):
    model = pooled()
    p, km = counted(model, place)
    np.testing.assert_allclose(model.place_log_p(torch.tensor([place], dtype=torch.float64)).exp()[0], p, rtol=1e-6)
    near = np.exp(-km / POOL.fade_km)
    power = POOL.place[0] * near + POOL.place[1] * (1 - near)
    np.testing.assert_allclose(model.predict_proba(lonlat=[place])[0], p**power / (p**power).sum(), rtol=1e-6)
    weights, distance = model.trust(torch.tensor([place], dtype=torch.float64))
    image = POOL.image[0] * near + POOL.image[1] * (1 - near)
    np.testing.assert_allclose([*weights[0].tolist(), float(distance)], [image, power, km], rtol=1e-6, atol=1e-4)


def test_a_pool_takes_no_position_at_all():
    nowhere = torch.empty(0, 2, dtype=torch.float64)
    assert pooled().predict_proba(lonlat=nowhere).shape == pooled().place_log_p(nowhere).shape == (0, 3)
    assert pooled().predict_proba(lonlat=[[np.nan, np.nan]])[0] == pytest.approx([1 / 3] * 3)


def test_trust_without_a_position_and_without_labelled_places():
    places = torch.tensor([[np.nan, np.nan], [8.5, 47.4]], dtype=torch.float64)
    weights, km = pooled().trust(places)
    assert weights[0].tolist() == [POOL.image_alone, 0.0] and km[0].isnan() and km[1] < 100
    weights, km = dataclasses.replace(pooled(), places=None).trust(places)
    assert weights[1].tolist() == [POOL.image[1], POOL.place[1]] and km[1].isinf()
    with pytest.raises(DataError, match="no pool"):
        location_model().trust(places)


def test_the_best_classes_come_first():
    p = torch.tensor([[0.2, 0.5, 0.3]])
    assert top_classes(p, CLASSES, 2) == [[("fir", pytest.approx(0.5)), ("oak", pytest.approx(0.3))]]
    assert [name for name, _ in top_classes(p, CLASSES, 9)[0]] == ["fir", "oak", "beech"]
