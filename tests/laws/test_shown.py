"""A command that is shown is run by a test."""

import re
from pathlib import Path

from shown import PAGES, blocks
from small_project import SMALL

TESTS = Path(__file__).parents[1]
RUN_BY = {
    "dvc repro": "pipeline/test_whole_line.py::test_a_second_repro_runs_nothing_and_git_is_clean",
    "dvc remote add -d store s3://bucket/cspops": "pipeline/test_remote.py::elsewhere",  # a folder stands for the bucket
    "git add .dvc/config && git commit -m 'Remote'": "pipeline/test_remote.py::elsewhere",
    "dvc push": "pipeline/test_remote.py::elsewhere",
    "dvc pull": "pipeline/test_remote.py::elsewhere",
    "cspops evaluate": "pipeline/test_remote.py::test_the_models_that_came_are_evaluated_without_training",
    "cspops init birds --data ~/photos": (
        "commands/test_init.py::test_own_photos_are_named_from_the_root_on_and_params_yaml_has_the_values_that_fit"
    ),
    "cspops data check ~/photos": (
        "commands/test_data_check.py::test_outside_of_a_project_a_path_is_checked_as_a_new_project_would_read_it"
    ),
    "cspops data check": "commands/test_data_check.py::test_the_document_counts_every_row_and_names_the_bad_ones",
    "cspops predict ~/new_photos": "pipeline/test_use_of_a_run.py::test_predict_says_what_evaluate_wrote",
    "cspops data use ~/photos --source folder": "commands/test_data_use.py::test_dvc_imports_the_folder_and_goes_back",
    "git restore data.dvc params.yaml && dvc repro": "commands/test_data_use.py::test_dvc_imports_the_folder_and_goes_back",
    "cspops tables 1 --queue": "commands/test_tables.py::test_dvc_itself_queues_the_run_once",
    "dvc exp push origin nce": "pipeline/test_registry.py::test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere",
    "dvc exp list origin": "pipeline/test_registry.py::test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere",
    "dvc exp pull origin nce": "pipeline/test_registry.py::test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere",
    "dvc exp apply nce": "pipeline/test_registry.py::test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere",
    "dvc exp branch nce best": "pipeline/test_registry.py::test_an_experiment_is_pushed_with_its_outputs_and_applied_elsewhere",
    "git push origin classifier@v0.0.1": "pipeline/test_registry.py::test_what_is_registered_is_brought_by_its_name",
    "dvc artifacts get git@git.example.org:you/birds.git classifier --out birds": (
        "pipeline/test_registry.py::test_what_is_registered_is_brought_by_its_name"
    ),
    "cspops predict photo.jpg --model birds": "pipeline/test_use_of_a_run.py::test_predict_says_what_evaluate_wrote",
    "cspops predict photo.jpg --lon 8.54 --lat 47.37 --classes boreal.txt": (
        "commands/test_predict.py::test_a_row_says_which_class_was_masked"
    ),
    "cspops predict photo.jpg --lon 8.54 --lat 47.37 --region CH": (
        "commands/test_predict.py::test_a_country_has_the_classes_of_its_labelled_places"
    ),
    "cspops predict photo.jpg --lon 10 --lat 44 --taxonomy koeppen.csv --min-confidence 0.8": (
        "commands/test_predict.py::test_an_answer_is_the_class_or_what_is_above_it"
    ),
    "cspops evaluate --on photos/ --taxonomy koeppen.csv --min-confidence 0.8": (
        "commands/test_evaluation_page.py::test_what_is_controlled_is_said_and_scored"
    ),
    "cspops map Csa --binary --out range.tif": "commands/test_map.py::test_a_range_is_where_p_is_at_least_the_threshold",
    "cspops predict photo.jpg --lon -120 --lat 0": (
        "commands/test_predict.py::test_rows_far_from_all_labels_are_said_in_one_line_where_they_are_many"
    ),
    "cspops locate photo.jpg --within 5,45,10,48": (
        "commands/test_locate.py::test_a_table_of_the_best_places_and_the_distance_from_the_photo_s_own"
    ),
    "cspops locate photo.jpg --within 5,45,10,48 --out map.png": "commands/test_locate.py::test_files_are_written",
    "cspops probe soil.csv --target ph": "commands/test_probe.py::test_a_table_of_encoders_on_random_folds_and_blocks",
    "cspops probe soil.csv --target ph --model artifacts --model ../other/artifacts --out ph.csv": (
        "commands/test_probe.py::test_a_file_of_scores_has_a_row_per_encoder_probe_and_kind_of_folds"
    ),
    "cspops probe --suite": "commands/test_probe.py::test_the_suite_runs_without_its_packages",
    "cspops probe --suite --target airport_elevation --retrieval": (
        "commands/test_probe.py::test_rows_of_the_catalogue_have_image_features_and_places_retrieve_images"
    ),
    "dvc exp run --run-all": "pipeline/test_shown_commands.py::test_what_is_shown_runs",
}
"""Commands in blocks that tests/pipeline/test_shown_commands.py does not run, and the test that runs them."""
COMMAND = re.compile(r"^(?:\$ )?((?:cspops|dvc|git|python -m benchmarks\.\w+)(?: .*)?)$")


def test_commands_stand_in_blocks_that_are_run_or_are_run_elsewhere() -> None:
    shown = {
        match[1].split("  ")[0].split(" #")[0].strip()
        for page in PAGES
        for block in blocks(page)
        if block.language != "console"
        for line in block.lines
        if (match := COMMAND.match(line))
    }
    assert shown == set(RUN_BY)


def test_the_tests_named_here_are_there() -> None:
    for command, test in RUN_BY.items():
        file, name = test.split("::")
        assert f"def {name}(" in (TESTS / file).read_text(), command


def test_what_is_shown_runs_on_the_default_runs_kind_of_model() -> None:
    """The project that runs it has fewer rows and steps, and the networks, the views and the encoding of params.yaml."""
    kind = ("image_encoder", "location_encoder", "encodings", "networks", "loss", "dataset.source", "dataset.blue_marble.view")
    assert [key for key in SMALL if key.startswith(kind) or key == "pretrain_img.method"] == []
