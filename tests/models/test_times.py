"""Time encodings, and the location encoder with a time beside the position."""

import copy
import json
import math

import pytest
import torch
from naive_encodings import SETTINGS

from cspops.errors import DataError
from cspops.models.checkpoint import save_model
from cspops.models.encodings.times import TIMES
from cspops.models.heads import ClassEmbedding
from cspops.models.loading import load_location_classifier, load_location_encoder
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.models.networks import own_masks
from cspops.ranks import Processes

NAMES = {"cos_sin": {}, "harmonics": {"orders": 3}}
WHEN = torch.tensor([0.0, 0.25, 1 / 3, 0.999, math.nan], dtype=torch.float64)
LONLAT = torch.tensor([[0.0, 0.0], [-180.0, -90.0], [123.4, 56.7], [8.5, 47.4], [8.5, -47.4]], dtype=torch.float64)
NETWORKS = {"ffn": {"hidden_layers": 1, "hidden": 8}, "residual": {"layers": 2}, "siren": {"hidden_layers": 2, "hidden": 8}}
ENCODINGS = ("grid", "equal_earth_rff", "tile")


def config(encoding: str = "grid", network: str = "ffn", time: str = "cos_sin", *, dropped: float = 0.0, dropout: float = 0.0):
    return {
        "encoding": {"name": encoding} | SETTINGS[encoding],
        "network": {"name": network, "dropout": dropout} | NETWORKS[network],
        "dim": 6,
        "time": {"name": time, "dropped": dropped} | NAMES[time],
    }


@pytest.mark.parametrize("name", TIMES)
def test_features_of_a_date_by_definition_and_their_mean_without_one(name: str) -> None:
    encoding = TIMES[name](**NAMES[name])
    orders = range(1, NAMES[name].get("orders", 1) + 1)
    wanted = [
        [of(2 * math.pi * k * t) for k in orders for of in (math.cos, math.sin)] if t == t else [0.0] * encoding.dim
        for t in WHEN.tolist()
    ]
    found = encoding(WHEN)
    assert found.dtype == torch.float32 and found.shape == (5, encoding.dim)
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=0, atol=1e-7)
    year = torch.arange(24, dtype=torch.float64) / 24
    torch.testing.assert_close(encoding(year).mean(0), torch.zeros(encoding.dim), rtol=0, atol=1e-7)
    torch.testing.assert_close(encoding(WHEN + 1), found, rtol=0, atol=1e-6)
    assert encoding(WHEN.view(5, 1).expand(5, 2)).shape == (5, 2, encoding.dim)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("encoding", ENCODINGS)
class TestWithEveryKindOfEncodingAndNetwork:
    @pytest.mark.parametrize("time", TIMES)
    def test_networks_see_the_encoding_and_the_date(self, encoding, network, time):
        encoder = LocationEncoder(config(encoding, network, time)).eval()
        date = encoder.time(WHEN)
        parts = encoder.encoding(LONLAT).split(encoder.encoding.widths, -1)
        networks = encoder.network.parts if len(parts) > 1 else [encoder.network]
        wanted = torch.stack([one(torch.cat((part, date), -1)) for one, part in zip(networks, parts, strict=True)]).sum(0)
        assert encoder.takes_time
        torch.testing.assert_close(encoder(LONLAT, WHEN), wanted)

    def test_no_date_is_nan_or_none(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        nowhen = torch.full((5,), torch.nan)
        assert torch.equal(encoder(LONLAT), encoder(LONLAT, nowhen))
        torch.testing.assert_close(encoder(LONLAT, WHEN)[4], encoder(LONLAT)[4])
        assert not torch.allclose(encoder(LONLAT, WHEN)[:4], encoder(LONLAT)[:4])

    def test_prepared_rows_may_be_indexed_and_stacked(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        prepared = encoder.prepare(LONLAT, WHEN)
        assert torch.equal(encoder.embed(prepared), encoder(LONLAT, WHEN)) and not prepared.requires_grad
        stacked = torch.cat((prepared[[2, 0]], encoder.prepare(LONLAT[1:2], WHEN[1:2])))
        torch.testing.assert_close(encoder.embed(stacked), encoder(LONLAT, WHEN)[[2, 0, 1]], rtol=1e-5, atol=1e-5)

    def test_any_leading_axes(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).eval()
        many = encoder(LONLAT[:, None].expand(5, 3, 2), WHEN[:, None].expand(5, 3))
        torch.testing.assert_close(many[:, 2], encoder(LONLAT, WHEN), rtol=1e-5, atol=1e-5)
        assert encoder(LONLAT[0], WHEN[0]).shape == (6,)
        assert encoder(LONLAT[:0], WHEN[:0]).shape == (0, 6)

    def test_a_repeated_pass_comes_first(self, encoding, network):
        encoder = LocationEncoder(config(encoding, network)).train()
        prepared = encoder.prepare(LONLAT, WHEN)
        both, once = encoder.embed(prepared, repeated=2), encoder.embed(prepared)
        torch.testing.assert_close(both, torch.cat((once[:2], once)), rtol=1e-5, atol=1e-5)

    def test_a_saved_one_is_the_same(self, encoding, network, tmp_path):
        encoder = LocationEncoder(config(encoding, network, "harmonics", dropped=0.25)).eval()
        save_model(tmp_path / "e", encoder, encoder.config)
        again = load_location_encoder(tmp_path / "e")
        assert again.config == encoder.config == json.loads((tmp_path / "e/config.json").read_text())
        assert torch.equal(again(LONLAT, WHEN), encoder(LONLAT, WHEN))
        classifier = LocationClassifier(encoder, ClassEmbedding(6, 3)).eval()
        save_model(tmp_path / "c", classifier, classifier.config)
        assert torch.equal(load_location_classifier(tmp_path / "c")(LONLAT, WHEN), classifier(LONLAT, WHEN))


def test_an_encoder_without_time_is_as_it_was_and_ignores_dates() -> None:
    without = {key: value for key, value in config().items() if key != "time"}
    encoder = LocationEncoder(without).eval()
    assert not encoder.takes_time and [name for name, _ in encoder.named_modules() if "date" in name or "time" in name] == []
    assert torch.equal(encoder(LONLAT, WHEN), encoder(LONLAT))
    assert encoder.prepare(LONLAT, WHEN).shape == (5, encoder.encoding.dim)
    assert encoder.config == without


def dated_rows(encoder: LocationEncoder, prepared: torch.Tensor, **more) -> torch.Tensor:
    """Which rows of a pass kept their dates: an embedding that shows nothing but the date's first feature."""
    seen = []
    encoder.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, -2:].abs().sum(1) > 0))
    encoder.embed(prepared, **more)
    return seen[-1]


def test_training_drops_the_dates_of_a_share_of_whole_rows_and_each_pass_its_own() -> None:
    n, dropped = 40_000, 0.25
    encoder = LocationEncoder(config(dropped=dropped)).train()
    prepared = encoder.prepare(torch.zeros(n, 2), torch.rand(n, generator=torch.Generator().manual_seed(0)))
    torch.manual_seed(0)
    kept = dated_rows(encoder, prepared, repeated=n)
    sd = math.sqrt(dropped * (1 - dropped) / n)
    for part in kept.split(n):
        assert abs(float((~part).float().mean()) - dropped) < 4 * sd
    both = float((kept[:n] & kept[n:]).float().mean())
    assert abs(both - (1 - dropped) ** 2) < 4 / math.sqrt(n)
    assert dated_rows(encoder.eval(), prepared).all()


def test_kept_dates_are_as_they_were() -> None:
    encoder = LocationEncoder(config("tile", dropped=0.9)).train()
    inputs = []
    encoder.network.register_forward_pre_hook(lambda module, given: inputs.append(given[0][:, -2:]))
    prepared = encoder.prepare(torch.zeros(1000, 2), torch.rand(1000, generator=torch.Generator().manual_seed(0)))
    encoder.embed(prepared)
    kept = inputs[0].abs().sum(1) > 0
    assert 0 < kept.sum() < 250
    torch.testing.assert_close(inputs[0][kept], prepared[kept, -2:].float())


def test_processes_that_share_a_batch_drop_together() -> None:
    """As dropout: each draws for all rows and applies its own."""
    encoder = LocationEncoder(config(dropped=0.5)).train()
    prepared = encoder.prepare(torch.zeros(8, 2), torch.full((8,), 0.1))
    torch.manual_seed(3)
    whole = dated_rows(encoder, prepared)
    halves = []
    for rank in range(2):
        processes = Processes(rank, size=2)
        torch.manual_seed(3)
        with own_masks(processes, 8):
            halves.append(dated_rows(encoder, prepared[processes.share(8)]))
    assert torch.equal(torch.cat(halves), whole)


@pytest.mark.parametrize(
    "time",
    [
        {"name": "cosine", "dropped": 0.1},
        {"name": "cos_sin"},
        {"name": "cos_sin", "dropped": 1.0},
        {"name": "cos_sin", "dropped": 0.1, "orders": 2},
        {"name": "harmonics", "dropped": 0.1},
        {"name": "harmonics", "dropped": 0.1, "orders": 0},
        {"dropped": 0.1},
        "cos_sin",
    ],
)
def test_a_config_with_another_time_is_no_location_encoder(time, tmp_path) -> None:
    encoder = LocationEncoder(config())
    about = copy.deepcopy(encoder.config) | {"time": time}
    save_model(tmp_path, encoder, about)
    with pytest.raises(DataError, match="describes no location encoder"):
        load_location_encoder(tmp_path)
