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
    ],
)
def test_comparison_with_pca_is_honest(mse, words, make_run, read):
    metrics = {"test": {"mse": mse}, "baselines": {"pca": {"mse": 0.02}}}
    assert words in read(make_run(metrics=metrics)).text
