"""Released checkpoints: imported modules give what the released network gives, unfit files are refused in a sentence."""

import argparse
import io
import itertools
import os
import re
import zipfile
from typing import get_args

import numpy as np
import pytest
import released_files as files
import torch

from cspops.errors import DataError
from cspops.models import released
from cspops.models.networks import Activation
from cspops.models.released import kinds
from cspops.models.released.rebuilding import Released
from cspops.params.location_encoders import FfnNetwork

LONLAT = torch.tensor(files.POINTS, dtype=torch.float64)


def rebuilt(path, of, state=None) -> tuple[Released, dict]:
    file = path / "model.pth.tar"
    tensors = files.write(file, of, state)
    return released.rebuild(released.read_checkpoint(file)), tensors


def agrees(made: Released, of: dict, state: dict) -> None:
    """The encoder and the class scores against the transcription, point by point.

    Values are of order 1 and pass at most six float32 layers of fewer than 50 terms: the rounding is below
    6 x 50 x 6e-8 = 2e-5 in the worst case and about its root-mean-square, 1e-6, in practice.
    """
    for (lon, lat), emb in zip(files.POINTS, made.encoder(LONLAT), strict=True):
        want = files.embedding(of, state, files.features(of, lon, lat))
        np.testing.assert_allclose(emb.detach().numpy(), want, rtol=1e-5, atol=1e-5)
        assert made.class_embedding is not None
        got = torch.sigmoid(made.class_embedding(emb)).detach().numpy()
        np.testing.assert_allclose(got, files.scores(state, want), rtol=1e-5, atol=1e-5)


ALL_KINDS = sorted(set(kinds.KINDS) - {kinds.GEO_PRIOR})


@pytest.mark.parametrize(("kind", "loss"), list(zip(ALL_KINDS, itertools.cycle(["contsoftmax", "l2regress", "none"]))))
def test_every_kind_and_every_layout_give_the_released_output(tmp_path, kind, loss):
    of = files.params(kind, unsuper_loss=loss)
    made, state = rebuilt(tmp_path, of)
    agrees(made, of, state)
    assert made.kind == kind
    assert (made.projection is not None) == (loss == "contsoftmax")
    assert not made.encoder.training


WRAPPED = {
    "DataParallel": lambda content: content | {"state_dict": {f"module.{n}": t for n, t in content["state_dict"].items()}},
    "compiled": lambda content: (
        content | {"state_dict": {f"_orig_mod.module.{n}": t for n, t in content["state_dict"].items()}}
    ),
    "another key": lambda content: {"model_state": content.pop("state_dict"), **content},
}


@pytest.mark.parametrize("layout", WRAPPED)
def test_wrapped_names_give_the_released_output(tmp_path, layout):
    of, file = files.params(), tmp_path / "model.pth.tar"
    state = files.state_dict(of)
    torch.save(WRAPPED[layout](files.checkpoint(of, state)), file)
    agrees(released.rebuild(released.read_checkpoint(file)), of, state)


FFNS = {
    "relu, linear": {"spa_f_act": "relu", "num_hidden_layer": -1, "use_layn": True},
    "leakyrelu, no hidden layer": {"spa_f_act": "leakyrelu", "num_hidden_layer": 0, "use_layn": True},
    "gelu": {"spa_f_act": "gelu", "num_hidden_layer": 1, "use_layn": False},
    "sigmoid, two layers": {"spa_f_act": "sigmoid", "num_hidden_layer": 2, "use_layn": True},
    "tanh, three layers": {"spa_f_act": "tanh", "num_hidden_layer": 3, "use_layn": False},
    "relu, no hidden layer, no norm": {"spa_f_act": "relu", "num_hidden_layer": 0, "use_layn": False},
    "the first hidden layer adds its input where the widths agree": {"hidden_dim": 24},
    "the output layer adds nothing": {"hidden_dim": 5},
    "no skip connections where there could be none": {"skip_connection": False},
    "no skip connection at a first layer as wide as its input": {"skip_connection": False, "hidden_dim": 24},
    "no skip connection between hidden layers": {"skip_connection": False, "num_hidden_layer": 2},
    "flags as on the command line": {"skip_connection": "T", "use_layn": "T"},
}


@pytest.mark.parametrize("case", FFNS)
def test_every_ffn(tmp_path, case):
    of = files.params(**FFNS[case])
    assert files.width(of) == 24
    made, state = rebuilt(tmp_path, of)
    agrees(made, {name: value == "T" if value in ("T", "F") else value for name, value in of.items()}, state)


def test_the_projection_is_the_released_linear_layer(tmp_path):
    made, state = rebuilt(tmp_path, files.params())
    image_features = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 7))).float()
    want = image_features.double() @ state["img_dec.weight"].double().T + state["img_dec.bias"].double()
    torch.testing.assert_close(made.projection(image_features).double(), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("map_range", [[-180.0, 180.0, -90.0, 90.0], [-162.0, -59.0, 20.0, 56.0]])
@pytest.mark.parametrize(("kind", "layers"), [("naive", 0), ("naive", 1), ("rff", 1)])
def test_coordinates_scaled_on_part_of_the_globe(tmp_path, kind, map_range, layers):
    """At Sydney a coordinate scaled on the United States is 5, a phase of 6 features is up to 15 there."""
    of = files.params(kind, map_range=map_range, num_hidden_layer=layers)
    made, state = rebuilt(tmp_path, of)
    agrees(made, of, state)


DAYS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999]


@pytest.mark.parametrize("layout", ["geo_prior", "geo_net", "wrap"])
def test_networks_with_dates_give_the_released_output(tmp_path, layout):
    """Six inputs: sin and cos of places scaled to [-1, 1], then those of pi (2 d - 1) of dates d; written point by point."""
    of = files.params("geo_net" if layout == "geo_prior" else layout, unsuper_loss="none")
    of |= {"use_date_feats": True, "date_encode": "encode_cos_sin", "num_feats": 6}
    state = files.state_dict(of)
    state["feats.0.weight"] = torch.from_numpy(np.random.default_rng(1).normal(0, 0.4, (of["num_filts"], 6))).float()
    params = {key: value for key, value in of.items() if layout != "geo_prior" or key != "spa_enc_type"}
    torch.save(files.checkpoint(params, state), tmp_path / "model.pth.tar")
    made = released.rebuild(released.read_checkpoint(tmp_path / "model.pth.tar"))
    assert made.kind == layout and made.encoder.takes_time
    got = made.encoder(LONLAT, torch.tensor(DAYS, dtype=torch.float64))
    for (lon, lat), day, emb in zip(files.POINTS, DAYS, got, strict=True):
        t = 2 * day - 1
        want = files.embedding(of, state, [*files.features(of, lon, lat), np.sin(np.pi * t), np.cos(np.pi * t)])
        np.testing.assert_allclose(emb.detach().numpy(), want, rtol=1e-5, atol=1e-5)
        assert made.class_embedding is not None
        scores = torch.sigmoid(made.class_embedding(emb)).detach().numpy()
        np.testing.assert_allclose(scores, files.scores(state, want), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "mentions"),
    [({"date_encode": "encode_none"}, "date_encode"), ({"use_date_feats": False}, "feats.0.weight has shape (5, 6)")],
)
def test_geo_priors_other_dates_are_refused(tmp_path, changes, mentions):
    of = files.params("geo_net", unsuper_loss="none") | {
        "use_date_feats": True,
        "date_encode": "encode_cos_sin",
        "num_feats": 6,
    }
    state = files.state_dict(of)
    state["feats.0.weight"] = torch.zeros(of["num_filts"], 6)
    del of["spa_enc_type"]
    torch.save(files.checkpoint(of | changes, state), tmp_path / "model.pth.tar")
    refused(tmp_path / "model.pth.tar", mentions)


def test_geo_prior_without_dates(tmp_path):
    of = files.params("geo_net", unsuper_loss="none") | {"num_feats": 4}
    state = files.state_dict(of)
    torch.save(files.checkpoint({key: of[key] for key in of if key != "spa_enc_type"}, state), tmp_path / "model.pth.tar")
    made = released.rebuild(released.read_checkpoint(tmp_path / "model.pth.tar"))
    agrees(made, of, state)
    assert made.kind == "geo_prior" and "time" not in made.encoder.config


def test_scaled_coordinates_that_are_added_to_a_layer(tmp_path):
    whole = files.params("naive", hidden_dim=2)
    made, state = rebuilt(tmp_path, whole)
    agrees(made, whole, state)
    with pytest.raises(DataError, match="hidden_dim is 2"):
        rebuilt(tmp_path, whole | {"map_range": [-162.0, -59.0, 20.0, 56.0]})


def test_torchspatial_keeps_tensors_of_an_encoding_elsewhere(tmp_path):
    of = files.params("rff", unsuper_loss="none")
    of["rbf_kernel_size"] = of.pop("rbf_kernal_size")
    state = files.state_dict(of)
    for one in ("dirvec", "shift"):
        state[f"spa_enc.position_encoder.{one}"] = state.pop(f"spa_enc.{one}")
    made, _ = rebuilt(tmp_path, of, state)
    agrees(made, of, state)


def test_what_is_left_out_is_said(tmp_path):
    made, _ = rebuilt(tmp_path, files.params())
    assert set(made.left_out) == {"user_emb.weight", "optimizer"}
    made, _ = rebuilt(tmp_path, files.params(unsuper_loss="l2regress"))
    assert set(made.left_out) == {"user_emb.weight", "optimizer", "loc_dec.weight", "loc_dec.bias"}


def test_every_tensor_of_the_file_is_mapped_or_left_out(tmp_path):
    for kind in ALL_KINDS:
        made, state = rebuilt(tmp_path, files.params(kind))
        names = {re.sub(r"^(loc_enc\.|spa_enc\.(?=feats|class|user))", "", name) for name in state}
        assert {*made.mapped.values(), *made.left_out} == {*names, "optimizer"}


def test_params_and_networks_know_every_activation():
    accepted = get_args(FfnNetwork.model_fields["activation"].annotation)
    assert set(kinds.ACTIVATIONS.values()) == set(get_args(Activation)) == set(accepted)


def test_without_class_embeddings_there_is_no_classifier(tmp_path):
    of = files.params(unsuper_loss="none")
    state = {name: tensor for name, tensor in files.state_dict(of).items() if name != "class_emb.weight"}
    assert rebuilt(tmp_path, of, state)[0].class_embedding is None


def test_the_callers_random_numbers_are_not_touched(tmp_path):
    file = tmp_path / "model.pth.tar"
    files.write(file, files.params())
    before = torch.random.get_rng_state()
    released.rebuild(released.read_checkpoint(file))
    assert torch.equal(torch.random.get_rng_state(), before)


class TestReading:
    def test_numpy_values_become_plain_numbers(self, tmp_path):
        anchors = [np.int64(3), np.int64(5)]
        array = np.array([[0.5, 1.5]], dtype=np.float32)
        file = tmp_path / "model.pth.tar"
        files.write(file, files.params(rbf_anchor_pt_ids=anchors, array=array, yes=np.bool_(True), name=np.str_("x")))
        params = released.read_checkpoint(file).params
        assert params["rbf_anchor_pt_ids"] == [3, 5]
        assert params["array"] == [[0.5, 1.5]]
        assert (params["yes"], params["name"], params["num_classes"]) == (True, "x", 3)
        assert {type(params[key]) for key in ("num_classes", "lr", "yes", "name")} == {int, float, bool, str}

    @pytest.mark.parametrize("zipped", [True, False])
    def test_files_of_old_torch_and_numpy(self, tmp_path, zipped):
        """numpy 1 names its module `numpy.core`, torch before 1.6 wrote no zip archive, Python 3.7 pickled by protocol 2."""
        of = files.params(array=np.arange(3.0))
        content = files.checkpoint(of)
        new, file = io.BytesIO(), tmp_path / "model.pth.tar"
        torch.save(content, new, pickle_protocol=2, _use_new_zipfile_serialization=zipped)
        if zipped:
            with zipfile.ZipFile(new) as source, zipfile.ZipFile(file, "w") as target:
                for name in source.namelist():
                    target.writestr(name, renamed(source.read(name)) if name.endswith("data.pkl") else source.read(name))
        else:
            file.write_bytes(renamed(new.getvalue()))
        read = released.read_checkpoint(file)
        assert read.params["array"] == [0.0, 1.0, 2.0]
        agrees(released.rebuild(read), of, content["state_dict"])

    def test_half_precision_is_read(self, tmp_path):
        of = files.params()
        halves = {name: tensor.half() for name, tensor in files.state_dict(of).items()}
        made, state = rebuilt(tmp_path, of, halves)
        agrees(made, of, state)

    def test_what_identifies_the_file(self, tmp_path):
        file = tmp_path / "model.pth.tar"
        files.write(file, files.params())
        read = released.read_checkpoint(file)
        assert (read.epoch, read.others) == (31, ("optimizer",))
        assert len(read.sha256) == 64


def renamed(pickled: bytes) -> bytes:
    assert b"numpy._core." in pickled
    return pickled.replace(b"numpy._core.", b"numpy.core.")


class Code:
    """Pickles as a call of os.system."""

    def __reduce__(self):
        return os.system, ("touch was_run",)


def refused(file, *mentions: str) -> None:
    with pytest.raises(DataError) as caught:
        released.rebuild(released.read_checkpoint(file))
    message = caught.value.message
    assert str(file) in message
    assert "\n" not in message
    assert len(message) < 300 + len(str(file))
    for mention in mentions:
        assert mention in message


def whole(**changes) -> dict:
    """The content of a good file, with these keys changed."""
    return files.checkpoint(files.params()) | changes


def saved(file, content, **how) -> None:
    torch.save(content, file, **how)


def cut(file) -> None:
    files.write(file, files.params())
    file.write_bytes(file.read_bytes()[:-200])


def endless() -> dict:
    params: dict = files.params()
    params["self"] = params
    return params


BAD_FILES = {
    **{f"junk {junk[:12]!r}": (lambda file, junk=junk: file.write_bytes(junk), ["no whole file of torch.save"])
       for junk in (b"", b"hello world", b"\x80\x02", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"0" * 60)},
    "cut": (cut, ["no whole file of torch.save"]),
    "missing": (lambda file: None, ["missing"]),
    "a folder": (lambda file: file.mkdir(), ["is a folder"]),
    "code": (lambda file: saved(file, whole(x=Code())), ["system", "refused"]),
    "code of old torch": (
        lambda file: saved(file, whole(x=Code()), _use_new_zipfile_serialization=False), ["system", "refused"],
    ),
    "an object": (lambda file: saved(file, whole(params=argparse.Namespace(**files.params()))), ["argparse.Namespace"]),
    "an array of objects": (lambda file: saved(file, {"params": np.array([Code()], dtype=object)}), []),
    "a tensor": (lambda file: saved(file, torch.ones(3)), ["Tensor"]),
    "a list": (lambda file: saved(file, [1, 2]), ["list"]),
    "text": (lambda file: saved(file, "text"), ["str"]),
    "a state dict alone": (
        lambda file: saved(file, files.state_dict(files.params())),
        ["lacks epoch, state_dict, params", "loc_enc.class_emb.weight"],
    ),
    "no tensors": (lambda file: saved(file, whole(state_dict={})), ["state_dict"]),
    "a number for a tensor": (lambda file: saved(file, whole(state_dict={"a": 1})), ["state_dict"]),
    "params that are a number": (lambda file: saved(file, whole(params=3)), ["params"]),
    "an epoch without end": (lambda file: saved(file, whole(epoch=10**5000)), []),
    "params without end": (lambda file: saved(file, whole(params={"lr": 10**5000})), []),
    "sparse tensors": (lambda file: saved(file, whole(state_dict={"a": torch.ones(2, 2).to_sparse()})), ["state_dict"]),
    "params that hold themselves": (lambda file: saved(file, whole(params=endless())), ["params"]),
    "an epoch that is text": (lambda file: saved(file, whole(epoch="x")), ["epoch"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_in_a_sentence_and_nothing_of_it_is_run(tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "model.pth.tar"
    write, mentions = BAD_FILES[case]
    write(file)
    refused(file, *mentions)
    assert not (tmp_path / "was_run").exists()


ALIEN = [  # params of another network than that of the tensors, and what is said of them
    ({"spa_enc_type": "hexagridcell"}, ["'hexagridcell'", "nothing here equals it"]),
    ({"spa_enc_type": "rbf"}, ["'rbf'", "row numbers"]),
    ({"spa_enc_type": 3}, ["spa_enc_type", "3"]),
    ({"freq_init": "random"}, ["freq_init", "'random'", "geometric"]),
    ({"frequency_num": 0}, ["frequency_num", "0", "whole number"]),
    ({"frequency_num": 2.5}, ["frequency_num", "2.5"]),
    ({"frequency_num": 10**30}, ["frequency_num"]),
    ({"frequency_num": 10**400}, ["frequency_num"]),
    ({"max_radius": 10**400}, ["max_radius"]),
    ({"min_radius": 0.0}, ["min_radius", "above 0"]),
    ({"max_radius": float("nan")}, ["max_radius", "nan"]),
    ({"spa_f_act": "mish"}, ["spa_f_act", "'mish'", "leakyrelu"]),
    ({"spa_f_act": ["relu"]}, ["spa_f_act"]),
    ({"dropout": 1.0}, ["dropout", "1.0"]),
    ({"use_layn": "yes"}, ["use_layn", "'yes'"]),
    ({"num_hidden_layer": True}, ["num_hidden_layer", "True"]),
    ({"hidden_dim": 12}, ["spa_enc.ffn.layers.0.linear.weight", "(11, 24)", "(12, 24)"]),
    ({"frequency_num": 7}, ["spa_enc.ffn.layers.0.linear.weight", "(11, 24)", "(11, 28)"]),
    ({"num_filts": 6}, ["spa_enc.ffn.layers.1.linear.weight", "(5, 11)", "(6, 11)"]),
    ({"num_hidden_layer": 2}, ["spa_enc.ffn.layers.1.linear.weight", "(5, 11)", "(11, 11)"]),
    ({"num_hidden_layer": 0}, ["spa_enc.ffn.layers.0.linear.weight"]),
    ({"use_layn": False}, ["layernorm"]),
    ({"num_classes": 4}, ["class_emb.weight", "(3, 5)", "(4, 5)"]),
    ({"cnn_feat_dim": 8}, ["img_dec.weight", "(5, 7)", "(5, 8)"]),
]


@pytest.mark.parametrize(("changes", "mentions"), ALIEN)
def test_params_that_do_not_fit_name_key_or_entry(tmp_path, changes, mentions):
    file = tmp_path / "model.pth.tar"
    torch.save(files.checkpoint(files.params() | changes, files.state_dict(files.params())), file)
    refused(file, *mentions)


@pytest.mark.parametrize("key", ["spa_enc_type", "frequency_num", "max_radius", "spa_f_act", "use_layn", "num_filts"])
def test_missing_params(tmp_path, key):
    of, file = files.params(), tmp_path / "model.pth.tar"
    torch.save(files.checkpoint({name: value for name, value in of.items() if name != key}, files.state_dict(of)), file)
    refused(file, f"params lacks {key}")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("geo_net", {"loc_encode": "encode_3D"}),
        ("geo_net", {"date_encode": "encode_none", "use_date_feats": True}),
        ("wrap", {"use_date_feats": "perhaps"}),
    ],
)
def test_wrap_with_other_inputs(tmp_path, kind, changes):
    file = tmp_path / "model.pth.tar"
    files.write(file, files.params(kind) | changes)
    refused(file, next(iter(changes)))


@pytest.mark.parametrize(
    "map_range", [None, [1.0, 2.0], [3.0, 2.0, -90.0, 90.0], [-180.0, 180.0, 5.0, 5.0], [0.0, float("inf"), 0.0, 1.0]]
)
def test_map_range(tmp_path, map_range):
    file = tmp_path / "model.pth.tar"
    state = files.state_dict(files.params("naive"))
    torch.save(files.checkpoint(files.params("naive", map_range=map_range), state), file)
    refused(file, "map_range", "west, east, south, north")


def test_an_unsupported_kind_lists_the_supported_ones(tmp_path):
    file = tmp_path / "model.pth.tar"
    torch.save(files.checkpoint(files.params("hexagridcell"), files.state_dict(files.params())), file)
    with pytest.raises(DataError) as caught:
        released.rebuild(released.read_checkpoint(file))
    assert all(kind in str(caught.value.hint) for kind in kinds.KINDS)


def one_is(value: float) -> torch.Tensor:
    return torch.where(torch.arange(15).view(3, 5) == 7, value, 1.0)


CLASSES = "class_emb.weight"
TENSORS = {  # kind, loss, what becomes of one tensor, what is said
    "no dirvec": ("rff", "none", "spa_enc.dirvec", None, ["lacks spa_enc.dirvec", "(2, 6)"]),
    "no shift": ("rff", "none", "spa_enc.shift", None, ["lacks spa_enc.shift", "(6,)"]),
    "no norm": ("gridcell", "none", "spa_enc.ffn.layers.0.layernorm.bias", None, ["lacks spa_enc.ffn.layers.0.layer", "(11,)"]),
    "a strange one": ("gridcell", "contsoftmax", "spa_enc.post.weight", torch.ones(2, 2), ["spa_enc.post.weight"]),
    "two names for two": ("gridcell", "contsoftmax", CLASSES, torch.ones(3, 5), [CLASSES, "differs"]),
    "nan": ("gridcell", "none", CLASSES, one_is(torch.nan), [CLASSES, "finite"]),
    "infinite": ("gridcell", "none", CLASSES, one_is(torch.inf), [CLASSES, "finite"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit_are_named(tmp_path, case):
    kind, loss, name, value, mentions = TENSORS[case]
    of = files.params(kind, unsuper_loss=loss)
    state = files.state_dict(of) | {name: value}
    files.write(tmp_path / "model.pth.tar", of, {key: tensor for key, tensor in state.items() if tensor is not None})
    refused(tmp_path / "model.pth.tar", *mentions)
