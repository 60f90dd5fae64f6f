"""Evaluation and plotting with bad arguments."""

import matplotlib
import numpy as np
import pytest

from kerasae import evaluation
from kerasae.report import figures

matplotlib.use("agg")


def of(function, *arguments, **options):
    return lambda w: function(*arguments, **options)


def ones(*shape):
    return np.ones(shape, "float32")


NAN = np.full((5, 2), np.nan)

EVALUATION = {
    "accuracy of others": (
        of(evaluation.assignment_accuracy, [0, 1], [0]),
        r"must have shape \(samples,\)",
    ),
    "accuracy of nothing": (of(evaluation.assignment_accuracy, [], []), r"with at least one"),
    "clusters of others": (of(evaluation.clustering, ones(5, 2), [0, 1]), r"Received: shapes"),
    "clusters of nan": (of(evaluation.clustering, NAN, [0, 1, 0, 1, 0]), r"finite"),
    "distance of others": (of(evaluation.frechet_distance, ones(5, 2), ones(5, 3)), r"features"),
    "distance of one": (of(evaluation.frechet_distance, ones(1, 2), ones(5, 2)), r"at least"),
    "distance of nan": (of(evaluation.frechet_distance, NAN, NAN), r"finite"),
    "precision of few": (of(evaluation.precision_recall, ones(2, 2), ones(2, 2)), r"k"),
    "precision of none": (of(evaluation.precision_recall, ones(5, 2), ones(5, 2), 0), r"k must be"),
    "precision of others": (of(evaluation.precision_recall, ones(5, 2), ones(5, 3)), r"features"),
    "measure split": (
        lambda w: evaluation.measure(w.ae, w.splits, split="valid"),
        r"split must be",
    ),
    "measure array": (
        lambda w: evaluation.measure(w.ae, w.x),
        r"splits must be a kerasae.data.Splits",
    ),
    "measure others": (
        lambda w: evaluation.measure(w.image, w.splits),
        r"splits must have samples of shape",
    ),
    "measure a path": (
        lambda w: evaluation.measure("model.keras", w.splits),
        r"ae must be an Autoencoder",
    ),
    "codes limit": (lambda w: evaluation.codes(w.ae, w.splits, limit=0), r"limit must be"),
    "codes split": (lambda w: evaluation.codes(w.ae, w.splits, split=3), r"split must be"),
    "errors split": (
        lambda w: evaluation.reconstruction_errors(w.ae, w.splits, split="all"),
        r"split must be",
    ),
    "linear of another": (lambda w: evaluation.linear_check(w.vae, w.splits), r"linear"),
    "variational of another": (lambda w: evaluation.variational(w.ae, w.x), r"variational"),
    "variational samples": (
        lambda w: evaluation.variational(w.vae, w.x, samples=0),
        r"samples must",
    ),
    "variational pixels": (
        lambda w: evaluation.variational(w.vae, w.x, pixels="gray"),
        r"pixels must be",
    ),
    "quality without": (
        lambda w: evaluation.sample_quality(w.ae, w.splits),
        r"generate .*Received: variant=",
    ),
    "quality of others": (
        lambda w: evaluation.sample_quality(ones(9, 3), w.splits),
        r"Samples must have shape",
    ),
    "quality seeds": (
        lambda w: evaluation.sample_quality(w.vae, w.splits, seeds=0),
        r"seeds must be",
    ),
    "quality n": (
        lambda w: evaluation.sample_quality(w.vae, w.splits, n=2),
        r"n must be from 8 to",
    ),
    "jacobian of others": (
        lambda w: evaluation.jacobian(w.ae, ones(3, 5)),
        r"sample of shape \(4,\)",
    ),
    "jacobian beside": (
        lambda w: evaluation.jacobian(w.ae, w.x[:3], beside=w.image),
        r"beside|shape",
    ),
    "corrupt without": (lambda w: evaluation.corrupt(w.ae, w.x, 0), r"ae must have a corruption"),
}

IMAGES = ones(3, 4, 4, 1)

PLOTTING = {
    "grid of numbers": (of(figures.image_grid, ones(4)), r"images must"),
    "grid of nothing": (of(figures.image_grid, ones(0, 4, 4)), r"at least one|images must"),
    "grid of two channels": (of(figures.image_grid, ones(3, 4, 4, 2)), r"images must|channels"),
    "grid columns": (of(figures.image_grid, IMAGES, 0), r"columns must be"),
    "grid range": (of(figures.image_grid, IMAGES, value_range=(1, 0)), r"value_range must"),
    "reconstruction of others": (
        of(figures.reconstruction_grid, IMAGES, ones(2, 4, 4, 1)),
        r"reconstruction must",
    ),
    "reconstruction kind": (
        of(figures.reconstruction_grid, IMAGES, IMAGES, kind="pictures"),
        r"kind must be",
    ),
    "reconstruction scores": (
        of(figures.reconstruction_grid, IMAGES, IMAGES, scores=[1.0]),
        r"scores must",
    ),
    "code map of one": (of(figures.code_map, ones(5)), r"codes must be a finite array of shape"),
    "code map of nan": (of(figures.code_map, NAN), r"codes must be finite|finite"),
    "code map method": (of(figures.code_map, ones(9, 3), method="umap2"), r"method must be"),
    "code map labels": (of(figures.code_map, ones(9, 2), [0, 1]), r"labels must"),
    "histograms of one": (
        of(figures.activation_histograms, ones(5)),
        r"codes must be a finite array of shape",
    ),
    "spectrum of nothing": (of(figures.code_spectrum, []), r"eigenvalues must"),
    "spectrum negative": (of(figures.code_spectrum, [-1.0, -2.0]), r"eigenvalues must"),
    "curves of nothing": (of(figures.learning_curves, {}), r"history must"),
    "curves of other lengths": (
        of(figures.learning_curves, {"loss": [1.0, 2.0], "val_loss": [1.0]}),
        r"one value per epoch of each term",
    ),
    "scores of nothing": (of(figures.score_histogram, []), r"scores must"),
    "scores of nan": (of(figures.score_histogram, [np.nan]), r"finite|scores must"),
    "errors of others": (of(figures.class_errors, [1.0, 2.0], [1]), r"labels must"),
    "baselines of nothing": (of(figures.baselines, {}), r"values must"),
    "comparison of nothing": (of(figures.comparison, {}), r"errors must"),
    "singular values of nothing": (of(figures.singular_values, {}), r"values must"),
    "kl of a table": (of(figures.kl_per_dimension, ones(2, 2)), r"values must"),
    "manifold of a row": (of(figures.manifold, ones(4, 4)), r"images must be a grid of images"),
    "traversals of a row": (of(figures.traversals, ones(4, 4)), r"images must be a grid of images"),
    "interpolations of a row": (
        of(figures.interpolations, ones(4)),
        r"images must be a grid of images",
    ),
    "features of others": (of(figures.feature_scores, IMAGES, IMAGES, ones(3, 2)), r"scores must"),
    "best of nothing": (of(figures.best_to_worst, []), r"errors must|at least one"),
    "save to nowhere": (lambda w: figures.image_grid(IMAGES).save("no/such/x.png"), r"no/such"),
    "save as what": (lambda w: figures.image_grid(IMAGES).save("x.xyz"), r"path must end"),
}


@pytest.mark.parametrize(("call", "sentence"), EVALUATION.values(), ids=EVALUATION)
def test_evaluation(call, sentence, refused):
    refused(call, sentence)


@pytest.mark.parametrize(("call", "sentence"), PLOTTING.values(), ids=PLOTTING)
def test_plotting(call, sentence, refused):
    refused(call, sentence)
