"""Weights of the experts, by the formula in the docstring of `expert_weights`."""

import dataclasses

import numpy as np
import pytest
import torch
from location_runs import PLACES, POOL, write_run
from PIL import Image

import cspops
from cspops.errors import ParamsError
from cspops.evaluation.pool import Pool
from cspops.library.expert_weights import FITTED, ExpertWeights
from cspops.library.model import Model

LONLAT = [[8.5, 47.4], [40.0, 10.0], [np.nan, np.nan]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("run") / "artifacts"
    write_run(folder)
    return cspops.load(folder)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    draws = np.random.default_rng(0)
    return [Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in LONLAT]


def normalised(scores: np.ndarray) -> np.ndarray:
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


@pytest.mark.parametrize("prior", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [{}, {"image": 0.5, "place": 2.0}, {"neighbours": 0.0}, {"neighbours": 3, "place": 0.5}])
def test_the_pool_is_that_of_the_formula(
    model: Model, images: list[Image.Image], prior: float, weights: dict[str, float]
) -> None:
    w = {"image": 1.0, "place": 1.0, "neighbours": 1.0} | weights
    image = np.log(model.predict_proba(images, combine="image"))
    counted = dataclasses.replace(model, pool=dataclasses.replace(POOL, count_weight=w["neighbours"] * POOL.count_weight))
    lonlat = torch.tensor(LONLAT, dtype=torch.float64)
    place, km = counted.place_log_p(lonlat).numpy(), PLACES.near(lonlat).nearest_km.numpy()
    g = np.exp(-km / POOL.fade_km)
    a, b = (near * g + far * (1 - g) for near, far in (POOL.image, POOL.place))
    scores = (w["image"] * ((1 - prior) * POOL.image_alone + prior * a))[:, None] * image
    scores += (w["place"] * prior * b)[:, None] * place
    scores[2] = w["image"] * POOL.image_alone * image[2]
    got = model.predict_proba(images, LONLAT, prior_weight=prior, weights=weights)
    np.testing.assert_allclose(got, normalised(scores), rtol=1e-9)


@pytest.mark.parametrize("prior", [0.0, 0.3, 1.0])
def test_the_product_is_that_of_the_formula(model: Model, images: list[Image.Image], prior: float) -> None:
    image = np.log(model.predict_proba(images, combine="image"))
    place = np.log(model.predict_proba(lonlat=LONLAT, combine="location"))
    got = model.predict_proba(images, LONLAT, combine="product", prior_weight=prior, weights={"place": 2.0})
    np.testing.assert_allclose(got, normalised(image + 2 * prior * place), rtol=1e-9)


@pytest.mark.parametrize("combine", ["pool", "product"])
def test_the_ends_are_the_image_alone_and_what_was_fitted(model: Model, images: list[Image.Image], combine: str) -> None:
    def p(**asked: object) -> np.ndarray:
        return model.predict_proba(images, LONLAT, combine=combine, **asked)

    alone = model.predict_proba(images, combine=combine)
    np.testing.assert_allclose(p(prior_weight=0.0), alone, rtol=1e-12)
    assert np.array_equal(p(prior_weight=1.0), p())
    assert model.predict(images, LONLAT, combine=combine, prior_weight=0.4) != model.predict(images, LONLAT, combine=combine)
    assert FITTED.on(POOL) == POOL and str(FITTED) == ""


def test_one_of_image_and_place_alone_is_weighed_too(model: Model, images: list[Image.Image]) -> None:
    lone = model.predict_proba(images, combine="product", weights={"image": 0.5})
    np.testing.assert_allclose(lone, normalised(0.5 * np.log(model.predict_proba(images, combine="image"))), rtol=1e-9)
    nothing = model.predict_proba(lonlat=LONLAT, prior_weight=0.0)
    np.testing.assert_allclose(nothing, np.full((3, 3), 1 / 3), rtol=1e-12)


def test_what_is_trusted_is_what_counts(model: Model) -> None:
    at = torch.tensor(LONLAT, dtype=torch.float64)
    weights, _ = model.weighed(0.25, {"place": 2.0}).trust(at)
    fitted, _ = model.trust(at)
    a, b = (0.75 * POOL.image_alone + 0.25 * fitted[:, 0], 0.5 * fitted[:, 1])
    torch.testing.assert_close(weights[:2], torch.stack((a, b), 1)[:2])
    assert weights[2].tolist() == fitted[2].tolist()


@pytest.mark.parametrize(
    ("prior", "weights", "says"),
    [
        (-0.1, {}, "the prior weight is -0.1"),
        (float("nan"), {}, "the prior weight is nan"),
        (1.0, {"location": 1.0}, "no expert 'location'"),
        (1.0, {"place": float("inf")}, "the weight of place is inf"),
        (0.0, {"image": 0.0}, "no expert is left"),
    ],
)
def test_what_is_no_weight_is_refused(prior: float, weights: dict[str, float], says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        ExpertWeights.of(prior, weights)


@pytest.mark.parametrize(("combine", "says"), [("image", "combine is image"), ("location", "combine is location")])
def test_an_expert_alone_has_no_weight(model: Model, images: list[Image.Image], combine: str, says: str) -> None:
    with pytest.raises(ParamsError, match=says):
        model.predict_proba(images, LONLAT, combine=combine, prior_weight=0.5)
    assert ExpertWeights.of(1.0, {}).require(combine) is None
    assert FITTED.on(Pool()) == Pool()
