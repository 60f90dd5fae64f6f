# %% [markdown]
# # 03 · Overcomplete and sparse
#
# > A code with more units than pixels has room to copy anything and learn nothing; with a price on
# > activity a few units out of many carry each image, and a unit comes to mean something.

# %% [markdown]
# ## Before you start
#
# **You will be able to** build a perfect copy without training, derive the two usual penalties on
# activations and their gradients, and tell a sparse code from one that merely looks so.
#
# **Needs** [lesson 01](01_introduction.ipynb), logarithms, the derivative of a fraction.
# **Reading** 20 minutes, **running** {{running}} on two cores. **Data** handwritten digits: MNIST,
# or without a network the 1,797 digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet
from kerasae.layers import ActivityPenalty
from kerasae.regularizers import KLSparsity, L1Activation

import warnings

import keras
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
N_TRAIN = 10000  # training images
UNITS = 1024  # of the code, more than pixels
EPOCHS = 6  # passes over the training images
WEIGHT = 0.0001  # of the L1 penalty
KL_WEIGHT = 0.0005  # of the KL penalty
SEED = 0  # of the weights and of the order of the images

# %%
learn.begin("03", globals())
splits = kerasae.data.load(DATA)
raw_train, raw_test = splits.array("train")[:N_TRAIN], splits.array("test")[:2000]
x_train, x_test = (raw.astype("float32") / 255 for raw in (raw_train, raw_test))
pixels = x_test[0].size
print(f"{len(x_train):,} images to train on, {pixels} pixels each, {UNITS} units in the code")

# %% [markdown]
# ## Predict first
#
# Two models have the same code of many ReLU units. One is trained to copy, and nothing else; the
# other also pays for activity, and comes to use fewer units for an image. Now allow *both* only
# as many units per image as the second one uses on average: those that add most are kept, the
# others set to 0. **How many times as large is the error of the first model?** Write a number
# instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. A copy for nothing
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `x` | a sample, $d$ pixels in [0, 1] |
# | $h_j$ | `code[:, j]` | activation of unit $j$, here never negative |
# | $m$ | `len(x)` | samples in the batch |
# | $\lambda$, $\beta$ | `sparsity_weight` | weight of the L1 and of the KL penalty |
# | $\rho$ | `target_activation` | the rate at which a unit should be active |
# | $\hat\rho_j$ | `rates[j]` | its rate: the mean of $h_j$ over the batch |
#
# A code with fewer numbers than the sample must choose what to keep. An *overcomplete* code has
# more, and need not choose. Take one unit per pixel, and leave the others unused: the weights of
# encoder and decoder are ones on a diagonal.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    copier = kerasae.build("overcomplete", splits.shape, UNITS, code_activation="relu")
print(f"kerasae warns: {caught[0].message}\n")
diagonal = np.eye(pixels, UNITS, dtype="float32")
copier.encoder_network.get_layer("code").set_weights([diagonal, np.zeros(UNITS)])
copier.decoder_network.get_layer("decoder_output").set_weights([diagonal.T, np.zeros(pixels)])

rng = np.random.default_rng(SEED)
scattered = x_test.reshape(len(x_test), -1)[:, rng.permutation(pixels)].reshape(x_test.shape)
images = {
    "digits": x_test,
    "the same, pixels in another order": scattered,
    "noise": rng.random(x_test.shape, dtype="float32"),
}


def mse(ae, x):
    """Mean squared error of the reconstructions, over samples and pixels."""
    return float(np.mean((ae.reconstruct(x) - x) ** 2))


copied = {name: mse(copier, x) for name, x in images.items()}
learn.table(list(copied.items()), ["images", "MSE of the copy"])

# %%
learn.claim("C3.1", "weights written by hand copy digits and noise alike: largest MSE",
            max(copied.values()), "==", 0)

# %% [markdown]
# The error is exactly 0, not just small, and no image was looked at. So a small error alone shows
# nothing: this model knows no digit from noise. What must be added is a reason to prefer one copy
# over another.

# %% [markdown]
# ## 2. A price on activity
#
# Let each activation cost something. The *L1 penalty* is the sum over the units, averaged over
# the samples:
#
# $$L = \overline{(x - \hat x)^2} + \lambda\,\frac1m\sum_{i=1}^m\sum_j |h_j(x_i)|.$$
#
# Its slope is $\lambda$ whether an activation is large or tiny. A square would have a slope that
# fades at 0, and would never quite get there. That is why L1 makes units *exactly* 0: exercise 3.3.
#
# The sum over samples is divided by $m$. A batch fed twice costs the same, and so the weight
# keeps its meaning when the size of the batch changes.

# %%
h = np.maximum(rng.normal(size=(64, UNITS)), 0).astype("float32")  # activations of 64 samples
l1 = L1Activation(weight=0.5).penalty  # before it is weighted
by_formula = np.abs(h).sum() / len(h)
parts = [float(l1(part)) for part in np.split(h, 4)]
apart = max(abs(float(l1(h)) / by_formula - 1), abs(np.mean(parts) / by_formula - 1),
            abs(float(l1(np.tile(h, (2, 1)))) / by_formula - 1))
learn.claim("C3.2", "the penalty is the formula's; the mean over 4 parts of a batch and the batch "
            "fed twice give the same: largest relative difference", apart, "<", 1e-5)


# %% [markdown]
# Now train. `sparse_l1` is the row encoder, penalty, decoder. With weight 0 it is the plain
# overcomplete model, called dense below; the others differ in $\lambda$ alone.


# %%
def train(name, weight, **options):
    """Train a variant with a weight of its penalty; return it and its test codes."""
    keras.utils.set_random_seed(SEED)
    ae = kerasae.build(name, splits.shape, UNITS, sparsity_weight=weight, **options)
    ae.compile()
    ae.fit(x_train, epochs=EPOCHS, batch_size=64, verbose=0)
    print(f"{name}, weight {weight:g}: test MSE {mse(ae, x_test):.5f}")
    return ae, ae.encode(x_test)


weights = [0.0, WEIGHT, 4 * WEIGHT]
models = {weight: train("sparse_l1", weight) for weight in weights}
(dense, dense_code), (sparse, sparse_code) = models[0.0], models[WEIGHT]

# %% [markdown]
# How many units does an image use? A ReLU unit is used where it is not 0. And what are they worth?
# Keep, in each image, the units that add most to the reconstruction: those with the largest
# product of activation and length of their row of decoder weights. PCA is the control: as many
# numbers, but the same directions for every image. Its error for all counts at once follows from
# the variances along its directions.


# %%
def decoder_rows(ae):
    """The decoder's weights, a row per unit, and its bias."""
    return ae.decoder_network.get_layer("decoder_output").get_weights()


def mse_with(ae, code, count):
    """Mean squared error where each image keeps only the units that add most."""
    rows, bias = decoder_rows(ae)
    adds = code * np.linalg.norm(rows, axis=1)
    least = -np.partition(-adds, min(count, UNITS) - 1, axis=1)[:, [min(count, UNITS) - 1]]
    kept = np.where(adds >= least, code, 0)
    return float(np.mean((kept @ rows + bias - x_test.reshape(len(x_test), -1)) ** 2))


# %%
flat_train, flat_test = x_train.reshape(len(x_train), -1), x_test.reshape(len(x_test), -1)
mean_image = flat_train.mean(axis=0)
directions = np.linalg.eigh(np.cov(flat_train.T))[1][:, ::-1]
lost = np.square((flat_test - mean_image) @ directions).mean(axis=0)
pca = (lost.sum() - np.concatenate([[0], np.cumsum(lost)])) / pixels  # MSE with 0, 1, ... numbers
used = {weight: float((code > 0).sum(axis=1).mean()) for weight, (_, code) in models.items()}
budget = round(used[WEIGHT])
rows = [[f"{w:g}", used[w], mse(ae, x_test), mse_with(ae, code, budget)]
        for w, (ae, code) in models.items()]
rows.append(["PCA", budget, pca[budget], pca[budget]])
learn.table(rows, ["weight", "numbers used per image", "test MSE", f"with the largest {budget}"])

# %%
worse = mse_with(dense, dense_code, budget) / mse_with(sparse, sparse_code, budget)
learn.reveal(guess, worse, "error of the dense model over that of the sparse one, same count")
learn.claim("C3.3", "units that the dense model uses for each one of the sparse model",
            used[0.0] / used[WEIGHT], ">")
learn.claim("C3.4", "error of the dense model, cut to as many units per image, over that of the "
            "sparse one", worse, ">")

# %%
most = {w: int((code > 0).sum(axis=1).max()) for w, (_, code) in models.items()}
counts = np.unique(np.geomspace(4, max(most.values()), 16).astype(int))
curves = {w: [mse_with(ae, code, n) for n in counts] for w, (ae, code) in models.items()}
error = mse(sparse, x_test)
enough = float(np.interp(-error, -np.array(curves[0.0]), counts))
learn.claim("C3.5", "units that the dense model needs to come down to the error of the sparse one, "
            "over those that it uses", enough / used[WEIGHT], ">")
fig, ax = plt.subplots(figsize=(6.8, 3.9))
for weight in weights:
    ax.loglog(counts, curves[weight])
    name = f"weight {weight:g}" if weight else "weight 0, dense"
    ax.annotate(name, (counts[-1], curves[weight][-1]), (5, -3), textcoords="offset points")
shown = counts[counts < 0.9 * pixels]
ax.loglog(shown, pca[shown])
place = np.argmax(pca[shown] < error) - 1
ax.annotate("PCA", (shown[place], pca[shown[place]]), (-28, -8), textcoords="offset points")
ax.set(xlabel="numbers kept per image", ylabel="test MSE", title="what a number is worth",
       xlim=(counts[0], 3 * counts[-1]), ylim=(0.4 * min(map(min, curves.values())), None)
       )
learn.figure(fig, alt=f"Test MSE against numbers kept per image. With {budget} the dense model has "
             f"{worse:.1f} times the error of the model with weight {WEIGHT:g}, and comes down to "
             f"it with {enough:.0f}. PCA has {pca[budget]:.4f} at {budget}.")

# %% [markdown]
# The dense model spreads each image over many units, and falls apart when some are taken away. The
# sparse one has put into few units what an image needs. It does not compress better than PCA, which
# is built for that: L1 also makes every activation it keeps too small (exercise 3.3), and the
# encoder is a single layer, trained for a short while. What is gained is of another kind: which
# units are used says something about the image, and section 5 looks at what.

# %% [markdown]
# ## 3. What the price overlooks
#
# Divide all codes by 10, and multiply the decoder's weights by 10. The reconstruction stays as it
# is, and L1 falls to a tenth. Nothing has become sparser: as many units are 0 as before. For a
# ReLU layer it takes one line each, since $\max(a, 0)/10 = \max(a/10, 0)$.


# %%
def rescaled(ae, factor):
    """Return a copy whose codes are divided by `factor`, and whose decoder undoes it."""
    other = type(ae).from_config(ae.get_config())
    other.set_weights(ae.get_weights())
    encoder = other.encoder_network.get_layer("code")
    decoder = other.decoder_network.get_layer("decoder_output")
    encoder.set_weights([w / factor for w in encoder.get_weights()])
    decoder.set_weights([decoder.get_weights()[0] * factor, decoder.get_weights()[1]])
    return other


tenth = rescaled(sparse, 10)
tenth_code = tenth.encode(x_test)
apart = np.abs(tenth.reconstruct(x_test) - sparse.reconstruct(x_test)).max()
learn.claim("C3.6", "a tenth of the code and ten times the decoder: largest change of a pixel",
            apart, "<", 1e-5)
learn.claim("C3.7", "and ten times its L1 penalty over the first one, less 1",
            abs(10 * tenth_code.sum() / sparse_code.sum() - 1), "<", 1e-4)

# %% [markdown]
# So L1 has no smallest value to reach: the decoder could grow for ever. In so short a training it
# hardly does, as the rows in the table below show; in a long one it may, unless their length is
# held (a constraint such as `keras.constraints.UnitNorm(axis=1)` on the kernel of an own decoder).
# But compare the first column with the count of units in section 2: L1 fell further than the count
# did, since the units that are still used became smaller (second column). It is no measure of
# sparsity. Count units, or take a measure without a unit of its own, such as Hoyer's:
#
# $$\frac{\sqrt n - \sum_j|h_j| \,/ \sqrt{\sum_j h_j^2}}{\sqrt n - 1},$$
#
# 1 for a single active unit, 0 if all $n$ are equal. It does not move when the code is rescaled.


# %%
def hoyer(code):
    """Mean Hoyer sparsity of codes."""
    return float(np.mean(kerasae.metrics.hoyer_sparsity(code)))


rows = []
for name, ae, code in (("dense", dense, dense_code), ("sparse", sparse, sparse_code),
                       ("sparse, rescaled", tenth, tenth_code)):
    live = code.max(axis=0) > 0
    lengths = np.linalg.norm(decoder_rows(ae)[0], axis=1)[live]
    rows.append([name, code.sum(axis=1).mean(), code[code > 0].mean(), np.median(lengths),
                 hoyer(code)])
learn.table(rows, ["model", "L1 per image", "mean of the units used", "median row of the decoder",
                   "Hoyer sparsity"])
learn.claim("C3.8", "Hoyer sparsity of the sparse model less that of the dense model",
            hoyer(sparse_code) - hoyer(dense_code), ">")

# %% [markdown]
# ## 4. A rate instead of a price
#
# Instead of paying for activity, ask for a rate: over many images, each unit should be active in a
# share $\rho$ of them. Let the activations lie in [0, 1], by a sigmoid, and read $h_j$ as the
# probability that unit $j$ is on. Then there are two coins, that is, two *Bernoulli variables*:
#
# | | on | off |
# |---|---|---|
# | wanted, $P$ | $\rho$ | $1-\rho$ |
# | measured, $Q$ | $\hat\rho_j=\frac1m\sum_i h_j(x_i)$ | $1-\hat\rho_j$ |
#
# How unlike are they? The *Kullback-Leibler divergence* is the mean, under $P$, of the logarithm
# of the ratio of the probabilities:
#
# $$\mathrm{KL}(P\|Q) = \sum_{v\in\{\text{on},\text{off}\}} P(v)\ln\frac{P(v)}{Q(v)}.$$
#
# A coin has two outcomes, so the sum has two terms:
#
# $$\mathrm{KL}(\rho\|\hat\rho) = \rho\ln\frac{\rho}{\hat\rho}
# + (1-\rho)\ln\frac{1-\rho}{1-\hat\rho}.$$
#
# Take the logarithms apart. What has no $\hat\rho$ in it is a constant, minus the entropy $H$ of
# the wanted coin. The rest is the BCE of lesson 01:
#
# $$\mathrm{KL}(\rho\|\hat\rho) = \underbrace{-\rho\ln\hat\rho-(1-\rho)\ln(1-\hat\rho)}_{
# \mathrm{BCE}(\rho,\hat\rho)} - H(\rho).$$
#
# Its derivative with respect to the measured rate, on one denominator:
#
# $$\frac{d\,\mathrm{KL}}{d\hat\rho} = -\frac{\rho}{\hat\rho}+\frac{1-\rho}{1-\hat\rho}
# = \frac{\hat\rho-\rho}{\hat\rho\,(1-\hat\rho)}.$$
#
# The denominator is positive. So the slope is negative below $\rho$ and positive above: there is
# one minimum, at $\hat\rho=\rho$, where both logarithms vanish. Hence the divergence is 0 there
# and positive elsewhere. The penalty is $\beta\sum_j\mathrm{KL}(\rho\|\hat\rho_j)$.

# %%
RHO = 0.05
rates = np.round(np.linspace(0.005, 0.995, 199), 4)
wanted, measured = np.array([RHO, 1 - RHO]), np.array([rates, 1 - rates])
by_definition = (wanted[:, None] * np.log(wanted[:, None] / measured)).sum(axis=0)
slope = (rates - RHO) / (rates * (1 - rates))
step = 1e-6
ends = [wanted @ np.log(wanted[:, None] / np.array([r, 1 - r]))
        for r in (rates + step, rates - step)]
kl = KLSparsity(RHO, weight=1.0)
tensor = tf.constant(rates, "float32")
with tf.GradientTape() as tape:
    tape.watch(tensor)
    total = kl.divergence(tensor)  # the sum over units, here over rates
by_tape = tape.gradient(total, tensor).numpy()
some = slope != 0
off = [np.abs(other[some] / slope[some] - 1).max()
       for other in ((ends[0] - ends[1]) / (2 * step), by_tape)]
learn.claim("C3.9", "of 199 rates only rho has a divergence of 0, and none has less",
            list(rates[by_definition < 1e-9]) == [RHO] and by_definition.min() > -1e-12, "==", True
            )
learn.claim("C3.10", "relative difference of kerasae's penalty and the sum of these divergences",
            abs(float(total) / by_definition.sum() - 1), "<", 1e-4)
learn.claim("C3.11", "largest relative difference of this slope to the measured and propagated one",
            max(off), "<", 1e-3)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
for rho, place, offset in ((0.05, 140, (-30, 6)), (0.2, 118, (8, -9)), (0.5, 20, (6, 2))):
    kl_of = rho * np.log(rho / rates) + (1 - rho) * np.log((1 - rho) / (1 - rates))
    slope_of = (rates - rho) / (rates * (1 - rates))
    for ax, values in zip(axes, (kl_of, slope_of), strict=True):
        ax.plot(rates, values)
        ax.plot(rho, 0, "o", color="#222222", clip_on=False)
    axes[0].annotate(f"{rho:g}", (rates[place], kl_of[place]), offset,
                     textcoords="offset points")
axes[1].axhline(0, color="#6B6B6B", linewidth=0.8)
axes[0].set(xlabel="measured rate", ylabel="nats", title="divergence, by target", ylim=(0, 2))
axes[1].set(xlabel="measured rate", ylabel="nats per unit of rate", title="its slope",
            ylim=(-8, 12))
learn.figure(fig, alt="Left: divergence against the measured rate, for targets 0.05, 0.2 and 0.5: "
             "bowls that touch 0 at their target. Right: their slopes rise through 0 at the "
             "target, steeply near the rates 0 and 1.")

# %% [markdown]
# The slope with respect to a *single* activation is that of the rate divided by $m$: each sample
# has its part in the mean. It is the same for all samples, whatever they show. So the penalty
# shifts a unit's threshold; *which* images the unit is for is left to the reconstruction.

# %%
kl_model, kl_code = train("sparse_kl", KL_WEIGHT, target_activation=RHO)
far = abs(float(kl_code.mean()) - RHO)
learn.claim("C3.12", f"distance of the mean activation from its target {RHO:g}", far, "<")
learn.figure(kerasae.report.figures.activation_histograms(kl_code, RHO))

# %% [markdown]
# Mind what was asked for: a *mean*. A unit that answers 0.05 to every image has the right rate, a
# divergence of 0, and says nothing. Such a unit is *dead*, whatever its mean, and the penalty
# does not notice. Look at the range of a unit, as `kerasae.metrics.ActiveUnits` does.


# %%
def active_units(code):
    """Number of units that are not the same for all samples."""
    metric = kerasae.metrics.ActiveUnits()
    metric.update_state(code)
    return int(metric.result())


lazy = np.full((64, UNITS), RHO, "float32")
print(f"active units: {active_units(kl_code)} of {UNITS} trained ones, {active_units(lazy)} of "
      "those that always say the target")
learn.claim("C3.13", "divergence of a unit that gives the target for every sample, in nats",
            abs(float(kl.penalty(lazy))) / UNITS, "<", 1e-6)

# %% [markdown]
# ## 5. What a unit means
#
# The decoder is linear here: a reconstruction is the bias plus the rows of the used units, each
# times its activation. A row is an image, the *filter* of its unit. Below, the filters that
# add most over the test images, each on its own scale: grey is nothing, white is added, black is
# taken away.


# %%
def filters(ae, code, count=24):
    """Rows of the decoder whose part in the reconstructions varies most, scaled to [0, 1]."""
    weights = ae.decoder_network.get_layer("decoder_output").get_weights()[0]
    order = np.argsort(-code.std(axis=0) * np.linalg.norm(weights, axis=1))[:count]
    rows = weights[order] / np.abs(weights[order]).max(axis=1, keepdims=True)
    return (0.5 + 0.5 * rows).reshape(-1, *splits.shape)


shown = [("dense", dense, dense_code), ("L1", sparse, sparse_code), ("KL", kl_model, kl_code)]
fig, axes = plt.subplots(1, 3, figsize=(8.4, 3.6))
focus = []
for ax, (name, ae, code) in zip(axes, shown, strict=True):
    chosen = filters(ae, code)
    kerasae.report.figures.image_grid(chosen, 4, ax, value_range=(0, 1))
    focus.append(hoyer(2 * chosen.reshape(len(chosen), -1) - 1))
    ax.set_title(f"{name}: Hoyer {focus[-1]:.2f}")
learn.figure(fig, alt="24 filters of each of three models, on grey. Hoyer sparsity of the filters, "
             f"1 for a single pixel: dense {focus[0]:.2f}, L1 {focus[1]:.2f}, KL {focus[2]:.2f}."
             )

# %% [markdown]
# The filters of the dense model look like noise: only their sums make digits. With a price they
# calm down to strokes and to parts of digits, on an empty ground. In numbers: Hoyer's measure, of
# the pixels of a filter this time.

# %%
learn.claim("C3.14", "Hoyer sparsity of the filters: L1 less dense", focus[1] - focus[0], ">")

# %% [markdown]
# ## What is a good number?
#
# The error has a floor of 0, which the copier of section 1 reaches without knowing anything, and a
# ceiling, the mean image. So look at two columns more. The first is the error on digits whose
# pixels were put in another order: same grey values, no strokes. A model that knows digits fails
# there. The second is the count of numbers that an image needs.

# %%
control = np.mean((scattered - mean_image.reshape(splits.shape)) ** 2)
rows = [["mean image", 0, float(np.mean((flat_test - mean_image) ** 2)), float(control), ""]]
x = scattered.reshape(len(x_test), -1) - mean_image
left = float(np.mean((x - x @ directions[:, :budget] @ directions[:, :budget].T) ** 2))
rows.append([f"PCA, {budget} numbers", budget, float(pca[budget]), left, ""])
rows.append(["copier", (x_test > 0).sum() / len(x_test), copied["digits"], 0.0, hoyer(
    x_test.reshape(len(x_test), -1))])
for name, ae, code in shown:
    rows.append([name, (code > 0).sum(axis=1).mean(), mse(ae, x_test), mse(ae, scattered),
                 hoyer(code)])
learn.table(rows, ["model", "numbers per image", "MSE", "MSE, pixels in another order",
                   "Hoyer sparsity"])
strange = mse(sparse, scattered) / mse(sparse, x_test)
learn.claim("C3.15", "the sparse model is no copier: its error on scattered pixels over that on "
            "digits", strange, ">")

# %% [markdown]
# The dense model is no copier either, though it had room for one. Training started elsewhere and
# found something that serves digits alone. But nothing in its loss would keep it from there.
#
# The copier has a sparse code too: most pixels of a digit are black. Sparsity alone shows as
# little as a small error does. A sigmoid is never exactly 0, so the KL model "uses" all its units;
# what it has is a low rate.

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the loss is nan
#
# Symptom: training with the KL penalty prints `nan`, at once or after an hour. The units are ReLU.
# A rate above 1 is no probability, and $\ln(1-\hat\rho)$ of it is not a number; a rate of 0 has an
# infinite slope. Whether it happens depends on the scale of the code alone, which section 3 moved
# at will. `kerasae` refuses such a model when it is built.

# %%
relu_rates = rescaled(dense, 0.001)  # the same model, with larger codes
relu_rates = relu_rates.encode(x_test).mean(axis=0)
with np.errstate(invalid="ignore", divide="ignore"):
    naive = RHO * np.log(RHO / relu_rates) + (1 - RHO) * np.log((1 - RHO) / (1 - relu_rates))
print(f"rates up to {relu_rates.max():.1f}; nan for {np.isnan(naive).sum()} of {UNITS} units")
try:
    kerasae.build("sparse_kl", splits.shape, UNITS, code_activation="relu")
except ValueError as error:
    print(f"kerasae: {error}")
learn.claim("C3.16", "KL of ReLU units is not a number", bool(np.isnan(naive.sum())), "==", True)

# %% [markdown]
# ### Pitfall: the same weight, and after an update the code is dense
#
# **Museum.** The sparse autoencoder of the Keras blog, and the tutorials and book chapters that
# follow it, give an `activity_regularizer` a weight such as 1e-4 and no more. Its meaning changed
# twice. Keras 2 divides the penalty by the size of the batch. Keras 3.0 to 3.13.2 adds the *sum*
# over the batch, though its documentation says that it divides. From 3.14.0 on it divides again.
# With 256 samples per batch, the same line is 256 times weaker after that update. And where it
# sums, a larger batch alone makes the code sparser.
#
# The test takes one line and holds for any penalty: feed the batch twice. An average stays.

# %%
h, total = sparse_code[:256], keras.regularizers.L1(1e-4)
rules = {"sum, as Keras 3.0 to 3.13.2 adds": total,
         "divided by the batch, as Keras 2 and 3.14.0 do": lambda h: total(h) / len(h),
         "kerasae, with any Keras": lambda h: L1Activation(1e-4)(h) / len(h)}
for name, rule in rules.items():
    twice = float(rule(np.tile(h, (2, 1)))) / float(rule(h))
    print(f"{name}: {float(rule(h)):.4f}, fed twice {twice:.2f} times as much")  # catches it
learn.claim("C3.17", "relative change of kerasae's penalty when the batch is fed twice",
            abs(twice - 1), "<", 1e-5)

# %% [markdown]
# ### Pitfall: with small batches the KL penalty never gets to 0
#
# Symptom: the smaller the batch, the larger the penalty, and units are pressed to answer the same
# to every image. The rate of a batch is a noisy rate, and the divergence is convex: its mean over
# batches lies above that of the true rate. A second-order expansion says by how much, per unit:
# $\operatorname{var}(h)\,/\,(2m\,\rho\,(1-\rho))$. L1 is a plain average and has no such bias.
#
# Below, activations are drawn so that the true rate is exactly the target. The last column keeps a
# running mean over batches: `momentum` of `kerasae.layers.ActivityPenalty` and of `sparse_kl`.


# %%
def mean_penalty(batch, momentum=None, batches=200, units=64):
    """Mean divergence per unit over the second half of some batches, all at the right rate."""
    draw = np.random.default_rng(SEED)
    layer = ActivityPenalty(KLSparsity(RHO, weight=1.0), momentum)
    values = []
    for _ in range(batches):
        layer(draw.beta(0.1, 1.9, (batch, units)).astype("float32"), training=True)
        values.append(float(sum(layer.losses)) / units)
    return np.mean(values[batches // 2 :])


variance = RHO * (1 - RHO) / 3  # of the beta distribution above
biases = {m: mean_penalty(m) for m in (32, 128, 1024)}
running = mean_penalty(32, momentum=0.98)
learn.table([[m, bias, variance / (2 * m * RHO * (1 - RHO)), running if m == 32 else ""]
             for m, bias in biases.items()],
            ["batch", "divergence at the right rate", "expansion", "with a running mean"]
            )
learn.claim("C3.18", "bias with 32 samples over that with 1024",
            biases[32] / biases[1024], ">")
learn.claim("C3.19", "share of the bias that a running mean leaves", running / biases[32], "<")

# %% [markdown]
# ## Exercises
#
# ### Exercise 3.1: the push on a single activation (2 minutes)
#
# Return the gradient of $\sum_j\mathrm{KL}(\rho\|\hat\rho_j)$ with respect to every activation
# $h_j(x_i)$, where $\hat\rho_j$ is the mean over the batch.


# %%
def kl_push(h, rho):
    """Return the gradient with respect to h, activations in (0, 1), in the shape of h."""
    return None  # your code


learn.exercise("3.1").check(kl_push)


# %% tags=["solution"]
def kl_push(h, rho):
    """Return the gradient with respect to h, activations in (0, 1), in the shape of h.

    The slope at the rate of each unit, times d rate / d h = 1 / samples for each sample.
    """
    rate = h.mean(axis=0)
    slope = (rate - rho) / (rate * (1 - rate))
    return np.tile(slope / len(h), (len(h), 1))


learn.exercise("3.1").check(kl_push)

# %% [markdown]
# ### Exercise 3.2: Hoyer sparsity (10 minutes)
#
# Write the measure of section 3 for codes of shape `(samples, units)`, one number per sample. It
# should not mind the sign, nor a scale as small as $10^{-30}$ in float32, and give 0 for a code of
# zeros.


# %%
def hoyer_sparsity(codes):
    """Return the Hoyer sparsity of each code, shape (samples,)."""
    return None  # your code


learn.exercise("3.2").check(hoyer_sparsity)


# %% tags=["solution"]
def hoyer_sparsity(codes):
    """Return the Hoyer sparsity of each code, shape (samples,).

    Each code is first divided by its largest unit, or its squares would vanish in float32.
    """
    sizes = np.abs(codes)
    largest = sizes.max(axis=1, keepdims=True)
    sizes = sizes / np.where(largest > 0, largest, 1)
    root = np.sqrt(codes.shape[1])
    norm = np.sqrt((sizes**2).sum(axis=1))
    ratio = sizes.sum(axis=1) / np.where(norm > 0, norm, 1)
    return np.where(norm > 0, (root - ratio) / (root - 1), 0.0)


learn.exercise("3.2").check(hoyer_sparsity)

# %% [markdown]
# ### Exercise 3.3: what the weight of L1 does (open)
#
# Leave encoder and decoder aside. Say that an activation of $c$ would be best for the
# reconstruction, and $h$ is charged for: find the $h$ that makes
# $\tfrac12(h-c)^2+\lambda|h|$ smallest, for every $c$, positive or negative. Derive it by cases,
# then write it. Go further: which $h$ would a penalty $\tfrac{\lambda}{2}h^2$ give, and does it
# ever reach 0? Why does L1 also make those activations too small that it keeps?


# %%
def best_activation(c, weight):
    """Return the h with the smallest (h - c)^2 / 2 + weight |h|, in the shape of c."""
    return None  # your code


learn.exercise("3.3").check(best_activation)


# %% tags=["solution"]
def best_activation(c, weight):
    """Return the h with the smallest (h - c)^2 / 2 + weight |h|, in the shape of c.

    For h > 0 the slope is h - c + weight, 0 at c - weight, if that is positive; for h < 0 it is
    0 at c + weight, if that is negative. In between 0 is best. (Soft thresholding.)
    """
    return np.sign(c) * np.maximum(np.abs(c) - weight, 0)


learn.exercise("3.3").check(best_activation)

# %% [markdown]
# ## Three questions
#
# **1. An overcomplete model has a test error of 0. What do you know about it?**
#
# <details><summary>Answer</summary>
#
# Nothing beyond that it copies (C3.1). Ask for its error on other images, for its code, or for
# what the code is good for.
#
# </details>
#
# **2. Two papers report an L1 norm of the code of 12 and of 1.2. Which code is sparser?**
#
# <details><summary>Answer</summary>
#
# Nobody can say: the scale of a code is free (C3.6, C3.7). Count units, or compare a measure that
# does not see the scale.
#
# </details>
#
# **3. With the KL penalty every unit has the target rate. Can the code still say nothing?**
#
# <details><summary>Answer</summary>
#
# Yes. The penalty sees means only; units that give the target for each image satisfy it (C3.13).
# The reconstruction error has to keep them busy.
#
# </details>

# %% [markdown]
# ## Summary
#
# - More units than pixels leave room for a copier that knows nothing, and has no error.
# - L1 charges for activity and makes units exactly 0; it sees the scale of the code, so count.
# - KL asks for a rate; it wants units in [0, 1], and large batches or a running mean.
# - A penalty should be a mean over the batch: feed it twice.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 04](04_denoising.ipynb) keeps a code from copying in another way: it spoils the input.
#
# ### References
#
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, section 14.2: overcomplete and
#   regularized autoencoders; section 14.2.1: L1 as the logarithm of a Laplace prior.
# - A. Ng, "Sparse autoencoder", CS294A lecture notes, 2011, section 3: the KL penalty.
# - H. Lee, C. Ekanadham, A. Ng, "Sparse deep belief net model for visual area V2", *NIPS* 2007,
#   2008: a rate as the target.
# - P. O. Hoyer, "Non-negative matrix factorization with sparseness constraints", *Journal of
#   Machine Learning Research* 5, 2004, section 3.1: the measure.
# - B. A. Olshausen, D. J. Field, "Emergence of simple-cell receptive field properties by learning
#   a sparse code for natural images", *Nature* 381, 1996, pages 607 to 609.
