"""Each part of the metrics is a section, with its numbers and how to read them."""

import pytest

from kerasae.report.measures import MEASURES, measured

PARTS = {
    "codes": {"probe_accuracy": 0.931, "dead_units": 3, "trustworthiness": 0.9},
    "bounds of a recipe": {"elbo_nats": -90.5, "kl_nats": 12.25},
    "detection": {"false_alarm_rate": 0.05, "threshold": 0.25, "n": 99},
    "generation": {"frechet_distance": 12.5, "recall": 0.375},
}
HOSTILE = "<script>alert(1)</script>"


def headings(page) -> list[str]:
    return [text for tag, text in page.texts if tag == "h2"]


def numbers(page) -> list[float]:
    return [float(attributes["value"]) for attributes in page.all("data")]


def facts(values) -> dict[str, object]:
    """Label to value of what a part shows."""
    blocks = [content for kind, content in measured(values) if kind == "facts"]
    return {label: value for block in blocks for label, value, _ in block}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_a_section_with_its_numbers(part, make_run, read):
    page = read(make_run(metrics={"test": {"mse": 0.5}, part: PARTS[part]}, history=None))
    assert part.capitalize() in headings(page)
    assert set(PARTS[part].values()) <= set(numbers(page))
    assert all(MEASURES[name].label in page.text for name in PARTS[part])


@pytest.mark.parametrize("part", [None, [], "x", {}, {"of no number": [None]}])
def test_a_part_that_holds_nothing_has_no_section(part, make_run, read):
    page = read(make_run(metrics={"test": {"mse": 0.5}, "codes": part}))
    assert "Codes" not in headings(page)


def test_an_unknown_measure_is_shown_by_its_name(make_run, read):
    metrics = {
        "test": {"mse": 0.5},
        "new_part": {"code_usage": 0.25, "perplexities": [1, 3], "kind": "grid", "nothing": None},
        "top_level": 7,
    }
    page = read(make_run(metrics=metrics, history=None))
    assert {"New part", "Further measures"} <= set(headings(page))
    assert {"Code usage", "Perplexities", "grid", "1 to 3", "Top level"} <= {
        text for _, text in page.texts
    }
    assert {0.25, 2.0, 7.0} <= set(numbers(page))
    assert "Nothing" not in page.text


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ("codes", "Codes"),
        ("losses", "Loss terms"),
        ("generation", "Generation"),
        ("", "Figures"),
        (None, "Figures"),
    ],
)
def test_a_picture_is_shown_once_in_the_section_of_its_part(part, title, make_run, read):
    figure = {"file": "a.png", "title": "Picture", "alt": "What is seen.", "part": part}
    if part is None:  # an older run
        del figure["part"]
    page = read(make_run(figures=[figure]))
    assert len(page.all("img")) == 1
    texts = [text for tag, text in page.texts if tag in ("h2", "h3")]
    at = texts.index("Picture")
    assert [text for text in texts[:at] if text in headings(page)][-1] == title


def test_lists_are_summed_up():
    found = facts(
        {
            "covariance_spectrum": [3.0, 1.0],  # (3 + 1)^2 / (9 + 1)
            "mean_activation": [0.25, 0.75],
            "collapsed_units": [0, 7],
            "rate_range": [0.01, 0.025],
        }
    )
    assert found["Effective dimension"].value == pytest.approx(1.6)
    assert found["Mean activation"][:3] == (0.5, "0.5", "0.25 to 0.75")
    assert found["Collapsed units"].value == 2
    assert found["Its range"] == "1% to 2.5%"


def test_a_huge_spectrum_has_a_dimension_and_a_broken_one_has_none():
    assert facts({"covariance_spectrum": [2e200, 2e200]})["Effective dimension"].value == 2
    assert facts({"covariance_spectrum": [float("inf"), 1.0]}) == {}
    assert facts({"covariance_spectrum": [0.0, 0.0]}) == {}


def test_mappings_are_tables_or_have_a_heading():
    reference = {"input": {"knn_accuracy": 0.75}, "pca": {"knn_accuracy": 0.25}}
    kinds = measured({"reference": reference, "beside": {"frobenius": 1.5}})
    assert [kind for kind, _ in kinds] == ["heading", "table", "heading", "facts"]
    rows = kinds[1][1]["rows"]
    assert [(row[0], row[1].text) for row in rows] == [
        ("PCA codes of this size", "25.0%"),
        ("the input itself", "75.0%"),
    ]


def test_the_warning_comes_first_and_bounds_are_in_order(make_run, read):
    part = {
        "elbo_nats": -90.5,
        "importance_weighted": {
            "100": {"nats": -88.0, "standard_error": 0.25},
            "1": {"nats": -90.5, "standard_error": None},
        },
        "pixels": "dynamic",
        "note": "In nats of the binarized pixels.",
        "warning": "The posterior has collapsed.",
    }
    page = read(make_run(metrics={"test": {}, "bounds": part}, history=None))
    assert "warning" in [attributes.get("class") for attributes in page.all("p")]
    assert page.text.index("has collapsed.") < page.text.index("Evidence lower bound")
    assert numbers(page) == [-90.5, -90.5, -88, 0.25]
    assert "\N{MINUS SIGN}90.50" in page.text
    assert "In nats of the binarized pixels." in page.text


def test_the_p_value_is_explained_with_the_numbers_at_hand(make_run, read):
    part = {"false_alarm_rate": 0.055, "threshold": 0.25, "n": 99, "flagged": 0.0625}
    text = read(make_run(metrics={"test": {}, "detection": part})).text
    assert "The smallest possible is 1 / 100 = 0.01." in text
    assert "its p-value is at most 0.055." in text
    assert "5% of normal samples are flagged on average" in text  # floor(100 * 0.055) / 100
    assert "6.2%" in text


def test_hostile_words_stay_text(make_run, read):
    part = {
        "warning": HOSTILE,
        "note": HOSTILE,
        "pixels": HOSTILE,
        HOSTILE: 1.0,
        "importance_weighted": {HOSTILE: {"nats": 1.0}},
        "beside": {HOSTILE: {HOSTILE: 1.0}},
    }
    page = read(make_run(metrics={"test": {"mse": 0.5}, HOSTILE: part}))
    assert page.all("script") == []
    assert page.text.lower().count(HOSTILE) >= 7


def test_what_is_nested_too_deep_is_left_out():
    nested: dict = {"value": 1.0}
    for _ in range(500):
        nested = {"inner": nested}
    assert measured(nested) == []
