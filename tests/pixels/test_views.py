"""Random views of tiles: what they may change and what not."""

import math

import pytest
import torch

from cspops.pixels.views import Augmentation, Views, gaussian_blur, random_views


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiles(n: int = 16, side: int = 8) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=stream(9))


def views(pixels: torch.Tensor, seed: int = 0, **changes: float | bool) -> torch.Tensor:
    return random_views(pixels, Augmentation(**changes), generator=stream(seed))


def dihedral(tile: torch.Tensor) -> list[torch.Tensor]:
    """The eight symmetries of the square: four quarter turns, mirrored or not."""
    return [turned for base in (tile, tile.flip(-1)) for turned in (torch.rot90(base, k, (-2, -1)) for k in range(4))]


@pytest.mark.parametrize(
    ("turns", "mirror", "symmetries"),
    [(True, True, range(8)), (True, False, range(4)), (False, True, (0, 4)), (False, False, (0,))],
)
def test_without_crop_and_colour_a_view_is_one_of_the_symmetries(turns, mirror, symmetries):
    """Each of them comes up: 64 tiles miss one of eight with probability 8 (7/8)^64 = 0.0015, and the seed is fixed."""
    tile = tiles(1)[0]
    out = views(tile.expand(64, -1, -1, -1), turns=turns, mirror=mirror)
    distance = torch.stack([(out - symmetry).abs().amax((1, 2, 3)) for symmetry in dihedral(tile)])
    assert float(distance.min(0).values.max()) < 1e-5
    assert set(distance.argmin(0).tolist()) == set(symmetries)


def test_views_stay_within_zero_and_one():
    out = views(tiles(64), min_scale=0.3, colour_jitter=0.9, grey=0.5)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert out.shape == (64, 3, 8, 8)


@pytest.mark.parametrize("min_scale", [0.25, 0.5, 0.9])
def test_a_crop_of_a_plain_tile_is_plain(min_scale):
    """A crop lies within its tile, so nothing from outside (black) may be mixed into its rim."""
    out = views(torch.full((32, 3, 8, 8), 0.7), min_scale=min_scale)
    torch.testing.assert_close(out, torch.full_like(out, 0.7), rtol=0, atol=1e-5)


def test_a_crop_covers_at_least_the_least_share():
    """On a ramp from 0 to 1 across the tile, a view of side s spans s (1 - 1/w) of it; area >= 0.25 means s >= 0.5."""
    side = 32
    ramp = ((torch.arange(side) + 0.5) / side).expand(3, side, side)
    inner = views(ramp.expand(200, -1, -1, -1), min_scale=0.25)[:, :, 1:-1, 1:-1]
    span = (inner.amax((1, 2, 3)) - inner.amin((1, 2, 3))) / ((side - 3) / side)
    assert 0.5 - 1e-4 <= float(span.min()) < 0.6
    assert 0.9 < float(span.max()) <= 1 + 1e-4


def test_brightness_and_contrast_stay_within_their_factors():
    """Of a plain tile contrast changes nothing: each channel is scaled by (1 +- j)(1 +- j/2)."""
    out = views(torch.full((500, 3, 4, 4), 0.5), colour_jitter=0.2)
    factor = out[:, :, 0, 0] / 0.5
    assert 0.8 * 0.9 <= float(factor.min()) < 0.8
    assert 1.2 < float(factor.max()) <= 1.2 * 1.1
    assert float((factor[:, 0] - factor[:, 1]).abs().max()) > 0.05


def test_contrast_keeps_the_mean_of_the_tile():
    """A tile of 0.4 and 0.6 around 0.5: with contrast c and one factor f of all channels the halves are f (0.5 -+ 0.1 c)."""
    tile = torch.full((300, 3, 2, 2), 0.4)
    tile[:, :, :, 1] = 0.6
    out = views(tile, colour_jitter=0.1)
    low, high = out.amin((2, 3)), out.amax((2, 3))
    contrast = (high - low) / (high + low) * 5
    assert 0.9 - 1e-4 <= float(contrast.min()) < 0.92
    assert 1.08 < float(contrast.max()) <= 1.1 + 1e-4
    torch.testing.assert_close(contrast[:, 0], contrast[:, 1])


@pytest.mark.parametrize(("grey", "share"), [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_the_share_of_grey_views(grey, share):
    """Six standard deviations of 1000 draws are 6 sqrt(.3 .7 / 1000) = 0.087."""
    out = views(tiles(1).expand(1000, -1, -1, -1), grey=grey)
    is_grey = (out.amax(1) - out.amin(1)).amax((1, 2)) < 1e-6
    assert abs(float(is_grey.double().mean()) - share) <= (0.087 if 0 < share < 1 else 0)


def test_rows_get_views_of_their_own():
    out = views(tiles(1).expand(8, -1, -1, -1), min_scale=0.5)
    assert len({tuple(row.flatten().tolist()) for row in out}) == 8


def test_a_stream_repeats_its_views_and_goes_on():
    x = tiles()
    assert torch.equal(views(x, min_scale=0.5), views(x, min_scale=0.5))
    g = stream()
    one, other = (random_views(x, Augmentation(min_scale=0.5, colour_jitter=0.1), generator=g) for _ in range(2))
    assert not torch.equal(one, other)


def test_the_callers_tiles_are_left_alone():
    x = tiles()
    copy = x.clone()
    views(x, min_scale=0.5, colour_jitter=0.3, grey=0.5)
    assert torch.equal(x, copy)


def test_some_rows_of_a_batch_get_what_they_get_in_it():
    """However a batch is shared out, so that processes make the views that one process would make; blurs reach 3 pixels."""
    x = tiles(10, side=112)
    settings = Augmentation(min_scale=0.5, colour_jitter=0.2, grey=0.5, blur=0.5)
    whole = random_views(x, settings, generator=stream())
    for first, stop in ((0, 4), (4, 10), (3, 4)):
        g = stream()
        part = random_views(x[first:stop], settings, generator=g, batch=10, first=first)
        torch.testing.assert_close(part, whole[first:stop], rtol=0, atol=1e-6)
        other = stream()
        random_views(x, settings, generator=other)
        assert torch.equal(torch.rand(3, generator=g), torch.rand(3, generator=other))
    views = Views((x * 255).byte().permute(0, 2, 3, 1), torch.device("cpu"), Augmentation(min_scale=0.5))
    rows = torch.tensor([5, 1, 7])
    torch.testing.assert_close(views(rows, stream(), slice(1, 3)), views(rows, stream())[1:], rtol=0, atol=1e-6)


def blurred(image: torch.Tensor, sigma: float, reach: int) -> torch.Tensor:
    """A loop over pixels and their neighbours; beyond the rim its pixels go on."""
    h, w = image.shape
    out = torch.zeros_like(image)
    for y in range(h):
        for x in range(w):
            total, weights = 0.0, 0.0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    weight = math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
                    total += weight * float(image[min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)])
                    weights += weight
            out[y, x] = total / weights
    return out


def test_the_blur_is_that_of_a_loop():
    """Each image by its own deviation; all kernels end at three of the largest, ceil(3 1.2) = 4."""
    x, sigma = tiles(2, side=6), torch.tensor([0.5, 1.2])
    out = gaussian_blur(x, sigma)
    for row in range(2):
        for channel in range(3):
            expected = blurred(x[row, channel], float(sigma[row]), 4)
            torch.testing.assert_close(out[row, channel], expected, rtol=0, atol=1e-5)


def test_a_blur_reaches_no_farther_than_the_image():
    out = gaussian_blur(tiles(1, side=3), torch.tensor([50.0]))
    torch.testing.assert_close(out[0, 0], blurred(tiles(1, side=3)[0, 0], 50.0, 2), rtol=0, atol=1e-5)


def test_a_plain_image_stays_plain():
    out = views(torch.full((16, 3, 8, 8), 0.6), blur=1.0)
    torch.testing.assert_close(out, torch.full_like(out, 0.6), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("blur", "share"), [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_the_share_of_blurred_views_and_their_deviations(monkeypatch, blur, share):
    """The blur's answer is black here, which tells how often it is taken; six standard deviations of 1000 draws are 0.087.

    Deviations are 0.1 to 2 pixels of an image of 224: of one of 8 pixels, a 28th of that.
    """
    deviations = []

    def black(pixels, sigma, largest):
        deviations.append(sigma)
        return torch.zeros_like(pixels)

    monkeypatch.setattr("cspops.pixels.views.gaussian_blur", black)
    out = views(torch.full((1000, 3, 8, 8), 0.5), blur=blur)
    taken = out.amax((1, 2, 3)) == 0
    assert abs(float(taken.double().mean()) - share) <= (0.087 if 0 < share < 1 else 0)
    assert len(deviations) == (blur > 0)
    for sigma in deviations:
        assert 0.1 / 28 <= float(sigma.min()) < 0.12 / 28
        assert 1.98 / 28 < float(sigma.max()) <= 2 / 28


def test_a_blur_is_seen_in_a_view():
    """On checks of one pixel each at the size that the deviations are for, contrast falls; the mean stays."""
    checks = (torch.arange(224)[:, None] + torch.arange(224)) % 2
    out = views(checks.float().expand(8, 3, -1, -1), blur=1.0)
    assert float(out.std((1, 2, 3)).min()) < 0.1
    torch.testing.assert_close(out.mean((1, 2, 3)), torch.full((8,), 0.5), rtol=0, atol=0.01)
