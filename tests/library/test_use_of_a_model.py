"""What a model answers: kinds, sizes, rows without a position."""

import numpy as np
import pytest
import torch
from location_runs import CLASSES, make_classifier

from cspops.errors import DataError
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
    with pytest.raises(DataError, match="latitude stands first"):
        location_model().encode_location([[35.7, 139.7]])


def test_nothing_given_and_parts_that_lack():
    model = location_model()
    with pytest.raises(DataError, match="neither images nor positions"):
        model.predict_proba()
    with pytest.raises(DataError, match="no image network"):
        model.predict_proba(["a.jpg"])
    with pytest.raises(DataError, match="calibrated product needs"):
        model.predict_proba(lonlat=[[8.5, 47.4]], calibrated=True)


def test_the_best_classes_come_first():
    p = torch.tensor([[0.2, 0.5, 0.3]])
    assert top_classes(p, CLASSES, 2) == [[("fir", pytest.approx(0.5)), ("oak", pytest.approx(0.3))]]
    assert [name for name, _ in top_classes(p, CLASSES, 9)[0]] == ["fir", "oak", "beech"]
