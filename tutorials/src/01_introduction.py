# %% [markdown]
# # 01 · Introduction
#
# > An autoencoder squeezes its input through a short code and writes it out again; its loss says
# > how improbable the original is under the copy, and for grey pixels even a perfect copy does
# > not cost 0.

# %% [markdown]
# ## Before you start
#
# **You will be able to** name the parts of an autoencoder, derive its loss from a likelihood, and
# say between which two numbers a loss must lie before you call it good or bad.
#
# **Needs** Python, NumPy, the derivative of a product. **Reading** 15 minutes, **running**
# {{running}} on two cores. **Data** handwritten digits: MNIST, or without a network the 1,797
# digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import keras
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from sklearn.decomposition import PCA

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
N_TRAIN = 20000  # training images
LATENT_DIM = 32  # numbers in the code
EPOCHS = 6  # passes over the training images
SEED = 0  # of the weights and of the order of the images

# %%
learn.begin("01", globals())
splits = kerasae.data.load(DATA)
raw_train, raw_test = splits.array("train")[:N_TRAIN], splits.array("test")[:2000]
x_train, x_test = raw_train / 255.0, raw_test / 255.0  # grey values from 0 to 1
print(f"{len(x_train):,} images to train on, {len(x_test):,} to test, each {x_test.shape[1:]}")

# %% [markdown]
# ## Predict first
#
# The usual loss for images in [0, 1] is the *binary cross-entropy*, BCE. Take the simplest model:
# it prints the mean image whatever it is given. Call its BCE 100 %. Now take the best model there
# can be: it copies every pixel exactly. **What share of the BCE is left?** Write a number from 0
# to 1 instead of `None`, or go on without.

# %%
guess = None

# %% [markdown]
# ## 1. Encoder, code, decoder
#
# An *encoder* turns a sample into a few numbers, the *code*. A *decoder* turns the code back into
# a sample, the *reconstruction*. Both are trained together, so that the reconstruction resembles
# the sample. No labels are needed: the sample is its own target.
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `x` | a sample, $d$ pixels in [0, 1] |
# | $z$ | `code` | the code, `latent_dim` numbers |
# | $p$ | `reconstruction` | the copy, $d$ numbers in (0, 1) |
# | $a$ | logits | the decoder's output before the sigmoid, $p = 1/(1+e^{-a})$ |
# | $\bar x$ | `mean_image` | the mean of the training images |
#
# `kerasae.build` puts the parts in a row. `ae` is a plain Keras model.

# %%
keras.utils.set_random_seed(SEED)
ae = kerasae.build(
    "undercomplete", splits.shape, latent_dim=LATENT_DIM, input_dtype=splits.dtype, loss="bce"
)
ae.compile()
code = ae.encode(raw_test[:100])
reconstruction = ae.decode(code)
shapes = [("input", raw_test[:100]), ("code", code), ("reconstruction", reconstruction)]
learn.table([[name, str(x.shape[1:]), x[0].size] for name, x in shapes],
            ["part", "shape", "numbers"])

# %%
fig, ax = plt.subplots(figsize=(8.4, 2.3))
width, height = splits.shape[0] * splits.shape[1], LATENT_DIM
boxes = [("input", f"{width} pixels", 1.6), ("encoder", "dense layers", 1.1),
         ("code", f"{LATENT_DIM} numbers", 0.5), ("decoder", "dense layers", 1.1),
         ("reconstruction", f"{width} pixels", 1.6)]
for place, (name, size, tall) in enumerate(boxes):
    data = name in ("input", "code", "reconstruction")
    style = {"facecolor": "#E8F1F8" if data else "white", "edgecolor": "#0072B2"}
    box = FancyBboxPatch((2.3 * place, -tall / 2), 1.5, tall, boxstyle="round,pad=0.05", **style)
    ax.add_patch(box)
    weight = "bold" if data else "normal"
    ax.text(2.3 * place + 0.75, 0.08, name, ha="center", weight=weight, fontsize=9)
    ax.text(2.3 * place + 0.75, -0.2, size, ha="center", fontsize=8.5)
    if place:
        start = (2.3 * place - 0.68, 0)
        arrow = {"arrowstyle": "->", "color": "#222222"}
        ax.annotate("", (2.3 * place - 0.1, 0), start, arrowprops=arrow)
ax.set(xlim=(-0.2, 11), ylim=(-1, 1))
ax.axis("off")
learn.figure(fig, alt=f"Five boxes in a row, joined by arrows: input of {width} pixels, encoder, "
             f"code of {LATENT_DIM} numbers, decoder, reconstruction of {width} pixels. "
             "The boxes are lowest at the code.")

# %% [markdown]
# Encoding and then decoding is all that the model does. Whatever is not in the code is lost.

# %%
apart = np.abs(reconstruction - ae.reconstruct(raw_test[:100])).max() / 255
learn.claim("C1.1", "decoding the code gives the reconstruction", apart, "<", 1e-5)

# %% [markdown]
# ## 2. A loss is a likelihood
#
# Why squared error, why cross-entropy? Both say how improbable the sample is under the copy.
#
# **Gaussian.** Let each pixel be drawn from a normal distribution around $p$ with standard
# deviation $\sigma$. The negative logarithm of its density (NLL, in nats) is
#
# $$-\ln \mathcal N(x; p, \sigma^2) = \frac{(x-p)^2}{2\sigma^2} + \ln\sigma + \tfrac12\ln 2\pi.$$
#
# Only the first term depends on the copy. So the smallest mean squared error (MSE) is the largest
# likelihood, for any fixed $\sigma$.
#
# **Bernoulli.** Let a pixel be 1 with probability $p$ and 0 otherwise. Then
#
# $$\mathrm{BCE}(x, p) = -x\ln p - (1-x)\ln(1-p).$$
#
# For black and white pixels this is the NLL. Grey pixels are no coin flips: there BCE is a
# convention that happens to work. Section 3 shows what it costs.

# %%
rng = np.random.default_rng(SEED)
x, p = x_test[:50], rng.uniform(0.05, 0.95, x_test[:50].shape)
sigma = 0.3
nll = np.array(kerasae.losses.GaussianNLL("mean", stddev=sigma).call(x, p))
mse = np.mean((x - p) ** 2, axis=(1, 2, 3))
left = nll - mse / (2 * sigma**2)
learn.claim("C1.2", "Gaussian NLL less MSE / (2 sigma^2) is one constant, whatever the copy",
            np.ptp(left), "<", 1e-5)
print(f"constant: {left.mean():.6f}, ln(sigma) + ln(2 pi)/2 = "
      f"{np.log(sigma) + np.log(2 * np.pi) / 2:.6f}")

# %% [markdown]
# The two losses treat a single pixel differently. Each curve below is the loss of one pixel as
# the prediction $p$ moves; its target is written beside it.


# %%
def bce(x, p, least=1e-12):
    """Binary cross-entropy of each pixel, in nats."""
    p = np.clip(p, least, 1 - least)
    return -x * np.log(p) - (1 - x) * np.log(1 - p)


p = np.linspace(0.005, 0.995, 199)
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
losses = {
    "squared error": lambda x: (x - p) ** 2,
    "binary cross-entropy, nats": lambda x: bce(x, p),
}
for ax, (name, loss) in zip(axes, losses.items(), strict=True):
    for target, marker, place, shift in ((0, "o", 170, -34), (0.5, "s", 99, -14), (1, "^", 28, 8)):
        values = loss(target)
        ax.plot(p, values)
        ax.plot(p[np.argmin(values)], values.min(), marker, color="#222222", clip_on=False)
        height = 14 if target == 0.5 else 4
        ax.annotate(f"x = {target:g}", (p[place], values[place]), (shift, height),
                    textcoords="offset points")
    ax.set(xlabel="prediction p", title=name, ylim=(0, None))
learn.figure(fig, alt="Loss of one pixel against its prediction, for targets 0, 0.5 and 1. Squared "
             "error is lowest, 0, at the target. Cross-entropy is lowest at the target too, but "
             f"for 0.5 its lowest value is {np.log(2):.2f}, and it grows without limit near 0 and "
             "1.")

# %% [markdown]
# Read the right panel at $x = 0.5$. The best prediction is 0.5, as it should be. But the loss
# there is $\ln 2$, not 0.

# %% [markdown]
# ## 3. A perfect copy does not cost 0
#
# Put $p = x$ into BCE. What remains is $H(x) = -x\ln x - (1-x)\ln(1-x)$, the entropy of a coin
# with probability $x$. It is 0 for black and white pixels only. No model gets below its mean: it
# is the **floor**.

# %%
mean_image = x_train.mean(axis=0)
floor = bce(x_test, x_test).mean()
ceiling = bce(x_test, mean_image).mean()
share = floor / ceiling
learn.reveal(guess, share, "share of the mean image's BCE that a perfect copy still has")
digits = kerasae.data.load("digits").array("test") / 255.0
rows = [["perfect copy", floor, 0.0], ["mean image", ceiling, np.mean((x_test - mean_image) ** 2)]]
learn.table(rows, [f"model, on {DATA}", "BCE, nats per pixel", "MSE"])
learn.table([["perfect copy", bce(digits, digits).mean(), 0.0],
             ["mean image", bce(digits, digits.mean(axis=0)).mean(), digits.var(axis=0).mean()]],
            ["model, on 8x8 digits", "BCE, nats per pixel", "MSE"])

# %%
learn.claim("C1.3", "this share of the BCE cannot be removed by any model", share, ">")

# %% [markdown]
# How large depends on the images alone. The 8×8 digits of scikit-learn are greyer than MNIST, and
# more of their BCE is floor. MSE has its floor at 0. So watch what can be removed, `BCE - floor`.
# Exercise 1.3 shows that this difference is a measure in its own right, a Kullback-Leibler
# divergence. `kerasae` reports `bce_floor` beside `bce` for this reason.

# %% [markdown]
# ## 4. The best constant is the mean image
#
# A model that ignores its input prints one image $c$ for all. Which is best? Set the derivatives
# to zero:
#
# $$\frac{\partial}{\partial c}\,\overline{(x-c)^2} = 2\,(c-\bar x) = 0, \qquad
# \frac{\partial}{\partial c}\,\overline{\mathrm{BCE}(x,c)} = \frac{c-\bar x}{c(1-c)} = 0.$$
#
# Both vanish at $c=\bar x$ and nowhere else. The bar is the mean over the images. One cell
# confirms it: no step away from the mean image, in any direction, makes either loss smaller.

# %%
centre = np.clip(mean_image, 0.01, 0.99)  # pixels that are always black have no way down
data = np.where((mean_image > 0.01) & (mean_image < 0.99), x_train, centre)
gains = []
for _ in range(20):
    step = rng.normal(scale=0.003, size=centre.shape)
    for loss in (lambda x, c: (x - c) ** 2, bce):
        gains.append(loss(data, centre).mean() - loss(data, centre + step).mean())
learn.claim("C1.4", "of 20 constants near the mean image none is better, by MSE or by BCE",
            max(gains), "<", 0)

# %% [markdown]
# So the mean image is the **ceiling**. A trained model above it has learned nothing.

# %% [markdown]
# ## 5. Gradients, and a training
#
# Training moves each weight against the gradient of the loss. Back-propagation computes all
# derivatives in one pass backwards. It can be checked: move one weight by $\pm\epsilon$, and
# measure the slope,
#
# $$\frac{\partial L}{\partial w} \approx \frac{L(w+\epsilon)-L(w-\epsilon)}{2\epsilon},$$
#
# with an error of the order $\epsilon^2$. In float64 and with $\epsilon = 10^{-5}$ many digits
# agree.

# %%
keras.utils.set_random_seed(SEED)
size = x_train[0].size
layers = [keras.layers.Dense(8, "tanh", dtype="float64"), keras.layers.Dense(size, dtype="float64")]
small = keras.Sequential([keras.Input((size,), dtype="float64"), *layers])
batch = tf.constant(x_train[:32].reshape(32, -1))


def loss():
    return tf.reduce_mean(kerasae.losses.BinaryCrossentropy().error(batch, small(batch)))


with tf.GradientTape() as tape:
    value = loss()
weights = small.trainable_variables[0]
exact = tape.gradient(value, weights.value).numpy()
places = rng.choice(np.argsort(-np.abs(exact.ravel()))[:400], 40, replace=False)

# %%
slopes, start = [], weights.numpy()
for place in places:
    ends = []
    for sign in (1, -1):
        moved = start.copy()
        moved.flat[place] += sign * 1e-5
        weights.assign(moved)
        ends.append(float(loss()))
    slopes.append((ends[0] - ends[1]) / 2e-5)
weights.assign(start)
slopes, chosen = np.array(slopes), exact.flat[places]
error = np.abs(slopes - chosen).max() / np.abs(exact).max()
learn.claim("C1.5", "back-propagation equals the measured slope, relative to the largest",
            error, "<", 1e-5)

# %%
fig, ax = plt.subplots(figsize=(4.6, 3.6))
ends = np.array([chosen.min(), chosen.max()])
ax.plot(ends, ends, color="#6B6B6B", linewidth=1)
ax.plot(chosen, slopes, "o", fillstyle="none", color="#0072B2")
ax.set(xlabel="back-propagation", ylabel="measured slope", title="40 weights")
ax.ticklabel_format(scilimits=(-2, 2))
learn.figure(fig, alt="Measured slope against gradient by back-propagation, for 40 weights of a "
             f"small network: all points lie on the diagonal, within {error:.0e}.")

# %% [markdown]
# Now train the real one. The two dashed lines are the floor and the ceiling of section 3.

# %%
history = ae.fit(raw_train, epochs=EPOCHS, batch_size=64, validation_data=raw_test, verbose=0)
curve = history.history["val_loss"]
reached = (ceiling - curve[-1]) / (ceiling - floor)
print(f"BCE on test images after {EPOCHS} epochs: {curve[-1]:.4f} nats per pixel")
learn.claim("C1.6", "training removes most of what lies between ceiling and floor",
            reached, ">")

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.4))
epochs = np.arange(1, EPOCHS + 1)
ax.plot(epochs, curve, "o-", markersize=4)
ax.axhline(ceiling, color="#D55E00", linestyle="--")
ax.axhline(floor, color="#009E73", linestyle=":")
for name, height in (("mean image", ceiling), ("autoencoder", curve[-1]), ("perfect copy", floor)):
    ax.annotate(name, (EPOCHS, height), (0, 5), textcoords="offset points", ha="right")
ax.set(xlabel="epoch", ylabel="BCE, nats per pixel", ylim=(0, 1.15 * ceiling))
learn.figure(fig, alt=f"BCE on test images falls from {curve[0]:.3f} after the first epoch to "
             f"{curve[-1]:.3f}. It stays between the mean image's {ceiling:.3f} and the perfect "
             f"copy's {floor:.3f}.")

# %%
shown = raw_test[:8]
reconstruction = ae.reconstruct(shown)
learn.figure(
    kerasae.report.figures.reconstruction_grid(shown, reconstruction, value_range=(0, 255))
)

# %% [markdown]
# ## What is a good number?
#
# A loss alone says little. Put it between its floor and its ceiling, and beside a model that
# needs no training: principal component analysis, PCA, with as many numbers in its code. Lesson
# 02 is about that rival.

# %%
flat_train, flat_test = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
pca = PCA(LATENT_DIM).fit(flat_train)
by_pca = np.clip(pca.inverse_transform(pca.transform(flat_test)), 0.001, 0.999)
by_ae = ae.reconstruct(raw_test).reshape(flat_test.shape) / 255
models = [("mean image (ceiling)", np.broadcast_to(mean_image.ravel(), flat_test.shape)),
          (f"PCA, {LATENT_DIM} numbers", by_pca), (f"autoencoder, {LATENT_DIM} numbers", by_ae),
          ("perfect copy (floor)", flat_test)]
rows = []
for name, copy in models:
    cost = bce(flat_test, copy, 1e-6).mean()
    removed = (ceiling - cost) / (ceiling - floor)
    rows.append([name, cost, cost - floor, 100 * removed, np.mean((flat_test - copy) ** 2)])
learn.table(rows, ["model", "BCE", "above the floor", "removed, %", "MSE"])

# %% [markdown]
# PCA knows nothing of [0, 1]; its copies are clipped here, or BCE would be infinite.

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: "our loss is 0.09, theirs is 0.21, so ours is better"
#
# Symptom: losses of different data in one table. BCE depends on how grey the pixels are, which no
# model can change. Below, the same images, black and white: the floor drops to 0. The number of
# another data set, or of another binarization, is not comparable.

# %%
black_and_white = (x_test > 0.5).astype(float)
learn.table([["grey", floor], ["black and white", bce(black_and_white, black_and_white).mean()]],
            ["the same test images", "BCE of a perfect copy"])
learn.claim("C1.7", "black and white pixels have floor 0",
            bce(black_and_white, black_and_white).mean(), "<", 1e-9)

# %% [markdown]
# ### Pitfall: the loss turns negative and keeps falling
#
# Symptom: BCE below 0. The pixels were not scaled: with $x = 255$ the factor $1-x$ is negative,
# and larger logits pay without limit. One line would have caught it: `assert 0 <= x.min() and
# x.max() <= 1`. Models of `kerasae` scale `uint8` inside, so raw images go in.

# %%
logit = np.array([0.0, 10.0, 100.0])
unscaled = np.maximum(logit, 0) - logit * 255 + np.log1p(np.exp(-np.abs(logit)))
learn.table([[a, loss] for a, loss in zip(logit, unscaled, strict=True)],
            ["logit", "BCE of a pixel that says 255"])

# %% [markdown]
# ### Pitfall: 784 times too large, or too small
#
# Symptom: your loss is 100 where a paper has 0.13. One takes the **mean** over the pixels, one
# the **sum**. Optimizers hardly mind, but anything added to the loss does: a penalty of the same
# weight counts $d$ times less beside the sum. `kerasae` takes the mean for plain autoencoders and
# the sum for variational ones (lesson 07), and says so in every docstring.

# %%
logits = rng.normal(size=(4, *splits.shape))
both = [np.array(kerasae.losses.BinaryCrossentropy(reduce).call(x_test[:4], logits))
        for reduce in ("sum", "mean")]
learn.claim("C1.8", "sum over mean is the number of pixels",
            np.abs(both[0] / both[1] / x_test[0].size - 1).max(), "<", 1e-5)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1.1: the best constant for the absolute error (2 minutes)
#
# MSE and BCE like the mean image. Which image $c$ makes the mean absolute error $\overline{|x-c|}$
# smallest? Return it for samples of shape `(samples, pixels)`.


# %%
def best_constant(x):
    """Return the constant with the smallest mean absolute error, shape (pixels,)."""
    return None  # your code


learn.exercise("1.1").check(best_constant)


# %% tags=["solution"]
def best_constant(x):
    """Return the constant with the smallest mean absolute error, shape (pixels,).

    Moving c up costs 1 for each sample below and saves 1 for each above: stop in the middle.
    """
    return np.median(x, axis=0)


learn.exercise("1.1").check(best_constant)

# %% [markdown]
# ### Exercise 1.2: cross-entropy that never overflows (10 minutes)
#
# Models give logits $a$, since $p = 1/(1+e^{-a})$ rounds to 0 or 1 for large ones and $\ln 0$ is
# infinite. Write BCE as a function of $x$ and $a$, exact for $a = \pm 1000$. One value per pixel.


# %%
def bce_from_logits(x, logits):
    """Return the cross-entropy of each pixel, in nats, in the shape of x."""
    return None  # your code


learn.exercise("1.2").check(bce_from_logits)


# %% tags=["solution"]
def bce_from_logits(x, logits):
    """Return the cross-entropy of each pixel, in nats, in the shape of x.

    With p = 1 / (1 + exp(-a)) it is ln(1 + exp(a)) - a x. The logarithm is
    max(a, 0) + ln(1 + exp(-|a|)), where the exponent is never positive.
    """
    return np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits)))


learn.exercise("1.2").check(bce_from_logits)

# %% [markdown]
# ### Exercise 1.3: what is left above the floor (open)
#
# Show on paper that $\mathrm{BCE}(x,p) - \mathrm{BCE}(x,x)$ is the Kullback-Leibler divergence of
# a coin with probability $x$ from one with $p$. Then write it for arrays, finite for targets of
# exactly 0 and 1. Go further: colour an image by it. Which pixels does your model get wrong?


# %%
def excess(x, p):
    """Return BCE(x, p) - BCE(x, x) of each pixel, in nats, in the shape of x."""
    return None  # your code


learn.exercise("1.3").check(excess)


# %% tags=["solution"]
def excess(x, p):
    """Return BCE(x, p) - BCE(x, x) of each pixel, in nats, in the shape of x.

    -x ln p - (1-x) ln(1-p) + x ln x + (1-x) ln(1-x) = x ln(x/p) + (1-x) ln((1-x)/(1-p)).
    """
    first = np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / p), 0)
    second = np.where(x < 1, (1 - x) * np.log(np.where(x < 1, 1 - x, 1) / (1 - p)), 0)
    return first + second


learn.exercise("1.3").check(excess)

# %% [markdown]
# ## Three questions
#
# **1. Two models have the same MSE. Does one of them have the larger Gaussian likelihood?**
#
# <details><summary>Answer</summary>
#
# No. For one fixed $\sigma$ the likelihood depends on the MSE only (C1.2).
#
# </details>
#
# **2. A model reaches a test BCE of 0.20 on grey images whose floor is 0.21. What happened?**
#
# <details><summary>Answer</summary>
#
# Something is wrong with the measurement: no model gets below the floor of the images it is
# measured on. Look for targets outside [0, 1], or for a floor computed on other images.
#
# </details>
#
# **3. Why does the mean image, and not a black one, mark the ceiling?**
#
# <details><summary>Answer</summary>
#
# It is the best that a model can do without looking at its input (C1.4). Above it, the model would
# gain by ignoring what it sees.
#
# </details>

# %% [markdown]
# ## Summary
#
# - An autoencoder is encoder, code, decoder, trained together to copy its input.
# - MSE is a Gaussian NLL, BCE a Bernoulli one; for grey pixels BCE has a floor above 0.
# - A loss means something between the perfect copy and the mean image, beside PCA.
# - Scale pixels to [0, 1], and say whether you mean the sum or the mean over them.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 02](02_undercomplete.ipynb) makes the code smaller and compares with PCA.
#
# ### References
#
# - C. M. Bishop, *Pattern Recognition and Machine Learning*, 2006, section 1.2.5, equation
#   (1.62): squared error as a Gaussian likelihood; section 4.3.2, equation (4.90): cross-entropy.
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, section 14.1: undercomplete
#   autoencoders; section 6.5: back-propagation.
# - D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating
#   errors", *Nature* 323, 1986, equations (4) to (7).
# - G. Loaiza-Ganem, J. P. Cunningham, "The continuous Bernoulli: fixing a pervasive error in
#   variational autoencoders", 2019, section 3: what a Bernoulli loss on grey pixels leaves out.
