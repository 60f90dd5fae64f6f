# %% [markdown]
# # 04 · Denoising
#
# > Trained to give back the clean sample from a damaged one, a network learns the mean of all
# > samples that could have been behind the damage; clipping and a linear filter are the rivals
# > it has to beat.

# %% [markdown]
# ## Before you start
#
# **You will be able to** train a denoising autoencoder on images and on a signal, compare it with
# the best linear filter, and say what its correction means: it points to where data are likelier.
#
# **Needs** [lesson 01](01_introduction.ipynb), covariance matrices. **Reading** 20 minutes,
# **running** {{running}} on two cores. **Data** MNIST, or without a network the digits of
# scikit-learn; a signal and a ring that are drawn here. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import keras
import numpy as np
from matplotlib import pyplot as plt
from scipy.special import i0e, i1e

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
LIMIT = 20000  # images for training, validation and test together
SIGMA = 0.5  # standard deviation of the noise, where 1 is from black to white
FACTOR = 4  # pixels on the edge of a block, for low resolution
EPOCHS = 8  # passes over the training images
FEW = 2000  # training images of the last pitfall
STEPS = 20000  # time steps of the signal
SEED = 0  # of the weights, the noise and what is drawn

# %%
learn.begin("04", globals())
splits = kerasae.data.load(DATA, limit=LIMIT)
train, clean = (splits.array(name) / 255.0 for name in ("train", "test"))
rng = np.random.default_rng(SEED)
noisy = clean + rng.normal(scale=SIGMA, size=clean.shape)


def psnr(clean, guess):
    """Peak signal-to-noise ratio of guesses of values in [0, 1], in dB."""
    return float(kerasae.metrics.psnr(np.mean((clean - guess) ** 2)))


print(f"{len(train):,} images to train on, {len(clean):,} to test, each {clean.shape[1:]}")

# %% [markdown]
# ## Predict first
#
# Add Gaussian noise of standard deviation `SIGMA` to images whose pixels lie in [0, 1]. Many noisy
# pixels now lie below 0 or above 1. Set those to 0 and to 1: one line, no learning. **How many
# decibels does this gain?** A gain of 3 dB is half of the squared error. Write a number instead of
# `None`.

# %%
guess = None

# %% [markdown]
# ## 1. Rivals that learn nothing
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `clean` | a sample, $d$ numbers |
# | $\tilde x$ | `noisy` | the damaged sample; here $x + \sigma\epsilon$, $\epsilon \sim N(0, I)$ |
# | $\sigma$ | `SIGMA` | standard deviation of the noise |
# | $r(\tilde x)$ | `reconstruction` | the guess of $x$ |
# | $\mu, \Sigma$ | `mean`, `covariance` | of the clean training samples |
#
# Guesses are judged by the mean squared error (MSE) to the **clean** sample, in decibels: the peak
# signal-to-noise ratio
#
# $$\mathrm{PSNR} = 10\log_{10}\frac{1}{\mathrm{MSE}}.$$
#
# The MSE of the noisy image is $\sigma^2$, so its PSNR is $-20\log_{10}\sigma$, whatever it shows.

# %%
given, clipped = psnr(clean, noisy), psnr(clean, np.clip(noisy, 0, 1))
learn.reveal(guess, clipped - given, "gain from clipping, in dB")
learn.claim("C4.1", "the PSNR of the noisy images is that of the noise alone",
            abs(given + 20 * np.log10(SIGMA)), "<", 0.3)
learn.claim("C4.2", "clipping alone gains, in dB", clipped - given, ">")

# %% [markdown]
# Most pixels of these images are black, and clipping repairs half of the noise on them. Next, the
# best **linear** guess. Noise and image are independent, so the noisy image has the covariance
# $\Sigma + \sigma^2 I$, and least squares gives
#
# $$r(\tilde x) = \mu + \Sigma\,(\Sigma + \sigma^2 I)^{-1}(\tilde x - \mu).$$
#
# This is the *Wiener filter*. Written in principal components it is simple. A component with the
# variance $\lambda$ is multiplied by $\lambda/(\lambda+\sigma^2)$: kept where the data vary more
# than the noise, dropped where they vary less.

# %%
flat_train = train.reshape(len(train), -1)
mean, covariance = flat_train.mean(axis=0), np.cov(flat_train.T, bias=True)
variances, directions = np.linalg.eigh(covariance)
variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1]


def wiener(noisy, sigma):
    """Return the best linear guess of images under Gaussian noise, clipped to [0, 1]."""
    code = (noisy.reshape(len(noisy), -1) - mean) @ directions
    code *= variances / (variances + sigma**2)
    return np.clip(mean + code @ directions.T, 0, 1).reshape(noisy.shape)


linear = psnr(clean, wiener(noisy, SIGMA))
print(f"noisy {given:.2f} dB, clipped {clipped:.2f} dB, Wiener filter {linear:.2f} dB")

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.2))
places = np.arange(1, len(variances) + 1)
levels = (0.1, SIGMA, 2.0)
kept = [variances / (variances + level**2) for level in levels]
for level, factors in zip(levels, kept, strict=True):
    ax.plot(places, factors)
    middle = np.argmin(np.abs(factors - 0.5))
    ax.annotate(f"noise {level:g}", (places[middle], factors[middle]), (6, 4),
                textcoords="offset points")
ax.set(xlabel="principal component", ylabel="factor", xscale="log", ylim=(0, 1.03))
ax.set_title("what the Wiener filter keeps")
learn.figure(fig, alt="Factor of each principal component in the Wiener filter, falling from near "
             f"1 to 0. Half is kept up to component {np.sum(kept[0] > 0.5)} at noise 0.1, up to "
             f"{np.sum(kept[1] > 0.5)} at {SIGMA:g} and up to {np.sum(kept[2] > 0.5)} at 2."
             )

# %% [markdown]
# ## 2. Corrupt, then recover
#
# A *denoising autoencoder* sees the damaged sample and is compared with the clean one:
#
# $$L = \mathbb E\,\lVert r(\tilde x) - x\rVert^2 .$$
#
# Of all functions $r$, the conditional mean $\mathbb E[x \mid \tilde x]$ makes this smallest: the
# mean of all clean samples that could be behind $\tilde x$, each weighted by how likely it is. The
# Wiener filter is the best straight approximation to it, the network may bend.
#
# In `kerasae` the corruption is a layer behind the scaler. It draws new noise at every step of
# `fit`, takes one fixed draw in `evaluate`, and is off in `reconstruct`, `encode` and `score`.
# `kerasae.evaluation.reconstruction_errors` hands the same corrupted input to the model and to the
# baselines.


# %%
def recover(corruption):
    """Return a denoising autoencoder trained on images with this damage."""
    keras.utils.set_random_seed(SEED)
    ae = kerasae.build(
        "denoising", splits.shape, input_dtype=splits.dtype, corruption=corruption, seed=SEED
    )
    ae.compile(keras.optimizers.Adam(0.002))
    history = ae.fit(splits.train, epochs=EPOCHS, verbose=0).history
    print(f"{corruption.name}: MSE in training {history['loss'][-1]:.4f}")
    return ae


gaussian = recover(kerasae.layers.GaussianCorruption(SIGMA, seed=SEED))
measured = kerasae.evaluation.reconstruction_errors(gaussian, splits, seed=SEED)
baselines = measured["baselines"]
rows = [
    ["noisy", measured["noisy"]],
    ["clipped", measured["clipped"]],
    ["best linear denoiser", baselines["linear_denoiser"]],
    ["network", measured["test"]],
]
learn.table([[name, errors["psnr"], errors["mse"]] for name, errors in rows],
            ["guess, on the same noise", "PSNR, dB", "MSE"])

# %%
apart = abs(linear - baselines["linear_denoiser"]["psnr"])
learn.claim("C4.3", "our Wiener filter is the linear denoiser of kerasae, which is fitted to noisy "
            "samples: they differ by less than, in dB", apart, "<")
network = measured["test"]["psnr"]
learn.claim("C4.4", "the network is better than clipping by more than, in dB",
            network - measured["clipped"]["psnr"], ">")
learn.claim("C4.5", "the network is better than the best linear denoiser by more than, in dB",
            network - baselines["linear_denoiser"]["psnr"], ">")


# %%
def run(ae, x):
    """Return what a model makes of damaged images in [0, 1]; nothing is added."""
    model = kerasae.evaluation.reconstruction_model(ae)
    return kerasae.evaluation.reconstruct(model, np.asarray(x, "float32"))


def sheet(rows, truth):
    """Draw rows of images below each other, the PSNR of each image under it."""
    fig, axes = plt.subplots(len(rows), len(truth), figsize=(7.6, 1.12 * len(rows)))
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image, right in zip(line, images, truth, strict=True):
            ax.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            if name != "clean":
                ax.set_xlabel(f"{psnr(right, image):.1f} dB", fontsize=8, labelpad=2)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", color="#222222")
    return fig


# %%
some = slice(0, 7)
rows = {"clean": clean[some], "noisy": noisy[some], "clipped": np.clip(noisy[some], 0, 1)}
rows["Wiener filter"] = wiener(noisy[some], SIGMA)
rows["network"] = run(gaussian, noisy[some])
fig = sheet(rows, rows["clean"])
learn.figure(fig, alt=f"Seven test images, clean, noisy ({given:.1f} dB on average), clipped "
             f"({clipped:.1f} dB), by the Wiener filter ({linear:.1f} dB, grey shadows) and by the "
             f"network ({network:.1f} dB, smooth strokes on black).")

# %% [markdown]
# The network knew one strength of noise. What if the noise of today is weaker or stronger? Below,
# the same images with other noise; a second network, trained with a standard deviation drawn anew
# for each image; and Wiener filters that are told the right one.

# %%
anywhere = recover(kerasae.layers.GaussianCorruption((0.1, 1.0), seed=SEED))
levels = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
few = clean[:500]
x = few + levels[:, None, None, None, None] * rng.normal(size=few.shape)
told = [wiener(noisy, level) for noisy, level in zip(x, levels, strict=True)]
at_once = x.reshape(-1, *few.shape[1:])
guesses = {"one noise": run(gaussian, at_once).reshape(x.shape),
           "all noises": run(anywhere, at_once).reshape(x.shape), "Wiener, told": told}
curves = {name: [psnr(few, y) for y in guessed] for name, guessed in guesses.items()}

# %%
fig, ax = plt.subplots(figsize=(7.0, 3.8))
for (name, values), marker in zip(curves.items(), "os^", strict=True):
    ax.plot(levels, values, marker=marker, markersize=4, label=name)
ax.axvline(SIGMA, color="#6B6B6B", linewidth=1, linestyle=":")
ax.annotate("trained with one", (SIGMA, 0.02), (4, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", color="#6B6B6B", fontsize=9)
ax.set(xlabel="standard deviation of the noise in the test", ylabel="PSNR, dB",
       title="where the noise is weak, the code is the limit")
ax.legend()
at = list(levels).index(0.2)
learn.figure(fig, alt=f"PSNR against the noise of the test. At 0.2 the network for {SIGMA:g} has "
             f"{curves['one noise'][at]:.1f} dB, the network for all strengths "
             f"{curves['all noises'][at]:.1f} dB; at {SIGMA:g} they are within "
             f"{abs(curves['one noise'][4] - curves['all noises'][4]):.1f} dB.")

# %%
gain = curves["all noises"][at] - curves["one noise"][at]
learn.claim("C4.6", "under noise of 0.2 the network trained with all strengths is better than the "
            "one trained with a single strength by more than, in dB", gain, ">")
behind = curves["Wiener, told"][0] - max(curves["one noise"][0], curves["all noises"][0])
learn.claim("C4.7", "under noise of 0.1 the Wiener filter, told so, is better than both networks "
            "by more than, in dB", behind, ">")

# %% [markdown]
# A network for one strength treats weaker noise as if it were that strong. The other one finds out
# by itself how noisy its input is. And on the left both lose to a straight line: whatever the code
# cannot hold is missing from the output even if there was no noise, and the Wiener filter has no
# code. Against weak noise a denoiser needs a wider way through.

# %% [markdown]
# ## 3. Other damage: missing pixels, low resolution
#
# Nothing above needs the damage to be Gaussian. *Masking* sets each pixel to 0 with a probability.
# *Low resolution* averages blocks of `FACTOR` by `FACTOR` pixels and repeats the mean. The same
# call recovers from each; only the layer changes. Low resolution is the odd one: it draws nothing,
# so the model sees the same input in every epoch.

# %%
damages = {"half masked": kerasae.layers.MaskingCorruption(0.5, seed=SEED),
           "low resolution": kerasae.layers.LowResolutionCorruption(FACTOR)}
found, rows = {}, {"clean": clean[some]}
for name, layer in damages.items():
    ae = recover(layer)
    found[name] = kerasae.evaluation.reconstruction_errors(ae, splits, seed=SEED)
    rows[name] = kerasae.evaluation.corrupt(ae, clean[some].astype("float32"), SEED)
    rows[f"{name},\nrecovered"] = run(ae, rows[name])
table = [[name, e["noisy"]["psnr"], e["baselines"]["linear_denoiser"]["psnr"], e["test"]["psnr"]]
         for name, e in [("Gaussian noise", measured), *found.items()]]
learn.table(table, ["damage", "as given, dB", "best linear, dB", "network, dB"])

# %%
fig = sheet(rows, rows["clean"])
learn.figure(fig, alt="Seven test images, clean, with half of their pixels set to 0 "
             f"({table[1][1]:.1f} dB), recovered from that ({table[1][3]:.1f} dB), in blocks of "
             f"{FACTOR} by {FACTOR} pixels ({table[2][1]:.1f} dB), and recovered from those "
             f"({table[2][3]:.1f} dB).")

# %%
learn.claim("C4.8", "from masked images the network is better than the best linear filter by more "
            "than, in dB", table[1][3] - table[1][2], ">")
learn.claim("C4.9", "from low resolution the network gains on the blocks more than, in dB",
            table[2][3] - table[2][1], ">")

# %% [markdown]
# ## 4. A signal
#
# A series is denoised window by window. The signal is a row of pulses, like those of a heart: the
# shape is nearly the same each time, the moment is not. `kerasae.data.load` cuts windows out of
# one long series; the splits are blocks of it, so no window is in two. `network="sequence"` is
# made of convolutions along time.


# %%
def pulses(steps, rng):
    """Return a series of pulses at irregular times: a bump, a spike and a wide bump each."""
    time, series, at = np.arange(steps), np.zeros(steps), 0.0
    while at < steps + 30:
        size = rng.normal(1, 0.15)
        for shift, height, width in ((-9, 0.15, 2.5), (0, 1.0, 1.5), (12, 0.3, 4.0)):
            near = slice(max(0, int(at) + shift - 20), max(0, int(at) + shift + 20))
            series[near] += size * height * np.exp(-(((time[near] - at - shift) / width) ** 2) / 2)
        at += rng.uniform(36, 60)
    return series.astype("float32")


NOISE, LENGTH = 0.3, 64
series = kerasae.data.load(pulses(STEPS, rng), window=LENGTH, stride=2)
keras.utils.set_random_seed(SEED)
signal = kerasae.build("denoising", series.shape, latent_dim=16, network="sequence",
                       corruption_level=NOISE, seed=SEED)
signal.compile()
signal.fit(series.train, epochs=10, verbose=0)
of_signal = kerasae.evaluation.reconstruction_errors(signal, series, seed=SEED)
print(f"windows {series.shape}, {series.sizes['train']:,} to train on")

# %% [markdown]
# There is no peak value here, so decibels are those of the plain signal-to-noise ratio, variance of
# the signal to MSE. A new series, longer than any window, is cut into all its windows, each is
# denoised, and each time step gets the mean over the windows that cover it. Compare rows of one
# series only: the two differ.

# %%
true = pulses(2000, rng)
measured_series = (true + NOISE * rng.normal(size=true.shape)).astype("float32")
cut = kerasae.anomaly.windows(measured_series[:, None], LENGTH)
parts = run(signal, cut)[..., 0]
folded = kerasae.anomaly.fold(parts, total=len(true))
single = parts[::LENGTH].ravel()


def snr(guess):
    """Signal-to-noise ratio of a guess of the series' beginning, in dB."""
    return 10 * np.log10(true.var() / np.mean((true[: len(guess)] - guess) ** 2))


variance = series.array("test").var()
of_linear = 10 * np.log10(variance / of_signal["baselines"]["linear_denoiser"]["mse"])
of_network = 10 * np.log10(variance / of_signal["test"]["mse"])
learn.table([["test windows: best linear", of_linear], ["test windows: network", of_network],
             ["new series: noisy", snr(measured_series)],
             ["new series: network, one window after the other", snr(single)],
             ["new series: network, mean over windows", snr(folded)]],
            ["series and guess", "SNR, dB"])

# %%
learn.claim("C4.10", "on windows of the signal the network is better than the best linear filter "
            "by more than, in dB", of_network - of_linear, ">")
learn.claim("C4.11", "the mean over all windows that cover a step gains more than, in dB",
            snr(folded) - snr(single), ">")

# %%
fig, axes = plt.subplots(2, 1, figsize=(7.6, 3.8), sharex=True, sharey=True)
part = slice(200, 500)
steps = np.arange(len(true))[part]
axes[0].plot(steps, measured_series[part], color="#C98600", linewidth=0.9, linestyle="-")
axes[0].set_title(f"given, {snr(measured_series):.1f} dB")
axes[1].plot(steps, true[part], color="#9A9A9A", linewidth=3, linestyle="-", label="clean")
axes[1].plot(steps, folded[part], color="#0072B2", linestyle="--", label="denoised")
axes[1].set_title(f"denoised, {snr(folded):.1f} dB")
axes[1].legend(loc="lower right", ncols=2)
axes[1].set(xlabel="time step")
learn.figure(fig, alt="Above, 300 steps of the noisy signal, in which only the tall spikes are "
             f"seen ({snr(measured_series):.1f} dB). Below, the denoised signal lies on the clean "
             f"one, small bumps included ({snr(folded):.1f} dB).")

# %% [markdown]
# ## 5. What the correction means
#
# Let $p_\sigma$ be the density of the **noisy** samples. For Gaussian noise, differentiating it
# under the integral gives a formula of Tweedie:
#
# $$\mathbb E[x\mid\tilde x] - \tilde x = \sigma^2\,\nabla\ln p_\sigma(\tilde x).$$
#
# The left side is what the best denoiser adds to its input. The right side is the *score*, the
# direction in which the density grows. So who trains a denoiser learns where data are likelier,
# without ever computing a density. (Diffusion models are made of this.)
#
# Test it where the answer is known. Clean samples lie on a circle of radius 1, evenly. With
# $\rho = \lVert\tilde x\rVert$ and Bessel functions $I_0, I_1$
#
# $$\sigma^2\,\nabla\ln p_\sigma = \left(\frac{I_1(\rho/\sigma^2)}{I_0(\rho/\sigma^2)} - \rho\right)
# \frac{\tilde x}{\rho}.$$


# %%
def correction(x, sigma):
    """Return sigma^2 times the score of a noisy ring, in the shape of x, (n, 2)."""
    radius = np.linalg.norm(x, axis=1, keepdims=True)
    pull = i1e(radius / sigma**2) / i0e(radius / sigma**2)
    return (pull - radius) * x / radius


WIDTH = 0.3
angles = 2 * np.pi * np.arange(2000) / 2000
circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
points = rng.uniform(-1.5, 1.5, size=(50, 2))
weight = np.exp(-np.square(points[:, None] - circle[None]).sum(axis=2) / (2 * WIDTH**2))
means = weight @ circle / weight.sum(axis=1, keepdims=True)  # E[x | noisy], term by term
learn.claim("C4.12", "the conditional mean is the point plus sigma^2 times the score",
            np.abs(means - points - correction(points, WIDTH)).max(), "<", 1e-6)

# %% [markdown]
# Now a network, which is shown points and nothing else. The *cosine* of two fields is their scalar
# product over all points, divided by their lengths: 1 if they are the same up to one factor.

# %%
angles = rng.uniform(0, 2 * np.pi, size=12000)
ring, fresh = np.split(np.stack([np.cos(angles), np.sin(angles)], axis=1), [8000])
keras.utils.set_random_seed(SEED)
of_ring = kerasae.build("denoising", (2,), latent_dim=32, hidden=(64,), activation="tanh",
                        corruption_level=WIDTH, seed=SEED)
of_ring.compile(keras.optimizers.Adam(0.003))
of_ring.fit(ring.astype("float32"), epochs=30, batch_size=256, verbose=0)
test_ring = fresh + WIDTH * rng.normal(size=fresh.shape)
residual = run(of_ring, test_ring) - test_ring
exact = correction(test_ring, WIDTH)
cosine = np.sum(residual * exact) / np.linalg.norm(residual) / np.linalg.norm(exact)
learn.claim("C4.13", "what the network adds points along the score: cosine", cosine, ">")

# %%
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.7), width_ratios=(1, 1.05))
ticks = np.linspace(-1.5, 1.5, 13)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
field, true_field = run(of_ring, grid) - grid, correction(grid + 1e-9, WIDTH)
axes[0].plot(*circle.T, color="#D55E00", linewidth=1.2, linestyle="-")
for arrows, colour, wide in ((true_field, "#BBBBBB", 0.011), (field, "#0072B2", 0.005)):
    axes[0].quiver(*grid.T, *arrows.T, color=colour, width=wide, angles="xy", scale_units="xy",
                   scale=2.2)
axes[0].set(aspect="equal", title="blue: network, grey: exact")
radii = np.linspace(0.05, 2, 40)
axes[1].plot(radii, i1e(radii / WIDTH**2) / i0e(radii / WIDTH**2) - radii, color="#9A9A9A",
             linewidth=3, linestyle="-", label="exact")
turns = circle[::40]
rays = (radii[:, None, None] * turns).reshape(-1, 2)
outward = np.sum((run(of_ring, rays) - rays).reshape(40, -1, 2) * turns, axis=2).mean(axis=1)
axes[1].plot(radii, outward, "o", color="#0072B2", markersize=3.5, label="network, mean over turns")
axes[1].axhline(0, color="#6B6B6B", linewidth=0.8, linestyle=":")
axes[1].set(xlabel="distance from the centre", title="correction outward")
axes[1].legend()
learn.figure(fig, alt="Left: arrows of the network's correction on a grid, all towards the ring of "
             f"radius 1, on top of the exact ones; cosine {cosine:.3f}. Right: the correction "
             "outward is positive inside of the ring, 0 near it and negative outside.")

# %% [markdown]
# ## What is a good number?
#
# The floor is the noisy input, and the mean image, from a model that ignores its input: under this
# much noise it is better than clipping. The rival is the linear denoiser. The ceiling is unknown
# for images, and known for the ring: no denoiser gets below the error of the conditional mean.

# %%
rows = [
    ["noisy", measured["noisy"]],
    ["mean image", baselines["mean"]],
    ["clipped", measured["clipped"]],
    ["PCA, as many numbers", baselines["pca"]],
    ["best linear denoiser", baselines["linear_denoiser"]],
    ["network", measured["test"]],
]
learn.table([[name, errors["psnr"], errors["ssim"]] for name, errors in rows],
            [f"Gaussian noise {SIGMA:g}, {DATA}", "PSNR, dB", "SSIM"])
floor = np.mean((test_ring + exact - fresh) ** 2)
reached = np.mean((test_ring + residual - fresh) ** 2)
learn.table([["noisy", np.mean((test_ring - fresh) ** 2)], ["network", reached],
             ["conditional mean (the best)", floor]], ["ring", "MSE"])
learn.claim("C4.14", "on the ring the network's MSE is above the best possible by less than a "
            "share of", reached / floor - 1, "<")

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the denoised images are too good
#
# **Museum.** The autoencoder tutorial of TensorFlow showed this for 16 months: it trained on noisy
# images, showed noisy images in the upper row of its figure, and fed the **clean** ones to the
# encoder. The lower row looked splendid. Nothing fails, the shapes fit, and the variable names
# differ by one word. The cell makes the same mistake. The line to add prints how noisy the input
# was; 200 dB is what `kerasae` prints for no noise at all.

# %%
given_to_it = clean  # the mistake: the figure shows `noisy`
flattered = psnr(clean, run(gaussian, given_to_it))
print(f"PSNR of the denoised images: {flattered:.1f} dB")
print(f"PSNR of what went in: {psnr(clean, given_to_it):.1f} dB")  # catches it

# %%
learn.claim("C4.15", "what was evaluated in section 2 was noisy, in dB", given, "<", 12)
learn.claim("C4.16", "clean input flatters the network by more than, in dB",
            flattered - psnr(clean, run(gaussian, noisy)), ">")

# %% [markdown]
# ### Pitfall: the loss cannot be brought down, or the output is as noisy as the input
#
# Symptom: the training loss stays near $\sigma^2$, or the model copies. The **target** was noisy
# too, as it happens when noise is added to a whole data set before it is split into input and
# target. With the same noise on both sides the best guess of the target is the input. Least squares
# shows it without a bottleneck in the way. Other noise on the target, in turn, averages out: the
# best guess stays the same, it only takes more samples to find it (Noise2Noise).


# %%
def fitted(given, target, x):
    """Return the best affine guess of `target` from `given`, applied to `x`."""
    given, target, x = (images.reshape(len(images), -1) for images in (given, target, x))
    centre = given.mean(axis=0)
    cross = (given - centre).T @ (target - target.mean(axis=0))
    weights = np.linalg.solve((given - centre).T @ (given - centre), cross)
    return target.mean(axis=0) + (x - centre) @ weights


first, second = (train + SIGMA * rng.normal(size=train.shape) for _ in range(2))
rows = []
for name, target in (("clean", train), ("the same noise", first), ("other noise", second)):
    guessed = fitted(first, target, noisy).reshape(clean.shape)
    rows.append([name, np.mean((target - train) ** 2), psnr(clean, guessed)])
learn.table(rows, ["target", "MSE of the target to the clean images", "PSNR, dB"])

# %%
learn.claim("C4.17", "with the same noise on input and target nothing is removed, in dB",
            abs(rows[1][2] - given), "<", 1e-3)
learn.claim("C4.18", "with other noise on the target this many dB are removed all the same",
            rows[2][2] - given, ">")

# %% [markdown]
# ### Pitfall: the training error is far below the test error, though there is noise enough
#
# **Museum.** The denoising example of keras.io adds noise to its training images **once**, before
# `fit`, and then trains for many epochs. Each image keeps one noise pattern, which can be learnt by
# heart like the image itself; fresh noise in every step cannot. The fewer images, the worse. The
# cell trains the same model both ways on `FEW` images. The line to add gives the training images
# new noise: if that alone makes the result worse, the noise was memorized.


# %%
def train_on_few(fresh):
    """Return a model of few images, trained with fresh noise or with one pattern per image."""
    keras.utils.set_random_seed(SEED)
    noise = kerasae.layers.GaussianCorruption(SIGMA, seed=SEED) if fresh else None
    ae = kerasae.build("denoising", splits.shape, corruption=noise, output_activation="sigmoid")
    ae.compile()
    x, fixed = train[:FEW].astype("float32"), first[:FEW].astype("float32")
    ae.fit(x if fresh else fixed, x, epochs=30, batch_size=64, verbose=0)
    return ae


once, always = train_on_few(fresh=False), train_on_few(fresh=True)
known, new = (psnr(train[:FEW], run(once, x[:FEW])) for x in (first, second))
print(f"noise drawn once: {known:.2f} dB on training images, with the noise of the training")
print(f"noise drawn once: {new:.2f} dB on the same images, with new noise")  # catches it
lost = psnr(clean, run(always, noisy)) - psnr(clean, run(once, noisy))
learn.claim("C4.19", "new noise on the very same images makes it worse by more than, in dB",
            known - new, ">")
learn.claim("C4.20", "on test images fresh noise in every step gains more than, in dB", lost, ">")

# %% [markdown]
# ## Exercises
#
# ### Exercise 4.1: PSNR (2 minutes)
#
# Write the peak signal-to-noise ratio for values in `[0, peak]`: one number for all samples.


# %%
def decibels(clean, guess, peak=1.0):
    """Return the PSNR of guesses, in dB; both arrays have one shape."""
    return None  # your code


learn.exercise("4.1").check(decibels)


# %% tags=["solution"]
def decibels(clean, guess, peak=1.0):
    """Return the PSNR of guesses, in dB; both arrays have one shape."""
    return 10 * np.log10(peak**2 / np.mean((clean - guess) ** 2))


learn.exercise("4.1").check(decibels)

# %% [markdown]
# ### Exercise 4.2: the Wiener filter (10 minutes)
#
# Section 1 went through principal components. Write it with the covariance itself, for samples in
# rows, without clipping. Derive it first: which matrix $W$ makes $\mathbb E\lVert(\tilde x-\mu)W -
# (x-\mu)\rVert^2$ smallest?


# %%
def wiener_filter(noisy, mean, covariance, sigma):
    """Return the best linear guess of clean rows, shape (n, d), from noisy rows (n, d)."""
    return None  # your code


learn.exercise("4.2").check(wiener_filter)


# %% tags=["solution"]
def wiener_filter(noisy, mean, covariance, sigma):
    """Return the best linear guess of clean rows, shape (n, d), from noisy rows (n, d).

    The derivative is 0 where Cov(noisy) W = Cov(noisy, clean); the noise is independent, so the
    first is the covariance plus sigma^2 I, and the second the covariance.
    """
    weights = np.linalg.solve(covariance + sigma**2 * np.eye(len(mean)), covariance)
    return mean + (noisy - mean) @ weights


learn.exercise("4.2").check(wiener_filter)

# %% [markdown]
# ### Exercise 4.3: the best linear filter against masking (open)
#
# Masking keeps each entry with probability $1 - \text{rate}$ and sets the others to 0; kept entries
# are not scaled up. Derive the covariance of the masked sample, and its covariance with the clean
# one, from $\mu$ and $\Sigma$ alone. Then return the filter. Go further: apply it to the test
# images of section 3. Does it reach the "best linear" of the table?


# %%
def unmask(mean, covariance, rate):
    """Return weights (d, d) and bias (d,): the guess is masked @ weights + bias."""
    return None  # your code


learn.exercise("4.3").check(unmask)


# %% tags=["solution"]
def unmask(mean, covariance, rate):
    """Return weights (d, d) and bias (d,): the guess is masked @ weights + bias.

    With m in {0, 1} and q = P(m = 1): E[m x] = q mean. Off the diagonal Cov(m_i x_i, m_j x_j) is
    q^2 covariance_ij; on it m^2 = m, so it is q (variance + mean^2) - q^2 mean^2.
    """
    q = 1 - rate
    spread = q * (1 - q) * (np.diag(covariance) + mean**2)
    weights = np.linalg.solve(q**2 * covariance + np.diag(spread), q * covariance)
    return weights, mean - q * mean @ weights


learn.exercise("4.3").check(unmask)

# %% [markdown]
# ## Three questions
#
# **1. A denoiser's output is a little blurred, though every clean image is sharp. Is that a bug?**
#
# <details><summary>Answer</summary>
#
# No. The mean of all images that could be behind the noisy one is not itself one of them. Where
# they disagree by a pixel, the edge of the mean is soft.
#
# </details>
#
# **2. An autoencoder whose code is wider than its input can copy. Why does this one not?**
#
# <details><summary>Answer</summary>
#
# A copy of the noisy input costs $\sigma^2$. The noise takes the place of the narrow code: it makes
# the identity a bad answer.
#
# </details>
#
# **3. At which points of the ring's plane is the correction of the best denoiser zero?**
#
# <details><summary>Answer</summary>
#
# In the centre, where all directions cancel, and on a circle a little inside of the ring, where
# the density of the noisy samples is largest along a ray: there the score vanishes.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Corrupt the input, compare with the clean target, draw new noise at every step.
# - Beside a denoiser stand the noisy input, the clipped one, and the best linear filter.
# - The best denoiser is the conditional mean; what it adds is $\sigma^2$ times the score.
# - Print the PSNR of what goes in: it tells whether anything was denoised at all.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 05](05_contractive.ipynb) asks for small corrections without any noise: it punishes the
# derivative of the code.
#
# ### References
#
# - P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, "Stacked denoising
#   autoencoders", *JMLR* 11, 2010, sections 3 and 4.1: corrupt, then recover; kinds of noise.
# - G. Alain, Y. Bengio, "What regularized auto-encoders learn from the data-generating
#   distribution", *JMLR* 15, 2014, theorem 1: the correction is the variance times the score.
# - P. Vincent, "A connection between score matching and denoising autoencoders", 2011, section 4.
# - B. Efron, "Tweedie's formula and selection bias", 2011, equation (1.4).
# - N. Wiener, *Extrapolation, Interpolation, and Smoothing of Stationary Time Series*, 1949.
# - J. Lehtinen and others, "Noise2Noise: learning image restoration without clean data", 2018,
#   section 2: noise on the target averages out.
