"""The page says what the maps show."""

from typing import Any

from cspops.evaluation.priors import PRIORS
from cspops.report.page import best_prior_sentence, map_section


def test_the_maps_come_with_words_and_alternative_texts() -> None:
    text = map_section("untrained (loss none)", "Csa", clusters=12, kept=0.546)
    assert "in 12 clusters" in text
    assert "55 % of the land keeps its colour" in text
    assert "![Two world maps of the clusters: untrained (loss none), and fine-tuned](figures/clusters.png)" in text
    assert "![World maps of P(Csa | x) at the smallest and the largest label ratio](figures/class.png)" in text


def test_a_prior_that_beats_the_learned_model_is_said_so() -> None:
    def models(combined: float, **products: float) -> dict[str, Any]:
        every = {"combined": combined} | {f"image_x_{name}": products.get(name, 0.0) for name in PRIORS}
        return {name: {"top1": {"mean": value, "sd": 0.0}} for name, value in every.items()}

    ratios = {"label_5": models(50.0, knn=49.0), "label_100": models(60.0, knn=61.0, kde=62.5)}
    said = best_prior_sentence(ratios, "test")
    assert said.endswith("in the product at 100 % labels (image x `kde`, +2.50 points).")
    assert best_prior_sentence({"label_5": ratios["label_5"]}, "spatial_test").endswith("at no label ratio.")
