"""Each term of each loss has a chart, the label ratios share one."""

from cspops.report.html_page import training_part


def test_terms_apart_ratios_together_and_empty_curves_not_at_all() -> None:
    part = training_part(
        {
            "location encoder, mc": [{"epoch": 1.0, "B": 5.0, "L": 1.0, "total": 6.0}, {"epoch": 2.0, "B": 4.0, "L": 1.0}],
            "fine-tuning": [{"step": 1.0, "label_5": 2.0, "label_0p5": 3.0}, {"step": 2.0, "label_5": 1.0}],
            "image classifier": [{"epoch": 1.0, "label_5": 2.0, "label_5_val_nll": 3.0, "label_5_val_top1": 40.0}],
            "image network": [],
        }
    )  # fmt: skip
    groups = dict(part["curve_groups"])
    assert {title: [one.caption for one in charts] for title, charts in groups.items()} == {
        "Location encoder, mc": ["B, in-batch: the image against other images", "L, negative locations", "total"],
        "Fine-tuning": ["training loss at each label ratio"],
        "Image classifier": [
            "training loss at each label ratio",
            "validation loss at each label ratio",
            "validation accuracy at each label ratio",
        ],
    }
    drawn = str(groups["Fine-tuning"][0].chart)
    assert ">0.5 %<" in drawn
    assert ">5 %<" in drawn
    assert ">top-1, per cent<" in str(groups["Image classifier"][2].chart)
    assert ">epoch<" in str(groups["Location encoder, mc"][0].chart)
