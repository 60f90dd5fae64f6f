"""Spectra, divergences and singular values, with the numbers that follow from them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from kerasae.report import figures


class TestCodeSpectrum:
    def test_shares_are_sorted_and_the_effective_dimension_is_the_participation_ratio(self):
        ax = figures.code_spectrum([1.0, 3.0]).figure.axes[0]
        np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.75, 0.25])
        # 4^2 / (1 + 9)
        assert ax.texts[0].get_text().startswith("effective dimension 1.60 of 2")
        assert figures.code_spectrum([1.0, 3.0]).alt == (
            "Variance of the codes along 2 principal directions: the first holds 75%, the last "
            "25%; 90% lies in the first 2. The effective dimension is 1.60 of 2."
        )

    def test_equal_eigenvalues_have_all_dimensions(self):
        assert "dimension is 10.0 of 10" in figures.code_spectrum(np.ones(10)).alt
        assert "90% lies in the first 9." in figures.code_spectrum(np.ones(10)).alt

    def test_round_off_below_zero_is_taken_for_zero(self):
        assert "the last 0%" in figures.code_spectrum([1.0, -1e-12]).alt

    def test_given_axes_are_used(self):
        ax = Figure().add_subplot()
        assert figures.code_spectrum([1.0, 1e-4], ax).figure.axes[0] is ax
        assert ax.get_yscale() == "log"

    @pytest.mark.parametrize("values", [[], [1.0, -0.5], [np.nan], [0.0, 0.0], [[1.0]]])
    def test_what_is_no_spectrum_is_refused(self, values):
        with pytest.raises(ValueError, match=r"eigenvalues must .*Received: "):
            figures.code_spectrum(values)


class TestKlPerDimension:
    values = (0.5, 2.0, 0.01)

    def test_bars_are_sorted_and_active_ones_differ_by_more_than_colour(self):
        ax = figures.kl_per_dimension(self.values, [True, True, False]).figure.axes[0]
        bars = sorted(ax.patches, key=lambda bar: bar.get_x())
        assert [bar.get_height() for bar in bars] == [2.0, 0.5, 0.01]
        assert [bar.get_hatch() for bar in bars] == [None, None, "////"]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "0", "2"]
        names = [text.get_text() for text in ax.get_legend().get_texts()]
        assert names == ["2 active", "1 not active: says nothing about the input"]

    def test_words_give_sum_extremes_and_active_ones(self):
        assert figures.kl_per_dimension(self.values, [True, True, False]).alt == (
            "KL divergence of 3 code dimensions from the prior: 2.51 nats in all, highest 2.00 "
            "(dimension 1), median 0.500, lowest 0.0100. 2 of 3 dimensions are active."
        )
        assert "active" not in figures.kl_per_dimension(self.values).alt

    def test_wrong_lengths_are_refused(self):
        with pytest.raises(ValueError, match=r"active must hold .*3 code units.*shape=\(2,\)"):
            figures.kl_per_dimension(self.values, [True, False])
        with pytest.raises(ValueError, match=r"values must be .*shape=\(0,\)"):
            figures.kl_per_dimension([])


class TestSingularValues:
    values = {"contractive": [3.0, 4.0], "plain": [0.0, 5.0, 12.0]}  # noqa: RUF012

    def test_lines_differ_by_style_marker_and_colour(self):
        ax = figures.singular_values(self.values).figure.axes[0]
        one, other = ax.lines
        assert one.get_ydata().tolist() == [4, 3]
        assert one.get_linestyle() != other.get_linestyle()
        assert one.get_marker() != other.get_marker()
        assert to_hex(one.get_color()) != to_hex(other.get_color())

    def test_words_give_extremes_and_norm(self):
        text = figures.singular_values(self.values).alt
        assert "contractive: largest 4.00, median 3.50, smallest 3.00" in text
        assert "root of the sum of squares 5.00" in text
        assert "plain: largest 12.0" in text
        assert "squares 13.0" in text

    @pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [np.inf]}])
    def test_what_has_no_values_is_refused(self, values):
        with pytest.raises(ValueError, match="Received: "):
            figures.singular_values(values)
