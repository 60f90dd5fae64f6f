"""A section is there when its numbers or pictures are, with units and what they mean."""

import pytest

SECTIONS = {
    "codes": ("Codes", {"probe_accuracy": 0.931, "dead_units": 3, "covariance_spectrum": [3, 1]}),
    "variational": ("Variational", {"elbo_nats": -90.5, "kl_nats": 12.25}),
    "linear": ("Linear check", {"largest_principal_angle": 0.125}),
    "contractive": ("Contraction", {"frobenius": 1.5, "singular_values": [2.0, 1.0, 0.5]}),
    "detection": ("Anomaly detection", {"false_alarm_rate": 0.05, "threshold": 0.25, "n": 99}),
    "generation": ("Generation", {"frechet_distance": 12.5, "recall": 0.375}),
}
TITLES = {title for title, _ in SECTIONS.values()}


def headings(page) -> list[str]:
    return [text for tag, text in page.texts if tag == "h2"]


def numbers(page) -> list[float]:
    return [float(attributes["value"]) for attributes in page.all("data")]


def test_nothing_is_said_where_nothing_was_measured(page):
    assert not TITLES & set(headings(page))


@pytest.mark.parametrize("key", SECTIONS)
def test_a_section_comes_with_its_numbers(key, make_run, read):
    title, part = SECTIONS[key]
    page = read(make_run(metrics={"test": {"mse": 0.5}, key: part}))
    assert TITLES & set(headings(page)) == {title}
    scalars = [value for value in part.values() if not isinstance(value, list)]
    assert set(scalars) <= set(numbers(page))


@pytest.mark.parametrize(
    ("file", "title"),
    [
        ("code_map.png", "Codes"),
        ("kl_per_dimension.png", "Variational"),
        ("singular_values.png", "Contraction"),
        ("scores.png", "Anomaly detection"),
        ("manifold.png", "Generation"),
        ("learning_curves.png", "Loss terms"),
        ("other.png", "Figures"),
    ],
)
def test_a_picture_is_shown_once_in_the_section_it_belongs_to(file, title, make_run, read, png):
    figures = [{"file": file, "title": "Picture", "alt": "What is seen."}]
    run = make_run(figures=figures)
    (run / "figures" / file).write_bytes(png)
    page = read(run)
    assert len(page.all("img")) == 1
    texts = [text for tag, text in page.texts if tag in ("h2", "h3")]
    at = texts.index("Picture")
    assert [text for text in texts[:at] if text in headings(page)][-1] == title


@pytest.mark.parametrize("part", [None, [], "x", {}, {"unknown": 1}, {"probe_accuracy": "high"}])
def test_parts_of_another_kind_are_passed_over(part, make_run, read):
    metrics = {"test": {"mse": 0.5}, **dict.fromkeys(SECTIONS, part)}
    assert not TITLES & set(headings(read(make_run(metrics=metrics))))


def test_codes_say_counts_of_all_and_the_effective_dimension(make_run, read):
    codes = {
        "active_units": 29, "dead_units": 3, "covariance_spectrum": [3.0, 1.0],
        "mean_activation": [0.25, 0.75], "target_activation": 0.05, "knn_accuracy": 0.5,
        "reference": {"pca": {"knn_accuracy": 0.25}, "input": {"knn_accuracy": 0.75}},
    }  # fmt: skip
    page = read(make_run(metrics={"test": {}, "codes": codes}))
    assert "of 32" in page.text
    assert {29.0, 3.0, 1.6, 0.5} <= set(numbers(page))  # (3 + 1)^2 / (9 + 1); (.25 + .75) / 2
    assert "0.25 to 0.75" in page.text
    assert "The same of PCA codes of this size 25.0%, of the input itself 75.0%." in page.text
    assert "The model was trained for 0.05." in page.text


def test_the_variational_section_warns_first_and_lists_the_bounds(make_run, read):
    part = {
        "elbo_nats": -90.5,
        "importance_weighted": {
            "100": {"nats": -88.0, "standard_error": 0.25},
            "1": {"nats": -90.5, "standard_error": 0.5},
        },
        "collapsed_units": [0, 7],
        "pixels": "dynamic",
        "warning": "The posterior has collapsed.",
    }
    page = read(make_run(metrics={"test": {}, "variational": part}, history=None))
    assert "warning" in [attributes.get("class") for attributes in page.all("p")]
    assert page.text.index("The posterior has collapsed.") < page.text.index("Evidence lower bound")
    assert numbers(page) == [-90.5, 2, -90.5, 0.5, -88, 0.25]
    assert "\N{MINUS SIGN}90.50" in page.text
    assert "Pixels: dynamic." in page.text


def test_detection_explains_the_p_value_with_the_numbers_at_hand(make_run, read):
    part = {"false_alarm_rate": 0.055, "threshold": 0.25, "n": 99, "flagged": 0.0625}
    text = read(make_run(metrics={"test": {}, "detection": part})).text
    assert "The smallest possible is 1 / 100 = 0.01." in text
    assert "its p-value is at most 0.055." in text
    assert "5% of normal samples are flagged on average" in text  # floor(100 * 0.055) / 100
    assert "6.2%" in text
    assert "kerasae detect" in text
    assert "ae.detect(x)" in text


def test_models_without_the_penalty_stand_beside_the_contractive_one(make_run, read):
    own = {"frobenius": 1.5, "singular_values": [0.5, 2.0, 1.0]}
    for beside, name in (({"plain": own}, "plain"), (own, "the model beside it")):
        part = {**own, "frobenius": 0.75, "beside": beside}
        page = read(make_run(name, metrics={"test": {}, "contractive": part}, history=None))
        assert name in page.text
        assert numbers(page) == [0.75, 2, 1, 1.5, 2, 1]


def test_generation_gives_the_spread_and_the_floor(make_run, read):
    part = {
        "frechet_distance": 12.5, "frechet_spread": 0.75, "reference_distance": 0.5, "seeds": 3,
        "precision": 0.5, "recall": 0.375, "feature_space": "<b>64 features</b>",
    }  # fmt: skip
    page = read(make_run(metrics={"test": {}, "generation": part}, history=None))
    assert "\N{PLUS-MINUS SIGN} 0.75" in page.text
    assert "Mean and spread over 3 seeds." in page.text
    assert numbers(page) == [12.5, 0.5, 0.5, 0.375]
    assert page.all("b") == []
    assert "ae.generate(16, seed=0)" in page.text


def test_hostile_words_stay_text(make_run, read):
    hostile = "<script>alert(1)</script>"
    metrics = {
        "test": {"mse": 0.5},
        "variational": {
            "warning": hostile, "pixels": hostile, "importance_weighted": {hostile: {"nats": 1.0}}
        },
        "contractive": {"beside": {hostile: {"frobenius": 1.0}}},
        "detection": {"n": 5, "data": hostile},
        "generation": {"recall": 0.5, "feature_space": hostile},
    }  # fmt: skip
    page = read(make_run(metrics=metrics))
    assert page.all("script") == []
    assert page.text.count(hostile) == 5


@pytest.mark.parametrize("nats", [-12.5, 12.5])
def test_the_reconstruction_part_is_lower_the_better_whatever_its_sign(nats, make_run, read):
    part = {"elbo_nats": -nats - 1, "reconstruction_nats": nats, "kl_nats": 1.0}
    page = read(make_run(metrics={"test": {}, "variational": part}))
    assert "Negative log-likelihood of a sample given its code" in page.text
    assert "Log-likelihood of a sample given its code; higher" not in page.text
    assert nats in numbers(page)


@pytest.mark.parametrize("halves", [True, False])
def test_accuracies_from_two_halves_say_so(halves, make_run, read):
    fitted_on = "the measured samples" if halves else "train split"
    metrics = {"test": {}, "codes": {"probe_accuracy": 0.5}, "baselines_fitted_on": fitted_on}
    text = read(make_run(metrics=metrics)).text
    assert ("a linear classifier, fitted on the other half, reads" in text) == halves


def test_infinite_and_huge_numbers_are_told(make_run, read):
    codes = {"covariance_spectrum": [2e200, 2e200], "left_out": 3}
    metrics = {"test": {"mse": float("inf")}, "baselines": {"mean": {"mse": 0.5}}, "codes": codes}
    page = read(make_run(metrics=metrics))
    assert "infinite" in page.text
    assert {2.0, 3.0} <= set(numbers(page))


def test_the_mean_activation_says_of_how_many_samples_it_is(make_run, read):
    codes = {"mean_activation": [0.25, 0.75], "left_out": 2}
    for samples, said in ((1797, "over 1,795 samples of the test split"),
                          (3, "over 1 sample of the test split")):  # fmt: skip
        metrics = {"test": {"samples": samples}, "codes": codes}
        assert said in read(make_run(str(samples), metrics=metrics)).text
    assert (
        "Mean of a unit over the test split"
        in read(make_run("unknown", metrics={"test": {}, "codes": codes})).text
    )
