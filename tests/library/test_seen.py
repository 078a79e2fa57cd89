"""Images known again by their bytes, and scores without those that the model was trained or tuned on."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from location_runs import CLASSES, write_run
from PIL import Image

from cspops.data.schemas import SCHEMA
from cspops.errors import DataError
from cspops.library import evaluate_on
from cspops.library.inputs import Input
from cspops.library.loading import load_seeds
from cspops.library.seen import role_of, roles_of_images

ROLES = ("train", "val", "test", "spatial_val", "buffer")


def picture(file, number):
    draws = np.random.default_rng(number)
    Image.fromarray(draws.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    return file


def write_catalogue(run, images, roles=ROLES, *, hashes):
    """A catalogue of these images (bytes), with hashes or the bytes themselves, and their roles."""
    ids = [f"o{number}" for number in range(len(images))]
    rows = [
        {"obs_id": one, "image": {"bytes": None if hashes else data, "path": None}}
        for one, data in zip(ids, images, strict=True)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    if hashes:
        table = table.append_column("image_sha256", pa.array([hashlib.sha256(data).hexdigest() for data in images]))
    pq.write_table(table, run / "download" / "observations.parquet", row_group_size=2)
    (run / "split").mkdir(exist_ok=True)
    pq.write_table(pa.table({"obs_id": ids, "role": list(roles)}), run / "split" / "roles.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "artifacts"
    write_run(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return [picture(folder / f"{number}.png", number) for number in range(7)]


@pytest.mark.parametrize("hashes", [True, False])
def test_an_image_is_known_by_its_bytes_wherever_it_lies(run, files, hashes):
    write_catalogue(run, [file.read_bytes() for file in files[:5]], hashes=hashes)
    roles = roles_of_images(run)
    assert [role_of(file, roles) for file in files] == [*ROLES, None, None]
    assert role_of(files[1].read_bytes(), roles) == "val"
    assert role_of(None, roles) is role_of(files[0].parent / "gone.png", roles) is None


def test_an_image_of_several_roles_is_of_the_one_that_is_seen_most(run, files):
    data = files[0].read_bytes()
    for roles, most in (
        (("test", "train", "buffer", "val", "spatial_test"), "train"),
        (("train", "test", "buffer", "val", "test"), "train"),
    ):
        write_catalogue(run, [data] * 5, roles, hashes=True)
        assert role_of(files[0], roles_of_images(run)) == most


def test_where_the_run_does_not_know_its_images_nobody_does(tmp_path, run):
    assert roles_of_images(None) is None
    (tmp_path / "download").mkdir()
    assert roles_of_images(tmp_path) is None
    write_catalogue(tmp_path, [b""] * 5, hashes=False)
    table = pq.read_table(tmp_path / "download" / "observations.parquet")
    paths = pa.array([{"bytes": None, "path": "a.png"}] * 5, SCHEMA.field("image").type)
    pq.write_table(table.set_column(7, "image", paths), tmp_path / "download" / "observations.parquet")
    assert roles_of_images(tmp_path) is None


def test_seen_images_are_counted_or_left_out(run, files):
    write_catalogue(run, [file.read_bytes() for file in files[:5]], hashes=True)
    models = load_seeds(run)
    rows = [Input(str(n), file, 8.0, 47.0, "table", label=CLASSES[n % 2]) for n, file in enumerate(files)]
    document = evaluate_on.score(models, iter(rows), run=run)
    assert (document["scored"], document["unseen"]) == (7, False)
    assert document["images_of_the_run"] == dict.fromkeys(ROLES, 1)
    unseen = evaluate_on.score(models, iter(rows), run=run, unseen=True)
    assert (unseen["scored"], unseen["unseen"]) == (4, True)
    assert unseen["images_of_the_run"] == {"test": 1, "buffer": 1}
    [(reason, about)] = unseen["not_scored"].items()
    assert "trained or tuned on" in reason and about == {"rows": 3, "such_as": ["0", "1", "3"]}
    assert unseen["metrics"] == evaluate_on.score(models, iter([*rows[2:3], *rows[4:]]), run=run)["metrics"]
    with pytest.raises(DataError, match="trained or tuned on all 2 images"):
        evaluate_on.score(models, iter(rows[:2]), run=run, unseen=True)


def test_unseen_needs_the_hashes_of_a_run(run, files):
    models = load_seeds(run)
    rows = [Input("0", files[0], 8.0, 47.0, "table", label=CLASSES[0])]
    assert evaluate_on.score(models, iter(rows), run=None)["images_of_the_run"] is None
    with pytest.raises(DataError, match="--unseen needs the hashes"):
        evaluate_on.score(models, iter(rows), run=None, unseen=True)
