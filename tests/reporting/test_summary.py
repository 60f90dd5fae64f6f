"""The head of the page says honestly what was trained and how well."""

import pytest


def test_it_says_in_one_sentence_what_was_trained_and_how_well(page):
    assert (
        "A denoising autoencoder with a code of 32 values, trained on mnist for 3 epochs, "
        "reconstructs the test split with a mean squared error of 0.01023, 49% below PCA at the "
        "same code size (0.02), and raises noisy input from 6.0 to 20.3 dB (+14.3 dB)."
    ) in page.text


@pytest.mark.parametrize(
    ("mse", "words"),
    [
        (0.024, "20% above PCA at the same"),
        (0.02002, "equal within half a percent to PCA"),
        (0.01, "50% below PCA"),
        (0.04, "100% above PCA at the same"),
        (0.05, "2.5 times PCA's at the same code size (0.02)"),
        (0.836, "42 times PCA's at the same code size (0.02)"),
    ],
)
def test_comparison_with_pca_is_honest(mse, words, make_run, read):
    metrics = {"test": {"mse": mse}, "baselines": {"pca": {"mse": 0.02}}}
    assert words in read(make_run(metrics=metrics)).text


def test_the_tile_of_a_bad_model_says_times_too(make_run, read):
    page = read(make_run(metrics={"test": {"mse": 0.836}, "baselines": {"pca": {"mse": 0.02}}}))
    assert "42 times" in [text for tag, text in page.texts if tag == "dd"]
    assert "%" not in page.text.split("Error beside PCA")[1].split("PCA at the")[0]


@pytest.mark.parametrize(
    ("mse", "fitted_on", "said"),
    [
        (0.5, "train split", "Worse than the mean of the training data: train longer, or look at"),
        (0.5, "the measured samples", "Worse than the mean of the measured data: train longer"),
        (0.05, "train split", None),
        (float("nan"), "train split", None),
    ],
)
def test_a_model_worse_than_none_gets_a_word(mse, fitted_on, said, make_run, read):
    baselines = {"mean": {"mse": 0.0671}, "pca": {"mse": 0.02}}
    metrics = {"test": {"mse": mse}, "baselines": baselines, "baselines_fitted_on": fitted_on}
    text = read(make_run(metrics=metrics)).text
    assert said in text if said else "Worse than" not in text
