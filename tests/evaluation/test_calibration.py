"""The calibrated product: closed forms, the minimum found another way, and the ends of the range."""

import math

import pytest
import torch
from scipy.optimize import minimize

from cspops import kernels
from cspops.evaluation import calibration
from cspops.evaluation.calibration import HIGH, LOW
from cspops.evaluation.predictor import Calibration, calibrated_log_p, combined_log_p, image_log_p, location_log_p


def table(seed: int, n: int = 60, q: int = 5, scale: float = 2.0):
    """Random log P(y|I), log P(y|x) and labels that agree with both a little."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(q, (n,), generator=g)
    hint = torch.nn.functional.one_hot(label, q)
    image, location = (scale * (hint + torch.randn(n, q, generator=g)) for _ in range(2))
    return image_log_p(image), location_log_p(location, torch.ones(n, dtype=torch.bool)), label


def fit(image, location, label) -> Calibration:
    """Of tables that are there."""
    rows = torch.arange(len(label))
    return calibration.fit(lambda some: (image[some], location[some]), label, rows, classes=image.shape[1])


def nll(image, location, label, calibration: Calibration) -> float:
    everywhere = torch.ones(len(label), dtype=torch.bool)
    return float(-calibrated_log_p(image, location, everywhere, calibration).gather(1, label[:, None]).mean())


def test_without_calibration_it_is_the_plain_product():
    image, location, _ = table(0, n=4)
    located = torch.tensor([True, False, True, True])
    torch.testing.assert_close(
        calibrated_log_p(image, location, located, Calibration()), combined_log_p(image, location, located)
    )


def test_it_is_the_product_of_powers_and_the_softened_image_without_a_location():
    """P(y|I)^(1/T) P(y|x)^w, normalised; without a location softmax(z_I / T), whatever stands in its row."""
    logits, (_, location, _) = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)), table(0, n=4)
    located = torch.tensor([True, True, False, True])
    location[2] = torch.nan
    got = calibrated_log_p(image_log_p(logits), location, located, Calibration(2.0, 0.5)).exp()
    product = logits.double().softmax(1).sqrt() * location.exp().sqrt()
    torch.testing.assert_close(got[located], (product / product.sum(1, keepdim=True))[located])
    torch.testing.assert_close(got[2], (logits[2].double() / 2).softmax(0))


@pytest.mark.parametrize(("seed", "scale"), [(0, 0.3), (1, 0.3), (2, 2.0), (3, 2.0), (4, 20.0), (5, 20.0)])
def test_the_fit_is_the_minimum_that_a_general_optimiser_finds(seed, scale):
    """L-BFGS-B over (1/T, w) from three starts; both stop within 1e-6 nats of the least NLL."""
    image, location, label = table(seed, scale=scale)
    found = nll(image, location, label, fit(image, location, label))

    def objective(at):
        return nll(image, location, label, Calibration(1 / at[0], at[1]))

    bounds = list(zip(LOW.tolist(), HIGH.tolist(), strict=True))
    best = min(minimize(objective, start, bounds=bounds).fun for start in ([1, 1], [0.1, 0.1], [3, 0.5]))
    assert found <= best + 1e-6


def test_a_location_that_says_nothing_true_gets_no_weight():
    """The location always prefers the wrong one of two classes: any w > 0 costs, so w is 0; the image alone sets T.

    The image gives its class odds of e^4 and is right in 3 of 4 rows: P(right) is 3/4 at 4 / T = log 3. The fit stops
    where the NLL may still fall by 1e-12; its curvature in 1/T is 16 x 3/16 = 3, so 1/T = 0.27 is off by at most
    sqrt(2e-12 / 3) = 8e-7, or 3e-6 relative.
    """
    label = torch.tensor([0, 1, 0, 1] * 5)
    side = torch.where(label == 0, 1.0, -1.0)
    right = torch.where(torch.arange(20) % 4 == 3, -1.0, 1.0)
    image = image_log_p(torch.stack((2 * side * right, -2 * side * right), 1))
    location = location_log_p(torch.stack((-side, side), 1), torch.ones(20, dtype=torch.bool), link="softmax")
    got = fit(image, location, label)
    assert got.location_weight == 0
    assert got.temperature == pytest.approx(4 / math.log(3), rel=4e-6)


def test_a_fair_location_and_a_boastful_image_in_closed_form():
    """Rows of 10: the location says 3:1 and is right in 3 of 4; the image says e^10:1 by a coin: 1/T is 0, w is 1."""
    label = torch.zeros(40, dtype=torch.long)
    coin = torch.where(torch.arange(40) % 2 == 0, 10.0, -10.0)
    image = image_log_p(torch.stack((coin, torch.zeros(40)), 1))
    says = torch.where(torch.arange(40) // 2 % 4 == 3, -math.log(3), math.log(3))
    location = location_log_p(torch.stack((says, torch.zeros(40)), 1), torch.ones(40, dtype=torch.bool), link="softmax")
    got = fit(image, location, label)
    assert got.location_weight == pytest.approx(1, abs=1e-3)  # 1/T stops at its bound, 1e-6, and shifts scores by 1e-5
    assert 1 / got.temperature < 1e-5


def test_no_validation_rows_give_the_plain_product():
    empty = torch.empty(0, 3, dtype=torch.float64)
    assert fit(empty, empty, torch.empty(0, dtype=torch.long)) == Calibration(1.0, 1.0)


def test_one_class_has_nothing_to_fit():
    image = torch.zeros(4, 1, dtype=torch.float64)
    assert fit(image, image, torch.zeros(4, dtype=torch.long)) == Calibration(1.0, 1.0)


@pytest.mark.parametrize("q", [3, 8142])
def test_logits_of_1e4_are_softened_not_broken(q):
    """The image is sure and half wrong: the plain product costs 5e3 nats, the calibrated one at most those of a guess."""
    n = 12
    label = torch.arange(n) % 3
    claimed = torch.where(torch.arange(n) % 2 == 0, label, (label + 1) % 3)
    image = image_log_p(1e4 * torch.nn.functional.one_hot(claimed, q).float())
    location = location_log_p(torch.zeros(n, q), torch.ones(n, dtype=torch.bool))
    got = fit(image, location, label)
    assert got.temperature > 100
    assert math.isfinite(nll(image, location, label, got))
    assert nll(image, location, label, got) <= math.log(q)
    assert nll(image, location, label, Calibration()) > 4e3


def test_rows_told_apart_without_error_stop_at_finite_numbers():
    """The least NLL lies at infinity: the fit ends within its bounds and is no worse than the plain product."""
    label = torch.arange(6) % 3
    image = image_log_p(3 * torch.nn.functional.one_hot(label, 3).float())
    got = fit(image, image, label)
    assert LOW[0] <= 1 / got.temperature <= HIGH[0] * (1 + 1e-9)
    assert 0 <= got.location_weight <= HIGH[1]
    assert nll(image, image, label, got) <= nll(image, image, label, Calibration())


def test_the_order_of_rows_does_not_matter():
    image, location, label = table(3)
    one, other = fit(image, location, label), fit(image.flip(0), location.flip(0), label.flip(0))
    assert one.temperature == pytest.approx(other.temperature, rel=1e-5)
    assert one.location_weight == pytest.approx(other.location_weight, rel=1e-5)


@pytest.mark.parametrize("scale", [0.3, 2.0, 20.0])
@pytest.mark.parametrize("kept", [2**24, 2 * 5 * 20])
def test_in_blocks_it_is_the_same_minimum(monkeypatch, scale, kept):
    """60 rows of 5 classes, 7 at a time; held, or made anew at each step after a start on 20 of them.

    Both stop where the NLL may still fall by 1e-12 of itself, or by 1e-12.
    """
    image, location, label = table(1, scale=scale)
    want = fit(image[10:], location[10:], label[10:])
    monkeypatch.setattr(kernels, "TABLE", 7 * 5)
    monkeypatch.setattr(calibration, "KEPT", kept)
    asked: list[int] = []

    def answers(rows):
        asked.append(len(rows))
        return image[rows], location[rows]

    rows = torch.arange(60)[10:]
    got = calibration.fit(answers, label, rows, classes=5)
    assert max(asked) <= 7
    assert (sum(asked) == 50) == (kept == 2**24)
    least, found = (nll(image[rows], location[rows], label[rows], one) for one in (want, got))
    assert found == pytest.approx(least, abs=4e-12 * max(1, least))


def test_in_blocks_of_no_rows_it_is_the_plain_product():
    nobody = torch.empty(0, dtype=torch.long)
    assert calibration.fit(lambda rows: (torch.zeros(0, 3),) * 2, torch.zeros(4).long(), nobody, classes=3) == Calibration()
