"""`cspops import-checkpoint`: what it writes, what it says, and that it writes all or nothing."""

import hashlib
import json
import re
import sys
from pathlib import Path

import gair_files
import numpy as np
import pytest
import released_files as files
import torch

from cspops.commands import import_checkpoint, main
from cspops.errors import DataError
from cspops.gair.model import load_published
from cspops.models.checkpoint import load_config, load_weights
from cspops.models.heads import Projection
from cspops.models.loading import load_location_classifier, load_location_encoder
from cspops.models.location_encoder import LocationClassifier

LONLAT = torch.tensor(files.POINTS)


def cspops(*arguments: str, at: pytest.MonkeyPatch) -> int:
    """Run the command in this process; answers the exit code."""
    at.setattr(sys, "argv", ["cspops", *arguments])
    at.setenv("COLUMNS", "120")
    return main()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model_gridcell.pth.tar"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_gives_the_released_output(file: Path, tmp_path: Path) -> None:
    """From disk, as the pipeline reads it; see tests/models/test_released.py for the tolerance."""
    of = files.params()
    state = files.write(file, of)
    import_checkpoint.run(file, tmp_path / "out")
    encoder = load_location_encoder(tmp_path / "out/encoder")
    classifier = load_location_classifier(tmp_path / "out/classifier")
    projection = Projection(**load_config(tmp_path / "out/projection", remake=""))
    load_weights(tmp_path / "out/projection", projection, remake="")
    for (lon, lat), point in zip(files.POINTS, LONLAT, strict=True):
        want = files.embedding(of, state, files.features(of, *(float(np.float32(c)) for c in (lon, lat))))
        np.testing.assert_allclose(encoder(point).detach(), want, atol=1e-5)
        np.testing.assert_allclose(torch.sigmoid(classifier(point)).detach(), files.scores(state, want), atol=1e-5)
    assert torch.equal(projection(torch.eye(7)), (state["img_dec.weight"] + state["img_dec.bias"][:, None]).T)


def test_source_json_says_what_became_of_the_file(file: Path, tmp_path: Path) -> None:
    files.write(file, files.params())
    import_checkpoint.run(file, tmp_path / "out")
    source = json.loads((tmp_path / "out/source.json").read_text())
    assert source["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (source["file"], source["epoch"], source["kind"]) == ("model_gridcell.pth.tar", 31, "gridcell")
    assert source["params"]["num_classes"] == 3
    assert source["encoder"]["encoding"] == {"name": "grid", "scales": 6, "r_min": 0.1, "r_max": 360.0}
    assert source["mapped"]["encoder.network.output.bias"] == "spa_enc.ffn.layers.1.linear.bias"
    assert set(source["left_out"]) == {"optimizer", "user_emb.weight"}


def test_the_command(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    files.write(file, files.params())
    assert cspops("import-checkpoint", file.name, at=monkeypatch) == 0
    folder = tmp_path / "artifacts/imported/model_gridcell"
    assert sorted(path.name for path in folder.iterdir()) == ["classifier", "encoder", "projection", "source.json"]
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "artifacts/imported/model_gridcell"
    for part, tensors in (("encoder", 6), ("classifier", 7), ("projection", 2)):
        assert re.search(rf"{part} .* {tensors}\n", said.out)
    assert "left out: optimizer" in said.err
    assert cspops("import-checkpoint", file.name, at=monkeypatch) == 3
    assert capsys.readouterr().err == (
        "error: artifacts/imported/model_gridcell exists already\nhint: --force replaces it, --out FOLDER names another\n"
    )
    assert cspops("import-checkpoint", file.name, "--force", "--json", at=monkeypatch) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "source.json").read_text())


def test_a_refused_file_is_a_sentence_and_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(files.checkpoint(files.params("rbf"), files.state_dict(files.params())), file)
    assert cspops("import-checkpoint", file.name, "--out", "out/deep", at=monkeypatch) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: model_gridcell.pth.tar: encoder 'rbf' cannot be imported: the file")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_folder_of_something_else_is_never_replaced(file: Path, tmp_path: Path) -> None:
    files.write(file, files.params())
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    for force in (True, False):
        with pytest.raises(DataError, match="not made by import-checkpoint"):
            import_checkpoint.run(file, tmp_path / "home", force=force)
    assert contents(tmp_path / "home") == {"letter": b"dear"}


def test_force_replaces_the_whole_folder(file: Path, tmp_path: Path) -> None:
    files.write(file, files.params())
    import_checkpoint.run(file, tmp_path / "out")
    files.write(file, files.params(unsuper_loss="none"))
    import_checkpoint.run(file, tmp_path / "out", force=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["classifier", "encoder", "source.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_gridcell.pth.tar", "out"]


def test_a_failure_while_writing_leaves_what_was_there(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(file, files.params())
    import_checkpoint.run(file, tmp_path / "out")
    before = contents(tmp_path / "out")
    files.write(file, files.params(unsuper_loss="none"))

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(LocationClassifier, "__init__", full)
    with pytest.raises(OSError, match="disk full"):
        import_checkpoint.run(file, tmp_path / "out", force=True)
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_gridcell.pth.tar", "out"]


def test_writing_twice_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    files.write(file, files.params())
    for name in ("one", "two"):
        import_checkpoint.run(file, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("name", "folder"), [("a.pth.tar", "a"), ("b.pth", "b"), ("c.0.5.tar", "c.0.5"), ("d", "d"), ("deep/e.pt", "e")]
)
def test_default_folder(name: str, folder: str) -> None:
    assert import_checkpoint.default_folder(Path(name)) == Path("artifacts/imported") / folder


def test_the_released_gair_checkpoint_gives_a_location_encoder_and_the_whole_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    gair_files.write(tmp_path / "checkpoint.pth")
    assert cspops("import-checkpoint", "checkpoint.pth", at=monkeypatch) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[:2] == ["artifacts/imported/checkpoint", "gair, epoch 155"]
    assert re.search(r"gair .* \d+\n", said.out)
    assert re.search(r"encoder .* 27\n", said.out)
    assert "left out: nerf_fn.*: an attention decoder that nothing calls" in said.err
    folder = tmp_path / "artifacts/imported/checkpoint"
    assert sorted(path.name for path in folder.iterdir()) == ["encoder", "gair", "source.json"]
    model, encoder = load_published(folder / "gair"), load_location_encoder(folder / "encoder")
    torch.testing.assert_close(encoder(LONLAT), model.location(LONLAT), rtol=1e-5, atol=1e-5)
    assert cspops("embed", "--model", str(folder), "--lon", "8.5", "--lat", "47.4", "--out", "one.npy", at=monkeypatch) == 0
    expected = encoder(torch.tensor([[8.5, 47.4]]).double()).detach().numpy()
    np.testing.assert_allclose(np.load("one.npy").reshape(1, -1), expected, rtol=1e-5, atol=1e-6)
    source = json.loads((folder / "source.json").read_text())
    assert source["sha256"] == hashlib.sha256((tmp_path / "checkpoint.pth").read_bytes()).hexdigest()
    assert source["mapped"]["gair.nili.decoder.weight"] == "imnet.weight"


def test_a_gair_checkpoint_that_lacks_a_tensor_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    state = gair_files.state_dict()
    del state["imnet.bias"]
    gair_files.write(tmp_path / "checkpoint.pth", state)
    assert cspops("import-checkpoint", "checkpoint.pth", at=monkeypatch) == 3
    assert capsys.readouterr().err.startswith("error: checkpoint.pth lacks the tensor imnet.bias; it holds ")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pth"]
