"""What is timed gives the same features as what it is timed against; `main` itself compares them."""

import numpy as np
import pytest
import torch

from benchmarks import featurize

SMALL = ["--images", "5", "--side", "40", "--px", "32", "--model", "timm:test_resnet", "--batch", "2", "--device", "cpu"]


def test_it_prints_both_ways_and_where_the_time_goes(capsys):
    featurize.main([*SMALL, "--workers", "1", "--repeats", "1"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("5 JPEGs of 40 x 30 pixels to timm:test_resnet at 32 x 32 on CPU, batches of 2, 1 workers")
    assert [line[:12].strip() for line in out[1:]] == ["", "plain", "ours", "alone", "decoding", "transfer", "network"]
    assert float(out[2].split()[-1]) == 1
    assert abs(sum(int(line.split()[-1].rstrip("%")) for line in out[5:]) - 100) <= 2  # each is rounded


def test_ways_that_differ_are_not_timed(monkeypatch):
    monkeypatch.setattr(featurize, "ours", lambda network, source, device: torch.cat(list(source)).half().numpy())
    with pytest.raises(AssertionError, match="ours"):
        featurize.main([*SMALL, "--workers", "0"])


def test_on_a_gpu_features_agree_within_half_precision():
    one = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float16)
    for device, distance, alike in (("cpu", 0.0, True), ("cpu", 0.01, False), ("cuda", 0.01, True), ("cuda", 0.2, False)):
        assert featurize.agree(one * np.float16(1 + distance), one, torch.device(device)) == alike
