"""Every encoding, network and kind of image network as an ONNX file that answers as torch does."""

import copy
import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from location_runs import PLACES, POOL, make_classifier
from torch import nn

from cspops.errors import CspopsError, EnvironmentProblem
from cspops.evaluation.pool import NEIGHBOURS, Places
from cspops.library.model import Model
from cspops.library.onnx import checking, writing
from cspops.library.onnx.checking import TOLERANCE, check_onnx, open_session
from cspops.library.onnx.graphs import CombinedProbabilities, Embedding, LocationProbabilities, PoolOfPlaces, _points, example
from cspops.library.onnx.writing import write_onnx
from cspops.models.backbones import build_image_network
from cspops.models.encodings import ENCODINGS
from cspops.models.heads import ClassEmbedding, ImageHead, LinearProbe
from cspops.models.location_encoder import LocationClassifier, LocationEncoder
from cspops.models.networks import NETWORKS

FINE = {"scales": 4, "r_min": 1e-4, "r_max": 1.0}
SETTINGS = {
    "tile": {"cell": 30.0, "features": 4},
    "nerf": {"scales": 16},
    "rbf": {"anchors": 6, "sigma": 2.0},
    "rff": {"features": 6, "variance": 100.0},
    "grid": {"scales": 4, "r_min": 1e-4, "r_max": 360.0},
    "theory": {"scales": 4, "r_min": 1e-4, "r_max": 360.0},
    "spherical_harmonics": {"degree": 4},
    "equal_earth_rff": {"features": 4, "sigmas": [1.0, 256.0]},
} | dict.fromkeys(("sphereC", "sphereC+", "sphereM", "sphereM+", "dfs"), FINE)
"""Small, and the finest scales that are published, where a position in float32 would be of another phase."""

FFN = {"name": "ffn", "hidden": 8}
ODD = np.array([[0.0, 90.0], [12.0, -90.0], [180.0, 1.0], [-180.0, 1.0], [np.nan, np.nan], [359.5, 45.0], [8.54321, 47.37654]])


def encoder(encoding, network=FFN, dim=6):
    torch.manual_seed(0)
    config = {"encoding": {"name": encoding, **SETTINGS.get(encoding, {})}, "network": network, "dim": dim}
    return LocationEncoder(config).eval()


def written(graph, folder, px=None):
    graph.eval()
    file = folder / "a.onnx"
    write_onnx(file, graph, example(graph, px), name="the model", facts={"made_by": "a test"})
    return file


class Several(nn.Module):
    """Graphs on the same positions as one, each with an output: exporting takes long, of many hardly longer than of one."""

    inputs = ("lonlat",)

    def __init__(self, graphs):
        super().__init__()
        self.outputs = tuple(graphs)
        self.graphs = nn.ModuleList(graphs.values())

    def forward(self, lonlat):
        return tuple(graph(lonlat) for graph in self.graphs)


def test_every_encoding_answers_as_torch_at_its_finest_scales(tmp_path):
    """Also on odd places, against the answer of `cspops.load`, which shares no code with the graph around the encoding."""
    models = {name: Model(encoder(name)) for name in ENCODINGS}
    graph = Several({name: Embedding(model.encoder) for name, model in models.items()})
    file = written(graph, tmp_path)
    assert {name: off for name, off in check_onnx(file, graph, name="all").items() if max(off.values()) >= 2e-6} == {}
    answers = open_session(file).run(None, {"lonlat": ODD})
    for (name, model), answer in zip(models.items(), answers, strict=True):
        np.testing.assert_allclose(answer, model.encode_location(ODD), atol=5e-6, err_msg=name)
        assert answer.dtype == np.float32


def test_every_network_with_classes_answers_as_torch(tmp_path):
    torch.manual_seed(1)
    classifiers = {
        name: LocationClassifier(
            encoder("wrap", {"name": name}), ClassEmbedding(6, 5, bias=link == "softmax"), link=link
        ).eval()
        for name, link in zip(NETWORKS, ("sigmoid", "softmax", "sigmoid"), strict=True)
    }
    graph = Several({f"{name}_probabilities": LocationProbabilities(classifier) for name, classifier in classifiers.items()})
    file = written(graph, tmp_path)
    assert max(off["onnx"] for off in check_onnx(file, graph, name="all").values()) < 1e-6
    answers = open_session(file).run(None, {"lonlat": ODD})
    for (name, classifier), answer in zip(classifiers.items(), answers, strict=True):
        expected = Model(classifier.encoder, classifier).predict_proba(lonlat=ODD)
        np.testing.assert_allclose(answer, expected, atol=1e-6, err_msg=name)
        assert answer[4] == pytest.approx([0.2] * 5)


def test_encoders_that_take_time_have_one_more_input_and_answer_as_torch(tmp_path):
    """By every time encoding, and where a network is one per part of an encoding; a row without a date is the average."""
    when = np.array([0.0, 0.25, 0.999, 0.5, 0.1, np.nan, 0.7])
    times = {
        "grid": {"name": "cos_sin", "dropped": 0.25},
        "equal_earth_rff": {"name": "harmonics", "orders": 3, "dropped": 0.0},
    }
    for encoding, time in times.items():
        torch.manual_seed(0)
        made = encoder(encoding)
        made = LocationEncoder(made.config | {"time": time}).eval()
        graph = Embedding(made)
        assert graph.inputs == ("lonlat", "when")
        file = written(graph, tmp_path)
        assert max(check_onnx(file, graph, name="e")["embedding"].values()) < 2e-6
        [answer] = open_session(file).run(None, {"lonlat": ODD, "when": when})
        np.testing.assert_allclose(answer, Model(made).encode_location(ODD, torch.from_numpy(when)), atol=5e-6)
        assert not np.allclose(answer[:4], Model(made).encode_location(ODD)[:4])
        np.testing.assert_allclose(answer[5], Model(made).encode_location(ODD)[5], atol=5e-6)


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_any_number_of_rows(rows, wide):
    model, _, file = wide
    lonlat = np.random.default_rng(rows).uniform(-90, 90, (rows, 2))
    [answer] = open_session(file).run(None, {"lonlat": lonlat})
    expected = model.encode_location(lonlat)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Model, graph and file; so wide that torch takes another way for many rows (`kernels.linear`)."""
    model = Model(encoder("grid", {"name": "ffn", "hidden": 512}, dim=64))
    graph = Embedding(model.encoder)
    return model, graph, written(graph, tmp_path_factory.mktemp("onnx"))


def test_scores_far_from_zero_stay_finite(tmp_path):
    """sigma(-800) is 0 in float64, and its logarithm infinite; in the first place of the row it is 1."""
    classifier = make_classifier()
    with torch.no_grad():
        classifier.encoder.network.output.weight.zero_()
        classifier.encoder.network.output.bias.fill_(1.0)
        classifier.encoder.network.output_activation = False
        classifier.class_embedding.linear.weight.copy_(torch.tensor([-800.0, -801.0, -803.0])[:, None] / 6)
    [answer] = open_session(written(LocationProbabilities(classifier), tmp_path)).run(None, {"lonlat": ODD[:1]})
    expected = np.exp([0.0, -1.0, -3.0]) / np.exp([0.0, -1.0, -3.0]).sum()
    np.testing.assert_allclose(answer[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "px", "head"), [("torchvision:squeezenet1_1", 64, ImageHead), ("timm:test_vit", 160, LinearProbe)]
)
def test_an_image_network_answers_as_torch(tmp_path, network, px, head):
    """Against F, g and the formulas on 8-bit squares as `cspops` takes them; a ResNet is in test_export.py."""
    torch.manual_seed(2)
    image_network = build_image_network(network, pretrained=False, px=px, seed=0).eval()
    image_head = head(image_network.dim, 3)
    nn.init.normal_(image_head.linear.weight, std=0.3)
    classifier = make_classifier()
    graph = CombinedProbabilities(image_network, image_head, LocationProbabilities(classifier), PoolOfPlaces(POOL, PLACES))
    file = written(graph, tmp_path, px)
    assert max(off["onnx"] for off in check_onnx(file, graph, name=network, px=px).values()) < 1e-5
    pixels = torch.randint(0, 256, (3, px, px, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    lonlat = ODD[3:6]
    image = {"image": pixels.permute(0, 3, 1, 2).float().numpy(), "lonlat": lonlat}
    both, of_image, of_location, pooled = open_session(file).run(None, image)
    with torch.inference_mode():
        p = image_head(image_network(pixels)).softmax(1).numpy()
    q = Model(classifier.encoder, classifier).predict_proba(lonlat=lonlat)
    np.testing.assert_allclose(of_image, p, atol=1e-5)
    np.testing.assert_allclose(of_location, q, atol=1e-6)
    np.testing.assert_allclose(both, p * q / (p * q).sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(both[1], of_image[1], atol=1e-7)
    log_p = [torch.from_numpy(one).double().log() for one in (p, q)]
    near, located = PLACES.near(torch.from_numpy(lonlat)), ~torch.from_numpy(lonlat).isnan().any(1)
    np.testing.assert_allclose(pooled, POOL.log_p(*log_p, near, located).exp(), atol=1e-5)


class _PoolAlone(nn.Module):
    """The pool of log P that are simple functions of the position."""

    def __init__(self, pool, places):
        super().__init__()
        self.places = PoolOfPlaces(pool, places)

    def parts(self, lonlat):
        points, located = _points(lonlat)
        waves = torch.stack([(points[:, 0] * 0.1 * n + points[:, 1] * 0.05).sin() for n in range(6)], 1)
        return (3 * waves[:, :3]).log_softmax(-1), (3 * waves[:, 3:]).log_softmax(-1), points, located

    def forward(self, lonlat):
        return self.places(*self.parts(lonlat)).exp()


def test_the_pool_of_the_graph_and_of_the_file_is_that_of_the_model(tmp_path):
    """Clouds of places, more than are counted, or some of them in one place; positions among them and far off."""
    draws, graphs, expected = np.random.default_rng(0), {}, {}
    odd = [[8.0, 47.0], [188.0, -47.0], [np.nan, np.nan], [0.0, 90.0]]
    lonlat = torch.from_numpy(np.concatenate((draws.normal((8.0, 47.0), 3.0, (40, 2)), odd)))
    for count, fade_km, count_weight in ((0, 300.0, 2.0), (0, None, 2.0), (3, 300.0, 2.0), (250, 300.0, 0.5), (9, None, 0.0)):
        around = torch.from_numpy(draws.normal((8.0, 47.0), 2.0, (count, 2)))
        if count < NEIGHBOURS:  # of more, those that are equally near at the end are any
            around[1::9] = around[::9][: len(around[1::9])]
        places = Places(around, torch.from_numpy(draws.integers(0, 3, count)))
        pool = dataclasses.replace(POOL, fade_km=fade_km, count_weight=count_weight)
        name = f"pool_{len(graphs)}_probabilities"
        graphs[name] = _PoolAlone(pool, places)
        image, location, points, located = graphs[name].parts(lonlat)
        near = places.near(torch.where(located[:, None], points, torch.nan))
        expected[name] = pool.log_p(image, location, near, located).exp()
    graph = Several(graphs)
    with torch.inference_mode():
        by_graph = graph(lonlat)
    by_file = open_session(written(graph, tmp_path)).run(None, {"lonlat": lonlat.numpy()})
    for name, of_graph, of_file in zip(graphs, by_graph, by_file, strict=True):
        np.testing.assert_allclose(of_graph, expected[name], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(of_file, expected[name], atol=1e-6, err_msg=name)


class _DatedPool(_PoolAlone):
    """The same at dates."""

    inputs, outputs = ("lonlat", "when"), ("probabilities",)

    def forward(self, lonlat, when):
        return self.places(*self.parts(lonlat), when).exp()


@pytest.mark.parametrize("dated", [True, False])
def test_a_pool_whose_neighbours_have_dates_is_that_of_the_model(tmp_path, dated):
    draws = np.random.default_rng(1)
    when = torch.from_numpy(draws.uniform(0, 1, 30))
    when[::4] = torch.nan
    around = torch.from_numpy(draws.normal((8.0, 47.0), 1.0, (30, 2)))
    places = Places(around, torch.from_numpy(draws.integers(0, 3, 30)), when if dated else None)
    pool = dataclasses.replace(POOL, kernel_days=30.0)
    graph = _DatedPool(pool, places)
    lonlat, asked = torch.from_numpy(draws.normal((8.0, 47.0), 1.0, (9, 2))), torch.linspace(0, 0.999, 9, dtype=torch.float64)
    asked[3] = torch.nan
    image, location, points, located = graph.parts(lonlat)
    expected = pool.log_p(image, location, places.near(points, asked), located).exp()
    [by_file] = open_session(written(graph, tmp_path)).run(None, {"lonlat": lonlat.numpy(), "when": asked.numpy()})
    np.testing.assert_allclose(by_file, expected, atol=1e-9)
    without = pool.log_p(image, location, places.near(points), located).exp()
    assert np.allclose(expected, without) != dated


def test_the_file_says_what_it_is_and_the_model_is_as_it_was(wide):
    import onnx

    model, _, file = wide
    about = onnx.load(str(file))
    onnx.checker.check_model(about)
    assert {one.key: one.value for one in about.metadata_props}["made_by"] == "a test"
    assert [one.name for one in (*about.graph.input, *about.graph.output)] == ["lonlat", "embedding"]
    assert about.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    assert not about.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value")
    fresh = encoder("grid", {"name": "ffn", "hidden": 512}, dim=64)
    assert [type(module) for module in model.encoder.modules()] == [type(module) for module in fresh.modules()]
    assert all(torch.equal(a, b) for a, b in zip(model.encoder.parameters(), fresh.parameters(), strict=True))


class Sorting(nn.Module):
    """A branch on what the rows hold, which no graph has."""

    inputs, outputs = ("lonlat",), ("embedding",)

    def forward(self, lonlat):
        return lonlat if bool(lonlat.sum() > 0) else -lonlat


def test_what_has_no_graph_is_refused_in_a_sentence(tmp_path, capfd):
    with pytest.raises(CspopsError, match="the model cannot be written as ONNX: ") as caught:
        written(Sorting(), tmp_path)
    assert "\n" not in caught.value.message
    assert "--no-onnx" in str(caught.value.hint)
    assert not (tmp_path / "a.onnx").exists()
    assert capfd.readouterr() == ("", "")


def combined_graph(*, sharp=1.0):
    """A whole graph of a small ResNet; ``sharp`` multiplies the weights of both classifiers."""
    torch.manual_seed(2)
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0).eval()
    probe, classifier = LinearProbe(network.dim, 3), make_classifier()
    pixels = torch.randint(0, 256, (16, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        probe.standardise.fit(network(pixels))
    for weight in (probe.linear.weight, classifier.class_embedding.linear.weight):
        weight.data.mul_(sharp)
    return CombinedProbabilities(network, probe, LocationProbabilities(classifier), PoolOfPlaces(POOL, PLACES)).eval()


def compared(monkeypatch, graph, answers, px=32):
    """What the check says where onnxruntime returns ``answers(batch)``."""
    monkeypatch.setattr(checking, "ROWS", (1, 2, 7, 40))
    monkeypatch.setattr(checking, "open_session", lambda file: SimpleNamespace(run=lambda _, batch: answers(batch)))
    return check_onnx(Path("a.onnx"), graph, name="the model", px=px)


@pytest.mark.parametrize("sharp", [1.0, 30.0, 3000.0, 1e5])
def test_what_sums_in_another_order_move_is_accepted(monkeypatch, sharp):
    """Batches in parts and images in another layout: other kernels of the same network, however sharp its probabilities."""
    graph = combined_graph(sharp=sharp)
    other = copy.deepcopy(graph)
    other.network.network.to(memory_format=torch.contiguous_format)

    def answers(batch):
        parts = [checking._by_torch(other, {name: rows[at : at + 3] for name, rows in batch.items()}) for at in range(0, 40, 3)]
        return [np.concatenate(output) for output in zip(*(part for part in parts if len(part[0])), strict=True)]

    deviations = compared(monkeypatch, graph, answers)
    assert list(deviations) == list(graph.outputs)
    assert all(off["onnx"] < 0.05 for off in deviations.values())


def changed(graph, change):
    other = copy.deepcopy(graph)
    with torch.no_grad():
        change(other)
    return lambda batch: list(checking._by_torch(other, batch))


def first_of(result, value):
    result[0].flat[0] = value
    return result


def right(graph):
    return lambda batch: [one.copy() for one in checking._by_torch(graph, batch)]


WRONG = {
    "a weight of the image network": lambda graph: changed(graph, lambda one: next(one.network.parameters()).mul_(1.01)),
    "a weight of the head": lambda graph: changed(graph, lambda one: one.head.linear.weight[0, :1].add_(0.05)),
    "a weight of the location encoder": lambda graph: changed(
        graph, lambda one: one.location.embed.network.output.weight[0, :1].add_(0.05)
    ),
    "latitude first": lambda graph: lambda batch: right(graph)(batch | {"lonlat": batch["lonlat"][:, ::-1].copy()}),
    "blue first": lambda graph: lambda batch: right(graph)(batch | {"image": batch["image"][:, ::-1].copy()}),
    "pixels from 0 to 1": lambda graph: lambda batch: right(graph)(batch | {"image": batch["image"] / 255}),
    "outputs in another order": lambda graph: lambda batch: right(graph)(batch)[::-1],
    "classes in another order": lambda graph: lambda batch: [one[:, ::-1] for one in right(graph)(batch)],
    "rows in another order": lambda graph: lambda batch: [one[::-1] for one in right(graph)(batch)],
    "a class too few": lambda graph: lambda batch: [one[:, :-1] for one in right(graph)(batch)],
    "a thousandth": lambda graph: lambda batch: [one + np.float32(1e-3) for one in right(graph)(batch)],
    "a number that is none": lambda graph: lambda batch: first_of(right(graph)(batch), np.nan),
    "infinity": lambda graph: lambda batch: first_of(right(graph)(batch), np.inf),
    "a small probability of another size": lambda graph: lambda batch: [one.clip(1e-5) for one in right(graph)(batch)],
}


@pytest.mark.parametrize(
    ("wrong", "sharp"), [(wrong, sharp) for wrong in WRONG for sharp in (1.0, 30.0) if "small" not in wrong or sharp > 1]
)
def test_a_wrong_file_is_refused(monkeypatch, wrong, sharp):
    graph = combined_graph(sharp=sharp)
    with pytest.raises(CspopsError, match=r"the model: .*probabilities of a\.onnx differs from torch by .* rounding explains"):
        compared(monkeypatch, graph, WRONG[wrong](graph))


def test_a_model_that_returns_no_numbers_is_named(monkeypatch):
    graph = combined_graph()
    graph.head.linear.bias.data[0] = torch.nan
    with pytest.raises(CspopsError, match="probabilities of the model itself are not all numbers"):
        compared(monkeypatch, graph, right(graph))


class NamesItsType(nn.Module):
    """A network whose code asks for float32, so that it has no answer in float64."""

    inputs, outputs = ("lonlat",), ("probabilities",)

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, lonlat):
        return self.linear(lonlat.nan_to_num().float() / 180).softmax(1)


def test_a_network_without_an_answer_in_float64_is_compared_with_its_own(monkeypatch):
    graph = NamesItsType()
    assert compared(monkeypatch, graph, right(graph))["probabilities"] == {"onnx": 0.0, "torch": 0.0}
    with pytest.raises(CspopsError, match="differs from torch"):
        compared(monkeypatch, graph, lambda batch: [one + np.float32(1e-3) for one in right(graph)(batch)])


def test_a_difference_of_embeddings_is_refused_with_its_size(wide):
    _, graph, file = wide
    other = copy.deepcopy(graph)
    with torch.no_grad():
        other.embed.network.output.bias.add_(0.5)
    says = r"the model: embedding of a\.onnx differs from torch by (\d\.\d+), more than the 0\.0001 that rounding explains"
    with pytest.raises(CspopsError, match=says) as caught:
        check_onnx(file, other, name="the model")
    assert float(re.search(says, caught.value.message)[1]) > 0.01
    other.embed.network.output.bias.data.fill_(torch.nan)
    with pytest.raises(CspopsError, match="embedding of the model itself are not all numbers"):
        check_onnx(file, other, name="the model")


def test_what_onnxruntime_cannot_run_is_refused(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(CspopsError, match=r"the model: onnxruntime cannot run a\.onnx"):
        check_onnx(tmp_path / "a.onnx", Embedding(encoder("wrap")), name="the model")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(EnvironmentProblem, match="onnxruntime and onnxscript are not installed") as caught:
        writing.require_packages()
    assert "pip install 'cspops[export]'" in str(caught.value.hint)
    assert "--no-onnx" in str(caught.value.hint)


def test_large_images_are_fewer():
    """1,000 images of 224 pixels would take 600 MB and minutes."""
    network = build_image_network("timm:test_resnet", pretrained=False, px=32, seed=0)
    graph = CombinedProbabilities(network, LinearProbe(network.dim, 3), LocationProbabilities(make_classifier()), None)
    sizes = [[len(batch["image"]) for batch in checking._batches(graph, px)] for px in (32, 224, 2048)]
    assert sizes == [[1, 2, 7, 256], [1, 2, 5, 5], [1, 1, 1, 1]]
