# %% [markdown]
# # 09 · Anomaly detection, and where autoencoders fail
#
# > What a model reconstructs badly may be abnormal; a threshold from held-out samples keeps the
# > promised rate of false alarms, but no threshold helps where the model reconstructs what it
# > never saw.

# %% [markdown]
# ## Before you start
#
# **You will be able to** turn reconstruction errors into alarms at a rate you chose, evaluate them
# with a few labels without fooling yourself, and build inputs that fool the detector.
#
# **Needs** [lesson 01](01_introduction.ipynb), [lesson 02](02_undercomplete.ipynb) for PCA.
# **Reading** 25 minutes, **running** {{running}} on two cores. **Data** MNIST, or without a
# network the digits of scikit-learn: even digits are normal, odd ones are not. **Claims**
# {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import keras
import numpy as np
from matplotlib import pyplot as plt
from sklearn.decomposition import PCA
from sklearn.metrics import precision_score, roc_auc_score, roc_curve
from sklearn.neighbors import NearestNeighbors

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
LIMIT = 20000  # images in all
N_TRAIN = 7000  # even digits to train on; the other even ones are held out
LATENT_DIM = 16  # numbers in the code, of PCA too
EPOCHS = 15  # passes over the training images
FEW = 500  # training images of the model that is to overfit
SEED = 0  # of the weights, the order and the draws

# %%
learn.begin("09", globals())
splits = kerasae.data.load(DATA, limit=LIMIT)
images = np.concatenate([splits.array(name) for name in splits.sizes])
digits = np.concatenate([splits.labels[name] for name in splits.sizes])
rng = np.random.default_rng(SEED)
order = rng.permutation(len(images))  # normal samples, in training or not, from one hat
images, digits = images[order], digits[order]
even = digits % 2 == 0
train, held_out = images[even][:N_TRAIN], images[even][N_TRAIN:]
odd, odd_digits = images[~even][:3000], digits[~even][:3000]
print(f"{len(train):,} even digits to train on, {len(held_out):,} held out, {len(odd):,} odd")

# %% [markdown]
# ## Predict first
#
# A well-known tutorial puts its threshold at the mean plus one standard deviation of the training
# errors. **Which share of normal samples, never seen, will raise an alarm?** Write a number from 0
# to 1 instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. A score
#
# | symbol | in code | what it is |
# |---|---|---|
# | $x$ | `train`, `held_out`, `odd` | images, $d$ pixels |
# | $s(x)$ | `ae.score(x)` | mean squared error of the reconstruction, in units of 0 to 1 |
# | $t$ | `threshold` | an alarm if $s(x) > t$ |
# | $\alpha$ | `RATE` | share of normal samples that may raise an alarm |
# | $\pi$ | `prevalence` | share of anomalies among all samples |
#
# The model is trained on even digits only. The hope: it learns to reconstruct those, and fails on
# others. $s(x)$ is the mean of a map with one number per pixel, `ae.feature_scores`, which says
# **where** an image is abnormal.

# %%
keras.utils.set_random_seed(SEED)
ae = kerasae.build(
    "undercomplete", splits.shape, latent_dim=LATENT_DIM, input_dtype=splits.dtype, seed=SEED
)
ae.compile(keras.optimizers.Adam(0.003))
ae.fit(train, epochs=EPOCHS, batch_size=128, verbose=0)
of_train, of_held_out, of_odd = (ae.score(x) for x in (train, held_out, odd))
print(f"mean error: {of_train.mean():.4f} in training, {of_held_out.mean():.4f} held out, "
      f"{of_odd.mean():.4f} of odd digits")
apart = np.abs(ae.feature_scores(odd[:50]).mean(axis=(1, 2, 3)) - of_odd[:50]).max()
learn.claim("C9.1", "the score is the mean of the error map over the pixels", apart, "<", 1e-6)

# %%
picked, ranks = kerasae.report.figures.best_to_worst(of_odd, 8)
shown = {"labels": odd_digits[picked], "scores": of_odd[picked], "ranks": ranks}
shown["value_range"] = (0, 255)
reconstruction = ae.reconstruct(odd[picked])
learn.figure(kerasae.report.figures.reconstruction_grid(odd[picked], reconstruction, **shown))

# %% [markdown]
# The bottom row is the map. On the right the model does what one hopes for: it makes even digits of
# odd ones, and the strokes that had to go stand out. On the left it copies digits that it has never
# seen. Keep that in mind for section 3.

# %% [markdown]
# ## 2. A threshold that keeps its promise
#
# A threshold from the **training** errors is too low: the model was fitted to these very samples.
# How much too low, nobody knows beforehand. A threshold from **held-out** normal samples comes with
# a theorem. Let $s_1, \dots, s_n$ be their scores, and $s$ that of a new normal sample. All $n+1$
# are exchangeable, so $s$ is equally likely to have any rank among them. The *p-value*
#
# $$p(x) = \frac{1 + \#\{i : s_i \ge s(x)\}}{n+1}$$
#
# is at most $\alpha$ with a probability of $\lfloor (n+1)\alpha \rfloor/(n+1) \le \alpha$, less if
# scores tie, for any model and any distribution. This is the *split-conformal* threshold,
# `ae.calibrate`.

# %%
RATE = 0.05
half = len(held_out) // 2
calibration = ae.calibrate(held_out[:half], false_alarm_rate=RATE)
alarms = ae.detect(held_out[half:])["is_anomaly"]
print(calibration)
print(f"false alarms on the other half: {alarms.mean():.3f}")
low, high = calibration.rate_range(0.9)
print(f"with 9 of 10 draws of the calibration half, the rate lies between {low:.3f} and {high:.3f}")

# %% [markdown]
# One draw says little. Split the held-out samples 200 times at random into halves, calibrate on
# one, count false alarms on the other. The rivals take their threshold from the training errors.

# %%
rules = {"largest training error": of_train.max(),
         "mean + 1 sd of training errors": of_train.mean() + of_train.std(),
         "95 % quantile of training errors": np.quantile(of_train, 1 - RATE)}
rates = {name: [] for name in (*rules, "split-conformal")}
for _ in range(200):
    drawn = rng.permutation(of_held_out)
    own = kerasae.anomaly.Calibration(drawn[:half], RATE)
    rates["split-conformal"].append(own.is_anomaly(drawn[half:]).mean())
    for name, threshold in rules.items():
        rates[name].append(np.mean(drawn[half:] > threshold))
thresholds = {**rules, "split-conformal": calibration.threshold}
learn.table([[name, thresholds[name], np.mean(rates[name]), np.mean(of_odd > thresholds[name])]
             for name in rates], ["rule", "threshold", "false alarms", "odd digits found"]
            )
by_one_sd = np.mean(rates["mean + 1 sd of training errors"])
learn.reveal(guess, by_one_sd, "share of normal samples above mean + 1 sd")

# %%
conformal = np.array(rates["split-conformal"])
expected = np.floor((half + 1) * RATE) / (half + 1)
away = abs(conformal.mean() - expected) / (conformal.std() / np.sqrt(len(conformal)))
learn.claim("C9.2", "the conformal threshold keeps its rate over 200 splits: standard errors off "
            "what the theorem says", away, "<", 4)

# %%
fig, ax = plt.subplots(figsize=(7.6, 3.6))
bins = np.linspace(0, max(np.quantile(of_odd, 0.98), 1.02 * of_train.max()), 60)
for scores, name in ((of_held_out, "even, held out"), (of_odd, "odd")):
    weights, dashes = np.full(len(scores), 1 / len(scores)), "-" if name == "odd" else "--"
    ax.hist(scores, bins, weights=weights, histtype="step", label=name, linestyle=dashes,
            linewidth=1.6)
top = ax.get_ylim()[1]
behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
short = ("largest in training", "mean + 1 sd", "training quantile", "conformal")
for place, (name, text) in enumerate(zip(thresholds, short, strict=True)):
    at = thresholds[name]
    ax.plot([at, at], [0, top], color="#222222", linewidth=1, linestyle=":")
    ax.annotate(f"{text}: {np.mean(rates[name]):.1%}", (at, top * (1 - 0.09 * place)),
                (4 if place else -4, 0), textcoords="offset points", fontsize=9, bbox=behind,
                ha="left" if place else "right")
ax.set(xlabel="score", ylabel="share of samples", title="false alarms by threshold")
ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2)
learn.figure(fig, alt="Histograms of the scores of even and of odd digits, which overlap, and "
             f"four thresholds. Mean + 1 sd raises {by_one_sd:.1%} false alarms, the conformal one "
             f"{conformal.mean():.1%}, the largest training error "
             f"{np.mean(rates['largest training error']):.1%}.")

# %% [markdown]
# ## 3. Evaluation with labels
#
# With a few known anomalies a detector can be judged without any threshold. The area under the
# receiver operating characteristic, AUROC, is the probability that an anomaly scores higher than a
# normal sample: 0.5 by chance, 1 at best.

# %%
a, b = of_held_out[:300], of_odd[:300]
pairs = np.mean(b[:, None] > a[None]) + np.mean(b[:, None] == a[None]) / 2
labels = np.repeat([0, 1], [len(a), len(b)])
learn.claim("C9.3", "the AUROC is the share of pairs in which the anomaly scores higher",
            abs(pairs - roc_auc_score(labels, np.r_[a, b])), "<", 1e-9)


def auroc(normal, abnormal):
    """Area under the ROC of scores of normal and of abnormal samples."""
    labels = np.repeat([0, 1], [len(normal), len(abnormal)])
    return roc_auc_score(labels, np.concatenate([normal, abnormal]))


flat = [x.reshape(len(x), -1) / 255 for x in (train, held_out, odd)]
pca = PCA(LATENT_DIM, svd_solver="full").fit(flat[0])
by_pca = [np.mean((x - pca.inverse_transform(pca.transform(x))) ** 2, axis=1) for x in flat]

# %% [markdown]
# One model, five kinds of anomaly: how well is each found? Beside it the oldest detector of all,
# the reconstruction error of PCA with as many components.

# %%
kinds = [1, 3, 5, 7, 9]
of_kind = {kind: [auroc(of_held_out, of_odd[odd_digits == kind]),
                  auroc(by_pca[1], by_pca[2][odd_digits == kind])] for kind in kinds}
ranked = sorted(kinds, key=lambda kind: of_kind[kind][0])
fig, ax = plt.subplots(figsize=(6.6, 3.0))
rows = np.arange(len(ranked))
for column, (name, marker) in enumerate((("autoencoder", "o"), ("PCA", "D"))):
    values = [of_kind[kind][column] for kind in ranked]
    ax.plot(values, rows, marker, label=name, fillstyle="full" if column == 0 else "none")
ax.axvline(0.5, color="#6B6B6B", linewidth=1, linestyle=":")
ax.annotate("chance", (0.5, 0.02), (3, 0), xycoords=("data", "axes fraction"), color="#6B6B6B",
            textcoords="offset points", fontsize=9)
ax.set_yticks(rows, [f"digit {kind}" for kind in ranked])
ax.set(xlabel="AUROC against even digits", title="one model, five anomalies")
ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
ax.margins(x=0.05, y=0.12)
ax.grid(axis="x")
values = "; ".join(f"{kind}: {of_kind[kind][0]:.2f}, {of_kind[kind][1]:.2f}" for kind in ranked)
learn.figure(
    fig, alt=f"AUROC of each odd digit by the autoencoder and by PCA, lowest first: {values}."
)

# %%
spread = of_kind[ranked[-1]][0] - of_kind[ranked[0]][0]
learn.claim("C9.4", "from the worst to the best kind of anomaly the AUROC of one model spans more "
            "than", spread, ">")
learn.claim("C9.5", "the worst kind is found no better than this", of_kind[ranked[0]][0], "<")

# %% [markdown]
# A detector has no AUROC; it has one for each kind of anomaly that somebody tried. On MNIST a model
# trained on loops and bends reconstructs a plain stroke with ease: there ones pass as more normal
# than most of the normal digits. (On 8×8 images no kind is that easy; see the figure.) **The score
# measures how hard a sample is to reconstruct, not how rare it is.**
#
# AUROC also hides how rare anomalies are. The *precision*, the share of alarms that are true, is
#
# $$\text{precision} = \frac{\pi\,\text{TPR}}{\pi\,\text{TPR} + (1-\pi)\,\text{FPR}},$$
#
# with the shares of anomalies found (TPR) and of false alarms (FPR).

# %%
fpr, tpr, _ = roc_curve(np.repeat([0, 1], [len(of_held_out), len(of_odd)]),
                        np.r_[of_held_out, of_odd])
fig, axes = plt.subplots(1, 2, figsize=(7.8, 3.5))
for scores, name in (((of_held_out, of_odd), "autoencoder"), (by_pca[1:], "PCA")):
    wrong, right, _ = roc_curve(np.repeat([0, 1], [len(s) for s in scores]), np.concatenate(scores))
    axes[0].plot(wrong, right, label=f"{name}, area {auroc(*scores):.3f}")
axes[0].plot([0, 1], [0, 1], color="#6B6B6B", linestyle=":", linewidth=1)
axes[0].set(xlabel="false alarms", ylabel="anomalies found", title="ROC, all odd digits")
axes[0].legend(loc="lower right")
at = np.searchsorted(fpr, RATE)
for prevalence, marker in ((0.5, "o"), (0.05, "s"), (0.01, "^")):
    precision = prevalence * tpr[1:] / (prevalence * tpr[1:] + (1 - prevalence) * fpr[1:])
    axes[1].plot(tpr[1:], precision, marker=marker, markevery=[at - 1],
                 label=f"{prevalence:.0%} anomalies")
axes[1].set(xlabel="anomalies found", ylabel="precision", title="the same, by prevalence",
            ylim=(0, 1.03))
axes[1].legend()
learn.figure(fig, alt=f"Left: ROC of the autoencoder, area {auroc(of_held_out, of_odd):.3f}, and "
             f"of PCA, {auroc(*by_pca[1:]):.3f}. Right: precision against anomalies found; at 5 % "
             "false alarms it is high if half of all samples are anomalies, and "
             f"{precision[at - 1]:.2f} if 1 % are.")

# %%
threshold, prevalence = calibration.threshold, 0.01
found, false = np.mean(of_odd > threshold), np.mean(of_held_out > threshold)
by_formula = prevalence * found / (prevalence * found + (1 - prevalence) * false)
truth = np.repeat([0, 1], [len(of_held_out), len(of_odd)])
weights = np.where(truth, prevalence / len(of_odd), (1 - prevalence) / len(of_held_out))
by_count = precision_score(truth, np.r_[of_held_out, of_odd] > threshold, sample_weight=weights)
learn.table([["alarms that are true", by_formula],
             ["if every anomaly were found", prevalence / (prevalence + 0.99 * RATE)],
             ["accuracy of this detector", prevalence * found + 0.99 * (1 - false)],
             ["accuracy of never raising an alarm", 1 - prevalence]],
            ["1 % of the samples are anomalies, 5 % false alarms", "share"])
learn.claim("C9.6", "the formula gives the precision that is counted", abs(by_formula - by_count),
            "<", 1e-9)
learn.claim("C9.7", "never raising an alarm has the higher accuracy",
            1 - prevalence - (prevalence * found + 0.99 * (1 - false)), ">")

# %% [markdown]
# So about five of six alarms are false even for a detector that finds every anomaly, at this rate
# and prevalence; if it misses some, more. Whoever has to look at the alarms chooses the rate. And
# accuracy is no measure here: doing nothing wins.

# %% [markdown]
# ## 4. Overfitting, and choosing hyperparameters
#
# Train a larger model on few images, and look at it along the way: errors, AUROC, and the false
# alarms of the two thresholds.

# %%
keras.utils.set_random_seed(SEED)
small = kerasae.build(
    "undercomplete", splits.shape, latent_dim=32, input_dtype=splits.dtype, hidden=(256, 128)
)
small.compile(keras.optimizers.Adam(0.002))
stages, track, done = [1, 2, 5, 10, 20, 50, 100], [], 0
for stage in stages:
    small.fit(train[:FEW], initial_epoch=done, epochs=stage, batch_size=50, verbose=0)
    done = stage
    seen, unseen, strange = (small.score(x) for x in (train[:FEW], held_out, odd))
    own = kerasae.anomaly.Calibration(unseen[:half], RATE)
    track.append([seen.mean(), unseen.mean(), auroc(unseen, strange),
                  np.mean(unseen[half:] > np.quantile(seen, 1 - RATE)),
                  own.is_anomaly(unseen[half:]).mean()])
track = np.array(track).T
print(f"trained on {FEW} images; error in training {track[0, -1]:.4f}, held out {track[1, -1]:.4f}")

# %%
fig, axes = plt.subplots(1, 3, figsize=(9.0, 3.1))
for line, name, marker in ((0, "training", "o"), (1, "held out", "s")):
    axes[0].plot(stages, track[line], marker=marker, markersize=4, label=name)
axes[0].set(title="error", yscale="log")
axes[1].plot(stages, track[2], "o-", markersize=4)
axes[1].set(title="AUROC, odd digits", ylim=(0.3, 1))
for line, name, marker in ((3, "training quantile", "o"), (4, "conformal", "s")):
    axes[2].plot(stages, track[line], marker=marker, markersize=4, label=name)
axes[2].axhline(RATE, color="#6B6B6B", linewidth=1, linestyle=":")
axes[2].set(title="false alarms, set for 5 %", ylim=(0, None))
for ax in axes:
    ax.set(xlabel="epoch", xscale="log")
for ax in axes[[0, 2]]:
    ax.legend(fontsize=8.5)
learn.figure(fig, alt=f"Against the epoch: training error falls to {track[0, -1]:.4f}, held-out "
             f"error stops at {track[1].min():.4f}; AUROC peaks at {track[2].max():.2f}, ends at "
             f"{track[2, -1]:.2f}; false alarms of the training quantile rise to "
             f"{track[3, -1]:.0%}, those of the conformal threshold stay near 5 %.")

# %%
learn.claim("C9.8", "at the end the held-out error is more than this many times the training error",
            track[1, -1] / track[0, -1], ">")
learn.claim("C9.9", "the quantile of the training errors then raises more false alarms than",
            track[3, -1], ">")
late = stages.index(20)
learn.claim("C9.10", "from epoch 20 on the AUROC moves by less than", abs(track[2, late:] -
            track[2, late]).max(), "<")
print(f"meanwhile the training error falls to {track[0, -1] / track[0, late]:.0%} of what it was")

# %% [markdown]
# Overfitting costs alarms: the model knows its training images by heart, and a threshold taken
# there means nothing. The conformal one does not care. Nor does the ranking care much: once the
# held-out error is at rest, progress in training is hardly any progress in detection.
#
# Epochs, the size of the code, the widths: how to choose? The error on held-out **normal** samples
# is what one has. It is no guide to detection, as the next table shows: a larger code always
# reconstructs better, anomalies too. Labelled anomalies would be a guide, and a trap. The table
# asks PCA, whose only hyperparameter is the number of components, for its best value by kind.

# %%
components = [1, 2, 4, 8, 16, 24, 32, 48, min(96, flat[0].shape[1] - 4)]
whole = PCA(max(components), svd_solver="full").fit(flat[0])
errors = {}
for name, x in (("normal", flat[1]), ("odd", flat[2])):
    code = whole.transform(x)
    total = np.square(x - whole.mean_).sum(axis=1)
    left = total[:, None] - np.cumsum(np.square(code), axis=1)
    errors[name] = left[:, np.array(components) - 1] / x.shape[1]
areas = {kind: [auroc(errors["normal"][:, i], errors["odd"][odd_digits == kind, i])
                for i in range(len(components))] for kind in kinds}
rows = [[count, errors["normal"][:, i].mean(), *(areas[kind][i] for kind in kinds)]
        for i, count in enumerate(components)]
learn.table(rows, ["components", "held-out error", *(f"AUROC of {kind}" for kind in kinds)])
best = {kind: components[int(np.argmax(areas[kind]))] for kind in kinds}
print("best number of components by kind: " + ", ".join(f"{k}: {v}" for k, v in best.items()))

# %%
gains = []
for _ in range(200):
    normal, abnormal = (rng.permutation(errors[key]) for key in ("normal", "odd"))
    reported = np.mean(abnormal[:15, None] > normal[None, :15], axis=(0, 1))  # of each setting
    i = int(np.argmax(reported))
    gains.append(reported[i] - auroc(normal[15:, i], abnormal[15:, i]))
print(f"reported AUROC less the true one: {np.mean(gains):.3f} on average")
learn.claim("C9.11", "chosen on 15 labelled anomalies and reported on them, the AUROC is too high "
            "by more than", np.mean(gains), ">")
learn.claim("C9.12", "the best numbers of components of two kinds differ by a factor of more than",
            max(best.values()) / min(best.values()), ">")

# %% [markdown]
# The anomalies at hand are not the anomalies to come. What is tuned on one kind is wrong for
# another, and what is tuned and reported on the same labels is too good. Choose on normal data and
# on what you know of the task; use labels **once**, at the end.

# %% [markdown]
# ## 5. Where autoencoders fail
#
# A low score was to mean "like the training data". It does not follow. The outputs of the decoder
# form a sheet in pixel space, most of which no training image has ever come near. What lies on the
# sheet and is encoded to its own place has a score of 0, nonsense included. To find such images,
# start from noise, in the pixels or in the code (four times as wide as that of digits), and replace
# the image by its own reconstruction, again and again.

# %%
noise = rng.integers(0, 256, size=(100, *splits.shape)).astype("uint8")
codes = ae.encode(held_out)
wide = codes.mean(axis=0) + 4 * codes.std(axis=0) * rng.normal(size=(100, LATENT_DIM))
start = np.concatenate([noise, np.rint(ae.decode(wide)).astype("uint8")])
rounds, x = {"noise": start}, start
for step in range(1, 101):
    x = np.rint(ae(x, training=False)).astype("uint8")
    if step in (1, 5, 100):
        rounds["once" if step == 1 else f"{step} times"] = x
fooling, low = ae.score(x), np.quantile(of_held_out, 0.01)
print(f"smallest score of {len(held_out):,} normal images {of_held_out.min():.1e}, of the fooling "
      f"ones {fooling.min():.1e}")
learn.claim("C9.13", "of the images made from noise this share scores below 99 % of normal ones",
            np.mean(fooling < low), ">")

# %% [markdown]
# Are they really nonsense, or did noise turn into good digits? Subtract from each image the best
# multiple of any training image, and see what share of it is left.

# %%
unit = flat[0] / np.linalg.norm(flat[0], axis=1, keepdims=True)


def strangeness(x):
    """Share of an image that the best multiple of a training image leaves over, (n,), 0 to 1."""
    x = np.asarray(x, float).reshape(len(x), -1)
    alike = np.max(x @ unit.T, axis=1) / (np.linalg.norm(x, axis=1) + 1e-9)  # cosine
    return 1 - alike**2


usual = np.quantile(strangeness(held_out[:1000]), 0.95)
passing = [x[ae.score(x) < low] for x in rounds.values()]
most = max(strangeness(x).max() for x in passing if len(x))
learn.claim("C9.14", "of the strangest image that scores below 99 % of normal ones more is left "
            "than of 95 % of those, this many times", most / usual, ">")

# %%
fig, axes = plt.subplots(len(rounds), 8, figsize=(7.8, 4.6))
strange = strangeness(x)
some = np.r_[np.argsort(-strange[:100])[::25], 100 + np.argsort(-strange[100:])[::25]]
for line, (name, images_of) in zip(axes, rounds.items(), strict=True):
    for ax, image, score in zip(line, images_of[some], ae.score(images_of[some]), strict=True):
        ax.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"{score:.1e}", fontsize=8, labelpad=2)
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", color="#222222")
axes[0, 0].set_title("from pixels")
axes[0, 4].set_title("from codes")
fig.suptitle(f"score under each; the normal images start at {of_held_out.min():.1e}", fontsize=10,
             x=0.02, ha="left")
learn.figure(fig, alt="Four images of noise and four of decoded noise, and what is left after 1, 5 "
             "and 100 reconstructions: "
             f"faint strokes and blobs, few of them digits. Scores go down to {fooling.min():.1e}; "
             f"the lowest of a normal image is {of_held_out.min():.1e}.")

# %% [markdown]
# The other way to nonsense goes through code space. Between the codes of two different digits there
# is a straight line, and nobody ever trained what lies in its middle. The decoder decodes it all
# the same, and the score finds nothing wrong with it.

# %%
held_digits = digits[even][N_TRAIN:]
first = rng.integers(len(held_out), size=600)
second = rng.integers(len(held_out), size=600)
keep = held_digits[first] != held_digits[second]
one, two = codes[first[keep]], codes[second[keep]]
ends, middles = (np.rint(ae.decode(code)).astype("uint8") for code in (one, (one + two) / 2))
ratio = np.median(strangeness(middles)) / np.median(strangeness(ends))
passed = 1 - ae.detect(middles)["is_anomaly"].mean()
learn.claim("C9.15", "of decoded midpoints training images leave over more than of decoded "
            "endpoints, this many times (medians)", ratio, ">")
learn.claim("C9.16", "this share of them passes as normal", passed, ">")

# %%
rows = np.argsort(-strangeness(middles))[[0, 10, 20]]
ways = np.stack([ae.decode((1 - part) * one[rows] + part * two[rows])
                 for part in np.linspace(0, 1, 7)], axis=1)
drawing = kerasae.report.figures.interpolations(ways, value_range=(0, 255))
drawing.figure.axes[0].set_title("from one even digit to another")
learn.figure(drawing, alt=drawing.alt +
             f" The images in the middle are no digits; {passed:.0%} of such pass.")

# %% [markdown]
# ## What is a good number?
#
# Chance is 0.5. Two rivals need no training at all: the distance to the mean image, and the
# distance to the nearest training image. The first is what a model that collapsed to a constant
# gives: below it, a detector has learned nothing. The second keeps all training images and is slow,
# and hard to beat.

# %%
centre = flat[0].mean(axis=0)
nearest = NearestNeighbors(n_neighbors=1).fit(flat[0])
distances = [nearest.kneighbors(x)[0][:, 0] for x in flat[1:]]
detectors = {"distance to the mean": [np.mean((x - centre) ** 2, axis=1) for x in flat[1:]],
             f"PCA, {LATENT_DIM} components": by_pca[1:], "autoencoder": [of_held_out, of_odd],
             "nearest training image": distances}
rows, total = [], {}
for name, (normal, abnormal) in detectors.items():
    own = kerasae.anomaly.Calibration(normal[:half], RATE)
    total[name] = auroc(normal, abnormal)
    rows.append([name, total[name], own.is_anomaly(normal[half:]).mean(),
                 own.is_anomaly(abnormal).mean()])
learn.table(rows, ["detector", "AUROC, all odd digits", "false alarms, set for 5 %", "found"])
learn.claim("C9.17", "the autoencoder is above the distance to the mean by more than",
            total["autoencoder"] - total["distance to the mean"], ">")

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: far more alarms than anybody can look at
#
# **Museum.** The anomaly section of TensorFlow's autoencoder tutorial sets the threshold to the
# mean plus one standard deviation of the training errors. That is no rate of anything: which share
# lies above depends on the shape of the histogram, and on how far the model has overfitted. The
# line to add counts on normal samples that were held out.

# %%
threshold = of_train.mean() + of_train.std()
print(f"threshold {threshold:.4f}, odd digits found: {np.mean(of_odd > threshold):.1%}")
print(f"false alarms, held out: {np.mean(of_held_out > threshold):.1%}")  # catches it
learn.claim(
    "C9.18", "mean plus one standard deviation raises more false alarms than", by_one_sd, ">"
)

# %% [markdown]
# ### Pitfall: no alarm for weeks, and then it was too late
#
# **Museum.** The example on anomalies in time series of keras.io takes the largest training error
# as the threshold. One sample sets it. Below, a single damaged image got among the training images,
# as it happens. (It is only scored: one image of many would hardly change the model.) The line to
# add leaves the one largest error out and looks what happens.

# %%
damaged = rng.integers(0, 256, size=(1, *splits.shape)).astype("uint8")
with_one = np.append(of_train, ae.score(damaged))
threshold = with_one.max()
print(f"threshold {threshold:.4f}, odd digits found: {np.mean(of_odd > threshold):.1%}")
print(f"threshold without one sample: {np.sort(with_one)[-2]:.4f}")  # catches it
learn.claim("C9.19", "a single damaged sample raises that threshold by a factor of more "
            "than", threshold / of_train.max(), ">")
moved = np.quantile(with_one, 1 - RATE) / np.quantile(of_train, 1 - RATE)
learn.claim("C9.20", "and the 95 % quantile by a factor of less than", moved, "<")

# %% [markdown]
# ### Pitfall: the rate of false alarms is kept, and nothing is found
#
# Symptom: fewer alarms than promised. The held-out samples were not all normal. Calibration puts
# the threshold where a share of **all** of them lies above; with as many anomalies among them as
# false alarms allowed, it has to lie among the anomalies. Look at the held-out samples with the
# largest scores before you calibrate.

# %%
rows = []
for share in (0.0, 0.02, 0.05, 0.1):
    count, of_draws = int(share * half), []
    for _ in range(100):
        a, b = rng.permutation(of_held_out), rng.permutation(of_odd)
        own = kerasae.anomaly.Calibration(np.r_[a[: half - count], b[:count]], RATE)
        of_draws.append([own.is_anomaly(a[half:]).mean(), own.is_anomaly(b[count:]).mean()])
    rows.append([share, *np.mean(of_draws, axis=0)])
learn.table(rows, ["anomalies among the held-out samples", "false alarms", "odd digits found"])
learn.claim("C9.21", "with 10 % anomalies in the calibration this share of the detection is lost",
            1 - rows[-1][2] / rows[0][2], ">")

# %% [markdown]
# ## Exercises
#
# ### Exercise 9.1: how many alarms are true (2 minutes)
#
# Return the precision from the share of anomalies found, the rate of false alarms, and the
# prevalence. Numbers or arrays.


# %%
def precision_at(found, false_alarms, prevalence):
    """Return the share of alarms that are true."""
    return None  # your code


learn.exercise("9.1").check(precision_at)


# %% tags=["solution"]
def precision_at(found, false_alarms, prevalence):
    """Return the share of alarms that are true."""
    true = prevalence * found
    return true / (true + (1 - prevalence) * false_alarms)


learn.exercise("9.1").check(precision_at)

# %% [markdown]
# ### Exercise 9.2: the split-conformal threshold (10 minutes)
#
# Return the score above which a sample is an anomaly, so that of new normal samples a share of at
# most `rate` is flagged on average. Which of the $n$ held-out scores is it? Beware of the $n+1$,
# and return infinity where there are too few.


# %%
def conformal_threshold(scores, rate):
    """Return the threshold for held-out scores, shape (n,); an anomaly scores above it."""
    return None  # your code


learn.exercise("9.2").check(conformal_threshold)


# %% tags=["solution"]
def conformal_threshold(scores, rate):
    """Return the threshold for held-out scores, shape (n,); an anomaly scores above it.

    A new score is above the k-th largest of n with a probability of k / (n + 1). The largest k
    that keeps this at most `rate` is floor((n + 1) rate).
    """
    allowed = int(np.floor((len(scores) + 1) * rate + 1e-9))
    return np.sort(scores)[-allowed] if allowed else np.inf


learn.exercise("9.2").check(conformal_threshold)

# %% [markdown]
# ### Exercise 9.3: fool PCA (open)
#
# `mean`, shape (d,), and orthonormal `basis`, shape (d, k), reconstruct $x$ as $\mu + (x-\mu) B
# B^\top$. Return an image with all pixels in [0, 1] whose reconstruction error is below 1e-8, and
# which is not the mean: start from noise. Go further: fool the autoencoder with an image that looks
# like **your** initials.


# %%
def fooling_image(mean, basis, rng):
    """Return an image, shape (d,), that PCA reconstructs; `rng` is a NumPy generator."""
    return None  # your code


learn.exercise("9.3").check(fooling_image)


# %% tags=["solution"]
def fooling_image(mean, basis, rng):
    """Return an image, shape (d,), that PCA reconstructs; `rng` is a NumPy generator.

    Projecting leaves [0, 1], clipping leaves the plane. In turns they converge to both.
    """
    x = rng.uniform(size=len(mean))
    for _ in range(5000):
        x = np.clip(mean + (x - mean) @ basis @ basis.T, 0, 1)
    return x


learn.exercise("9.3").check(fooling_image)

# %% [markdown]
# ## Three questions
#
# **1. The conformal threshold was calibrated last year. This year's sensor is a little noisier.
# What does the theorem say now?**
#
# <details><summary>Answer</summary>
#
# Nothing. Old and new samples are no longer exchangeable. Noisier samples score higher, so more
# false alarms come than promised. Calibrate again, on normal samples of this year.
#
# </details>
#
# **2. A detector has an AUROC of 0.3 on some kind of anomaly. Turn its sign and it has 0.7. Is that
# a remedy?**
#
# <details><summary>Answer</summary>
#
# Not for a detector of the unknown: with the sign turned, it would miss all that scores high. It
# says that these anomalies are simpler than normal samples, and that the score measures difficulty.
#
# </details>
#
# **3. A larger code lowers the error on held-out normal samples. Why not take the largest?**
#
# <details><summary>Answer</summary>
#
# With as many numbers as pixels everything is reconstructed, anomalies too, and the score is 0 for
# all. The error on normal samples cannot see that.
#
# </details>

# %% [markdown]
# ## Summary
#
# - The score is a reconstruction error; calibrate its threshold on held-out normal samples.
# - The score measures how hard a sample is, so each kind of anomaly has an AUROC of its own.
# - Precision depends on the prevalence; labels used for choosing are used up.
# - Nonsense that the model can draw passes: fooling images, holes between codes.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 10](10_serving.ipynb) takes a trained model out of Python's hands, threshold included.
#
# ### References
#
# - V. Vovk, A. Gammerman, G. Shafer, *Algorithmic Learning in a Random World*, 2005, section 2.2.
# - R. Laxhammar, G. Falkman, "Conformal prediction for distribution-independent anomaly detection
#   in streaming vessel data", 2010: thresholds from p-values.
# - T. Fawcett, "An introduction to ROC analysis", *Pattern Recognition Letters* 27, 2006,
#   section 7: AUROC as a share of pairs.
# - T. Saito, M. Rehmsmeier, "The precision-recall plot is more informative than the ROC plot when
#   evaluating binary classifiers on imbalanced datasets", *PLOS ONE* 10, 2015.
# - L. Ruff and others, "A unifying review of deep and shallow anomaly detection", *Proceedings of
#   the IEEE* 109, 2021, section IV: reconstruction models and what they miss.
# - A. Nguyen, J. Yosinski, J. Clune, "Deep neural networks are easily fooled", 2015: images that
#   are nonsense to us and not to a model.
