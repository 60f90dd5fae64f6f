"""Samplers of codes and paths between codes, against moments and geometry."""

import keras
import numpy as np
import pytest

from kerasae import samplers

KINDS = ("gaussian", "mixture", "neighbour")
N = 40_000


def draw(sampler, n=N, seed=0):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(n, codes_of(sampler))).astype("float32")
    uniform = rng.random((n, 3), dtype="float32")
    return keras.ops.convert_to_numpy(sampler.draw(normal, uniform))


def codes_of(sampler):
    return next(v.shape[-1] for k, v in sampler.arrays.items() if k in ("mean", "means", "codes"))


def correlated(n=3000, seed=0):
    mix = np.array([[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [-1.0, 0.3, 0.1]])
    return np.random.default_rng(seed).normal(size=(n, 3)) @ mix.T + [5, -3, 100]


def separate(sizes=(600, 300, 100), seed=0):
    """Three clusters far apart, each with a covariance of its own."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 40.0]])
    scales = np.array([[1.0, 0.2], [0.3, 2.0], [1.0, 1.0]])
    parts = [
        centre + scale * rng.normal(size=(n, 2))
        for n, centre, scale in zip(sizes, centres, scales, strict=True)
    ]
    return np.concatenate(parts), centres, scales


# Gaussian ---------------------------------------------------------------------------------


def test_gaussian_has_the_moments_of_the_codes():
    codes = correlated()
    sampler = samplers.fit(codes, "gaussian")
    factor = sampler.arrays["factor"].astype("float64")
    # The maximum-likelihood covariance, exactly; the draw adds sampling error only.
    covariance = (codes - codes.mean(0)).T @ (codes - codes.mean(0)) / len(codes)
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sampler.arrays["mean"], codes.mean(axis=0), rtol=1e-6)
    drawn = draw(sampler).astype("float64")
    spread = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(drawn.mean(0) - codes.mean(0)) / spread, 5 / np.sqrt(N))
    np.testing.assert_allclose(
        np.cov(drawn.T) / np.outer(spread, spread),
        covariance / np.outer(spread, spread),
        atol=5 * np.sqrt(2 / N),
    )


def test_gaussian_of_a_line_stays_on_the_line():
    t = np.random.default_rng(0).normal(size=500)
    codes = np.stack([t, 2 * t + 1, np.full(500, 7.0)], axis=1)
    drawn = draw(samplers.fit(codes, "gaussian"), 2000)
    np.testing.assert_allclose(drawn[:, 1], 2 * drawn[:, 0] + 1, atol=1e-5)
    np.testing.assert_allclose(drawn[:, 2], 7, atol=1e-5)
    assert drawn[:, 0].std() == pytest.approx(t.std(), rel=0.1)


# Mixture ----------------------------------------------------------------------------------


def test_mixture_recovers_separate_clusters():
    codes, centres, scales = separate()
    drawn = draw(samplers.fit(codes, "mixture"))
    nearest = np.linalg.norm(drawn[:, None] - centres, axis=2).argmin(axis=1)
    shares = np.bincount(nearest, minlength=3) / N
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=6 * np.sqrt(0.25 / N))
    for k, (centre, scale) in enumerate(zip(centres, scales, strict=True)):
        part = drawn[nearest == k]
        # As of the 100 codes or more that the cluster was fitted to.
        np.testing.assert_allclose(part.mean(axis=0), centre, atol=0.35)
        np.testing.assert_allclose(part.std(axis=0), scale, rtol=0.2)
    # One Gaussian puts most of its samples where there are no codes; the mixture none.
    assert np.linalg.norm(drawn - centres[nearest], axis=1).max() < 15


def test_mixture_does_not_split_one_gaussian_into_many():
    codes = np.random.default_rng(1).normal(size=(2000, 2))
    assert len(samplers.fit(codes, "mixture").arrays["means"]) <= 2


def test_mixture_keeps_the_scale_of_each_number_of_the_code():
    codes = np.random.default_rng(0).normal(size=(4000, 2)) * [1000, 1]
    np.testing.assert_allclose(draw(samplers.fit(codes, "mixture")).std(0), codes.std(0), rtol=0.1)


def test_mixture_of_codes_on_a_line_and_of_equal_codes():
    t = np.random.default_rng(0).normal(size=300)
    drawn = draw(samplers.fit(np.stack([t, -t], axis=1), "mixture"), 2000)
    np.testing.assert_allclose(drawn[:, 0], -drawn[:, 1], atol=0.02)
    drawn = draw(samplers.fit(np.full((50, 2), 3.0), "mixture"), 100)
    np.testing.assert_allclose(drawn, 3, atol=1e-4)


# Neighbours -------------------------------------------------------------------------------


def test_neighbour_draws_lie_between_a_code_and_one_of_its_five_nearest():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, 3))
    drawn = draw(samplers.fit(codes, "neighbour"), 300).astype("float64")
    distances = np.linalg.norm(codes[:, None] - codes, axis=2)
    np.fill_diagonal(distances, np.inf)
    starts = np.repeat(codes, 5, axis=0)
    ends = codes[np.argsort(distances, axis=1)[:, :5]].reshape(-1, 3)
    along = ends - starts
    offset = drawn[:, None] - starts
    share = np.clip((offset * along).sum(2) / (along**2).sum(1), 0, 1)
    off = np.linalg.norm(offset - share[..., None] * along, axis=2)
    assert off.min(axis=1).max() < 1e-5
    # From one end to the other, not at the codes themselves.
    best = share[np.arange(300), off.argmin(axis=1)]
    assert best.min() < 0.1
    assert best.max() > 0.9
    assert 0.4 < best.mean() < 0.6


def test_neighbour_keeps_the_clusters_apart_and_at_most_2000_codes():
    codes, centres, _ = separate((3000, 1500, 500))
    sampler = samplers.fit(codes, "neighbour", seed=1)
    assert sampler.arrays["codes"].shape == (2000, 2)
    kept = {tuple(row) for row in codes.astype("float32").tolist()}
    assert all(tuple(row) in kept for row in sampler.arrays["codes"].tolist())
    drawn = draw(sampler)
    apart = np.linalg.norm(drawn[:, None] - centres, axis=2)
    assert apart.min(axis=1).max() < 10
    shares = np.bincount(apart.argmin(axis=1), minlength=3) / N
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.05)
    same = samplers.fit(codes, "neighbour", seed=1).arrays["codes"]
    np.testing.assert_array_equal(sampler.arrays["codes"], same)
    assert (samplers.fit(codes, "neighbour", seed=2).arrays["codes"] != same).any()


def test_the_largest_uniform_number_still_names_a_code():
    sampler = samplers.fit(np.random.default_rng(0).normal(size=(1999, 2)), "neighbour")
    below = np.full((1, 3), np.nextafter(np.float32(1), np.float32(0)))
    drawn = keras.ops.convert_to_numpy(sampler.draw(np.zeros((1, 2), "float32"), below))[0]
    codes, near = sampler.arrays["codes"], sampler.arrays["neighbours"]
    np.testing.assert_allclose(drawn, codes[near[-1, -1]], rtol=1e-5)


def test_the_mixture_takes_uniform_numbers_up_to_one():
    sampler = samplers.fit(separate()[0], "mixture")
    for value in (0.0, np.nextafter(np.float32(1), np.float32(0))):
        uniform = np.full((1, 3), value, "float32")
        drawn = keras.ops.convert_to_numpy(sampler.draw(np.zeros((1, 2), "float32"), uniform))
        distance = np.linalg.norm(sampler.arrays["means"] - drawn, axis=1)
        assert distance[0 if value == 0 else -1] < 1e-5


# All kinds --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_of_one_number(kind):
    codes = np.random.default_rng(0).exponential(2, (400, 1))
    drawn = draw(samplers.fit(codes, kind))
    assert drawn.shape == (N, 1)
    assert drawn.mean() == pytest.approx(codes.mean(), rel=0.1)
    assert drawn.std() == pytest.approx(codes.std(), rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_sampler_and_draw(kind):
    codes = correlated(500)
    one, two = (samplers.fit(codes, kind, seed=3) for _ in range(2))
    assert one.arrays.keys() == two.arrays.keys()
    for name, array in one.arrays.items():
        assert array.dtype in ("float32", "int32")
        np.testing.assert_array_equal(array, two.arrays[name])
    np.testing.assert_array_equal(draw(one, 50), draw(two, 50))
    assert draw(one, 50).dtype == "float32"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [3, 4, 5, 6, 11])
def test_few_codes(kind, count):
    codes = np.random.default_rng(0).normal(size=(count, 2))
    drawn = draw(samplers.fit(codes, kind), 2000)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn.mean(axis=0) - codes.mean(axis=0)).max() < codes.std()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "codes",
    [np.zeros((2, 2)), np.zeros(9), np.full((9, 2), np.nan), np.zeros((9, 2, 1)), np.zeros((0, 2))],
)
def test_codes_that_are_none(kind, codes):
    with pytest.raises(ValueError, match=r"at least 3 .*Received: codes of shape "):
        samplers.fit(codes, kind)


def test_an_unknown_kind_is_answered_with_the_nearest():
    sentence = (
        r"kind must be one of gaussian, mixture, neighbour\. Did you mean 'neighbour'\? "
        r"Received: kind='neighbor'"
    )
    with pytest.raises(ValueError, match=sentence):
        samplers.fit(np.zeros((9, 2)), "neighbor")


# Paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spherical", [False, True])
def test_paths_begin_and_end_where_they_should(spherical):
    a, b = np.random.default_rng(0).normal(size=(2, 20, 5)).astype("float32")
    path = samplers.interpolate(a, b, 6, spherical)
    assert path.shape == (20, 6, 5)
    assert path.dtype == "float32"
    np.testing.assert_allclose(path[:, 0], a, atol=1e-6)
    np.testing.assert_allclose(path[:, -1], b, atol=1e-6)
    np.testing.assert_array_equal(samplers.interpolate(a[3], b[3], 6, spherical), path[3])


def test_a_straight_path_has_equal_steps():
    path = samplers.interpolate([1.0, 2.0, 3.0], [5.0, 2.0, -5.0], 5)
    np.testing.assert_allclose(np.diff(path, axis=0), np.tile([1, 0, -2], (4, 1)), atol=1e-6)


def test_a_spherical_path_turns_by_equal_angles_in_the_plane_of_its_ends():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 6))
    path = samplers.interpolate(2 * a, b, 9, spherical=True).astype("float64")
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(
        lengths, np.linspace(2 * np.linalg.norm(a), np.linalg.norm(b), 9), rtol=1e-6
    )
    units = path / lengths[:, None]
    steps = np.arccos((units[1:] * units[:-1]).sum(axis=1))
    whole = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    np.testing.assert_allclose(steps, whole / 8, rtol=1e-5)
    assert np.linalg.matrix_rank(np.vstack([a, b, path]), tol=1e-4) == 2
    # A quarter turn by hand.
    third = samplers.interpolate([1.0, 0.0], [0.0, 1.0], 4, spherical=True)
    np.testing.assert_allclose(third[1], [np.sqrt(3) / 2, 0.5], atol=1e-7)


@pytest.mark.parametrize("b", [[-3.0, 0.0], [3.0, 0.0], [9.0, 0.0], [0.0, 0.0]])
def test_a_spherical_path_without_a_turn_is_finite(b):
    path = samplers.interpolate([3.0, 0.0], b, 5, spherical=True)
    np.testing.assert_allclose(path[0], [3, 0], atol=1e-6)
    np.testing.assert_allclose(path[-1], b, atol=1e-6)
    np.testing.assert_array_equal(path[:, 1], 0)
    if b[0]:
        np.testing.assert_allclose(path[:, 0], np.linspace(3, b[0], 5), atol=1e-6)


@pytest.mark.parametrize("steps", [1, 0, 2.5, True, None])
def test_steps_that_are_none(steps):
    with pytest.raises(ValueError, match=f"whole number >= 2. Received: steps={steps}"):
        samplers.interpolate([0.0], [1.0], steps)


@pytest.mark.parametrize("b", [[1.0, 2.0, 3.0], [[1.0, 2.0]], 1.0])
def test_ends_of_different_shapes(b):
    with pytest.raises(ValueError, match=r"a and b must be codes.* Received: shapes \(2,\) and "):
        samplers.interpolate([0.0, 0.0], b)
