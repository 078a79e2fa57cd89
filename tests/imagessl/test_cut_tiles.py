"""Tiles cut from images: where they lie, by images whose pixels say where they are."""

import pytest
import torch

from cspops.errors import DataError
from cspops.imagessl.cut_tiles import CutTiles

H, W = 24, 30


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def charted(n: int = 3) -> torch.Tensor:
    """Row, column and number of the image as the three channels."""
    row, column = torch.arange(H)[:, None].expand(H, W), torch.arange(W).expand(H, W)
    return torch.stack([torch.stack((row, column, torch.full((H, W), k)), -1) for k in range(n)]).to(torch.uint8)


def cutter(n: int = 3, *, tile_px: int = 5, neighbourhood_px: int = 4, same_image: bool = False) -> CutTiles:
    return CutTiles(charted(n), tile_px, neighbourhood_px, same_image)


def centres(tiles: torch.Tensor, tile_px: int = 5) -> torch.Tensor:
    """Row, column and image of the pixel at the middle."""
    return tiles[:, :, tile_px // 2, tile_px // 2].long()


@pytest.mark.parametrize("tile_px", [4, 5, 8])
def test_a_tile_is_that_of_a_loop_mirrored_beyond_the_border(tile_px):
    """Row -1 is row 1, row H is row H - 2: the border itself is not repeated."""
    image, row, column = torch.tensor([0, 1, 2, 1]), torch.tensor([0, H - 1, 10, 1]), torch.tensor([0, W - 1, 1, 20])
    out = cutter(tile_px=tile_px).cut(image, torch.stack((row, column)))
    assert out.shape == (4, tile_px, tile_px, 3)

    def mirrored(at: int, size: int) -> int:
        return -at if at < 0 else 2 * (size - 1) - at if at >= size else at

    for b in range(4):
        for i in range(tile_px):
            for j in range(tile_px):
                expected = [
                    mirrored(int(row[b]) + i - tile_px // 2, H),
                    mirrored(int(column[b]) + j - tile_px // 2, W),
                    int(image[b]),
                ]
                assert out[b, i, j].tolist() == expected


@pytest.mark.parametrize("same_image", [False, True])
def test_neighbours_are_within_the_square_and_distant_tiles_are_not(same_image):
    image = torch.arange(3).repeat(2000)
    anchor, near, distant = centres(cutter(same_image=same_image).triplets(image, stream()))
    assert torch.equal(anchor[:, 2], image)
    assert torch.equal(near[:, 2], image)
    offset = near[:, :2] - anchor[:, :2]
    assert offset.min() == -4
    assert offset.max() == 4
    if same_image:
        assert torch.equal(distant[:, 2], image)
        assert (distant - anchor)[:, :2].abs().amax(1).min() == 5  # just outside is reached, inside is not
    else:
        assert not (distant[:, 2] == image).any()
        assert set(distant[image == 0, 2].tolist()) == {1, 2}


def test_anchors_are_everywhere():
    """6000 draws from 720 pixels miss one with a probability of 720 (719/720)^6000 = 0.17; corners and borders are there."""
    anchor = centres(cutter().triplets(torch.zeros(6000, dtype=torch.long), stream()))[0]
    assert anchor[:, 0].unique().tolist() == list(range(H))
    assert anchor[:, 1].unique().tolist() == list(range(W))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (12, 15), (H - 1, W - 1), (2, 27), (20, 3)])
def test_distant_tiles_of_one_image_are_even_over_all_that_is_outside(row, column):
    """Each pixel outside comes up, and those inside never: 720 pixels, 20000 draws, a miss has probability 720 e^-27."""
    n = 20000
    anchor = torch.tensor([[row], [column]]).expand(2, n)
    at = cutter(same_image=True)._outside(anchor, stream())
    found = set((at[0] * W + at[1]).tolist())
    outside = {r * W + c for r in range(H) for c in range(W) if max(abs(r - row), abs(c - column)) > 4}
    assert found == outside


def test_a_neighbourhood_as_high_as_the_image_leaves_its_sides():
    """20 rows either way cover all 24, but 14 columns do not cover 30."""
    cut = CutTiles(charted(), 5, 14, True)
    anchor, _, distant = centres(cut.triplets(torch.zeros(500, dtype=torch.long), stream()))
    assert (distant - anchor)[:, :2].abs().amax(1).min() > 14


@pytest.mark.parametrize(
    ("n", "changes", "says"),
    [
        (3, {"tile_px": 9}, r"tiles of 9 px are cut from images of at least 27 px, and these have 30 x 24"),
        (3, {"neighbourhood_px": 15, "same_image": True}, "a neighbourhood of 15 px .* nothing of an image of 30 x 24 px"),
        (1, {}, "distant tiles are cut from another image, and there is only one"),
    ],
)
def test_what_cannot_be_cut_is_refused(n, changes, says):
    with pytest.raises(DataError, match=says):
        cutter(n, **changes)
