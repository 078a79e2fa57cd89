"""The words about the image network."""

from cspops.report.page import image_section


def test_a_method_alone() -> None:
    assert image_section({"method": "none"}) == "Image network: `none`."


def test_notes_and_numbers_with_their_meaning() -> None:
    facts = {"method": "geokr", "note": "It saw a raster", "fallback": 0.25, "knn_km_before": 812.5, "knn_km_after": 300.0}
    said = image_section(facts)
    assert said.startswith(
        "Image network: `geokr`. It saw a raster. `fallback` 0.25; `knn_km_before` 812.5; `knn_km_after` 300.0."
    )
    assert said.endswith(
        "`knn_km`: the median distance between a training image and its nearest neighbour in features, in kilometres."
    )
