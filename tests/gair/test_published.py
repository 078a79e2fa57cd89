"""The released layout becomes the published model, whole and exactly; anything else is refused by file and name."""

import re
from pathlib import Path

import gair_files as files
import pytest
import torch

from cspops.errors import DataError
from cspops.gair import published
from cspops.gair.model import Published, Sizes, config_of, load_published
from cspops.gair.published import read_published
from cspops.models.checkpoint import save_model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pth"


def parameters(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def test_the_full_size_model_has_the_published_tensors_and_counts() -> None:
    with torch.device("meta"):
        model = Published(Sizes())
    ours = {published.released_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert ours == files.used(files.FULL)
    counts = {name: sum(one.numel() for one in part.parameters()) for name, part in model.named_children()}
    assert {name: round(counts[name] / 1e6, 1) for name in ("overhead", "photo", "location")} == {
        "overhead": 85.5,
        "photo": 86.4,
        "location": 10.2,
    }
    assert round((sum(counts.values()) + parameters(files.unused(files.FULL))) / 1e6, 1) == 203.5


def test_a_checkpoint_is_read_with_its_sizes_and_the_rest_is_listed(file: Path) -> None:
    state = files.write(file)
    model, leftovers = read_published(file)
    assert model.sizes == Sizes(
        px=16,
        bands=3,
        overhead_depth=2,
        photo_depth=2,
        photo_px=32,
        photo_hidden=20,
        features=4,
        capsule_hidden=5,
        dim=48,
    )
    assert not model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[published.released_name(name)])
    assert set(leftovers) == {*files.unused(files.SMALL), *files.buffers(files.SMALL), "optimizer", "scaler", "args"}
    assert set(published.reasons(leftovers)) == {
        *("nerf_fn.*", "query_feature", "rs_patch_pos_encoding", "logit_scale", "rs_encoder.layer_norm.*", "rs_encoder.head.*"),
        *("queue_for_location", "queue_ptr_location", "optimizer", "scaler", "args"),
    }
    assert published.reasons(["novel.weight"]) == {"novel.weight": "unknown to this project"}


@pytest.mark.parametrize(
    "wrapped", [lambda state: state, lambda state: {"model": {f"module.{k}": v for k, v in state.items()}}]
)
def test_other_forms_of_the_table_are_read(file: Path, wrapped: object) -> None:
    state = files.state_dict()
    torch.save(wrapped(state), file)  # type: ignore[operator]
    model, leftovers = read_published(file)
    assert torch.equal(model.nili.decoder.weight, state["imnet.weight"])
    assert set(leftovers) == {*files.unused(files.SMALL), *files.buffers(files.SMALL)}


def test_half_precision_becomes_float32(file: Path) -> None:
    files.write(file, {name: one.half() for name, one in files.state_dict().items()})
    assert {one.dtype for one in read_published(file)[0].state_dict().values()} == {torch.float32}


def test_embeddings_are_those_of_the_parts(file: Path) -> None:
    files.write(file)
    model = read_published(file)[0].double()
    overhead, photo = torch.rand(2, 3, 16, 16, dtype=torch.float64), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    bbox, lonlat = (
        torch.tensor([[8.0, 47.0, 9.0, 48.0]]).double().repeat(2, 1),
        torch.tensor([[8.2, 47.9], [8.7, 47.1]]).double(),
    )
    made = model(overhead, photo, bbox, lonlat)
    tokens = model.overhead(overhead)
    torch.testing.assert_close(made.at_place, model.nili(tokens, bbox, lonlat))
    torch.testing.assert_close(made.photo, model.photo_projection(model.photo(photo)))
    torch.testing.assert_close(made.location, model.location(lonlat))
    torch.testing.assert_close(made.overhead, tokens.mean(1))
    assert {one.dtype for one in made} == {torch.float64}


NAMES = ["rs_encoder.s2_encoder.linear_input.weight", "rs_encoder.s2_encoder.transformer.layers.1.0.to_qkv.weight"]
NAMES += ["sv_encoder.embeddings.position_embeddings", "sv_encoder.pooler.dense.bias", "location_encoder.LocEnc2.capsule.0.b"]
NAMES += ["location_encoder.LocEnc0.capsule.0.b", "imnet.weight", "optical_proj.weight", "radar_proj.bias"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["missing", "one more row", "one more axis", "empty", "nan", "whole numbers"])
def test_a_tensor_that_does_not_fit_is_refused_by_its_name(file: Path, name: str, fault: str) -> None:
    state = files.state_dict()
    tensor = state.pop(name)
    broken = {
        "one more row": torch.cat((tensor, tensor[:1])),
        "one more axis": tensor[None],
        "empty": tensor[..., :0],
        "nan": torch.full_like(tensor, torch.nan),
        "whole numbers": tensor.long(),
    }
    if fault != "missing":
        state[name] = broken[fault]
    files.write(file, state)
    # one row more in what tells a size makes other tensors misshapen, or is refused as it is
    said = re.escape(str(file)) + (".*" if fault == "one more row" else f".*{re.escape(name)}")
    with pytest.raises(DataError, match=said):
        read_published(file)


@pytest.mark.parametrize(
    ("layers", "lacks"),
    [
        ("rs_encoder.s2_encoder.transformer.layers.", "rs_encoder.s2_encoder.transformer.layers.0.0.input_norm.weight"),
        ("sv_encoder.encoder.layer.", "sv_encoder.encoder.layer.0.intermediate.dense.weight"),
        ("rs_encoder.s2_encoder.transformer.layers.0.", "rs_encoder.s2_encoder.transformer.layers.0.0.input_norm.weight"),
        ("location_encoder.LocEnc1.", "location_encoder.LocEnc1.capsule.0.b"),
    ],
)
def test_a_network_without_its_layers_is_refused(file: Path, layers: str, lacks: str) -> None:
    files.write(file, {name: one for name, one in files.state_dict().items() if not name.startswith(layers)})
    with pytest.raises(DataError, match=f"lacks the tensor {re.escape(lacks)}"):
        read_published(file)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({"dim": 32}, "has 32 rows, no multiple of 16 and 12 heads"), ({"photo_px": 0}, "positions of 0 patches")],
)
def test_sizes_that_cannot_be_are_refused(file: Path, sizes: dict[str, int], said: str) -> None:
    files.write(file, files.state_dict(files.SMALL | sizes))
    with pytest.raises(DataError, match=said):
        read_published(file)


@pytest.mark.parametrize("content", [b"", b"no pickle", None, [1, 2], {"model": {"a": 1}}, {}])
def test_a_file_of_something_else_is_refused(file: Path, content: object) -> None:
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(DataError, match=re.escape(str(file))):
        read_published(file)


def test_code_in_the_file_is_not_run(file: Path) -> None:
    files.write(file, args=Evil())
    with pytest.raises(DataError, match="which only running code from the file could load: refused"):
        read_published(file)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_a_model_written_in_our_format_is_read_back(file: Path, tmp_path: Path) -> None:
    files.write(file)
    model, _ = read_published(file)
    save_model(tmp_path / "gair", model, config_of(model))
    again = load_published(tmp_path / "gair")
    assert again.sizes == model.sizes
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    (tmp_path / "gair/config.json").write_text('{"sizes": {"dim": 7}}')
    with pytest.raises(DataError, match="describes no GAIR model"):
        load_published(tmp_path / "gair")
