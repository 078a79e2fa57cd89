"""The location encoder is its encoding and its network, and its config rebuilds it."""

import copy
import itertools
import json

import pytest
import torch
from naive_encodings import SETTINGS

from cspops.models import location_encoder
from cspops.models.checkpoint import load_weights, save_model
from cspops.models.encodings import ENCODINGS
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import NETWORKS
from cspops.seeds import torch_stream

NETWORK_SETTINGS = {
    "ffn": {"hidden_layers": 1, "hidden": 8, "dropout": 0.5},
    "residual": {"layers": 2, "dropout": 0.5},
    "siren": {"hidden_layers": 2, "hidden": 8, "dropout": 0.5},
}


def config(encoding: str = "grid", network: str = "ffn", dim: int = 6) -> dict:
    return {
        "encoding": {"name": encoding} | SETTINGS[encoding],
        "network": {"name": network} | NETWORK_SETTINGS[network],
        "dim": dim,
    }


LONLAT = torch.tensor([[0.0, 0.0], [-180.0, -90.0], [123.4, 56.7]], dtype=torch.float64)


@pytest.mark.parametrize(("encoding", "network"), list(zip(sorted(ENCODINGS), itertools.cycle(sorted(NETWORKS)))))
class TestEveryEncodingWithANetwork:
    def test_is_network_of_encoding(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        assert torch.equal(encoder(LONLAT), encoder.network(encoder.encoding(LONLAT)))
        assert encoder(LONLAT).shape == (3, encoder.dim) == (3, 6)

    def test_prepared_rows_may_be_indexed_and_stacked(self, encoding, network):
        """Products of matrices of other heights may round the last digit otherwise."""
        encoder = LocationEncoder(config(encoding, network)).eval()
        prepared = encoder.prepare(LONLAT)
        assert torch.equal(encoder.embed(prepared), encoder(LONLAT))
        stacked = torch.cat((prepared[[2, 0]], encoder.prepare(LONLAT[1:2])))
        torch.testing.assert_close(encoder.embed(stacked), encoder(LONLAT)[[2, 0, 1]], rtol=1e-5, atol=1e-5)

    def test_config_written_as_json_rebuilds_it(self, encoding, network, tmp_path):
        encoder = LocationEncoder(config(encoding, network)).eval()
        save_model(tmp_path, encoder, encoder.config)
        again = LocationEncoder(json.loads((tmp_path / "config.json").read_text())).eval()
        load_weights(tmp_path, again, remake="")
        assert torch.equal(again(LONLAT), encoder(LONLAT))
        assert again.config == encoder.config

    def test_takes_any_leading_axes(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        torch.testing.assert_close(encoder(LONLAT[:, None].expand(3, 5, 2))[:, 4], encoder(LONLAT), rtol=1e-5, atol=1e-5)
        assert encoder(LONLAT[0]).shape == (6,)
        assert encoder(LONLAT[:0]).shape == (0, 6)

    def test_a_step_of_training_changes_every_parameter_that_it_used(self, encoding, network):
        """Dropout off, so that every unit is in use; of a tile table, the rows of the three places are."""
        torch.manual_seed(0)
        about = config(encoding, network)
        about["network"]["dropout"] = 0.0
        encoder = LocationEncoder(about)
        optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
        before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
        prepared = encoder.prepare(LONLAT)
        weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
        (encoder.embed(prepared) * weight).sum().backward()
        for name, p in encoder.named_parameters():
            assert p.grad.isfinite().all(), name
        optimizer.step()
        changed = {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}
        assert changed == set(before)


def test_one_part_has_a_plain_network_and_several_have_one_each():
    plain = LocationEncoder(config("grid"))
    assert all(name.startswith("network.") and ".parts." not in name for name in plain.state_dict())
    summed = LocationEncoder(config("equal_earth_rff")).eval()
    features = summed.encoding(LONLAT).split(12, -1)
    wanted = sum(network(part) for network, part in zip(summed.network.parts, features, strict=True))
    assert len(summed.network.parts) == 3
    torch.testing.assert_close(summed(LONLAT), wanted)
    assert len({tuple(network.output.weight.flatten().tolist()) for network in summed.network.parts}) == 3


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_what_is_prepared_does_not_depend_on_what_is_learned(encoding):
    """A learned encoding is left to `embed`, so that its parameters get a gradient at every step."""
    encoder = LocationEncoder(config(encoding)).eval()
    prepared = encoder.prepare(LONLAT.float())
    assert not prepared.requires_grad
    if encoding == "tile":
        assert prepared.dtype == torch.float64
        assert torch.equal(prepared, LONLAT.float().double())
    else:
        assert torch.equal(prepared, encoder.encoding(LONLAT.float()))


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_preparing_in_blocks_changes_nothing(encoding, monkeypatch):
    monkeypatch.setattr(location_encoder, "ROWS_AT_ONCE", 3)
    encoder = LocationEncoder(config(encoding)).eval()
    for shape in [(7, 2), (2, 5, 2), (1, 2)]:
        lonlat = 50 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
        wanted = lonlat.double() if encoding == "tile" else encoder.encoding(lonlat)
        assert torch.equal(encoder.prepare(lonlat), wanted)


def test_gradients_reach_the_coordinates_through_both_steps():
    lonlat = LONLAT.clone().requires_grad_()
    LocationEncoder(config()).eval()(lonlat).sum().backward()
    assert (lonlat.grad[2] != 0).all()


def test_fit_hands_the_training_positions_to_the_encoding():
    encoder = LocationEncoder(config("rbf"))
    train = torch.arange(40.0).view(20, 2)
    encoder.fit(train, torch_stream(0, "anchors"))
    rows = {tuple(row) for row in train.tolist()}
    assert {tuple(row) for row in encoder.encoding.anchor.tolist()} <= rows
    grid = LocationEncoder(config("grid"))
    grid.fit(train, torch_stream(0, "anchors"))


def test_the_callers_config_is_neither_changed_nor_shared():
    mine = copy.deepcopy(config("equal_earth_rff"))
    before = copy.deepcopy(mine)
    encoder = LocationEncoder(mine)
    assert mine == before
    mine["encoding"]["features"] = 99
    mine["encoding"]["sigmas"].append(64.0)
    assert encoder.config == before


def test_casting_the_encoder_keeps_its_frequencies_float64():
    encoder = LocationEncoder(config())
    before = encoder.encoding.frequency.clone()
    encoder.half().float()
    assert encoder.encoding.frequency.dtype == torch.float64
    assert torch.equal(encoder.encoding.frequency, before)


def test_a_setting_that_the_encoding_lacks_is_an_error():
    with pytest.raises(TypeError, match="r_medium"):
        LocationEncoder(config() | {"encoding": {"name": "grid", "r_medium": 3.0} | SETTINGS["grid"]})
