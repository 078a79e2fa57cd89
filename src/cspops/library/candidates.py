"""Which classes a model may predict: those of a list, or those with a labelled place in a region."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cspops.errors import DataError
from cspops.library.labelled import ClassNames
from cspops.library.listed_names import class_numbers, names_in, nearest_classes

if TYPE_CHECKING:
    from cspops.library.model import Model


def numbers_of(model: "Model", classes: Iterable[str]) -> set[int]:
    """Return the numbers of named classes; a DataError with the nearest spelling for one that the model does not know."""
    known = _known(model)
    numbers = {name: known.match(name) for name in ([classes] if isinstance(classes, str) else classes)}
    for name, number in numbers.items():
        if number is None:
            raise DataError(f"the model has no class {name!r}", hint=nearest_classes(name, known))
    return {number for number in numbers.values() if number is not None}


def listed_classes(model: "Model", file: Path) -> list[str]:
    """Return the classes that a file lists, by their names in the model; DataError for one that the model does not know."""
    known = _known(model)
    return [known.classes[number] for number in class_numbers(file, names_in(file, known), known)]


def classes_in(model: "Model", region: str) -> list[str]:
    """Return the classes with at least one labelled place of the model in a region (`region.FORMS`).

    Raise a DataError where the region is none or holds no labelled place, or the model knows no such place.
    """
    from cspops.library.region import read_region

    known, area = _known(model), read_region(region)
    places = model.labelled_places
    if not len(places.label):
        raise DataError(
            "the model holds no labelled places, which say what classes a region has",
            hint="dvc repro evaluate, or name the classes: --classes FILE",
        )
    inside = area.holds(places.lonlat.double().numpy())
    if not inside.any():
        raise DataError(
            f"--region {area.name} holds none of the model's {len(inside):,} labelled places, so that no class is left",
            hint="a larger region, or name the classes: --classes FILE",
        )
    return [known.classes[number] for number in places.label[inside].unique().tolist()]


def _known(model: "Model") -> ClassNames:
    if model.classes is None:
        raise DataError("this model has no named classes", hint="load a whole run, or an exported folder")
    return ClassNames(model.classes)
