# %% [markdown]
# # 07 · Variational autoencoders
#
# > A variational autoencoder learns a distribution: it pays for every nat in the code, and so the
# > prior N(0, I) becomes a place to draw new images from, which the codes of a plain autoencoder
# > are not.

# %% [markdown]
# ## Before you start
#
# **You will be able to** derive the evidence lower bound, say why the code is sampled as it is, and
# judge a model by its bound, its units and its samples.
#
# **Needs** [lesson 01](01_introduction.ipynb), expectations, the normal distribution. **Reading**
# 25 minutes, **running** {{running}} on two cores. **Data** handwritten digits: MNIST, or without a
# network the 1,797 digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import math

import keras
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
N_TRAIN = 20000  # training images
LATENT_DIM = 32  # numbers in the code
EPOCHS = 10  # passes over the training images
BATCH = 128  # images per step
N_SAMPLES = 1000  # generated images that are judged
N_SMALL = 1000  # images of the training that leaks
SEED = 0  # of the weights, the order of the images and all draws

# %%
learn.begin("07", globals())
splits = kerasae.data.load(DATA)
x_train, x_valid, x_test = (splits.array(name) for name in ("train", "validation", "test"))
x_train, x_valid, x_test = x_train[:N_TRAIN], x_valid[:1000], x_test[:1000]
SIZE = math.prod(splits.shape)
rng = np.random.default_rng(SEED)
print(f"{len(x_train):,} images to train on, {len(x_test):,} to test, {SIZE} pixels each")


def train(variant="variational", x=x_train, epochs=EPOCHS, watch=None, **options):
    """Return a trained model and its history; seed, network and loss are always the same."""
    keras.utils.set_random_seed(SEED)
    options = {"latent_dim": LATENT_DIM, "hidden": (256, 128), **options}
    ae = kerasae.build(variant, splits.shape, input_dtype=splits.dtype, loss="bce", **options)
    ae.compile()
    done = ae.fit(x, epochs=epochs, batch_size=BATCH, validation_data=watch, verbose=0)
    print(f"trained: {variant}, {options}, loss {done.history['loss'][-1]:.4g}")
    return ae, done.history


# %% [markdown]
# ## Predict first
#
# Let $z$ be normal with mean $\mu = 1$ and variance 1. You want the slope of $\mathbb E[z^2]$ with
# respect to $\mu$, from random draws. One estimator moves each draw along with the mean; another
# leaves the draws where they are and reweights them. Both are right on average. **How many draws
# does the second need where the first needs one?** Write a number instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. A bound on the evidence
#
# A plain autoencoder maps; a *latent variable model* says how images come to be. First a code is
# drawn, then an image from it.
#
# | symbol | in code | what it is |
# |---|---|---|
# | $p(z) = \mathcal N(0, I)$ | `prior` | distribution of codes before any image is seen |
# | $p(x \mid z)$ | the decoder | distribution of images given a code, here Bernoulli per pixel |
# | $q(z \mid x) = \mathcal N(\mu, \mathrm{diag}\, v)$ | the encoder | codes behind an image |
# | $\mu, \ln v$ | `z_mean`, `z_log_var` | what the encoder computes |
# | $\beta$ | `kl_weight` | factor of the KL term, 1 in the derivation |
#
# The likelihood of an image is $p(x) = \int p(x \mid z)\, p(z)\, dz$, its logarithm is called the
# *evidence*. The integral is out of reach. But for **any** distribution $q(z)$, by Bayes' rule,
#
# $$\ln p(x) = \underbrace{\mathbb E_q \ln p(x \mid z) - \mathrm{KL}(q(z) \,\|\, p(z))}
# _{\text{evidence lower bound, ELBO}} + \mathrm{KL}(q(z) \,\|\, p(z \mid x)).$$
#
# The last term is never negative. So the ELBO is a lower bound, and the gap says how far $q$ is
# from the true posterior. Training raises the bound in decoder and encoder at once; its negative
# is the loss: **reconstruction plus KL**.
#
# One case can be computed in full: one pixel, one latent, $x \sim \mathcal N(wz, \sigma^2)$.

# %%
w, sigma, x = 2.0, 0.5, 1.2
total = w**2 + sigma**2  # variance of x
evidence = -0.5 * x**2 / total - 0.5 * np.log(2 * np.pi * total)
true_mean, true_stddev = w * x / total, sigma / np.sqrt(total)


def elbo(m, s):
    """Bound with q = N(m, s^2): expected log-likelihood less KL from the prior."""
    fit = -((x - w * m) ** 2 + w**2 * s**2) / (2 * sigma**2) - 0.5 * np.log(2 * np.pi * sigma**2)
    return fit - 0.5 * (s**2 + m**2 - 1 - 2 * np.log(s))


m, s = rng.normal(size=1000), rng.uniform(0.05, 2, 1000)  # a thousand distributions q
gap = (s**2 + (m - true_mean) ** 2) / (2 * true_stddev**2) - 0.5 + np.log(true_stddev / s)
learn.claim("C7.1", "the evidence less the bound is the KL from q to the true posterior, for any q",
            np.abs((evidence - elbo(m, s) - gap) / gap).max(), "<", 1e-6)

# %%
fig, ax = plt.subplots(figsize=(6.8, 3.3))
places = np.linspace(true_mean - 0.9, true_mean + 0.9, 181)
for factor, words in ((1, "true width"), (2, "twice as wide"), (0.4, "too narrow")):
    values = elbo(places, factor * true_stddev)
    ax.plot(places, values, label=words)
ax.legend(loc="lower center", title="q")
ax.axhline(evidence, color="#222222", linewidth=1)
ax.annotate("evidence ln p(x)", (places[0], evidence), (0, 4), textcoords="offset points")
ax.set(xlabel="mean of q", ylabel="nats", ylim=(evidence - 4, evidence + 0.6),
       title="the bound touches the evidence at the true posterior")
learn.figure(fig, alt="The bound against the mean of q, for three widths of q: parabolas below "
             f"the evidence of {evidence:.2f} nats. Only the one with the true width touches it, "
             f"at the true mean {true_mean:.2f}; with twice the width it stays "
             f"{evidence - elbo(true_mean, 2 * true_stddev):.2f} nats below.")

# %% [markdown]
# **The KL term in closed form.** Between two Gaussians the integral is known. With the prior
# N(0, I),
#
# $$\mathrm{KL} = \tfrac12 \sum_j \left(v_j + \mu_j^2 - 1 - \ln v_j\right),$$
#
# a **sum** over the numbers of the code. Below it is compared with the layer that `kerasae` uses,
# and with what the definition says: the mean of $\ln q(z) - \ln p(z)$ over draws from $q$.

# %%
mean, log_var = np.array([0.8, -0.3, 0.0]), np.array([-1.0, 0.4, 0.0])
closed = 0.5 * np.sum(np.exp(log_var) + mean**2 - 1 - log_var)
layer = kerasae.layers.GaussianSampling(seed=SEED)
pair = [np.float32(mean[None]), np.float32(log_var[None])]
by_layer = float(layer.divergence(*pair))
noise = rng.normal(size=(200_000, 3))
z = mean + np.exp(log_var / 2) * noise
values = 0.5 * np.sum(z**2 - noise**2 - log_var, axis=1)  # ln q(z) - ln p(z) of each draw
error = values.std() / np.sqrt(len(values))
learn.table([["closed form", closed], ["layer of kerasae", by_layer],
             [f"Monte Carlo, standard error {error:.4f}", values.mean()]],
            ["how", "KL, nats"])
learn.claim("C7.2", "the closed KL agrees with Monte Carlo, in standard errors",
            abs(values.mean() - closed) / error, "<", 4)

# %% [markdown]
# ## 2. The gradient of an expectation
#
# The reconstruction term is an expectation over $q$, and $q$ depends on the weights of the encoder.
# How does a gradient get through a random draw? Two ways, for $z \sim \mathcal N(\mu, 1)$ and any
# $f$:
#
# $$\text{pathwise: } \frac{\partial}{\partial\mu} \mathbb E f(\mu + \epsilon)
# = \mathbb E f'(\mu + \epsilon), \qquad
# \text{score function: } \frac{\partial}{\partial\mu} \mathbb E f(z)
# = \mathbb E\left[f(z)\, \frac{\partial \ln q(z)}{\partial\mu}\right] = \mathbb E[f(z)(z-\mu)].$$
#
# The first writes $z = \mu + \epsilon$, so that the randomness does not depend on $\mu$: the
# *reparameterization*. It needs the slope of $f$. The second needs values of $f$ only (REINFORCE).
# For $f = z^2$ the truth is $2\mu$, and both variances have a closed form: 4, and
# $\mu^4 + 14\mu^2 + 15$, which is 30 at $\mu = 1$.

# %%
noise = rng.normal(size=1_000_000)
z = 1 + noise
pathwise, score = 2 * z, z**2 * noise
learn.table([["pathwise", pathwise.mean(), pathwise.var(), 4],
             ["score function", score.mean(), score.var(), 30]],
            ["estimator", "mean", "variance", "variance in theory"])
learn.reveal(guess, score.var() / pathwise.var(), "draws of the second for one of the first")
learn.claim("C7.3", "score function over pathwise variance is 30 / 4, to within 5 %",
            abs(score.var() / pathwise.var() / 7.5 - 1), "<", 0.05)

# %% [markdown]
# With one number in the code that is a nuisance. With $d$ of them and $f = \|z\|^2$ the pathwise
# variance stays 4, and that of the score function is $30 + 22(d-1) + 4(d-1)^2$: every other number
# adds noise to the slope of this one.

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2))
bins = np.linspace(-20, 60, 161)
for name, values in (("score function", score), ("pathwise", pathwise)):
    axes[0].hist(values, bins, density=True, histtype="step", linewidth=1.6, label=name)
axes[0].axvline(2, color="#222222", linewidth=1)
axes[0].set(yscale="log", xlim=(-12, 26), ylim=(1e-4, 1), xlabel="estimate from one draw",
            title="density")
axes[0].legend(loc="upper right")
sizes = np.array([1, 2, 4, 8, 16, 32])
measured = []
for d in sizes:
    e = rng.normal(size=(20_000, d))
    measured.append(np.var(np.square(1 + e).sum(axis=1) * e[:, 0]))
theory = 30 + 22 * (sizes - 1) + 4 * (sizes - 1) ** 2
axes[1].loglog(sizes, measured, "o", color="#0072B2", label="score function, measured")
axes[1].loglog(sizes, theory, "-", color="#0072B2", label="score function, theory")
axes[1].loglog(sizes, np.full(6, 4), "s--", color="#D55E00", label="pathwise")
axes[1].set(xlabel="numbers in the code", title="variance of one draw", ylim=(2, 3e4))
axes[1].legend(loc="upper left")
learn.figure(fig, alt="Left: estimates of a slope of 2 from one draw. Those of the pathwise "
             "estimator lie between -8 and 12, those of the score function have a peak at 0 and a "
             "long tail to the right. "
             f"Right: variance against the size of the code: 4 for pathwise, 30 to {theory[-1]:,} "
             "for the score function.")

# %% [markdown]
# So the code is $z = \mu + \sqrt v\,\epsilon$. The encoder computes $\ln v$, which may be any
# number, and $\sqrt v$ is `exp(z_log_var / 2)`. Without the half, the loss falls all the same, and
# the noise is wrong for every variance but 1. Measure it: draw, and compare variances.

# %%
start = np.full((100_000, 1), -2.0, "float32")  # z_log_var; z_mean is 0
right = np.array(layer([0 * start, start], training=True))
wrong = np.exp(start) * rng.normal(size=start.shape)
learn.table([["asked for, exp(z_log_var)", np.exp(-2.0)],
             ["layer of kerasae, exp(z_log_var / 2)", right.var()],
             ["slip, exp(z_log_var)", wrong.var()]],
            ["factor of the noise", "variance of z"])
learn.claim("C7.4", "the variance of the code is exp(z_log_var), to within 3 %",
            abs(right.var() / np.exp(-2.0) - 1), "<", 0.03)

# %% [markdown]
# ## 3. Training, and a tighter bound
#
# `kerasae.build("variational", ...)` puts it together. Its loss is in nats per image: the
# reconstruction is summed over pixels, the KL over the code.

# %%
vae, history = train(watch=x_valid)
learn.figure(kerasae.report.figures.learning_curves(history))

# %% [markdown]
# Watch the two parts. The KL **rises**: the model learns that information in the code is worth its
# price. A falling KL with a rising reconstruction would say the opposite.
#
# The ELBO has one draw per image. With $k$ draws the same model gives a tighter bound (Burda et
# al.), by Jensen's inequality:
#
# $$L_k = \mathbb E \ln \frac1k \sum_{i=1}^k \frac{p(x \mid z_i)\,p(z_i)}{q(z_i \mid x)},
# \qquad L_1 = \mathrm{ELBO} \le L_k \le \ln p(x).$$

# %%
bounds = kerasae.evaluation.variational(vae, x_test[:500], samples=(1, 5, 50), seed=SEED)
rows = [["ELBO", bounds["elbo_nats"]]]
rows += [[f"L_{k}", entry["nats"]] for k, entry in bounds["importance_weighted"].items()]
learn.table(rows, ["bound, test images", "nats per image"])
print(bounds["note"])
learn.claim("C7.5", "the bound with 50 draws is above the ELBO, by nats",
            bounds["importance_weighted"]["50"]["nats"] - bounds["elbo_nats"], ">", 0)

# %% [markdown]
# ## 4. What the code became
#
# The KL pulls the codes of each image towards the prior. Taken together, the codes of **all**
# images should then fill it: the *aggregated posterior* $\frac1n \sum_x q(z \mid x)$ should look
# like N(0, I). Here are its mean and standard deviation, number by number, beside those of a plain
# autoencoder with the same network.


# %%
def posterior(ae, x):
    """Return z_mean and z_log_var of raw images, arrays (n, latent_dim)."""
    heads = keras.Model(ae.bottleneck.input, ae.bottleneck.get_layer("z").input)
    return [np.array(part) for part in heads(ae.encoder_network(x / np.float32(255)))]


plain, _ = train("undercomplete")
mean, log_var = posterior(vae, x_test)
z = mean + np.exp(log_var / 2) * rng.normal(size=mean.shape)
codes = plain.encode(x_test)
off = np.abs(z.std(axis=0) - 1).max()
learn.claim("C7.6", "over all images, no number of the code has a standard deviation far from 1",
            off, "<")

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
for ax, values, name in ((axes[0], z, "variational"), (axes[1], codes, "plain")):
    order = np.argsort(-mean.var(axis=0)) if values is z else np.argsort(-values.std(axis=0))
    ranks = np.arange(1, values.shape[1] + 1)
    ax.axhline(0, color="#6B6B6B", linewidth=0.8)
    for sign in (-1, 1):
        ax.axhline(sign, color="#6B6B6B", linewidth=0.8, linestyle=":")
    ax.errorbar(ranks, values.mean(axis=0)[order], values.std(axis=0)[order], fmt="o",
                color="#0072B2", markersize=3.5, linewidth=1)
    ax.set(xlabel="number of the code, by rank", title=f"{name}: mean ± standard deviation")
axes[0].set(ylabel="code")
learn.figure(fig, alt=f"Mean and standard deviation of each of {z.shape[1]} numbers of the code. "
             f"Variational: all close to 0 ± 1, standard deviations {z.std(axis=0).min():.2f} to "
             f"{z.std(axis=0).max():.2f}. Plain: standard deviations "
             f"{codes.std(axis=0).min():.1f} to {codes.std(axis=0).max():.1f}."
             )

# %% [markdown]
# Does every number of the code say something? A number whose mean does not move with the image has
# *collapsed*: $q = p$, a KL of 0, pure noise to the decoder. The model gave it up because it would
# cost more than it brings. Units are called active where the variance of `z_mean` is above 0.01.
# The figure counts them, and shows that those which are active differ widely in what they carry.

# %%
kl = np.array(bounds["kl_per_dimension"])
active = mean[:500].var(axis=0) > 0.01
learn.figure(kerasae.report.figures.kl_per_dimension(kl, active))

# %% [markdown]
# **The price of a nat.** Weigh the KL by $\beta$: below 1 the code is cheap, above 1 dear. Two more
# models, one with $\beta$ of one over the size of the code, one with the number of pixels. The
# second is what you get if the reconstruction is **averaged** over pixels and the KL is summed.

# %%
models = {1: vae}
for beta in (1 / LATENT_DIM, SIZE):
    models[beta], _ = train(kl_weight=beta)
judged = {beta: kerasae.evaluation.variational(ae, x_test[:500], samples=4, seed=SEED)
          for beta, ae in sorted(models.items())}
columns = ["reconstruction_nats", "kl_nats", "elbo_nats", "active_units"]
learn.table([[f"{beta:.4g}", *(found[c] for c in columns)] for beta, found in judged.items()],
            ["beta", "reconstruction", "KL", "ELBO", "active units"])

# %%
learn.claim("C7.7", "the ELBO of the model with beta 1 is above that of the others, by nats",
            judged[1]["elbo_nats"] - max(judged[beta]["elbo_nats"] for beta in models if beta != 1),
            ">")
learn.claim("C7.8", "active units with beta = the number of pixels: posterior collapse",
            judged[SIZE]["active_units"], "<")

# %% [markdown]
# The ELBO in the table has factor 1. With a cheap code the reconstruction is sharp, and the code
# costs more than it brings. With a dear one the code is empty, and the model prints the mean image
# whatever it sees. Where collapse comes from optimization and not from the price,
# `kerasae.schedules.Warmup` for `kl_weight` lets the code become useful before it has to pay, and
# `free_bits` makes the first nats free.

# %% [markdown]
# ## 5. Generation
#
# Draw a code from the prior, decode it: a new image. `vae.generate(n)` does so. The plain
# autoencoder has a decoder too. What does it make of codes from N(0, I)?

# %%
normal = np.random.default_rng(SEED).normal(size=(N_SAMPLES, LATENT_DIM)).astype("float32")
made = {"real images": x_test, "variational, prior": vae.generate(N_SAMPLES, seed=SEED),
        "plain, N(0, I)": plain.decode(normal)}
fig, axes = plt.subplots(1, 3, figsize=(6.6, 2.3))
for ax, (name, images) in zip(axes, made.items(), strict=True):
    kerasae.report.figures.image_grid(images[:16], 4, ax, value_range=(0, 255))
    ax.set_title(name)
bright = {name: images[:16].mean() / 255 for name, images in made.items()}
learn.figure(fig, alt="Three sheets of 16 images: real digits, mean brightness "
             f"{bright['real images']:.0%}; digits generated from the prior, "
             f"{bright['variational, prior']:.0%}, most of them readable; and what the plain "
             f"autoencoder decodes from N(0, I), {bright['plain, N(0, I)']:.0%}, blots."
             )

# %% [markdown]
# Eyes are easily pleased. An independent judge: a small classifier that is trained on labelled real
# images and knows nothing of either model. `sample_quality` compares what it sees in generated and
# in real images. The *Fréchet distance* is 0 for equal distributions; *precision* is the share of
# generated images among the real ones, *recall* the share of real ones among the generated.

# %%
plain.fit_sampler(x_train)  # one Gaussian with the mean and covariance of the codes
candidates = {"variational, prior": vae, "plain, N(0, I)": made["plain, N(0, I)"],
              "plain, fitted Gaussian": plain}
quality = {name: kerasae.evaluation.sample_quality(given, splits, n=N_SAMPLES, seeds=1, seed=SEED)
           for name, given in candidates.items()}
rows = [[name, found["frechet_distance"], found["precision"], found["recall"]]
        for name, found in quality.items()]
floor = quality["variational, prior"]["reference_distance"]
learn.table([*rows, ["real images (floor)", floor, "", ""]],
            ["samples", "Fréchet distance", "precision", "recall"])
ratio = (quality["plain, N(0, I)"]["frechet_distance"]
         / quality["variational, prior"]["frechet_distance"])
learn.claim("C7.9", "N(0, I) codes of the plain model are this many times farther from real images",
            ratio, ">")

# %% [markdown]
# The third row is the honest rival: fit a Gaussian to the codes of the plain model, and draw from
# that. It repairs most of the damage, which was that the codes lie elsewhere, and may well come
# closer to the real images than the variational model: this judge knows nothing of likelihoods. But
# it is a second model, of the codes. The variational model needs none, and has a bound.
#
# Between two images the codes lead through plausible ones:

# %%
ways = vae.interpolate(x_test[:3], x_test[4:7], steps=9)
ax = plt.figure(figsize=(5.6, 2.2)).gca()
learn.figure(kerasae.report.figures.interpolations(ways, ax, value_range=(0, 255)))

# %% [markdown]
# With two numbers in the code the whole model fits on a page. The map is laid out by **quantiles**
# of the prior: each tile stands for the same share of what the model would generate.

# %%
flat, _ = train(latent_dim=2, hidden=(24, 128), epochs=3 * EPOCHS // 2)
tiles = flat.manifold(9)
ax = plt.figure(figsize=(3.6, 3.6)).gca()
learn.figure(kerasae.report.figures.manifold(tiles, ax, value_range=(0, 255)))

# %% [markdown]
# ## What is a good number?
#
# Nats per image, in total what reconstruction and code cost. The **ceiling** is a model without a
# code: every pixel a coin with the probability of the mean image. The **floor**, for grey pixels,
# is the BCE of a perfect copy (lesson 01), reached only by a code that is free. The plain model
# reconstructs better and pays nothing for its code: it is no rival, since it says nothing about
# which codes are probable.

# %%
t = x_test[:500] / 255.0


def cost(p):
    """Nats per image of predictions p, as a Bernoulli likelihood."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.mean(np.sum(t * np.log(p) + (1 - t) * np.log(1 - p), axis=(1, 2, 3)))


ceiling, floor = cost((x_train / 255.0).mean(axis=0)), cost(t)
best = -bounds["importance_weighted"]["50"]["nats"]
rest = cost(plain.reconstruct(x_test[:500]) / 255)
learn.table(
    [["mean image (ceiling)", ceiling, 0.0, ceiling],
     ["variational", bounds["reconstruction_nats"], bounds["kl_nats"], -bounds["elbo_nats"]],
     ["variational, 50 draws", "", "", best],
     ["plain autoencoder", rest, "not priced", ""], ["perfect copy (floor)", floor, "", floor]],
    ["model, nats per test image", "reconstruction", "code", "in all"])
learn.claim("C7.10", "the model removes this share of what lies between ceiling and floor",
            (ceiling + bounds["elbo_nats"]) / (ceiling - floor), ">")

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: sharp reconstructions, and a KL far above its price
#
# **Museum.** In the variational autoencoder of chapter 17 of *Deep Learning with Python*, third
# edition, the reconstruction is summed over pixels, and the KL is averaged over images **and** over
# the numbers of the code. That is the KL divided by $d$, which makes it a model with
# $\beta = 1/d$: the loss is no bound any more, and the code costs more nats than it saves, as the
# table of section 4 shows.
#
# The cell needs no second training: it takes the KL of the codes of section 3 both ways. The factor
# between them is $d$, whatever the codes are.

# %%
terms = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)  # (images, latent_dim)
slip, right = terms.mean(), terms.sum(axis=1).mean()
print(f"averaged {slip:.3f}, summed {right:.3f} nats: a factor {right / slip:.1f}")  # catches it
learn.claim("C7.11", "averaged over the code, the KL is the KL over d",
            abs(right / slip / LATENT_DIM - 1), "<", 1e-6)
learn.claim("C7.12", "trained with the slip, the code costs this many times the nats",
            judged[1 / LATENT_DIM]["kl_nats"] / judged[1]["kl_nats"], ">")

# %% [markdown]
# ### Pitfall: a class is missing from the map
#
# **Museum.** The VAE example of keras.io, and chapter 17 of *Deep Learning with Python*, third
# edition, draw the 2-D map over the square from -1 to 1 in steps of equal length. Under the prior
# that square holds $\mathrm{erf}(1/\sqrt2)^2 = 46.6\,\%$: more than half of what the model
# generates is not on the map. Use quantiles of the prior.

# %%
draws = rng.normal(size=(100_000, 2))
print(f"on the map: {np.mean((np.abs(draws) <= 1).all(axis=1)):.1%} of the prior")  # catches it
inside = math.erf(1 / math.sqrt(2)) ** 2
learn.claim("C7.13", "share of the prior in the square", inside, "<", 0.467)
places, labels = flat.encode(x_test), splits.labels["test"][: len(x_test)]
width = math.sqrt(inside)  # the square is the central share `width` in each direction
fig, axes = plt.subplots(1, 2, figsize=(6.6, 3))
kerasae.report.figures.code_map(places[:300], labels[:300], splits.class_names, axes[0])
axes[0].add_patch(Rectangle((-1, -1), 2, 2, fill=False, linewidth=2, edgecolor="#222222"))
axes[0].set(title="test images, and the square", aspect="equal")
kerasae.report.figures.manifold(
    flat.manifold(7, width), axes[1], coverage=width, value_range=(0, 255)
)
axes[1].set(title="what the square shows", xlabel="quantile, code dimension 0",
            ylabel="quantile, code dimension 1")
shown = np.mean((np.abs(places) <= 1).all(axis=1))
learn.figure(fig, alt=f"Left: codes of test images, by class, and the square from -1 to 1, which "
             f"holds {shown:.0%} of them. Right: the map over that square alone, a part of the map "
             "above.")

# %% [markdown]
# ### Pitfall: the test error is as good as the training error
#
# **Museum.** The VAE example of keras.io and chapter 17 of *Deep Learning with Python*, third
# edition, join training and test images before training. The model has then seen every image that
# it could be tested on.
#
# Below a small training set is joined with half of the test images; the other half stays apart. One
# half may be easier than the other: the model of section 3, which saw neither, says by how much.

# %%
half = len(x_test) // 2
leaked, fresh = x_test[:half], x_test[half : 2 * half]
joined = np.concatenate([x_train[:N_SMALL], leaked])


def shared(train, test):
    """Return how many test images are among the training images, byte for byte."""
    seen = {image.tobytes() for image in train}
    return sum(image.tobytes() in seen for image in test)


print(f"joined: {shared(joined, leaked)} of {half} test images are trained on")  # catches it
learn.claim("C7.14", "test images among the training images of this lesson",
            shared(x_train, x_test), "==", 0)

# %%
careless, _ = train(x=joined, epochs=4 * EPOCHS)
found = {name: [kerasae.evaluation.variational(ae, x, samples=4, seed=SEED)["elbo_nats"]
                for x in (leaked, fresh)]
         for name, ae in (("joined", careless), ("of section 3", vae))}
learn.table([[name, *pair, pair[0] - pair[1]] for name, pair in found.items()],
            ["model", "ELBO, the half that leaked", "the other half", "difference"])
gains = [pair[0] - pair[1] for pair in found.values()]
learn.claim("C7.15", "trained on, the half that leaked gains this many nats, beyond being easier",
            gains[0] - gains[1], ">")

# %% [markdown]
# ## Exercises
#
# ### Exercise 7.1: sample the code (2 minutes)
#
# Return codes for given means, logarithms of variances and standard normal noise, all of one shape.


# %%
def sample(z_mean, z_log_var, noise):
    """Return reparameterized codes, in the shape of z_mean."""
    return None  # your code


learn.exercise("7.1").check(sample)


# %% tags=["solution"]
def sample(z_mean, z_log_var, noise):
    """Return reparameterized codes, in the shape of z_mean."""
    return z_mean + np.exp(z_log_var / 2) * noise


learn.exercise("7.1").check(sample)

# %% [markdown]
# ### Exercise 7.2: the KL between two Gaussians (10 minutes)
#
# The prior need not be N(0, I). Derive the KL of $\mathcal N(\mu, v)$ from $\mathcal N(m, s)$ for
# one number, with variances $v$ and $s$, from $\mathbb E_q[\ln q - \ln p]$. Then write it for codes
# `(n, d)` with means and logarithms of variances, one value per image.


# %%
def kl(z_mean, z_log_var, prior_mean, prior_log_var):
    """Return the KL of each image in nats, shape (n,); all inputs (n, d)."""
    return None  # your code


learn.exercise("7.2").check(kl)


# %% tags=["solution"]
def kl(z_mean, z_log_var, prior_mean, prior_log_var):
    """Return the KL of each image in nats, shape (n,); all inputs (n, d).

    E_q ln q = -(ln(2 pi v) + 1) / 2 and E_q ln p = -(ln(2 pi s) + (v + (mu - m)^2) / s) / 2.
    """
    ratio = np.exp(z_log_var - prior_log_var)
    shift = (z_mean - prior_mean) ** 2 * np.exp(-prior_log_var)
    return 0.5 * np.sum(ratio + shift - 1 - (z_log_var - prior_log_var), axis=1)


learn.exercise("7.2").check(kl)

# %% [markdown]
# ### Exercise 7.3: the importance-weighted bound (open)
#
# Write $L_k$ for logarithms of weights, $\ln p(x \mid z) + \ln p(z) - \ln q(z \mid x)$, of shape
# `(n, k)`. They lie around -100 or -1000, where `exp` gives 0. Go further: plot $L_k$ against $k$
# for your model, and sweep $\beta$. Which $\beta$ has the best ELBO, which the best $L_{50}$, which
# the best samples? They need not agree.


# %%
def bound(log_weights):
    """Return the bound of each image in nats, shape (n,)."""
    return None  # your code


learn.exercise("7.3").check(bound)


# %% tags=["solution"]
def bound(log_weights):
    """Return the bound of each image in nats, shape (n,).

    The largest weight is taken out, so that exp neither overflows nor leaves nothing.
    """
    top = log_weights.max(axis=1, keepdims=True)
    return top[:, 0] + np.log(np.mean(np.exp(log_weights - top), axis=1))


learn.exercise("7.3").check(bound)

# %% [markdown]
# ## Three questions
#
# **1. A KL term of 0 on all images: is that good?**
#
# <details><summary>Answer</summary>
#
# No. Then $q(z \mid x) = p(z)$ whatever the image is: the code says nothing, and the decoder prints
# one image. That is posterior collapse (C7.8).
#
# </details>
#
# **2. Why is the gradient not simply passed through the sampling step as it is?**
#
# <details><summary>Answer</summary>
#
# A draw from $\mathcal N(\mu, v)$ has no derivative with respect to $\mu$, until the randomness is
# taken out of it: $z = \mu + \sqrt v\,\epsilon$ is a smooth function of $\mu$ and $v$ for a fixed
# $\epsilon$.
#
# </details>
#
# **3. Two papers report 100 and 105 nats. Which questions do you ask before you compare?**
#
# <details><summary>Answer</summary>
#
# Which pixels (grey, or made black and white, and how)? Which bound (ELBO, or $L_k$ with which
# $k$)? Which images (test images, never seen)? Which factor before the KL?
#
# </details>

# %% [markdown]
# ## Summary
#
# - The loss is a bound: reconstruction plus KL, both summed, in nats per image.
# - Reparameterization is the estimator with the small variance; its factor is `exp(z_log_var / 2)`.
# - The KL makes all codes together fill the prior; where its price is too high, units go silent.
# - Judge by the bound beside floor and ceiling, by active units, and by an independent judge.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# The model with two numbers, to play with: drag the point over the prior, and see what it decodes
# to. Darker is more probable under the prior; lines are its quantiles. Leave the shaded region, and
# the digits fall apart.

# %%
learn.explorer(
    flat, x_train, splits.labels["train"][: len(x_train)], class_names=splits.class_names,
    noun="digit", points=400,
)

# %% [markdown]
# [Lesson 08](08_dimension_reduction.ipynb) writes an autoencoder without any framework.
#
# ### References
#
# - D. P. Kingma, M. Welling, "Auto-encoding variational Bayes", 2014, section 2.2, equations (1) to
#   (3): the bound; section 2.4: reparameterization; equation (10): the loss; figure 4: the map.
# - D. J. Rezende, S. Mohamed, D. Wierstra, "Stochastic backpropagation and approximate inference in
#   deep generative models", 2014, section 3: gradients through random variables.
# - R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
#   reinforcement learning", *Machine Learning* 8, 1992, section 4: the score function.
# - Y. Burda, R. Grosse, R. Salakhutdinov, "Importance weighted autoencoders", 2015, equation (8):
#   the tighter bound; section 5: active units.
# - I. Higgins et al., "beta-VAE", 2017, equation (4): the factor before the KL.
# - M. D. Hoffman, M. J. Johnson, "ELBO surgery", 2016, section 2: the aggregated posterior.
# - S. R. Bowman et al., "Generating sentences from a continuous space", 2016, section 3.1:
#   collapse, and a warm-up of the KL.
# - M. Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
#   equilibrium", 2017, equation (6): the Fréchet distance.
