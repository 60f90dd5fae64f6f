"""The map shows codes as they are or as PCA projects them, each class named at its median."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from kerasae.report import figures
from kerasae.report.figures import codes as codes_module
from kerasae.report.figures import style


def test_colours_of_classes_are_told_apart_by_markers_too():
    pairs = {(i % len(style.COLOURS), i % len(codes_module._MARKERS)) for i in range(70)}
    assert len(pairs) == 70


class TestCodeMap:
    def test_many_dimensions_are_projected_as_by_pca(self):
        from sklearn.decomposition import PCA

        codes = np.random.default_rng(0).normal(size=(200, 5)) * [5, 3, 1, 1, 1] + 7
        pca = PCA(2).fit(codes)
        ax = figures.code_map(codes).figure.axes[0]
        shown = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(np.abs(shown), np.abs(pca.transform(codes)), atol=1e-9)
        first, second = pca.explained_variance_ratio_
        assert ax.get_xlabel() == f"principal component 1 ({first:.0%} of the variance)"
        assert ax.get_ylabel() == f"principal component 2 ({second:.0%} of the variance)"
        assert f"{first:.0%} and {second:.0%}" in figures.code_map(codes).alt

    def test_two_dimensions_are_shown_as_they_are(self):
        codes = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 3.0]])
        ax = figures.code_map(codes).figure.axes[0]
        np.testing.assert_array_equal(ax.collections[0].get_offsets(), codes)
        assert ax.get_xlabel() == "code dimension 0"

    def test_one_dimension_is_spread_and_hides_the_meaningless_axis(self):
        ax = figures.code_map(np.array([[3.0], [1.0]])).figure.axes[0]
        assert np.asarray(ax.collections[0].get_offsets())[:, 0].tolist() == [3.0, 1.0]
        assert not ax.yaxis.get_visible()

    def test_classes_are_named_at_their_medians(self):
        codes = np.array([[0, 0], [1, 0], [9, 0], [10, 5], [10, 6], [10, 7]], float)
        ax = figures.code_map(codes, [0, 0, 0, 1, 1, 1], ["cat", "dog"]).figure.axes[0]
        placed = {text.get_text(): (text.xy, text.get_position()) for text in ax.texts}
        assert placed["cat"] == (pytest.approx((1, 0)), pytest.approx((1, 0)))
        assert placed["dog"] == (pytest.approx((10, 6)), pytest.approx((10, 6)))
        colours = {to_hex(c.get_facecolor()[0]) for c in ax.collections}
        outlines = {c.get_paths()[0].vertices.shape for c in ax.collections}
        assert len(colours) == len(outlines) == 2

    def test_names_that_would_overlap_are_moved_apart(self):
        medians = np.array([[1.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
        points = np.array([[0.0, 0.0], [10.0, 10.0]])
        placed = codes_module._apart(medians, points)
        assert np.linalg.norm(placed[0] - placed[1]) == pytest.approx(0.6)
        np.testing.assert_array_equal(placed[2], [9, 9])

    def test_words_name_near_and_far_classes(self):
        # One of eight points (the second of class a) lies nearer to the median of b.
        codes = [[0, 0], [4, 0], [0, 0], [5, 0], [5, 0], [50, 0], [50, 0], [50, 0]]
        text = figures.code_map(codes, list("aaabbccc")).alt
        assert "3 classes" in text
        assert "88% of the points" in text
        assert "Closest together are a and b, farthest apart a and c." in text

    @pytest.mark.parametrize("codes", [np.zeros(3), np.zeros((0, 2)), [[np.nan, 1.0]]])
    def test_codes_must_be_a_finite_table(self, codes):
        with pytest.raises(ValueError, match=r"codes must be a finite array.* Received: shape="):
            figures.code_map(codes)

    def test_labels_must_be_one_per_code(self):
        with pytest.raises(ValueError, match=r"labels must .* 3 .*Received: shape=\(2,\)"):
            figures.code_map(np.zeros((3, 2)), [0, 1])

    def test_a_single_code_is_drawn(self):
        assert len(figures.code_map(np.ones((1, 5))).figure.axes[0].collections) == 1


class TestTsne:
    codes = np.random.default_rng(0).normal(size=(40, 6)) + 20 * np.repeat([0, 1], 20)[:, None]
    labels = np.repeat([0, 1], 20)

    def test_it_is_the_same_twice_and_keeps_groups_together(self):
        maps = []
        for _ in range(2):
            ax = figures.code_map(self.codes, method="tsne").figure.axes[0]
            maps.append(np.asarray(ax.collections[0].get_offsets()))
        np.testing.assert_array_equal(*maps)
        text = figures.code_map(self.codes, self.labels, method="tsne").alt
        assert "100% of the points have a nearest neighbour of their own class." in text

    def test_its_axes_have_no_units_and_say_so(self):
        ax = figures.code_map(self.codes, self.labels, method="tsne").figure.axes[0]
        assert "no units" in ax.get_xlabel()
        assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0
        text = figures.code_map(self.codes, self.labels, method="tsne").alt
        assert "no units" in text
        assert "farthest" not in text

    def test_of_many_codes_some_are_taken_with_their_labels(self, monkeypatch):
        monkeypatch.setattr(codes_module, "_TSNE_POINTS", 10)
        text = figures.code_map(self.codes, self.labels, method="tsne").alt
        assert text.startswith("Map of 10 codes")
        assert "2 classes" in text

    def test_codes_that_are_all_the_same_are_drawn(self):
        figures.code_map(np.ones((6, 3)), method="tsne")

    @pytest.mark.parametrize(
        ("codes", "method", "message"),
        [
            (np.zeros((9, 1)), "tsne", r"at least 4 codes of at least 2 .*shape=\(9, 1\)"),
            (np.zeros((3, 4)), "tsne", r"at least 4 codes .*shape=\(3, 4\)"),
            (np.zeros((9, 4)), "umap", "method must be 'pca' or 'tsne'. Received: method='umap'"),
        ],
    )
    def test_what_does_not_work_is_said(self, codes, method, message):
        with pytest.raises(ValueError, match=message):
            figures.code_map(codes, method=method)

    def test_labels_are_checked_before_some_are_taken(self):
        with pytest.raises(ValueError, match=r"labels must .* 40 .*Received: shape=\(39,\)"):
            figures.code_map(self.codes, self.labels[1:], method="tsne")
