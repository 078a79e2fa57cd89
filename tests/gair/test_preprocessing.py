"""The published preprocessing, band by band."""

import math
from collections.abc import Callable

import pytest
import torch

from cspops.gair.preprocessing import overhead_pixels, photo_pixels

MEANS = (1172.9397, 1378.0846, 1509.3327, 1750.0275, 2073.2758, 2207.3283, 2245.1629, 2284.6384, 2231.7283, 1899.1932)
SDS = (706.6250, 720.1862, 783.1424, 707.1962, 714.2782, 748.1827, 852.3585, 762.0849, 690.0165, 669.9036)
TEN, TWELVE, THIRTEEN = [*range(10)], [1, 2, 3, 4, 5, 6, 7, 8, 10, 11], [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]


def bands(count: int, px: int = 6) -> torch.Tensor:
    return torch.randint(0, 6000, (2, count, px, px), generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize(
    ("count", "as_released", "kept"),
    [(10, False, TEN), (12, False, TWELVE), (13, False, THIRTEEN), (10, True, TEN), (12, True, TWELVE), (13, True, TWELVE)],
)
def test_bands_are_chosen_scaled_and_rounded_down(count: int, as_released: bool, kept: list[int]) -> None:
    image = bands(count)
    out = overhead_pixels(image, 6, as_released=as_released)  # resized to its own side, an image stays as it is
    assert out.shape == (2, 10, 6, 6)
    for here, there in enumerate(kept):
        low, wide = MEANS[here] - 2 * SDS[here], 4 * SDS[here]
        expected = [math.floor(min(max((x - low) / wide * 255, 0), 255)) / 255 for x in image[:, there].flatten().tolist()]
        torch.testing.assert_close(out[:, here].flatten(), torch.tensor(expected), rtol=0, atol=1e-6)


def test_photos_are_standardised() -> None:
    photo = torch.randint(0, 256, (5, 5, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, sd = torch.tensor([135.47184384, 142.28621995, 145.12271992]), torch.tensor([59.19978436, 59.35279219, 72.02295734])
    torch.testing.assert_close(photo_pixels(photo, 5)[0], ((photo - mean) / sd).permute(2, 0, 1), rtol=1e-5, atol=1e-5)


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75."""
    t, a = abs(distance), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


@pytest.mark.parametrize(("side", "px"), [(5, 9), (9, 4)])
def test_resizing_is_bicubic_without_antialiasing(side: int, px: int) -> None:
    photo = torch.randint(0, 256, (side, side, 3), generator=torch.Generator().manual_seed(1)).double()
    plain, resized = photo_pixels(photo, side)[0], photo_pixels(photo, px)[0]
    weights = torch.zeros(px, side, dtype=torch.float64)
    for i in range(px):
        centre = (i + 0.5) * side / px - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            weights[i, min(max(j, 0), side - 1)] += cubic(centre - j)
    torch.testing.assert_close(resized, weights @ plain @ weights.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("make", "image"), [(overhead_pixels, bands(12)), (photo_pixels, bands(3))])
def test_channels_may_come_last_and_one_image_alone(make: Callable[..., torch.Tensor], image: torch.Tensor) -> None:
    expected = make(image, 8)
    assert torch.equal(make(image.movedim(1, -1), 8), expected)
    assert torch.equal(make(image[0], 8), expected[:1])
    assert torch.equal(make(image[0].movedim(0, -1), 8), expected[:1])


def test_float64_stays_and_what_is_no_number_is_0() -> None:
    image = bands(10).double()
    image[0, 0, 0, 0], image[0, 0, 0, 1], image[0, 0, 0, 2] = math.nan, math.inf, -math.inf
    out = overhead_pixels(image, 6)
    assert out.dtype == torch.float64
    assert out[0, 0, 0, :3].tolist() == pytest.approx([0, 1, 0])


@pytest.mark.parametrize(
    ("make", "shape"), [(overhead_pixels, (11, 6, 6)), (overhead_pixels, (6, 6)), (photo_pixels, (4, 6, 6))]
)
def test_other_shapes_are_refused(make: Callable[..., torch.Tensor], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"has shape .* channels, the first or the last axis, are needed"):
        make(torch.zeros(shape))
