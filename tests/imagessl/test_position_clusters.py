"""Clusters of positions: the date line, rows without position, the head and its loss."""

import math

import pytest
import torch

from cspops.errors import DataError
from cspops.geo import unit_vectors
from cspops.imagessl.position_clusters import PositionClusters, fit_centres, points_of


def around(lon: float, lat: float, n: int = 20) -> torch.Tensor:
    draws = torch.Generator().manual_seed(int(lon) % 360)
    return torch.tensor([lon, lat]) + torch.rand(n, 2, generator=draws).double() * 4 - 2


def clusters(lonlat: torch.Tensor, number: int, space: str) -> torch.Tensor:
    points = points_of(lonlat, space)
    return PositionClusters(4, fit_centres(points, number, seed=0), seed=0).nearest(points.float())


def test_the_date_line_cuts_no_cluster_of_the_sphere():
    """Three groups, one of them across 180 degrees: in degrees it is cut, as the authors' are."""
    lonlat = torch.cat((around(180.0, 0.0), around(0.0, 50.0), around(90.0, -40.0)))
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180
    group = torch.arange(3).repeat_interleave(20)
    found = clusters(lonlat, 3, "sphere")
    assert len({*zip(found.tolist(), group.tolist(), strict=True)}) == 3
    assert len(clusters(lonlat, 4, "degrees")[:20].unique()) == 2


def test_points_are_unit_vectors_or_degrees():
    lonlat = torch.tensor([[10.0, 20.0], [-170.0, -60.0]]).double()
    torch.testing.assert_close(points_of(lonlat, "sphere"), unit_vectors(lonlat), rtol=0, atol=1e-6)
    assert torch.equal(points_of(lonlat, "degrees"), lonlat)


def test_a_centre_is_the_mean_of_its_points_and_the_seed_repeats():
    points = points_of(torch.cat((around(20.0, 0.0), around(-100.0, 50.0))), "sphere")
    centres = fit_centres(points, 2, seed=3)
    means = torch.stack((points[:20].mean(0), points[20:].mean(0)))
    distance = torch.cdist(centres, means)
    assert sorted(distance.argmin(1).tolist()) == [0, 1]
    assert float(distance.min(1).values.max()) < 2e-6
    assert torch.equal(centres, fit_centres(points, 2, seed=3))


def test_no_more_clusters_than_positions():
    """The two poles in 18 longitudes each are two points of the sphere."""
    lon = torch.arange(36.0).double() * 10 - 180
    poles = torch.stack((lon, torch.where(lon < 0, 90.0, -90.0).double()), 1)
    assert len(fit_centres(points_of(poles, "sphere"), 10, seed=0)) == 2


@pytest.mark.parametrize(("positions", "says"), [([], "0 distinct positions"), ([[3.0, 4.0]] * 3, "1 distinct position,")])
def test_clusters_need_two_positions(positions, says):
    lonlat = torch.tensor([*positions, [torch.nan, torch.nan]]).double()
    with pytest.raises(DataError, match=says) as caught:
        fit_centres(points_of(lonlat, "sphere"), 5, seed=0)
    assert "geo_ssl.geo: false" in str(caught.value.hint)


def test_the_loss_is_that_of_a_loop_over_the_rows_with_a_position():
    """- log softmax(W relu(p) + b) at the nearest centre; the row without a position counts neither above nor below."""
    draws = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 2, generator=draws)
    points = torch.cat((torch.randn(5, 2, generator=draws), torch.full((1, 2), torch.nan)))
    projected = torch.randn(6, 4, generator=draws)
    told = PositionClusters(4, centres, seed=0)
    weight, bias = told.head[1].weight.detach(), told.head[1].bias.detach()
    losses = []
    for p, point in zip(projected[:5], points[:5], strict=True):
        distance = [float((point - centre).norm()) for centre in centres]
        scores = [float(weight[c] @ p.clamp(min=0) + bias[c]) for c in range(3)]
        losses.append(math.log(sum(map(math.exp, scores))) - scores[distance.index(min(distance))])
    assert told(projected, points).item() == pytest.approx(sum(losses) / 5, rel=1e-5)
    assert told(projected[5:], points[5:]).item() == 0


def test_a_row_without_position_gets_no_gradient():
    points = torch.tensor([[0.0, 1.0], [torch.nan, torch.nan]])
    projected = torch.ones(2, 4, requires_grad=True)
    PositionClusters(4, torch.eye(2), seed=0)(projected, points).backward()
    assert float(projected.grad[0].abs().max()) > 0
    assert torch.equal(projected.grad[1], torch.zeros(4))
