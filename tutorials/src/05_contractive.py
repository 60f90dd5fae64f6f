# %% [markdown]
# # 05 · Contractive autoencoders
#
# > A code that should not react to noise can be told so: penalize the slope of the encoder, and it
# > stops following the directions in which images do not vary, before it gives up those in which
# > they do.

# %% [markdown]
# ## Before you start
#
# **You will be able to** compute the contractive penalty in three ways, read the singular values of
# an encoder's Jacobian, and tell contraction from mere shrinking.
#
# **Needs** [lesson 02](02_undercomplete.ipynb), the chain rule, singular values. **Reading** 20
# minutes, **running** {{running}} on two cores. **Data** handwritten digits: MNIST, or without a
# network the 1,797 digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import math

import keras
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from sklearn.decomposition import PCA

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
N_TRAIN = 20000  # training images
LATENT_DIM = 32  # numbers in the code
WEIGHT = 0.0002  # of the penalty, lambda
NOISE = 0.3  # standard deviation that the denoising model is trained with
EPOCHS = 8  # passes over the training images
BATCH = 128  # images per step
SEED = 0  # of the weights, the order of the images and all draws

# %%
learn.begin("05", globals())
splits = kerasae.data.load(DATA)
raw_train, raw_test = splits.array("train")[:N_TRAIN], splits.array("test")[:1000]
x_train, x_test = (part.reshape(len(part), -1) / 255.0 for part in (raw_train, raw_test))
SIZE = math.prod(splits.shape)
rng = np.random.default_rng(SEED)
print(f"{len(x_train):,} images to train on, {len(x_test):,} to test, {SIZE} pixels each")

# %% [markdown]
# ## Predict first
#
# The penalty is the squared slope of the encoder, summed over all its inputs and outputs. Train one
# model without it, and one with so little of it that the MSE hardly changes. **By what factor does
# the squared slope fall?** Write a number above 1 instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. The penalty
#
# | symbol | in code | what it is |
# |---|---|---|
# | $h(x)$ | `code` | the code, `latent_dim` numbers |
# | $J = \partial h / \partial x$ | `jacobian` | its Jacobian, one row per number of the code |
# | $\|J\|_F^2$ | `jacobian_loss` | sum of the squares of all its entries |
# | $\lambda$ | `jacobian_weight` | factor of the penalty |
#
# A small change $\epsilon$ of the image moves the code by $J\epsilon$. If $\epsilon$ is noise of
# standard deviation $\sigma$ in each pixel, the code moves by $\mathbb E\|J\epsilon\|^2 =
# \sigma^2\|J\|_F^2$. So the *contractive autoencoder* (Rifai et al.) minimizes
#
# $$\mathrm{MSE}(x, \hat x) + \lambda\, \|J(x)\|_F^2,$$
#
# averaged over images. The first term wants the code to tell images apart, the second wants it to
# stay where it is. What the data do not need is given up first.
#
# A Jacobian sounds expensive. For one layer $h = s(Wx + b)$ of sigmoids it is not: row $j$ is
# $s_j' w_j$ with $s_j' = h_j(1-h_j)$, hence
#
# $$\|J\|_F^2 = \sum_j \left(h_j(1-h_j)\right)^2 \|w_j\|^2.$$
#
# Compare with slopes that are measured, pixel by pixel.

# %%
UNITS = 16
w, b = rng.normal(scale=2 * SIZE**-0.5, size=(SIZE, UNITS)), rng.normal(size=UNITS)
x = x_test[:20]


def sigmoid_layer(x):
    """One layer of sigmoids, codes (n, UNITS)."""
    return 1 / (1 + np.exp(-(x @ w + b)))


h = sigmoid_layer(x)
closed = np.sum((h * (1 - h)) ** 2 * np.sum(w**2, axis=0), axis=1)
measured = np.zeros(len(x))
for pixel in range(SIZE):
    step = np.zeros(SIZE)
    step[pixel] = 1e-4
    slope = (sigmoid_layer(x + step) - sigmoid_layer(x - step)) / 2e-4
    measured += np.sum(slope**2, axis=1)
learn.claim("C5.1", "the closed form equals the measured Jacobian, relative",
            np.abs(measured / closed - 1).max(), "<", 1e-6)

# %% [markdown]
# `kerasae.layers.JacobianPenalty` wraps any encoder. It knows three ways: the closed form, for
# chains of dense layers; autodiff, one backward pass per number of the code, for any encoder; and
# an estimate from one backward pass, its default. Section 2 is about that one.

# %%
dense = keras.layers.Dense(UNITS, "sigmoid")
dense.build((None, SIZE))
dense.set_weights([w, b])
ways = {}
for method in ("closed_form", "exact", "estimate"):
    layer = kerasae.layers.JacobianPenalty(dense, weight=1.0, method=method, seed=SEED)
    layer(tf.constant(x, "float32"), training=True)
    ways[method] = float(layer.losses[0])
learn.table([["measured slopes", measured.mean()], *ways.items()],
            ["way", "penalty, mean of 20 images"])
apart = max(abs(ways[name] / closed.mean() - 1) for name in ("closed_form", "exact"))
learn.claim("C5.2", "both exact ways of kerasae agree with it, in float32", apart, "<", 1e-4)

# %% [markdown]
# ## 2. One backward pass is enough
#
# Take a random vector $v$ of signs, one per number of the code, each $\pm1$ with equal probability.
# One backward pass gives $J^\top v$. Its squared length is right on average (Hutchinson):
#
# $$\mathbb E\|J^\top v\|^2 = \mathbb E\, v^\top A v = \sum_{ij} A_{ij}\, \mathbb E[v_i v_j]
# = \sum_i A_{ii} = \|J\|_F^2, \qquad A = JJ^\top,$$
#
# since $\mathbb E[v_i v_j]$ is 1 for $i=j$ and otherwise 0. The variance with signs is
# $2\sum_{i\ne j} A_{ij}^2$. With normal numbers it is $2\sum_{ij} A_{ij}^2$, always more: signs get
# the diagonal for free.

# %%
jacobian = (h[0] * (1 - h[0]))[:, None] * w.T  # of the first image, (UNITS, SIZE)
a = jacobian @ jacobian.T
exact, draws = np.trace(a), 100_000
probes = {"signs": rng.choice([-1.0, 1.0], size=(draws, UNITS)),
          "normal": rng.normal(size=(draws, UNITS))}
found = {name: np.einsum("ni,ij,nj->n", v, a, v, optimize=True) for name, v in probes.items()}
off = np.sum(a**2) - np.sum(np.diag(a) ** 2)
theory = {"signs": 2 * off, "normal": 2 * np.sum(a**2)}
learn.table([[name, e.mean(), exact, e.std() / exact, theory[name] ** 0.5 / exact]
             for name, e in found.items()],
            ["random vectors", "mean", "exact", "relative spread", "in theory"])
errors = [abs(e.mean() - exact) / (e.std() / np.sqrt(draws)) for e in found.values()]
learn.claim("C5.3", "the estimate is right on average, in standard errors", max(errors), "<", 4)
learn.claim("C5.4", "variance with signs over variance with normal numbers",
            found["signs"].var() / found["normal"].var(), "<", 1)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2))
bins = np.linspace(0, 2.5, 101)
for name, values in found.items():
    axes[0].hist(values / exact, bins, density=True, histtype="step", linewidth=1.6, label=name)
axes[0].axvline(1, color="#222222", linewidth=1)
axes[0].set(xlabel="estimate / exact, one probe", title="density", yticks=[])
axes[0].legend(loc="upper right")
counts = np.array([1, 2, 5, 10, 20, 50, 100])
for (name, values), marker in zip(found.items(), "os", strict=True):
    spreads = [values.reshape(-1, m).mean(axis=1).std() / exact for m in counts]
    line = axes[1].loglog(counts, spreads, marker, label=f"{name}, measured")
    spread = theory[name] ** 0.5 / exact / np.sqrt(counts)
    axes[1].loglog(counts, spread, "-", color=line[0].get_color(), label="in theory", linewidth=1)
axes[1].set(xlabel="probes", title="relative spread of their mean")
axes[1].legend(fontsize=8)
learn.figure(fig, alt="Left: estimates over the exact value, one probe each. Both histograms have "
             f"mean 1; signs spread by {found['signs'].std() / exact:.2f}, normal numbers by "
             f"{found['normal'].std() / exact:.2f}. Right: the spread falls as one over the root "
             "of the number of probes, as theory says.")

# %% [markdown]
# A rough estimate per image is good enough to train with: a batch averages over its images, and
# training over its steps, as with the gradient itself.

# %% [markdown]
# ## 3. What contraction does to the encoder
#
# Three models with the same network and the same sigmoid code: plain, contractive, and denoising
# (lesson 04). Two measures beside the test MSE. The **penalty** $\|J\|_F^2$. And a measure without
# units: noise of 0.1 in each pixel moves the code by $0.1\,\|J\|_F$; divide by the spread of the
# codes of all test images, and it says **which share of the code's spread is noise**.


# %%
def train(variant, **options):
    """Return a trained model; seed, network and code are always the same."""
    keras.utils.set_random_seed(SEED)
    options = {"code_activation": "sigmoid", **options}
    ae = kerasae.build(variant, splits.shape, latent_dim=LATENT_DIM, hidden=(128,),
                       activation="tanh", input_dtype=splits.dtype, **options)
    ae.compile(keras.optimizers.Adam(0.003))
    done = ae.fit(raw_train, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    print(f"trained: {variant}, {options}, loss {done.history['loss'][-1]:.4g}")
    return ae


def jacobians(ae, x):
    """Return the Jacobian of the code for flat images in [0, 1], (n, latent_dim, pixels)."""
    x = tf.constant(x.reshape(-1, *splits.shape), "float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        numbers = tf.unstack(ae.encoder_network(x), axis=1)
    rows = [np.array(tape.gradient(number, x)) for number in numbers]
    return np.stack(rows, axis=1).reshape(len(x), LATENT_DIM, SIZE)


# %%
models = {
    "plain": train("undercomplete"),
    "contractive": train("contractive", jacobian_weight=WEIGHT),
    "denoising": train("denoising", corruption_level=NOISE),
}

# %%
some = x_test[:100]
slopes, codes, rows = {}, {}, {}
for name, ae in models.items():
    slopes[name], codes[name] = jacobians(ae, some), ae.encode(raw_test)
    penalty = np.mean(np.sum(slopes[name] ** 2, axis=(1, 2)))
    mse = np.mean((ae.reconstruct(raw_test).reshape(x_test.shape) / 255 - x_test) ** 2)
    share = 0.1 * np.sqrt(penalty / codes[name].var(axis=0).sum())
    rows[name] = (mse, penalty, share)
learn.table([[name, *row] for name, row in rows.items()],
            ["model", "test MSE", "penalty", "noise of 0.1 / spread of the code"])
mse, penalty, share = (a / b for a, b in zip(rows["contractive"], rows["plain"], strict=True))
learn.reveal(guess, 1 / penalty, "factor by which the squared slope falls")

# %%
learn.claim("C5.5", "the contractive penalty is smaller than that of the plain model, by a factor",
            1 / penalty, ">")
learn.claim("C5.6", "the price: its test MSE over that of the plain model", mse, "<")
learn.claim("C5.7", "without units too: the share of noise in its code over that in the plain one",
            share, "<")

# %% [markdown]
# **Singular values** say more than their sum of squares. Each belongs to a direction of the image
# and says how far the code moves along it. `kerasae.evaluation.jacobian` has them, for one model or
# two side by side.

# %%
beside = kerasae.evaluation.jacobian(models["contractive"], raw_test[:100], beside=models["plain"])
denoised = kerasae.evaluation.jacobian(models["denoising"], raw_test[:100])
values = {"plain": beside["beside"]["singular_values"], "contractive": beside["singular_values"],
          "denoising": denoised["singular_values"]}
own = np.linalg.svd(slopes["plain"], compute_uv=False).mean(axis=0)
learn.claim("C5.8", "they agree with those of the Jacobian above, relative to the largest",
            np.abs(own - values["plain"]).max() / own[0], "<", 1e-3)
learn.figure(kerasae.report.figures.singular_values(values))

# %% [markdown]
# ## 4. Off the manifold, and along it
#
# Images fill a thin, curved sheet of pixel space, the *manifold*. A code must change along it, or
# images could not be told apart. It has no reason to change off it. Two directions along it: how
# an image changes when it is **moved** sideways, and the way to the **nearest** training image. One
# off it: **noise**. The gain of a direction $u$ of length 1 is $\|Ju\|$.


# %%
def unit(directions):
    """Return directions of length 1."""
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


images = some.reshape(-1, *splits.shape)
left, right = np.zeros_like(images), np.zeros_like(images)
left[:, :, :-1], right[:, :, 1:] = images[:, :, 1:], images[:, :, :-1]
others = x_train[:5000]
distance = np.sum(some**2, axis=1)[:, None] + np.sum(others**2, axis=1) - 2 * some @ others.T
directions = {
    "moved sideways": unit((right - left).reshape(some.shape)),
    "to the nearest image": unit(others[distance.argmin(axis=1)] - some),
    "noise": unit(rng.normal(size=some.shape)),
}
gains = {name: [np.linalg.norm(np.einsum("nij,nj->ni", j, u), axis=1).mean()
                for j in slopes.values()] for name, u in directions.items()}
learn.table([[name, *row, row[0] / row[1]] for name, row in gains.items()],
            ["direction", *slopes, "plain / contractive"])
lost = {name: row[0] / row[1] for name, row in gains.items()}
along = max(lost["moved sideways"], lost["to the nearest image"])
learn.claim("C5.9", "off the manifold the gain falls more than along it, by a factor of",
            lost["noise"] / along, ">")

# %% [markdown]
# The same at a distance: how far does the code move, as a share of its spread, when the image moves
# by a length $r$?

# %%
radii = np.linspace(0, 3, 13)
fig, axes = plt.subplots(1, 2, figsize=(8, 3.3), sharey=True)
ends = {}
for ax, name in zip(axes, ("plain", "contractive"), strict=True):
    encoder, spread = models[name].encoder_network, np.sqrt(codes[name].var(axis=0).sum())
    for (what, u), marker in zip(directions.items(), "os^", strict=True):
        moved = [np.float32(some + r * u).reshape(images.shape) for r in radii]
        path = np.stack([np.array(encoder(x)) for x in moved])
        far = np.linalg.norm(path - path[0], axis=2).mean(axis=1) / spread
        ax.plot(radii, far, marker=marker, markersize=4, markevery=3, label=what)
        ends[name, what] = far[-1]
    ax.set(xlabel="length of the change of the image", title=name)
axes[0].set_ylabel("change of the code / spread")
axes[0].legend()
learn.figure(fig, alt="Change of the code against change of the image, up to a length of 3. Noise "
             f"moves the plain code by {ends['plain', 'noise']:.2f} of its spread, the contractive "
             f"one by {ends['contractive', 'noise']:.2f}. The way to the nearest image: "
             f"{ends['plain', 'to the nearest image']:.2f} and "
             f"{ends['contractive', 'to the nearest image']:.2f}.")

# %% [markdown]
# Where in the image is an encoder sensitive? Below, the slope with respect to each pixel, over all
# numbers of the code and 100 images. At pixels that are black in every training image nothing ever
# told the plain model to be quiet: the weights there are those it started with.

# %%
maps = {name: np.sqrt(np.mean(np.sum(j**2, axis=1), axis=0)) for name, j in slopes.items()}
top = max(each.max() for each in maps.values())
fig, axes = plt.subplots(1, 3, figsize=(8, 2.9))
for ax, (name, each) in zip(axes, maps.items(), strict=True):
    shown = ax.imshow(each.reshape(splits.shape[:2]), cmap="viridis", vmin=0, vmax=top)
    ax.set(title=name, xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, label="slope", shrink=0.8)
still = x_train.max(axis=0) < 0.1
edge = {name: each[still].mean() for name, each in maps.items()}
learn.figure(fig, alt="Slope of the code with respect to each pixel, three maps on one scale. Mean "
             f"over the {still.sum()} pixels that hardly vary: plain {edge['plain']:.2f}, "
             f"contractive {edge['contractive']:.2f}, denoising {edge['denoising']:.2f}. Largest "
             f"of all: {top:.2f}.")

# %% [markdown]
# ## 5. Small noise is a contraction
#
# Why do the two look alike? Let $r(x)$ be the whole reconstruction, with Jacobian $J_r$, and expand
# the denoising loss for noise of standard deviation $\sigma$:
#
# $$\mathbb E\|r(x+\epsilon) - x\|^2 = \|r(x)-x\|^2 + \sigma^2 \left(\|J_r\|_F^2
# + (r(x)-x)\cdot\Delta r(x)\right) + O(\sigma^4).$$
#
# $\Delta r$ is the sum of second derivatives; its term vanishes where the copy is good. What
# remains is a contractive penalty with $\lambda = \sigma^2$, on the **reconstruction** instead of
# the code (Bishop; Alain and Bengio). Here it is checked for the sigmoid layer of section 1 with a
# linear decoder, where both derivatives have a closed form.

# %%
out = rng.normal(scale=UNITS**-0.5, size=(UNITS, SIZE))  # decoder
x, sigma = x_test[0], 0.02
h = sigmoid_layer(x)
first, second = h * (1 - h), h * (1 - h) * (1 - 2 * h)
reconstruction = h @ out
jacobian = (w * first) @ out  # entry (i, k): slope of output k with respect to pixel i
curvature = (second * np.sum(w**2, axis=0)) @ out
expected = np.sum(jacobian**2) + (reconstruction - x) @ curvature
noisy = []
for _ in range(10):
    noise = sigma * rng.normal(size=(2000, SIZE))
    for moved in (x + noise, x - noise):
        noisy.append(np.sum((sigmoid_layer(moved) @ out - x) ** 2, axis=1).mean())
extra = (np.mean(noisy) - np.sum((reconstruction - x) ** 2)) / sigma**2
learn.table([["measured", extra], ["slopes and curvature", expected],
             ["slopes alone", np.sum(jacobian**2)]],
            ["extra loss over the square of the noise", "value"])
learn.claim("C5.10", "extra loss of small noise less that of the formula, relative to the slopes",
            abs(extra - expected) / np.sum(jacobian**2), "<", 0.03)

# %% [markdown]
# Here encoder and decoder are drawn at random and the copy is bad, so the curvature counts too, and
# the slopes alone are far off. In a trained model $r(x)-x$ is small, and the slopes remain.

# %% [markdown]
# ## What is a good number?
#
# A penalty alone says nothing: a constant code has 0. Read it beside the MSE, and beside PCA with
# as many numbers. The rows of PCA's Jacobian are orthonormal: every singular value is 1, and the
# penalty is the size of the code. The mean image has no code; it is the ceiling of the MSE. Look at
# PCA's row: where it has the smaller error *and* the smaller share of noise, the contractive model
# has repaired the plain network, and has not beaten the straight rival.

# %%
pca = PCA(LATENT_DIM, random_state=SEED).fit(x_train)
flat = pca.transform(x_test)
by_pca = np.mean((pca.inverse_transform(flat) - x_test) ** 2)
noise_of_pca = 0.1 * np.sqrt(LATENT_DIM / flat.var(axis=0).sum())
learn.table([["mean image", np.mean((x_train.mean(axis=0) - x_test) ** 2), 0.0, "no code"],
             [f"PCA, {LATENT_DIM} numbers", by_pca, float(LATENT_DIM), noise_of_pca],
             *([name, *row] for name, row in rows.items())],
            ["model", "test MSE", "penalty", "noise of 0.1 / spread of the code"])

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the penalty goes to 0 and nothing else changes
#
# Symptom: $\|J\|_F^2$ falls by orders of magnitude, the MSE hardly moves, noise hurts as before.
# With a code that is not bounded, the encoder shrinks and the decoder grows. Divide the code of PCA
# by 10 and multiply what the decoder reads by 10: the same reconstruction, a hundredth of the
# penalty.

# %%
v = pca.components_  # (LATENT_DIM, SIZE), the encoder; its transpose decodes
small = (x_test - pca.mean_) @ (v / 10).T
again = pca.mean_ + small @ (10 * v)
learn.claim("C5.11", "a tenth of the code, ten times the decoder: the same reconstruction",
            np.abs(again - pca.inverse_transform(flat)).max(), "<", 1e-9)
learn.table([["PCA", np.sum(v**2), np.sqrt(flat.var(axis=0).sum())],
             ["PCA, code / 10", np.sum((v / 10) ** 2), np.sqrt(small.var(axis=0).sum())]],
            ["model", "penalty", "spread of the code"])

# %% [markdown]
# Training finds this way out by itself. Below, the plain and the contractive model with a linear
# code beside those with a sigmoid. The factor by which the penalty falls has two parts: the code
# got smaller, and the code got quieter. A sigmoid code, or decoder weights tied to the encoder's as
# Rifai et al. have them, leave less to the first.

# %%
pairs = {
    "sigmoid": [models["plain"], models["contractive"]],
    "linear": [
        train("undercomplete", code_activation="linear"),
        train("contractive", jacobian_weight=WEIGHT, code_activation="linear"),
    ],
}
parts = {}
for name, pair in pairs.items():
    before, after = (np.mean(np.sum(jacobians(ae, some) ** 2, axis=(1, 2))) for ae in pair)
    wide, narrow = (ae.encode(raw_test).var(axis=0).sum() for ae in pair)
    parts[name] = (before / after, wide / narrow, before / after / (wide / narrow))
learn.table(
    [[name, *row] for name, row in parts.items()],
    ["code", "the penalty falls by", "of this, smaller code", "of this, less noise"],
)
learn.claim("C5.12", "linear code: the factor that is mere shrinking", parts["linear"][1], ">")
learn.claim("C5.13", "it is larger than that of the sigmoid code, by a factor",
            parts["linear"][1] / parts["sigmoid"][1], ">")

# %% [markdown]
# ### Pitfall: the penalty makes no difference, whatever its weight
#
# Symptom: models with $\lambda$ of 0, 0.001 and 0.1 look the same. The images were fed as numbers
# from 0 to 255, with the scaling inside the encoder. The slope with respect to the raw number is
# 255 times smaller, its square 65,025 times. `kerasae` takes slopes in scaled units, whatever comes
# in.

# %%
raw_w = w / 255  # the same layer, for raw pixels
h = sigmoid_layer(x_test[:20])
raw = np.sum((h * (1 - h)) ** 2 * np.sum(raw_w**2, axis=0), axis=1)
learn.table([["pixels in [0, 1]", closed.mean()], ["pixels in 0 to 255", raw.mean()]],
            ["slope with respect to", "penalty of the same layer"])
learn.claim("C5.14", "the penalty in raw units is too small by the square of 255",
            np.abs(closed / raw / 255**2 - 1).max(), "<", 1e-9)

# %% [markdown]
# ### Pitfall: the penalty of a deep encoder falls, its Jacobian does not
#
# Symptom: `sum((h * (1 - h)) ** 2 * sum(W ** 2))` with the weights of the **last** layer, though
# the encoder has two. That is the slope with respect to the hidden layer, not to the image. With
# ReLU in between, ten times the first layer and a tenth of the last give the same code for every
# image: this "penalty" is a hundredth, the true one stays. One comparison with measured slopes
# finds it.

# %%
w1, w2 = rng.normal(scale=2 * SIZE**-0.5, size=(SIZE, 64)), rng.normal(scale=0.3, size=(64, UNITS))


def penalties(c):
    """Penalty of the last layer alone and of the whole, with the first layer c times as large."""
    hidden = np.maximum(some @ (c * w1), 0)
    h = 1 / (1 + np.exp(-(hidden @ (w2 / c))))
    slope = h * (1 - h)
    alone = np.sum(slope**2 * np.sum((w2 / c) ** 2, axis=0), axis=1)
    chain = np.einsum("im,nm,mj->nij", c * w1, hidden > 0, w2 / c, optimize=True)
    return alone.mean(), np.sum((slope[:, None] * chain) ** 2, axis=(1, 2)).mean()


alone, whole = penalties(1)
alone_10, whole_10 = penalties(10)
learn.table([["as drawn", alone, whole], ["first layer * 10, last / 10", alone_10, whole_10]],
            ["encoder", "last layer alone", "whole encoder"])
learn.claim("C5.15", "the last layer alone falls by 100, the penalty of the encoder by 1",
            abs(alone / alone_10 / 100 - 1) + abs(whole / whole_10 - 1), "<", 1e-9)

# %%
first, last = keras.layers.Dense(64, "relu"), keras.layers.Dense(UNITS, "sigmoid")
encoder = keras.Sequential([keras.Input((SIZE,)), first, last])
encoder.set_weights([w1, np.zeros(64), w2, np.zeros(UNITS)])
layer = kerasae.layers.JacobianPenalty(encoder, weight=1.0, method="closed_form")
layer(tf.constant(some, "float32"), training=True)
learn.claim("C5.16", "the closed form of kerasae for a chain is that of the whole encoder",
            abs(float(layer.losses[0]) / whole - 1), "<", 1e-4)

# %% [markdown]
# ## Exercises
#
# ### Exercise 5.1: the penalty of tanh (2 minutes)
#
# One layer $h = \tanh(xW + b)$. Return $\|J\|_F^2$ of each sample.


# %%
def penalty_of_tanh(x, w, b):
    """Return the penalty, shape (n,), for x (n, d), w (d, units) and b (units,)."""
    return None  # your code


learn.exercise("5.1").check(penalty_of_tanh)


# %% tags=["solution"]
def penalty_of_tanh(x, w, b):
    """Return the penalty, shape (n,), for x (n, d), w (d, units) and b (units,).

    The slope of tanh is 1 - tanh^2; row j of the Jacobian is that times w_j.
    """
    h = np.tanh(x @ w + b)
    return np.sum((1 - h**2) ** 2 * np.sum(w**2, axis=0), axis=1)


learn.exercise("5.1").check(penalty_of_tanh)

# %% [markdown]
# ### Exercise 5.2: Hutchinson's estimate (10 minutes)
#
# You are given a function `vjp(v)` that returns $J^\top v$, shape `(d,)`, for $v$ of shape
# `(units,)`, and never the Jacobian. Estimate $\|J\|_F^2$ from `probes` vectors of random signs.


# %%
def hutchinson(vjp, units, probes, rng):
    """Return the estimate, one number; rng is a numpy Generator."""
    return None  # your code


learn.exercise("5.2").check(hutchinson)


# %% tags=["solution"]
def hutchinson(vjp, units, probes, rng):
    """Return the estimate, one number; rng is a numpy Generator."""
    vectors = rng.choice([-1.0, 1.0], size=(probes, units))
    return np.mean([np.sum(vjp(v) ** 2) for v in vectors])


learn.exercise("5.2").check(hutchinson)

# %% [markdown]
# ### Exercise 5.3: denoising as contraction (open)
#
# For a linear reconstruction $r(x) = xR$ the expansion of section 5 ends after $\sigma^2$: it is
# exact. Return $\mathbb E\|r(x+\epsilon)-x\|^2$ of each sample, without drawing noise. Go further:
# which $R$ minimizes its mean over data with covariance $C$? Its eigenvalues shrink like
# $c/(c+\sigma^2)$: noise contracts the directions of small variance $c$ first.


# %%
def noisy_error(x, r, stddev):
    """Return the expected squared error of noisy inputs, (n,), for x (n, d) and r (d, d)."""
    return None  # your code


learn.exercise("5.3").check(noisy_error)


# %% tags=["solution"]
def noisy_error(x, r, stddev):
    """Return the expected squared error of noisy inputs, (n,), for x (n, d) and r (d, d).

    The noise adds eps R, with E |eps R|^2 = stddev^2 |R|_F^2; the mixed term has mean 0.
    """
    return np.sum((x @ r - x) ** 2, axis=1) + stddev**2 * np.sum(r**2)


learn.exercise("5.3").check(noisy_error)

# %% [markdown]
# ## Three questions
#
# **1. All singular values of an encoder are 0 at an image. What does its code do there?**
#
# <details><summary>Answer</summary>
#
# It does not change, in any direction, for small changes: every sigmoid is saturated, or every ReLU
# before the code is off. Images nearby get the same code and the same reconstruction.
#
# </details>
#
# **2. Why does the penalty not simply make the encoder constant?**
#
# <details><summary>Answer</summary>
#
# A constant code can only print one image, and the MSE is then that of the mean image. The penalty
# takes what costs little MSE: slopes off the manifold.
#
# </details>
#
# **3. One probe has a relative error of many per cent. Why is training with it no worse than with
# the exact penalty?**
#
# <details><summary>Answer</summary>
#
# It is right on average (C5.3), and so is its gradient. A batch averages one probe per image, and
# the optimizer averages over steps.
#
# </details>

# %% [markdown]
# ## Summary
#
# - The penalty is the squared slope of the encoder; one layer has it in closed form.
# - One backward pass with random signs estimates it for any encoder, right on average.
# - It takes slopes off the manifold first; small noise does the same to the reconstruction.
# - Judge it beside the MSE and the spread of the code: a shrunken code is not a contracted one.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 06](06_convolutional.ipynb) gives the encoder the geometry of images.
#
# ### References
#
# - S. Rifai, P. Vincent, X. Muller, X. Glorot, Y. Bengio, "Contractive auto-encoders: explicit
#   invariance during feature extraction", 2011, equations (5) and (7): penalty and closed form;
#   section 5.3: singular values.
# - M. F. Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian
#   smoothing splines", *Communications in Statistics* 19, 1990, section 2: random signs.
# - C. M. Bishop, "Training with noise is equivalent to Tikhonov regularization", *Neural
#   Computation* 7, 1995, section 2: the expansion in the noise.
# - G. Alain, Y. Bengio, "What regularized auto-encoders learn from the data-generating
#   distribution", *JMLR* 15, 2014, section 2: denoising as contraction of the reconstruction.
# - P. Y. Simard, B. Victorri, Y. LeCun, J. Denker, "Tangent prop", 1992, section 2: moving an image
#   as a direction along the manifold.
