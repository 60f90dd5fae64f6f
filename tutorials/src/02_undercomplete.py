# %% [markdown]
# # 02 · Undercomplete, beside PCA
#
# > A linear autoencoder cannot beat principal component analysis, and comes close; a curved one
# > with as many numbers in its code does better, and PCA is what it has to be measured against.

# %% [markdown]
# ## Before you start
#
# **You will be able to** build autoencoders with a code of any size, compute the best linear one
# without training, and say how much of an error the network deserves credit for.
#
# **Needs** [lesson 01](01_introduction.ipynb), matrix products, eigenvalues. **Reading** 15
# minutes, **running** {{running}} on two cores. **Data** handwritten digits: MNIST, or without a
# network the 1,797 digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import keras
import numpy as np
from matplotlib import pyplot as plt
from sklearn.neighbors import KNeighborsClassifier

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
LIMIT = 28000  # images of all splits together
EPOCHS = 12  # passes over the training images
SEED = 0  # of the splits, the weights and the order of the images

# %%
learn.begin("02", globals())
splits = kerasae.data.load(DATA, limit=LIMIT, seed=SEED)
x_train, x_valid, x_test = (splits.array(name) for name in ("train", "validation", "test"))
y_train, y_test = splits.labels["train"], splits.labels["test"]
flat_train, flat_test = (x.reshape(len(x), -1) / 255 for x in (x_train, x_test))
features = flat_train.shape[1]
print(f"train {x_train.shape}, validation {x_valid.shape}, test {x_test.shape}")

# %% [markdown]
# ## Predict first
#
# Two models get eight numbers for each image. One is PCA, the best that straight lines can do. The
# other is an autoencoder with curved layers. **What share of PCA's test error does the autoencoder
# remove?** Write a number from 0 to 1 instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. A bottleneck
#
# An autoencoder whose code is smaller than its input is called *undercomplete*. It cannot copy.
# It has to find out what the images have in common, and spend its few numbers on the rest.
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `flat_train` | an image as a vector of $d$ pixels in [0, 1] |
# | $d$ | `features` | pixels per image |
# | $k$ | `latent_dim` | numbers in the code |
# | $\bar x$ | `mean` | the mean of the training images |
# | $\lambda_i, v_i$ | `variances`, `components` | eigenvalues, eigenvectors of the covariance |
# | MSE | `score` | mean over the pixels of $(x-\hat x)^2$ |
#
# Here is the model with eight numbers. The encoder narrows in steps, the decoder mirrors it.


# %%
def model(latent_dim, variant="undercomplete", **options):
    """Build an autoencoder of these images, with the weights of SEED."""
    keras.utils.set_random_seed(SEED)
    options = {"input_dtype": splits.dtype, **options}
    return kerasae.build(variant, splits.shape, latent_dim=latent_dim, **options)


curved = {8: model(8)}
layers = [layer for part in (curved[8].encoder_network, curved[8].decoder_network)
          for layer in part.layers if isinstance(layer, keras.layers.Dense)]
rows = [[layer.name, layer.kernel.shape[0], layer.units, layer.count_params()] for layer in layers]
total = sum(row[-1] for row in rows)
learn.table([*rows, ["all", "", "", total]], ["layer", "inputs", "outputs", "parameters"])

# %%
widths = [features, *(layer.units for layer in layers)]
fig, ax = plt.subplots(figsize=(7.6, 2.7))
for place, width in enumerate(widths):
    narrow = place == len(widths) // 2
    color = "#D55E00" if narrow else "#0072B2"
    ax.bar(place, width**0.5, 0.62, -(width**0.5) / 2, color=color)
    ax.text(place, width**0.5 / 2 + 0.7, f"{width:,}", ha="center", weight="bold")
names = ["image", *("encoder" for _ in range(2)), "code", *("decoder" for _ in range(2)), "copy"]
ax.set_xticks(range(len(widths)), names)
ax.set(yticks=[], title="numbers that hold the image (height: square root)")
ax.set_ylim(top=0.62 * features**0.5)
ax.tick_params(axis="x", length=0)
ax.spines[["left", "bottom"]].set_visible(False)
learn.figure(fig, alt="Bars for the layers of the autoencoder, first to last: "
             f"{', '.join(map(str, widths))} numbers. They narrow to 8 in the middle, the code, "
             "and widen again.")

# %% [markdown]
# ## 2. The best flat model needs no training
#
# Before you train, compute what a simple rival does. *Principal component analysis* keeps the $k$
# directions in which the images vary most, and drops the others:
#
# $$z = V_k^\top (x-\bar x), \qquad \hat x = \bar x + V_k z, \qquad
# \overline{\mathrm{MSE}} = \frac1d \sum_{i>k} \lambda_i.$$
#
# $V_k$ has the eigenvectors $v_1$ to $v_k$ as columns. The error on the training images is what
# was dropped: the sum of the other eigenvalues. Eckart and Young (1936) showed that **no linear
# model with $k$ numbers does better**.
#
# So PCA is an autoencoder, with one linear layer on each side. `kerasae` builds it like any other,
# and fills the layers in without training. Its errors are the eigenvalues that it drops.

# %%
mean = flat_train.mean(axis=0)
variances, components = np.linalg.eigh(np.cov(flat_train.T, bias=True))
variances, components = variances[::-1], components[:, ::-1]
SIZES = (2, 8, 32)
pca = {}
for k in SIZES:
    pca[k] = model(k, "linear", init="pca")
    pca[k].prepare(splits.train)
dropped = variances[8:].sum() / features
by_kerasae = pca[8].score(x_train).mean()
learn.claim("C2.1", "PCA's error on the training images is the sum of the eigenvalues it drops",
            abs(dropped - by_kerasae), "<", 1e-6)

# %% [markdown]
# `score` is the MSE of each image. One number more always helps: the error of PCA falls with every
# eigenvalue. How fast it falls says how much the pixels depend on each other.

# %%
project = ((flat_test - mean) @ components) ** 2
ceiling = np.square(flat_test - mean).mean()
of_pca = ceiling - np.cumsum(project.mean(axis=0)) / features  # with 1, 2, ... components
rows = [[k, of_pca[k - 1], 100 * (1 - of_pca[k - 1] / ceiling)] for k in (1, 2, 4, 8, 16, 32)]
learn.table(rows, ["components", "test MSE", "removed of the mean image's error, %"])

# %% [markdown]
# ## 3. A linear autoencoder cannot beat it
#
# Now train the same two linear layers by gradient descent, from random weights. The rules of the
# game are known beforehand. The training error lies between two lines: the mean image above, PCA
# below. It may come as close to PCA as it likes, and never below.

# %%
linear, decoders = model(8, "linear"), []


def remember(epoch, logs):
    """Keep the decoder's matrix, (8, features), after each epoch."""
    decoders.append(linear.decoder_network.get_weights()[0])


linear.compile(keras.optimizers.Adam(0.005))
watch = keras.callbacks.LambdaCallback(on_epoch_end=remember)
history = linear.fit(x_train, epochs=EPOCHS, batch_size=64, callbacks=[watch], verbose=0).history
trained, best = linear.score(x_train).mean(), pca[8].score(x_train).mean()
print(f"training MSE after {EPOCHS} epochs: linear autoencoder {trained:.5f}, PCA {best:.5f}")

# %%
learn.claim("C2.2", "on its training images the linear autoencoder is not better than PCA",
            trained - best, ">=", -1e-6)
learn.claim("C2.3", "and it is close: its error relative to that of PCA", trained / best, "<")

# %% [markdown]
# Did it find the same eight directions? Not the same numbers: the columns of its decoder are any
# basis of the subspace, neither sorted nor at right angles. What can be compared are subspaces.
# Let $Q$ be an orthonormal basis of the decoder's columns. The angle between a principal component
# $v_i$ and that subspace is
#
# $$\theta_i = \arcsin \lVert v_i - Q Q^\top v_i \rVert.$$


# %%
def angles(decoder, vectors):
    """Degrees between each of the vectors, (features, n), and the decoder's subspace."""
    q = np.linalg.qr(decoder.T)[0]
    missed = np.linalg.norm(vectors - q @ (q.T @ vectors), axis=0)
    return np.degrees(np.arcsin(np.minimum(missed, 1)))


of_epoch = [angles(decoder, components[:, :8]) for decoder in decoders]
check = kerasae.evaluation.linear_check(linear, splits)
learn.table([["linear autoencoder", of_epoch[-1][0], of_epoch[-1][7],
              check["largest_principal_angle"]]],
            ["degrees", "component 1", "component 8", "largest (linear_check)"])
learn.claim("C2.4", "angle of the first principal component to the decoder's subspace, in degrees",
            of_epoch[-1][0], "<")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.3))
epochs = np.arange(1, EPOCHS + 1)
left.plot(epochs, history["loss"], marker="o", markersize=3)
left.axhline(flat_train.var(axis=0).mean(), color="#D55E00", linestyle="--")
left.axhline(best, color="#009E73", linestyle=":")
for name, height in (("mean image", flat_train.var(axis=0).mean()), ("PCA", best)):
    above = 4 if name == "mean image" else -13
    left.annotate(name, (EPOCHS, height), (0, above), textcoords="offset points", ha="right")
left.set(xlabel="epoch", title="training MSE", ylim=(0, 1.15 * flat_train.var(axis=0).mean()))
for epoch, marker in zip((1, max(2, EPOCHS // 3), EPOCHS), "os^", strict=True):
    values = of_epoch[epoch - 1]
    right.plot(range(1, 9), values, marker=marker, markersize=5, label=f"after epoch {epoch}")
right.legend(loc="upper left")
right.set(xlabel="principal component", title="angle to the subspace, degrees", ylim=(0, 95))
learn.figure(fig, alt=f"Left: the training error falls from {history['loss'][0]:.3f} to "
             f"{history['loss'][-1]:.4f} and flattens just above that of PCA, {best:.4f}. Right: "
             "the first principal components are near the subspace already after epoch 1; the "
             f"angle of component 8 falls from {of_epoch[0][7]:.0f} degrees then to "
             f"{of_epoch[-1][7]:.0f} at the end.")

# %% [markdown]
# Components of large variance are found first, the last ones take longest. And it hardly matters:
# directions with nearly equal variance can be exchanged at nearly no cost. So a large angle may go
# with a small error. Judge by errors, not by weights.

# %% [markdown]
# ## 4. A curved autoencoder does better
#
# Handwritten digits do not lie in a plane. Shift a stroke by a pixel, and the image moves along a
# curve. Now the hidden layers have their activations back. Three models, with 2, 8 and 32 numbers.

# %%
for k in SIZES:
    curved[k] = model(k)
    curved[k].compile(keras.optimizers.Adam(0.002))
    curved[k].fit(x_train, epochs=EPOCHS, batch_size=64, verbose=0)
    print(f"{k} numbers: validation MSE {curved[k].score(x_valid).mean():.4f}")


# %%
def clipped(ae, x):
    """MSE of each image, for reconstructions that are brought back to 0 ... 255."""
    apart = (np.clip(ae.reconstruct(x), 0, 255) - x) / 255
    return np.square(apart).mean(axis=(1, 2, 3))


errors = {k: (pca[k].score(x_test), clipped(pca[k], x_test), curved[k].score(x_test))
          for k in SIZES}
mse = {k: [error.mean() for error in of_k] for k, of_k in errors.items()}
saved = 1 - mse[8][2] / mse[8][0]
learn.reveal(guess, saved, "share of PCA's test error that eight curved numbers remove")
learn.table([[k, *mse[k]] for k in SIZES],
            ["numbers", "PCA", "PCA, clipped to [0, 1]", "autoencoder"],
            caption="Test MSE.")

# %% [markdown]
# Be fair to the rival. PCA writes pixels below 0 and above 1, and the autoencoder ends in a
# sigmoid, which cannot. Clipping costs nothing, needs no training, and belongs to PCA's account.
# The claim is made against the clipped one. And look at the last row: the larger the code, the
# stronger the rival. Of an 8×8 image 32 numbers are half of the pixels; there PCA wins easily.

# %%
learn.claim("C2.5", "with 8 numbers the test MSE is at most this share of that of clipped PCA",
            mse[8][2] / mse[8][1], "<")
learn.claim("C2.6", "each fourfold code leaves at most this share of the test MSE",
            max(mse[8][2] / mse[2][2], mse[32][2] / mse[8][2]), "<")

# %%
fig, ax = plt.subplots(figsize=(7, 3.6))
counts = np.arange(1, 49)
ax.plot(counts, of_pca[: len(counts)], color="#D55E00", linestyle="--")
ax.plot(SIZES, [mse[k][2] for k in SIZES], "o", color="#0072B2", markersize=7)
ax.axhline(ceiling, color="#6B6B6B", linestyle=":")
ax.text(48, ceiling, "mean image, no code", ha="right", va="bottom")
ax.annotate("PCA", (16, of_pca[15]), (4, 6), textcoords="offset points")
for k in SIZES:
    ax.annotate(f"{mse[k][2]:.4f}", (k, mse[k][2]), (-4, -14), textcoords="offset points")
ax.annotate("autoencoder", (2, mse[2][2]), (14, 4), textcoords="offset points")
ax.set_xscale("log", base=2)
ax.set_xticks([1, 2, 4, 8, 16, 32], [1, 2, 4, 8, 16, 32])
ax.set(xlabel="numbers in the code", title="test MSE", ylim=(0, 1.15 * ceiling))
learn.figure(fig, alt=f"Test error against the size of the code. The mean image has {ceiling:.3f}. "
             f"PCA falls from {of_pca[0]:.3f} with 1 number to {of_pca[31]:.4f} with 32. The "
             f"autoencoder has {mse[2][2]:.4f} with 2, {mse[8][2]:.4f} with 8 and "
             f"{mse[32][2]:.4f} with 32.")

# %% [markdown]
# Means hide much. The same images below as eight numbers of each kind, from the one that the
# autoencoder reconstructs best to its worst. The error stands below each. PCA fails with a blur; a
# curved decoder may fail with a clean image of something else.

# %%
at, ranks = kerasae.report.figures.best_to_worst(errors[8][2], 6)
shown = x_test[at]
rows = [("image", shown, None), ("PCA, 8", pca[8].reconstruct(shown), errors[8][0][at]),
        ("autoencoder, 8", curved[8].reconstruct(shown), errors[8][2][at])]
fig, axes = plt.subplots(3, len(at), figsize=(6.6, 3.8))
for line, (name, images, values) in zip(axes, rows, strict=True):
    for column, ax in enumerate(line):
        ax.imshow(images[column, :, :, 0], cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        if values is not None:
            ax.set_xlabel(f"{values[column]:.4f}", fontsize=8.5)
    line[0].set_ylabel(name)
for ax, rank in zip(axes[0], ranks, strict=True):
    ax.set_title(f"rank {rank:.0%}", fontsize=9, loc="center")
learn.figure(fig, alt=f"{len(at)} test images, below them PCA's and the autoencoder's copies from "
             f"8 numbers, with MSE. The autoencoder's errors go from {errors[8][2][at][0]:.4f} to "
             f"{errors[8][2][at][-1]:.4f}, PCA's on the same images from "
             f"{errors[8][0][at].min():.4f} to {errors[8][0][at].max():.4f}.")

# %%
learn.claim("C2.7", "share of the test images on which the autoencoder beats clipped PCA",
            np.mean(errors[8][2] < errors[8][1]), ">")

# %% [markdown]
# ## 5. A code to walk through
#
# Two numbers are a point in a plane, so every code can be seen at once. What does the map look
# like? One measure: take the five nearest training codes of a test image, and let them vote for
# its digit. No label was used in training.

# %%
agree = {}
for name, ae in (("PCA", pca[2]), ("autoencoder", curved[2])):
    nearest = KNeighborsClassifier(5).fit(ae.encode(x_train), y_train)
    agree[name] = nearest.score(ae.encode(x_test), y_test)
learn.table([[name, share] for name, share in agree.items()],
            ["code of two numbers", "share of digits that five neighbours tell"])
learn.claim("C2.8", "the neighbours tell more digits than in the plane of PCA, by this share",
            agree["autoencoder"] - agree["PCA"], ">")

# %% [markdown]
# Now walk. Drag the point over the map, use the sliders, or press arrow keys: the image beside it
# is what the decoder makes of that place. Go from one digit to another, and out to where no code
# lies. (Where scripts are removed, a picture of the map stays.)

# %%
learn.explorer(curved[2], x_train, y_train, noun="digit", points=800)

# %% [markdown]
# Between two digits lie images that are no digit, and the map has holes and arms without order.
# Nothing in the loss asked for more. Lesson 07 gives the code a shape to draw from.

# %% [markdown]
# ## What is a good number?
#
# A floor of 0 that eight numbers cannot reach, the mean image as the ceiling, and in between the
# rival that costs nothing. A network that does not beat clipped PCA of equal size is not trained,
# or not needed.

# %%
values = {"autoencoder, 8 numbers": mse[8][2], "PCA, clipped": mse[8][1], "PCA": mse[8][0],
          "linear autoencoder": linear.score(x_test).mean(), "mean image": ceiling}
learn.table([[name, value, 100 * (1 - value / ceiling)] for name, value in values.items()],
            ["model", "test MSE", "removed of the mean image's error, %"])
print(f"PCA with 30 components: {features * of_pca[29]:.2f} squared error per test image")

# %% [markdown]
# Hinton and Salakhutdinov (2006) print 13.87 for this number, on MNIST with all of its training
# images. A baseline that can be recomputed to the second digit is worth more than a curve.
# `kerasae.evaluation.reconstruction_errors` puts PCA of equal size beside every model.

# %%
report = kerasae.evaluation.reconstruction_errors(curved[8], splits)
learn.table([[name, r["mse"], r["psnr"], r["ssim"]] for name, r in
             {"autoencoder": report["test"], **report["baselines"]}.items()],
            ["model", "MSE", "PSNR, dB", "SSIM"])

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the size that looked best on the test images is not as good on new ones
#
# The error cannot choose $k$: it falls with every number you add (C2.6). A task can, such as
# telling digits by their nearest neighbours. Below are 40 settings, eight sizes of PCA codes times
# five counts of neighbours. The best one is chosen on 100 test images, and its score on those is
# reported. That score has been picked for being high.
#
# **Museum.** The Keras blog on autoencoders, and most of what was copied from it, hands the test
# images to `fit` as `validation_data`. Whoever stops or chooses by that curve has chosen on the
# test images, and has none left to say how well it went.

# %%
sizes, neighbours = (2, 3, 4, 6, 8, 12, 20, 32), (1, 3, 5, 9, 15)
some, asked = slice(0, 3000), slice(0, 1500)
right = []
for k in sizes:
    codes = [(flat - mean) @ components[:, :k] for flat in (flat_train[some], flat_test[asked])]
    for n in neighbours:
        votes = KNeighborsClassifier(n).fit(codes[0], y_train[some]).predict(codes[1])
        right.append(votes == y_test[asked])
right = np.array(right)  # (settings, images): who told which digit
rng = np.random.default_rng(SEED)
reported, true = [], []
for _ in range(1000):
    order = rng.permutation(right.shape[1])
    chose, others = right[:, order[:100]].mean(axis=1), right[:, order[100:]].mean(axis=1)
    reported.append(chose.max())
    true.append(others[chose.argmax()])
print(f"on the 100 that chose {np.mean(reported):.3f}, on others {np.mean(true):.3f}")  # catches it

# %%
learn.claim("C2.9", "the images that chose flatter the chosen setting, by this share",
            np.mean(reported) - np.mean(true), ">")

# %% [markdown]
# Choose on the validation images, report on test images that chose nothing. That is what three
# splits are for.

# %% [markdown]
# ### Pitfall: eight numbers paid for, and some never used
#
# Symptom: the error is that of a smaller code. An activation was put on the code, most often ReLU.
# A ReLU unit that is negative for every image is always 0, gets no gradient, and mostly stays so.
#
# **Museum.** The Keras blog's first autoencoder, 784-32-784, has a ReLU on its code. Where a code
# is meant to be sparse this has its use (lesson 03). In a bottleneck it takes the negative half of
# each number away, and often some numbers altogether. How many depends on the seed; with some, none
# is lost, so nothing is claimed here. The code of `kerasae` is linear unless you say otherwise.

# %%
relu = model(8, code_activation="relu")
relu.compile(keras.optimizers.Adam(0.002))
relu.fit(x_train, epochs=EPOCHS, batch_size=64, verbose=0)
codes = {"linear": curved[8].encode(x_test), "ReLU": relu.encode(x_test)}
zeros = {name: np.mean(code == 0) for name, code in codes.items()}
never = {name: int((np.ptp(code, axis=0) == 0).sum()) for name, code in codes.items()}
print("numbers that never move:", np.flatnonzero(np.ptp(codes["ReLU"], axis=0) == 0))  # catches it
learn.table([[name, never[name], zeros[name], ae.score(x_test).mean()]
             for name, ae in (("linear", curved[8]), ("ReLU", relu))],
            ["code", "numbers that never move", "share of zeros", "test MSE"])

# %% [markdown]
# ## Exercises
#
# ### Exercise 2.1: count the parameters (2 minutes)
#
# A mirrored dense autoencoder is given by the widths of its encoder, such as `[784, 128, 64, 8]`.
# Each layer has a matrix and a bias. How many parameters does the whole model have? The table of
# section 1 lets you check.


# %%
def count_parameters(widths):
    """Return the number of parameters, encoder and decoder together."""
    return None  # your code


learn.exercise("2.1").check(count_parameters)


# %% tags=["solution"]
from itertools import pairwise


def count_parameters(widths):
    """Return the number of parameters, encoder and decoder together.

    A layer from a to b numbers has a * b weights and b biases; its mirror has a biases.
    """
    return sum(2 * a * b + a + b for a, b in pairwise(widths))


learn.exercise("2.1").check(count_parameters)

# %% [markdown]
# ### Exercise 2.2: PCA in five lines (10 minutes)
#
# Reconstruct samples from their `k` largest principal components, by a singular value
# decomposition: `np.linalg.svd(x, full_matrices=False)` gives $X = U S V^\top$.


# %%
def pca_reconstruct(x, k):
    """Return what k principal components keep of samples x, shape (n, features)."""
    return None  # your code


learn.exercise("2.2").check(pca_reconstruct)


# %% tags=["solution"]
def pca_reconstruct(x, k):
    """Return what k principal components keep of samples x, shape (n, features).

    The right singular vectors of the centred samples are the eigenvectors of their covariance.
    """
    mean = x.mean(axis=0)
    v = np.linalg.svd(x - mean, full_matrices=False)[2][:k].T
    return mean + (x - mean) @ v @ v.T


learn.exercise("2.2").check(pca_reconstruct)

# %% [markdown]
# ### Exercise 2.3: one number is enough (open)
#
# First guess the test error with `k = 1`, and train it. Then show that the size of the code alone
# bounds nothing: write an autoencoder with **one** number per sample that copies every training
# sample without any error. It may keep the training samples. What does it make of a sample that is
# not among them, and why is that no free lunch?


# %%
def one_number(x, train):
    """Return codes (n, 1) of samples x (n, features), and the reconstructions made from them."""
    return None  # your code


learn.exercise("2.3").check(one_number)


# %% tags=["solution"]
def one_number(x, train):
    """Return codes (n, 1) of samples x (n, features), and the reconstructions made from them.

    The code is the number of the nearest training sample, the decoder looks it up. It holds
    log2(len(train)) bits, its weights are the training samples, and it does not generalize:
    what is new becomes what is old.
    """
    distance = np.square(x[:, None] - train[None]).sum(axis=2)
    code = distance.argmin(axis=1)
    return code[:, None].astype(float), train[code]


learn.exercise("2.3").check(one_number)

# %% [markdown]
# ## Three questions
#
# **1. Your linear autoencoder has a smaller training error than PCA. What happened?**
#
# <details><summary>Answer</summary>
#
# A mistake in the comparison: another size of the code, PCA without centring, or PCA fitted on
# other samples. On the same samples it cannot be (C2.2). On *test* samples it may, by a hair.
#
# </details>
#
# **2. The weights of two trained linear autoencoders differ entirely. Is one of them wrong?**
#
# <details><summary>Answer</summary>
#
# No. Any basis of the subspace gives the same reconstruction: replace the code $z$ by $Az$ and the
# decoder $D$ by $DA^{-1}$. Compare subspaces, by principal angles, or errors.
#
# </details>
#
# **3. An autoencoder with 32 numbers is worse than PCA with 32. Is PCA the better model?**
#
# <details><summary>Answer</summary>
#
# For you, now, yes. But the network contains PCA's solution, nearly: it is not trained to the end,
# too narrow in its hidden layers, or trained on too few samples. With large codes the rival is
# strong and the gain small.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Undercomplete means a code smaller than the input; what it cannot hold is lost.
# - PCA is the best linear autoencoder: no training, an exact error, a floor for linear ones.
# - A curved one is judged beside clipped PCA of equal size, on images that chose nothing.
# - Compare subspaces and errors, not weights; leave the code linear.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 03](03_sparse.ipynb) makes the code larger than the input, and asks what keeps it from
# copying then.
#
# ### References
#
# - C. Eckart, G. Young, "The approximation of one matrix by another of lower rank",
#   *Psychometrika* 1, 1936, pages 211 to 218: the theorem of section 2.
# - P. Baldi, K. Hornik, "Neural networks and principal component analysis: learning from examples
#   without local minima", *Neural Networks* 2, 1989, section 2: linear autoencoders.
# - Å. Björck, G. H. Golub, "Numerical methods for computing angles between linear subspaces",
#   *Mathematics of Computation* 27, 1973, section 1: principal angles.
# - G. E. Hinton, R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks",
#   *Science* 313, 2006, pages 504 to 507.
# - G. C. Cawley, N. L. C. Talbot, "On over-fitting in model selection and subsequent selection bias
#   in performance evaluation", *JMLR* 11, 2010, section 5: choosing on test samples.
