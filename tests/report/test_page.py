"""The page says what the maps show."""

from cspops.report.page import map_section


def test_the_maps_come_with_words_and_alternative_texts() -> None:
    text = map_section("untrained (loss none)", "Csa", clusters=12, kept=0.546)
    assert "in 12 clusters" in text
    assert "55 % of the land keeps its colour" in text
    assert "![Two world maps of the clusters: untrained (loss none), and fine-tuned](figures/clusters.png)" in text
    assert "![World maps of P(Csa | x) at the smallest and the largest label ratio](figures/class.png)" in text
