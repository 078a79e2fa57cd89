"""`cspops gair-dry-run`: one training step of the published GAIR model, without data."""

import math
from typing import Annotated

import typer

from cspops.commands.app import OTHERS, app
from cspops.commands.layout import show
from cspops.commands.options import JsonOption
from cspops.commands.output import peak_memory, print_json
from cspops.data.json_files import Document
from cspops.progress import in_bytes
from cspops.terminal import say


@app.command(rich_help_panel=OTHERS, epilog="Example: cspops gair-dry-run --batch 8")
def gair_dry_run(
    batch: Annotated[int, typer.Option(help="Rows of noise.", min=2, max=4096)] = 2,
    json: JsonOption = False,
) -> None:
    """Build the published GAIR model at full size and take one training step on noise, which shows time and memory.

    The settings are those of cspops/gair/recipes/published.yaml. It needs 4 GB of memory, and nothing is written.
    """
    document = run(batch)
    if json:
        print_json(document)
        return
    rows = [["part", "parameters", "published"]]
    rows += [[name, f"{count:,}", _millions(document["published"].get(name))] for name, count in document["parameters"].items()]
    show("GAIR with random weights, to be compared with the released model", rows, text_columns=1)
    loss = f"loss {document['loss']['total']:.2f} ({document['loss_at_random']:.2f} while all pairs are alike)"
    say(f"a step of {batch} rows: {document['seconds']:.1f} s, {loss}")
    say("at most " + " and ".join(f"{in_bytes(size)} of {where}" for where, size in document["peak_memory"].items()))


def run(batch: int) -> Document:
    """Return counts of parameters here and as published, the loss and what it is while all pairs are alike, time and memory."""
    from cspops.gair.dry_run import PUBLISHED, dry_run, recipe
    from cspops.pipeline.run import read_host

    device = read_host().torch_device()
    published = recipe()
    done = dry_run(published, batch=batch, device=device)
    return {
        "parameters": done.parameters,
        "published": PUBLISHED,
        "loss": done.loss,
        "loss_at_random": math.log(batch) + math.log1p(published["queue"]),
        "seconds": done.seconds,
        "peak_memory": peak_memory(),
    }


def _millions(count: float | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f} million"
