"""The location encoder is its encoding and its network, and its config rebuilds it."""

import itertools
import json

import pytest
import torch

from cspops.models.encodings import ENCODINGS
from cspops.models.location_encoder import LocationEncoder
from cspops.models.networks import NETWORKS

ENCODING_SETTINGS = {"wrap": {}, "grid": {"scales": 4, "r_min": 0.1, "r_max": 360.0}}
NETWORK_SETTINGS = {"ffn": {"hidden_layers": 1, "hidden": 8, "dropout": 0.5}, "residual": {"layers": 2, "dropout": 0.5}}


def config(encoding: str = "grid", network: str = "ffn", dim: int = 6) -> dict:
    return {
        "encoding": {"name": encoding} | ENCODING_SETTINGS[encoding],
        "network": {"name": network} | NETWORK_SETTINGS[network],
        "dim": dim,
    }


LONLAT = torch.tensor([[0.0, 0.0], [-180.0, -90.0], [123.4, 56.7]], dtype=torch.float64)


@pytest.mark.parametrize(("encoding", "network"), list(itertools.product(sorted(ENCODINGS), sorted(NETWORKS))))
class TestEveryPairing:
    def test_is_network_of_encoding(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        assert torch.equal(encoder(LONLAT), encoder.network(encoder.encoding(LONLAT)))
        assert encoder(LONLAT).shape == (3, encoder.dim) == (3, 6)

    def test_config_written_as_json_rebuilds_it(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        again = LocationEncoder(json.loads(json.dumps(encoder.config)))
        again.load_state_dict(encoder.state_dict(), strict=True)
        assert torch.equal(again.eval()(LONLAT), encoder(LONLAT))

    def test_takes_any_leading_axes(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        torch.testing.assert_close(encoder(LONLAT[:, None].expand(3, 5, 2))[:, 4], encoder(LONLAT))


def test_the_callers_config_is_neither_changed_nor_shared():
    mine = config()
    encoder = LocationEncoder(mine)
    assert mine == config()
    mine["encoding"]["scales"] = 99
    assert encoder.config == config()


def test_casting_the_encoder_keeps_its_frequencies_float64():
    encoder = LocationEncoder(config())
    before = encoder.encoding.frequency.clone()
    encoder.half().float()
    assert encoder.encoding.frequency.dtype == torch.float64
    assert torch.equal(encoder.encoding.frequency, before)


def test_a_setting_that_the_encoding_lacks_is_an_error():
    with pytest.raises(TypeError, match="r_medium"):
        LocationEncoder(config() | {"encoding": {"name": "grid", "r_medium": 3.0} | ENCODING_SETTINGS["grid"]})
