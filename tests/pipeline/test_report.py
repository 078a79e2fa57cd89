"""What the report calls its project."""

from pathlib import Path

import pytest

from cspops.pipeline.report import project_name


@pytest.mark.parametrize(
    ("lock", "readme", "name"),
    [
        ("", "# birds\n\n## more\n", "birds"),
        ("", "[badge]\n\n#  Birds of *Bern*  \n# not this\n", "Birds of *Bern*"),
        ("", "no heading, #no and\n## a second one\n", None),
        ("", "# \n", None),
        ("", None, None),
        (None, "# cspops\n", None),
    ],
)
def test_a_project_is_called_as_its_readme_does_and_a_checkout_of_the_sources_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str | None, readme: str | None, name: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, content in (("cspops.lock", lock), ("README.md", readme)):
        if content is not None:
            (tmp_path / file).write_text(content)
    assert project_name() == name
