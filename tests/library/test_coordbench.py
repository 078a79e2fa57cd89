"""The adapter has CoordBench's interface, and is the encoder."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import pytest
from location_runs import CONFIG, write_location_run

from cspops.library.coordbench import CoordBenchEncoder
from cspops.library.loading import load

LON, LAT = np.array([8.5, -70.0, 200.0]), np.array([47.4, -33.5, 0.0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    write_location_run(run / "artifacts")
    return run / "artifacts" / "pretrain" / "seed_0"


@pytest.mark.parametrize("year", [None, np.array([2020, 2021, 2022])])
def test_it_encodes_lon_lat_and_year_in_batches(folder: Path, year: np.ndarray | None) -> None:
    encoder = CoordBenchEncoder(folder, batch_size=2)
    found = encoder.encode(LON, LAT, year)
    assert (found.shape, found.dtype) == ((3, CONFIG["dim"]), np.float32)
    np.testing.assert_allclose(found, load(folder).encode_location(np.stack((LON, LAT), 1)), rtol=1e-6)
    np.testing.assert_allclose(encoder._encode(LON, LAT, year), found, rtol=1e-5, atol=1e-6)
    assert encoder.encode([], []).shape == (0, CONFIG["dim"])


def test_it_can_be_a_subclass_of_the_benchmarks_own_class(folder: Path) -> None:
    class LocationEncoder(ABC):
        name = "location_encoder"

        def __init__(self, device: str = "cpu", batch_size: int = 8192) -> None:
            raise AssertionError("ours comes first")

        @abstractmethod
        def _encode(self, lon: np.ndarray, lat: np.ndarray, year: np.ndarray | None) -> np.ndarray: ...

    class Ours(CoordBenchEncoder, LocationEncoder): ...

    encoder = Ours(folder=folder, device="cpu", batch_size=8192)
    assert isinstance(encoder, LocationEncoder)
    assert (encoder.name, encoder.dim) == ("cspops", CONFIG["dim"])
    assert encoder.encode(LON, LAT).shape == (3, CONFIG["dim"])
