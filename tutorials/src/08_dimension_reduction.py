# %% [markdown]
# # 08 · Dimension reduction from scratch
#
# > Ten measurements of a curved sheet hold two numbers; two principal components keep little more
# > than half of the variance, and an autoencoder written in NumPy keeps nearly all.

# %% [markdown]
# ## Before you start
#
# **You will be able to** write the forward and the backward pass of a network, write Adam and say
# what each line is for, and compare a curved reduction with a flat one.
#
# **Needs** [lesson 01](01_introduction.ipynb), matrix products, the chain rule. **Reading** 20
# minutes, **running** {{running}} on two cores. **Data** 3,000 generated samples of a curved 2-D
# sheet in 10-D, no network. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

from itertools import pairwise

import numpy as np
from matplotlib import pyplot as plt
from sklearn.manifold import trustworthiness

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" trains for fewer epochs
EPOCHS = 100  # passes over the training samples
BATCH = 64  # samples per step
LEARNING_RATE = 0.003  # of Adam
SEED = 0  # of the data, the weights and the order of the samples

# %%
learn.begin("08", globals())
splits = kerasae.data.load("manifold", seed=SEED)
raw_train, raw_test = (splits.array(name).astype(float) for name in ("train", "test"))
truth = splits.extras["coordinates"]["test"]  # the two numbers behind each test sample
labels_train, labels_test = splits.labels["train"], splits.labels["test"]
print(f"training {raw_train.shape}, test {raw_test.shape}, {len(splits.class_names)} clusters")

# %% [markdown]
# ## Predict first
#
# Each sample has ten features. All ten are functions of the same two numbers, plus noise of 1 %.
# **What share of the variance do the two best principal components keep?** Write a number from 0
# to 1.

# %%
guess = None

# %% [markdown]
# ## 1. Ten features, ten scales
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `raw_train` | samples as measured, shape $(n, 10)$ |
# | $\mu, s$ | `mean`, `stddev` | of each feature, over the training samples |
# | $X$ | `train`, `test` | standardized samples, $X = (x-\mu)/s$ |
# | $z$ | `code` | two numbers per sample |
# | $\hat X$ | `reconstruction` | what a model makes of the code |
#
# Features come in units: one moves by hundredths, one by hundreds. Squared error and variance add
# them up, so the largest unit wins. *Standardization* divides each by its own spread. The quality
# of a reconstruction is its $R^2$, 1 for a perfect copy and 0 for the mean:
#
# $$R^2 = 1 - \frac{\sum (X-\hat X)^2}{\sum (X-\bar X)^2}.$$

# %%
mean, stddev = raw_train.mean(axis=0), raw_train.std(axis=0)
train, test = (raw_train - mean) / stddev, (raw_test - mean) / stddev


def r2(x, reconstruction, axis=None):
    """Share of the variance that a reconstruction keeps; with axis=0 of each feature."""
    left = np.square(x - reconstruction).sum(axis=axis)
    return 1 - left / np.square(x - x.mean(axis=0)).sum(axis=axis)


def principal(x, count):
    """Return the directions of largest variance of centred samples, shape (features, count)."""
    return np.linalg.svd(x, full_matrices=False)[2][:count].T


# %% [markdown]
# What does PCA make of the features as measured? The sum over all features looks splendid. The
# features one by one tell what happened.

# %%
basis = principal(raw_train - mean, 2)
flat_raw = mean + (raw_test - mean) @ basis @ basis.T
of_each = r2(raw_test, flat_raw, axis=0)
order = np.argsort(stddev)
print(f"R2 of all features together, not standardized: {r2(raw_test, flat_raw):.3f}")
learn.table([[f"feature {i}", stddev[i], of_each[i]] for i in order],
            ["feature", "standard deviation", "R2"])

# %%
learn.claim("C8.1", "not standardized, the three features of smallest scale are lost to PCA",
            of_each[order[:3]].max(), "<")

# %% [markdown]
# ## 2. Flat: two principal components
#
# Now with standardized features. PCA projects onto a plane; its columns are the right singular
# vectors $V$ of $X$, the code is $z = X V_2$ and the reconstruction $\hat X = z V_2^\top$. No other
# plane is better (Eckart and Young). But the sheet is bent, and a plane is not.

# %%
basis = principal(train, 2)
flat_code, flat = test @ basis, test @ basis @ basis.T
flat_r2 = r2(test, flat)
learn.reveal(guess, flat_r2, "share of the variance that two principal components keep")
learn.claim("C8.2", "two principal components keep far from all, though two numbers suffice",
            flat_r2, "<")

# %%
variances = np.linalg.svd(train, compute_uv=False) ** 2
kept = np.cumsum(variances) / variances.sum()
fig, ax = plt.subplots(figsize=(5.6, 3.2))
ax.plot(range(1, 11), kept, "o-", color="#0072B2")
ax.axvline(2, color="#6B6B6B", linewidth=1, linestyle=":")
ax.annotate(f"2 components: {kept[1]:.0%}", (2, kept[1]), (8, -4), textcoords="offset points")
ax.set(xlabel="principal components", ylabel="share of variance", ylim=(0, 1.03))
ax.set_xticks(range(1, 11))
learn.figure(fig, alt="Variance of the training samples kept, against the number of principal "
             f"components: {kept[0]:.0%} with one, {kept[1]:.0%} with two, and it takes "
             f"{1 + np.argmax(kept > 0.95)} to pass 95 %.")

# %% [markdown]
# ## 3. Curved: a network and its gradient
#
# The encoder is $10 \to 64 \to 32 \to 2$, the decoder its mirror. Each layer computes
#
# $$h_{i+1} = f(h_i W_i + b_i),$$
#
# with $f = \tanh$, but for the code and the output, which are linear. Samples are rows.
#
# Let $G$ be the gradient of the loss with respect to a layer's output. Three products carry it
# back, where $\odot$ multiplies entry by entry and $\tanh' = 1 - \tanh^2$:
#
# $$G' = G \odot (1 - h_{i+1}^2), \quad \frac{\partial L}{\partial W_i} = h_i^\top G', \quad
# \frac{\partial L}{\partial b_i} = \sum_{\text{rows}} G', \quad
# \frac{\partial L}{\partial h_i} = G' W_i^\top.$$

# %%
SIZES = (10, 64, 32, 2, 32, 64, 10)
LINEAR = (2, 5)  # numbers of the layers without tanh: the code and the output


def initialize(rng):
    """Return weights with a variance of one over the inputs, and biases of 0."""
    pairs = list(pairwise(SIZES))
    weights = [rng.normal(scale=a**-0.5, size=(a, b)) for a, b in pairs]
    return weights, [np.zeros(b) for _, b in pairs]


def forward(x, weights, biases):
    """Return the outputs of all layers, the input first."""
    outputs = [x]
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        h = outputs[-1] @ w + b
        outputs.append(h if i in LINEAR else np.tanh(h))
    return outputs


# %%
def backward(outputs, weights):
    """Return the MSE and its gradients with respect to weights and biases."""
    x, reconstruction = outputs[0], outputs[-1]
    g = 2 * (reconstruction - x) / x.size
    of_weights, of_biases = [], []
    for i in reversed(range(len(weights))):
        if i not in LINEAR:
            g = g * (1 - outputs[i + 1] ** 2)
        of_weights.insert(0, outputs[i].T @ g)
        of_biases.insert(0, g.sum(axis=0))
        g = g @ weights[i].T
    return np.mean((reconstruction - x) ** 2), of_weights, of_biases


# %% [markdown]
# A backward pass with a slip in it often trains all the same, only worse. So check it against
# measured slopes, in every layer, as in lesson 01.

# %%
rng = np.random.default_rng(SEED)
weights, biases = initialize(rng)
_, of_weights, of_biases = backward(forward(train[:32], weights, biases), weights)
worst = 0.0
for parts, gradients in ((weights, of_weights), (biases, of_biases)):
    for part, gradient in zip(parts, gradients, strict=True):
        for place in rng.choice(part.size, min(10, part.size), replace=False):
            start, ends = part.flat[place], []
            for move in (1e-5, -1e-5):
                part.flat[place] = start + move
                ends.append(backward(forward(train[:32], weights, biases), weights)[0])
            part.flat[place] = start
            slope = (ends[0] - ends[1]) / 2e-5
            worst = max(worst, abs(slope - gradient.flat[place]) / np.abs(gradient).max())
learn.claim("C8.3", "every gradient equals the measured slope, relative to its layer's largest",
            worst, "<", 1e-6)

# %% [markdown]
# ## 4. Adam
#
# Gradient descent steps by the learning rate $\eta$ times the gradient $g$. Adam keeps two running
# means, of the gradient and of its square, and steps by their ratio:
#
# $$m_t = 0.9\,m_{t-1} + 0.1\,g_t, \quad v_t = 0.999\,v_{t-1} + 0.001\,g_t^2, \quad
# \Delta_t = -\eta\,\frac{m_t/(1-0.9^t)}{\sqrt{v_t/(1-0.999^t)}+\epsilon}.$$
#
# The divisors are the *bias correction*: both means start at 0 and are too small at first, $v$
# far more than $m$. Without it, the first step is $0.1\,g / \sqrt{0.001\,g^2} = 3.16$ times the
# learning rate, whatever the gradient. With it, it is the learning rate.


# %%
class Adam:
    """Adam as Keras writes it: the corrections joined into one factor, epsilon added to sqrt(v)."""

    def __init__(self, parts, rate, correct=True):
        self.parts, self.rate, self.correct, self.t = parts, rate, correct, 0
        self.m = [np.zeros_like(part) for part in parts]
        self.v = [np.zeros_like(part) for part in parts]

    def step(self, gradients):
        """Move the parts in place; return the size of the mean step in learning rates."""
        self.t += 1
        factor = np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t) if self.correct else 1.0
        moved, count = 0.0, 0
        for part, g, m, v in zip(self.parts, gradients, self.m, self.v, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            change = factor * m / (np.sqrt(v) + 1e-7)
            part -= self.rate * change
            moved, count = moved + np.abs(change).sum(), count + part.size
        return moved / count


# %%
gradient = [rng.normal(size=1000)]
first = Adam([np.zeros(1000)], 0.01).step(gradient)
hasty = Adam([np.zeros(1000)], 0.01, correct=False).step(gradient)
learn.table([["with", first], ["without", hasty]],
            ["bias correction", "first step, in learning rates"])
learn.claim("C8.4", "without bias correction the first step is sqrt(10) times as long",
            abs(hasty / first / np.sqrt(10) - 1), "<", 1e-3)

# %% [markdown]
# Is it the Adam that everybody uses? Ten steps beside that of Keras, with the same gradients. This
# is the only cell that loads Keras.

# %%
import keras

start = rng.normal(size=50)
ours, theirs = start.copy(), keras.Variable(start, dtype="float64")
own, other = Adam([ours], 0.01), keras.optimizers.Adam(0.01)
for _ in range(10):
    g = rng.normal(size=50)
    own.step([g])
    other.apply([keras.ops.convert_to_tensor(g)], [theirs])
apart = np.abs(ours - keras.ops.convert_to_numpy(theirs)).max()
learn.claim("C8.5", "ten steps equal those of keras.optimizers.Adam", apart, "<", 1e-6)

# %% [markdown]
# ## 5. Training, and what came of it

# %%
weights, biases = initialize(np.random.default_rng(SEED))
optimizer = Adam([*weights, *biases], LEARNING_RATE)
losses, steps = [], []
for _ in range(EPOCHS):
    order, of_epoch = rng.permutation(len(train)), []
    for start in range(0, len(train), BATCH):
        outputs = forward(train[order[start : start + BATCH]], weights, biases)
        loss, of_weights, of_biases = backward(outputs, weights)
        steps.append(optimizer.step([*of_weights, *of_biases]))
        of_epoch.append(loss)
    losses.append(np.mean(of_epoch))
outputs = forward(test, weights, biases)
code, reconstruction = outputs[3], outputs[-1]
curved_r2 = r2(test, reconstruction)
print(f"R2 on test samples: PCA {flat_r2:.3f}, autoencoder {curved_r2:.3f}")

# %%
learn.claim("C8.6", "with two numbers the R2 of the autoencoder is above that of PCA by more than",
            curved_r2 - flat_r2, ">")

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.1))
axes[0].semilogy(range(1, EPOCHS + 1), losses)
axes[0].axhline(1 - flat_r2, color="#D55E00", linestyle="--")
axes[0].text(EPOCHS, 1 - flat_r2, "PCA, test", ha="right", va="bottom")
third = EPOCHS // 3
axes[0].annotate("autoencoder, training", (third, losses[third - 1]), (8, 8),
                 textcoords="offset points")
axes[0].set(xlabel="epoch", ylabel="MSE, standardized", title="loss")
axes[1].loglog(range(1, len(steps) + 1), steps)
axes[1].set(xlabel="step", ylabel="mean step / learning rate", title="how far Adam steps")
learn.figure(fig, alt=f"Left: training loss falls from {losses[0]:.2f} to {losses[-1]:.4f} and "
             f"passes the {1 - flat_r2:.2f} of PCA early. Right: the mean step of Adam starts at "
             f"{steps[0]:.2f} learning rates and shrinks to {np.mean(steps[-50:]):.2f}."
             )

# %% [markdown]
# Three of the ten features, as measured and as two numbers give them back. The plane of PCA is
# seen from its side; the autoencoder follows the bends. The colour is the first true coordinate.

# %%
fig = plt.figure(figsize=(9.0, 3.4))
panels = [("data", test), (f"PCA, R2 {flat_r2:.2f}", flat),
          (f"autoencoder, R2 {curved_r2:.3f}", reconstruction)]
for place, (title, x) in enumerate(panels, 1):
    ax = fig.add_subplot(1, 3, place, projection="3d")
    ax.scatter(x[:, 0], x[:, 1], x[:, 2], c=truth[:, 0], cmap="viridis", s=7)
    ax.set(title=title, xlabel="feature 0", ylabel="feature 1", zlabel="feature 2")
    ax.view_init(elev=16, azim=-78)
    ax.set(xticks=[], yticks=[], zticks=[])
    ax.set_box_aspect(None, zoom=0.84)
learn.figure(fig, alt="Three features of the test samples in space. The data are an S-shaped "
             f"sheet. With 2 principal components (R2 {flat_r2:.2f}) they lie on a flat plane. "
             f"With 2 numbers of the autoencoder (R2 {curved_r2:.3f}) the S is back."
             )

# %% [markdown]
# Does the code keep neighbours together? Two measures. *Agreement*: the share of test samples
# whose five nearest training samples, by code, vote for their cluster. *Trustworthiness* (Venna
# and Kaski): 1 if neighbours in the code are neighbours in the data, less for each intruder, by
# its rank.


# %%
def agreement(train_code, test_code, count=5):
    """Share of samples whose nearest `count` training codes vote for their own cluster."""
    distance = np.square(test_code[:, None] - train_code[None]).sum(axis=2)
    nearest = labels_train[np.argsort(distance, axis=1)[:, :count]]
    votes = np.array([np.bincount(row, minlength=5).argmax() for row in nearest])
    return np.mean(votes == labels_test)


train_code = forward(train, weights, biases)[3]
agree_flat, agree = agreement(train @ basis, flat_code), agreement(train_code, code)
trust_flat, trust = (trustworthiness(test, z, n_neighbors=10) for z in (flat_code, code))
learn.claim("C8.7", "agreement less that of PCA: not lower, but for a few of 300 samples",
            agree - agree_flat, ">")
learn.claim("C8.8", "trustworthiness is above that of PCA by more than", trust - trust_flat, ">")

# %% [markdown]
# The first bound is modest on purpose. The clusters overlap already in the true coordinates, so
# there is little to gain, and with an unlucky seed the gain is a single sample. The second measure
# looks at all neighbours, not at five classes: there the difference is clear with every seed.

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.0, 3.2))
for ax, title, z in zip(axes, ("true coordinates", "two components", "code"),
                        (truth, flat_code, code), strict=True):
    for label, marker in enumerate("os^Dv"):
        rows = labels_test == label
        ax.scatter(*z[rows].T, s=10, marker=marker, alpha=0.7)
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
        ax.text(*np.median(z[rows], axis=0), str(label), weight="bold", fontsize=13, bbox=behind)
    ax.set(title=title, xticks=[], yticks=[])
learn.figure(fig, alt="Five clusters of test samples, marked 0 to 4, in three maps. In the true "
             f"coordinates they are compact. Two components fold some over others (agreement "
             f"{agree_flat:.2f}). The code of the autoencoder lays them side by side again "
             f"({agree:.2f}).")

# %% [markdown]
# ## What is a good number?
#
# The floor of $R^2$ is the mean, 0. The ceiling is not 1: the noise of 1 % of each feature cannot
# be in two numbers. It costs about $0.01^2$ of the variance. The true coordinates bound what any
# code can do for the clusters, which overlap.

# %%
learn.table(
    [
        ["mean of the training samples", r2(test, np.zeros_like(test)), "", ""],
        ["two principal components", flat_r2, agree_flat, trust_flat],
        ["autoencoder, two numbers", curved_r2, agree, trust],
        ["true coordinates", 1 - 0.01**2,
         agreement(splits.extras["coordinates"]["train"], truth),
         trustworthiness(test, truth, n_neighbors=10)],
    ],
    ["model", "R2", "cluster agreement", "trustworthiness"],
)

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the test error looks fine, though a sensor changed its unit
#
# Symptom: no alarm. Mean and standard deviation were computed on the new samples. Below, feature 0
# is suddenly ten times as large. Standardized with the **training** numbers the error explodes,
# as it should. Standardized with its own numbers the change is gone before the model looks.

# %%
changed = raw_test.copy()
changed[:, 0] *= 10
errors = []
for by in (raw_train, changed):
    x = (changed - by.mean(axis=0)) / by.std(axis=0)
    errors.append(np.mean((x - forward(x, weights, biases)[-1]) ** 2))
learn.table([["the training samples", errors[0]], ["the new samples themselves", errors[1]]],
            ["standardized by", "MSE of the changed samples"])
learn.claim("C8.9", "standardized by itself the changed unit shows less than a tenth as much",
            errors[1] / errors[0], "<", 0.1)

# %% [markdown]
# ### Pitfall: "the first latent axis means temperature"
#
# Symptom: the meaning of an axis changes from seed to seed. Nothing in the loss knows the axes.
# Rotate the code, and let the decoder's first layer rotate it back: the same reconstruction to the
# last digits, and other axes. Interpret directions and distances only after you fixed them
# otherwise.

# %%
angle = np.deg2rad(40)
turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
turned = [*weights[:2], weights[2] @ turn, turn.T @ weights[3], *weights[4:]]
turned_biases = [*biases[:2], biases[2] @ turn, *biases[3:]]
again = forward(test, turned, turned_biases)
print(f"first code number of sample 0: {code[0, 0]:.3f} before, {again[3][0, 0]:.3f} after")
learn.claim("C8.10", "a rotated code gives the same reconstruction",
            np.abs(again[-1] - reconstruction).max(), "<", 1e-9)

# %% [markdown]
# ## Exercises
#
# ### Exercise 8.1: undo the standardization (2 minutes)
#
# A reconstruction is in standardized units. Its reader wants the units of the sensors.


# %%
def unstandardize(x, mean, stddev):
    """Return standardized samples, shape (n, features), in the units of the features."""
    return None  # your code


learn.exercise("8.1").check(unstandardize)


# %% tags=["solution"]
def unstandardize(x, mean, stddev):
    """Return standardized samples, shape (n, features), in the units of the features."""
    return x * stddev + mean


learn.exercise("8.1").check(unstandardize)

# %% [markdown]
# ### Exercise 8.2: a step of Adam (10 minutes)
#
# Take the formulas of section 4, with epsilon 1e-7, for one array. `t` is the number of this step,
# from 1. Return the change of the weights and the new means, before correction.


# %%
def adam_step(g, m, v, t, rate):
    """Return (change, m, v) for a gradient g; all arrays have one shape."""
    return None  # your code


learn.exercise("8.2").check(adam_step)


# %% tags=["solution"]
def adam_step(g, m, v, t, rate):
    """Return (change, m, v) for a gradient g; all arrays have one shape."""
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    change = -rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return change, m, v


learn.exercise("8.2").check(adam_step)

# %% [markdown]
# ### Exercise 8.3: the backward pass of one layer (20 minutes)
#
# For $h = \tanh(xW + b)$ and the gradient $G$ with respect to $h$, return the gradients with
# respect to $W$, $b$ and $x$. Derive them first, from the derivative of one entry of $h$ with
# respect to one entry of $W$.


# %%
def layer_backward(x, w, h, g):
    """Return gradients of w (in, out), b (out,) and x (n, in); h and g are (n, out)."""
    return None  # your code


learn.exercise("8.3").check(layer_backward)


# %% tags=["solution"]
def layer_backward(x, w, h, g):
    """Return gradients of w (in, out), b (out,) and x (n, in); h and g are (n, out).

    With a = x w + b: dL/da = g (1 - h^2); a_nj = sum_i x_ni w_ij + b_j gives the three.
    """
    g = g * (1 - h**2)
    return x.T @ g, g.sum(axis=0), g @ w.T


learn.exercise("8.3").check(layer_backward)

# %% [markdown]
# ## Three questions
#
# **1. PCA without standardization keeps nearly all of the variance here. Why is that no success?**
#
# <details><summary>Answer</summary>
#
# The variance is nearly that of the few features with large units. Those it keeps; the small ones
# it loses (C8.1), whatever they mean.
#
# </details>
#
# **2. Remove every tanh. What is the best $R^2$ that training can reach?**
#
# <details><summary>Answer</summary>
#
# On the training samples that of PCA with two components: products of matrices of rank two are
# planes, and no plane is better. Lesson 02 shows it.
#
# </details>
#
# **3. Why does the step of Adam shrink during training although the learning rate stays?**
#
# <details><summary>Answer</summary>
#
# Near a minimum the gradients of the batches point here and there. Their mean $m$ cancels, the mean
# of their squares $v$ does not.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Standardize, with the numbers of the training samples.
# - A bent sheet is two numbers to an autoencoder, and not to a plane.
# - Back-propagation is three products per layer; measured slopes prove it.
# - Adam is two running means and their correction; axes of a code mean nothing by themselves.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# In one line, the same is
# `kerasae.build("undercomplete", (10,), latent_dim=2, scaler="standardize")`.
# [Lesson 09](09_anomaly_detection.ipynb) uses the reconstruction error to find what does not
# belong.
#
# ### References
#
# - G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks",
#   *Science* 313, 2006, pages 504 to 507.
# - C. Eckart, G. Young, "The approximation of one matrix by another of lower rank",
#   *Psychometrika* 1, 1936, pages 211 to 218.
# - D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1, section 2
#   (the order of operations used here) and section 3 (bias correction).
# - J. Venna, S. Kaski, "Neighborhood preservation in nonlinear projection methods: an experimental
#   study", 2001, section 2: trustworthiness.
# - D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating
#   errors", *Nature* 323, 1986, equations (4) to (7).
