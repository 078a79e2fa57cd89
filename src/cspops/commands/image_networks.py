"""`cspops image-networks`: compare image networks by linear probes."""

from typing import Annotated, Any

import typer

from cspops.commands.app import LOOK, app
from cspops.commands.layout import show
from cspops.commands.options import JsonOption
from cspops.commands.output import print_json
from cspops.pipeline.run import read_host, read_params
from cspops.terminal import say


@app.command(rich_help_panel=LOOK, epilog="Example: cspops image-networks moco --also timm:resnet18,pretrained")
def image_networks(
    names: Annotated[list[str] | None, typer.Argument(help="Rows to compute; default: all.", metavar="METHOD...")] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Another network, as it is, such as timm:resnet18,pretrained; repeatable.", metavar="MODEL,WEIGHTS"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="Use the first N of `seeds` in params.yaml; default: 3, or all if there are fewer.", metavar="N"),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Compute these rows again, as after a change of the code.")] = False,
    list_rows: Annotated[bool, typer.Option("--list", help="List the rows, and compute nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Compare image networks and their pre-training by linear probes (the paper's Img. Only); write reports/tables/.

    Only the catalogue and the split are needed. A row that was computed with the same params, data and seeds is kept.
    """
    from cspops import numerics

    numerics.settle()
    from cspops.pipeline import image_network_table
    from cspops.report import image_networks_page as pages

    document: Any
    if list_rows:
        document = image_network_table.listing(read_params(), also=also or (), seeds=seeds)
    else:
        document = image_network_table.run(
            read_params(), read_host(), names=names or (), also=also or (), seeds=seeds, again=again
        )
    if json:
        print_json(document, ensure_ascii=False)
    elif list_rows:
        show("Image networks", pages.listing_rows(document), text_columns=5, paths=0)
    else:
        for role in pages.roles(document):
            show(pages.heading(role), pages.accuracy_rows(document, role), text_columns=1)
        if len(facts := pages.fact_rows(document)) > 1:
            show("", facts, text_columns=2)
        say(pages.data_sentence(document))
        for remark in pages.remarks(document):
            say(f"- {remark}")
