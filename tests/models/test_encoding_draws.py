"""What random and learned encodings draw, learn and keep."""

import math

import pytest
import torch
from naive_encodings import DRAWN, SETTINGS, naive

from cspops.geo import equal_earth
from cspops.models.encodings import ENCODINGS
from cspops.models.encodings.planar import EAST, EqualEarthRff, Rbf, Rff, Tile
from cspops.seeds import global_torch_stream, torch_stream


def make(name: str, seed: int):
    with global_torch_stream(seed, "test"):
        return ENCODINGS[name](**SETTINGS[name])


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_draws_come_from_the_global_generator(name):
    one, same, other = (make(name, seed).state_dict() for seed in (0, 0, 1))
    for key in DRAWN[name]:
        assert torch.equal(one[key], same[key])
        assert not torch.equal(one[key], other[key])


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - set(DRAWN)))
def test_the_others_draw_nothing(name):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ENCODINGS[name](**SETTINGS[name])
    assert torch.equal(torch.get_rng_state(), before)


def test_rff_approximates_the_gaussian_kernel_of_its_variance():
    """E[2 cos(w a + b) cos(w c + b)] = exp(-variance |a - c|^2 / 2), a and c scaled to [-1, 1] (Rahimi and Recht 2007).

    The mean of s products whose variance is at most 1.5 has a standard deviation below 1.23 / sqrt(s); five of them.
    """
    torch.manual_seed(0)
    s, variance = 200_000, 3.0
    here, there = torch.tensor([18.0, 9.0]), torch.tensor([90.0, -36.0])
    a, c = Rff(features=s, variance=variance)(torch.stack((here, there))).double()
    kernel = math.exp(-variance * (0.4**2 + 0.5**2) / 2)
    assert float(a @ c) == pytest.approx(kernel, abs=5 * 1.23 / math.sqrt(s))


def test_shifts_of_rff_are_uniform_on_a_turn():
    """50 000 draws: the mean of u = b / 2 pi is 1/2 and that of u^2 1/3, with standard deviations below 0.0014."""
    torch.manual_seed(0)
    u = Rff(features=50_000, variance=1.0).shift / (2 * math.pi)
    assert u.min() >= 0 and u.max() < 1
    assert float(u.mean()) == pytest.approx(1 / 2, abs=0.007)
    assert float((u**2).mean()) == pytest.approx(1 / 3, abs=0.007)


def test_each_part_of_equal_earth_rff_approximates_its_kernel():
    """E[cos(2 pi B (p - q))] = exp(-2 pi^2 sigma^2 |p - q|^2); a mean of s cosines has sd below 1 / sqrt(s)."""
    torch.manual_seed(0)
    s, sigmas = 100_000, [1.0, 4.0]
    places = torch.tensor([[10.0, 20.0], [16.0, 25.0]], dtype=torch.float64)
    p, q = EAST * equal_earth(places)
    codes = EqualEarthRff(features=s, sigmas=sigmas)(places).double().split(2 * s, -1)
    for sigma, (a, c) in zip(sigmas, codes, strict=True):
        kernel = math.exp(-2 * math.pi**2 * sigma**2 * float(((p - q) ** 2).sum()))
        assert 0.01 < kernel < 0.99
        assert float(a @ c) / s == pytest.approx(kernel, abs=5 / math.sqrt(s))


def test_equal_earth_spans_one_from_centre_to_the_date_line():
    """x(180 E, 0 N) = 2 sqrt(3) pi / (3 A1) 66.50336 / 180 = 1 to the seven digits of the factor; the centre is 0, 0."""
    got = EAST * equal_earth(torch.tensor([[180.0, 0.0], [0.0, 0.0], [-180.0, 0.0]]))
    torch.testing.assert_close(got, torch.tensor([[1.0, 0], [0, 0], [-1, 0]], dtype=torch.float64), rtol=0, atol=1e-7)


class TestAnchors:
    train = torch.stack((torch.arange(50.0) - 25, torch.arange(50.0) / 2), -1)

    def fitted(self, anchors: int, seed: int = 0, train: torch.Tensor | None = None) -> torch.Tensor:
        encoding = Rbf(anchors=anchors, sigma=5.0)
        encoding.fit(self.train if train is None else train, torch_stream(seed, "anchors"))
        return encoding.anchor

    def test_are_training_positions_without_repeats_where_there_are_enough(self):
        anchor = self.fitted(50)
        assert anchor.dtype == torch.float64
        assert not torch.equal(anchor, self.train.double())
        assert torch.equal(anchor[anchor[:, 0].argsort()], self.train.double())

    def test_repeat_where_there_are_too_few(self):
        anchor = self.fitted(40, train=self.train[:3])
        assert anchor.shape == (40, 2)
        assert {tuple(row) for row in anchor.tolist()} == {tuple(row) for row in self.train[:3].tolist()}

    def test_depend_on_the_generator_alone(self):
        assert torch.equal(self.fitted(10, seed=4), self.fitted(10, seed=4))
        assert not torch.equal(self.fitted(10, seed=4), self.fitted(10, seed=5))

    def test_every_training_position_is_drawn_alike(self):
        """2 000 draws of 10 from 50: each row 400 times on average, sd sqrt(2000 0.2 0.8) = 18; all within 5 sd."""
        encoding, stream = Rbf(anchors=10, sigma=5.0), torch_stream(0, "many")
        count = torch.zeros(50)
        for _ in range(2000):
            encoding.fit(self.train, stream)
            count[(encoding.anchor[:, 0] + 25).long()] += 1
        assert (count - 400).abs().max() < 5 * 18

    def test_cannot_come_from_nothing(self):
        with pytest.raises(ValueError, match="there is none"):
            self.fitted(3, train=self.train[:0])

    def test_are_uniform_on_the_sphere_before(self):
        """z = sin(lat) is uniform on [-1, 1] (Archimedes): mean 0 and mean square 1/3; 40 000 draws, sd below 0.003."""
        torch.manual_seed(0)
        lon, lat = Rbf(anchors=40_000, sigma=5.0).anchor.unbind(-1)
        z = torch.deg2rad(lat).sin()
        assert abs(float(z.mean())) < 0.015
        assert float((z**2).mean()) == pytest.approx(1 / 3, abs=0.015)
        assert -180 <= lon.min() < -179 and 179 < lon.max() < 180

    @pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"rbf"}))
    def test_fitting_another_encoding_changes_nothing(self, name):
        encoding = make(name, 0)
        encoding.fit(self.train, torch_stream(0, "anchors"))
        for key, value in make(name, 0).state_dict().items():
            assert torch.equal(encoding.state_dict()[key], value)


class TestTile:
    def test_starts_normal_with_the_inverse_of_its_width_as_standard_deviation(self):
        """72 x 36 x 20 = 51 840 numbers: their sd is within 5 / sqrt(2 51 840) = 1.6 % of 1 / 20."""
        torch.manual_seed(0)
        table = Tile(cell=5.0, features=20).table
        assert table.shape == (72 * 36, 20)
        assert float(table.detach().std()) == pytest.approx(1 / 20, rel=0.016)

    def test_is_constant_within_a_cell_and_changes_at_its_border(self):
        tile = make("tile", 0)
        inside = tile(torch.tensor([[-180.0, -90.0], [-173.01, -83.01], [179.99 - 360, -90.0]]))
        assert torch.equal(inside[0], inside[1])
        neighbours = tile(torch.tensor([[-173.0, -90.0], [-180.0, -83.0]]))
        assert not torch.equal(neighbours[0], inside[0])
        assert not torch.equal(neighbours[1], inside[0])

    def test_has_as_many_codes_as_cells(self):
        tile = Tile(cell=30.0, features=4)
        lon, lat = torch.meshgrid(torch.arange(-180.0, 180, 10), torch.arange(-90.0, 91, 10), indexing="ij")
        codes = tile(torch.stack((lon, lat), -1)).view(-1, 4)
        assert len(codes.unique(dim=0)) == 12 * 6

    def test_gradient_reaches_the_cell_and_not_the_coordinates(self):
        tile = make("tile", 0)
        lonlat = torch.tensor([[8.5, 47.4]], requires_grad=True)
        tile(lonlat).sum().backward()
        assert lonlat.grad is None
        touched = tile.table.grad.abs().sum(1).nonzero().flatten().tolist()
        cell = naive("tile", 8.5, 47.4, SETTINGS["tile"], {"table": range(52 * 26)})
        assert touched == [cell]
