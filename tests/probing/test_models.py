"""Which encoders a command probes."""

from pathlib import Path

import pytest
import torch
from image_runs import write_images
from location_runs import make_classifier, write_location_run

from cspops.errors import DataError, ParamsError
from cspops.models.checkpoint import save_model
from cspops.probing.models import encoders, read_models
from cspops.probing.targets import Target

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_location_run(folder / "artifacts")
    write_images(folder / "artifacts")
    encoder = make_classifier(5).encoder
    save_model(folder / "other", encoder, encoder.config)
    save_model(folder / "imported" / "encoder", encoder, encoder.config)
    return folder


def target(ids: tuple[str, ...] | None = None) -> Target:
    return Target("x", "regression", torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2), obs_id=ids)


def test_a_project_is_its_pre_trained_encoder_and_other_folders_their_own(project: Path) -> None:
    folders = [project, project / "artifacts/finetune_loc/seed_1/label_100", project / "other"]
    models = read_models(folders, seed=None, device=CPU, retrieval=False)
    assert [one.name for one in models] == [(project / "artifacts/pretrain/seed_0").as_posix(), *map(str, folders[1:])]
    assert [one.images is not None for one in models] == [True, True, False]
    (second,) = read_models([project], seed=1, device=CPU, retrieval=False)
    assert second.name.endswith("pretrain/seed_1")


def test_an_imported_checkpoint_is_its_encoder(project: Path) -> None:
    other, imported = read_models([project / "other", project / "imported"], seed=None, device=CPU, retrieval=False)
    places = torch.tensor([[8.5, 47.4]], dtype=torch.float64)
    assert imported.name.endswith("imported")
    assert torch.equal(imported.encoder(places), other.encoder(places))


def test_rows_are_baselines_one_untrained_twin_of_an_architecture_models_and_retrieval(project: Path) -> None:
    models = read_models([project], seed=None, device=CPU, retrieval=True)
    models += read_models([project / "other"], seed=None, device=CPU, retrieval=False)
    names = [one.name for one in encoders(models, target(), leave_out_km=1.0, seed=0)]
    first, other = (one.name for one in models)
    assert names[5:] == [f"untrained, as {first}", first, f"retrieval, {first}", other]


@pytest.mark.parametrize(("ids", "there"), [(("row3", "row4"), True), (("row3", "x"), False), (None, False)])
def test_image_features_are_a_row_where_the_rows_are_the_catalogues(project: Path, ids, there: bool) -> None:
    models = read_models([project], seed=None, device=CPU, retrieval=False)
    names = [one.name for one in encoders(models, target(ids), leave_out_km=1.0, seed=0)]
    assert ("image features of the rows" in names) == there


def test_what_cannot_be_read(project: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no trained model"):
        read_models([tmp_path], seed=None, device=CPU, retrieval=False)
    with pytest.raises(ParamsError, match="has no seed 7: it has 0, 1"):
        read_models([project], seed=7, device=CPU, retrieval=False)
    with pytest.raises(DataError, match="belongs to no run with image features"):
        read_models([project / "other"], seed=None, device=CPU, retrieval=True)
    with pytest.raises(ParamsError, match="is named twice"):
        read_models([project, project / "artifacts" / ".."], seed=None, device=CPU, retrieval=False)
