"""What the page says of a run is what the stages recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from cspops.params import VIEWS, Params, default_params, recorded, with_values
from cspops.report.run_facts import class_titles, differences, facts, read_records, value_of


def records(**overrides: Any) -> dict[str, dict[str, Any]]:
    """As the stages of a run with these values record it, through JSON."""
    params: Params = with_values(default_params(), tuple((key.replace("__", "."), value) for key, value in overrides.items()))
    files = {"observations.parquet": "ab" * 32, "predictions.parquet": "cd" * 32}
    found: dict[str, dict[str, Any]] = json.loads(
        json.dumps({stage: {"params": recorded(params, stage), "files": files} for stage in VIEWS if stage != "report"})
    )
    return found


def as_it_comes() -> dict[str, Any]:
    return {"report": default_params().report.model_dump(mode="json")}


def test_the_default_differs_in_nothing() -> None:
    assert differences(records(), as_it_comes()) == []


def test_each_changed_key_is_named_once_with_both_values() -> None:
    found = records(
        seeds=(3, 4), pretrain__epochs=4, location_encoder__encoding__name="wrap", finetune_loc__modes__probe_then_full__steps=7
    )
    assert differences(found, as_it_comes()) == [
        ["seeds", "[0, 1, 2, 3, 4]", "[3, 4]"],
        ["location_encoder.encoding.name", "grid", "wrap"],
        ["pretrain.epochs", "10", "4"],
        ["finetune_loc.modes.probe_then_full.steps", "600", "7"],
    ]


def test_settings_of_what_is_not_in_force_do_not_count_and_those_of_another_choice_do() -> None:
    assert differences(records(losses__nce__weight_dropout=0.5), as_it_comes()) == []
    found = differences(records(loss="nce", losses__nce__weight_dropout=0.5), as_it_comes())
    assert found == [["loss", "mc", "nce"], ["losses.nce.weight_dropout", "0.1", "0.5"]]


def test_params_of_the_report_count_too_and_null_is_null() -> None:
    changed = as_it_comes()["report"] | {"class": "Csa"}
    assert differences(records(), {"report": changed}) == [["report.class", "null", "Csa"]]
    assert ["image_encoder.crop", "1.0", "null"] in differences(records(image_encoder__crop=None), as_it_comes())


def test_a_value_is_found_by_its_key_and_an_unknown_key_is_none() -> None:
    assert value_of(records(), "dataset.source") == "blue_marble"
    with pytest.raises(KeyError):
        value_of(records(), "dataset.sauce")


def test_the_facts_name_data_seeds_and_hashes() -> None:
    found = dict(facts(records(seeds=(3, 4)), loss="mc", roles={"test": 5000}, labels=["5 % (7)"], classes=28))
    assert found["Seeds"] == "3, 4"
    assert found["Observations"] == "5,000 test"
    assert found["Location encoder"] == "grid + ffn, d = 256"
    assert found["sha256 of the predictions"] == "cd" * 6
    assert "blue_marble" in found["Data"]
    assert found["Image network"] == "timm:resnet10t, random weights, then moco"
    given = dict(facts(records(seeds=(3, 4)), loss="mc", roles={}, labels=[], classes=28, given=True))
    assert given["Image network"] == "none: the data came with features"


@pytest.mark.parametrize(
    ("source", "names", "titles"),
    [
        (
            "blue_marble",
            ["Cfb", "Dwd", "merged"],
            ["Cfb (temperate oceanic)", "Dwd (subarctic, dry winter, extreme winter)", "merged"],
        ),
        ("folder", ["Cfb", "oak"], ["Cfb", "oak"]),
    ],
)
def test_the_embedded_zones_are_called_by_name_and_own_classes_as_they_are(
    source: str, names: list[str], titles: list[str]
) -> None:
    assert class_titles(source, names) == titles


def test_records_are_read_from_the_folders(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_text('{"params": {"seed": 1}, "files": {}}')
    assert value_of(read_records({"split": tmp_path}), "seed") == 1
