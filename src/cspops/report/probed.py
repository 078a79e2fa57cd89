"""What the run's location embeddings are worth for other variables: the targets in `report.probe`, as in `cspops probe`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cspops.data.json_files import Document
from cspops.models.loading import load_location_encoder
from cspops.params.sections import SuiteTarget
from cspops.probing.encoders import baselines, learned, untrained
from cspops.probing.folds import BUFFER_KM, DEGREES, FOLD_SEED, FOLDS, INNER, Scheme
from cspops.probing.suite import suite
from cspops.probing.table import UNIT, cells, document, probe
from cspops.report.html_parts import Group, Table
from cspops.report.tables import markdown
from cspops.site import Site

TITLE = "What the embedding is worth elsewhere"
FILE = "probe.json"
"""In the stage's folder."""
SCHEME = Scheme("blocks", FOLDS, INNER, DEGREES, BUFFER_KM)
ENCODER, TWIN = "e(x)", "e(x) untrained"
WORDS = (
    "Other variables, predicted from the location encoder of seed {seed} before fine-tuning, by simple models: "
    f"{FOLDS} folds of whole {SCHEME.title}, settings chosen within the training rows of each. Intervals are of 95 %, over "
    "resampled blocks. `over position` is the gain over the neighbours of position: where its interval includes zero, nothing "
    "was shown that the position alone does not tell."
)


@dataclass(frozen=True)
class ProbedTarget:
    """A target with its table, header first, and all numbers of it."""

    title: str
    table: list[list[str]]
    document: Document


def probed_targets(names: Sequence[SuiteTarget], site: Site, *, seed: int) -> list[ProbedTarget]:
    """Probe the encoder of stage pretrain, its untrained twin and the baselines with each target, and write `FILE`.

    Raise an EnvironmentProblem where the package of a target is not installed.
    """
    if not names:
        return []
    encoder = load_location_encoder(site.inputs["pretrain"] / f"seed_{seed}", remake="dvc repro pretrain")
    encoders = [*baselines(), untrained(encoder, TWIN, seed=FOLD_SEED), learned(ENCODER, encoder)]
    out = []
    for target in suite(names, most=None, folds=FOLDS, seed=FOLD_SEED):
        rows = probe(target, encoders, [SCHEME], seed=FOLD_SEED)
        title = (
            f"{target.name}: {target.kind}{UNIT[target.kind]}, {len(target.value):,} rows ({target.source}, {target.licence})"
        )
        out.append(ProbedTarget(title, cells(target, rows, SCHEME), document(target, rows)))
    _write(site.out / FILE, out)
    return out


def _write(file: Path, targets: Sequence[ProbedTarget]) -> None:
    file.write_text(json.dumps([one.document for one in targets], indent=1) + "\n", encoding="utf-8")


def probe_section(targets: Sequence[ProbedTarget], *, seed: int) -> list[str]:
    """Return the parts of the section in Markdown; none without a target."""
    if not targets:
        return []
    tables = (part for one in targets for part in (f"{one.title}:", markdown(one.table, text_columns=2)))
    return [f"## {TITLE}", WORDS.format(seed=seed), *tables]


def probe_part(targets: Sequence[ProbedTarget], *, seed: int) -> dict[str, object]:
    """Return what the template takes."""
    tables = [Table(one.title, one.table[0], [Group(None, one.table[1:])], text_columns=2) for one in targets]
    return {"probe_words": WORDS.format(seed=seed).replace("`", ""), "probe_tables": tables}
