"""Whether the numbers of two runs differ by the machine: by what decides on the last bits, of which training makes points."""

import hashlib
import json
from collections.abc import Iterable, Mapping

Numerics = Mapping[str, str | int | bool]
"""What `cspops.numerics` says of a run. Runs with the same are comparable."""
MODE = "portable"


def of_run(stages: Iterable[Numerics]) -> Numerics:
    """Return what a run's numbers depend on, from what each of its stages depended on; a digest where these differ."""
    each = [dict(one) for one in stages]
    if all(one == each[0] for one in each):
        return each[0]
    return {MODE: False, "stages": hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()}


def not_comparable(ours: Numerics | None, theirs: Numerics | None, names: tuple[str, str]) -> str | None:
    """Return a sentence on why a difference between two runs may be the machine's; None where it cannot be.

    Args:
        ours: of the first run; None where its run.json, being of an older form, does not say.
        theirs: of the second.
        names: what the sentence calls them.
    """
    unknown = [name for name, one in zip(names, (ours, theirs), strict=True) if one is None]
    if ours is None or theirs is None:
        why = f"how {' and '.join(unknown)} computed is unknown, since reports/run.json has no `numerics`"
    elif ours == theirs:
        return None
    elif ours.get(MODE) != theirs.get(MODE):
        portable, other = names if ours.get(MODE) else names[::-1]
        why = f"{portable} was computed in portable mode and {other} was not"
    else:
        both = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
        why = ", ".join(f"{name.replace('_', ' ')} {ours.get(name)} and {theirs.get(name)}" for name in both)
    return f"{names[0]} and {names[1]} are not comparable ({why}): a difference may be that of the machines."
