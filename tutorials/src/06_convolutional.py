# %% [markdown]
# # 06 · Convolutional
#
# > A convolution asks the same question at every place of an image, with a handful of weights; it
# > shrinks by strides and grows by transposed convolutions, and its code must still be small.

# %% [markdown]
# ## Before you start
#
# **You will be able to** compute sizes and receptive fields by hand, show that a shift of the image
# is a shift of the features, and tell a bottleneck from a detour.
#
# **Needs** [lesson 01](01_introduction.ipynb) and [lesson 02](02_undercomplete.ipynb), sums.
# **Reading** 20 minutes, **running** {{running}} on two cores. **Data** handwritten digits: MNIST,
# or without a network the 1,797 digits of scikit-learn. **Claims** {{claims}}.

# %% [markdown]
# ## Setup

# %%
import kerasae
import kerasae_lessons as learn  # before Keras: it keeps TensorFlow's start quiet

import keras
import numpy as np
import tensorflow as tf
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle
from sklearn.decomposition import PCA

# %% tags=["parameters"]
PROFILE = "full"  # "smoke" takes embedded digits, needs no network, and is done in seconds
DATA = "mnist"  # 28x28 images; "digits" are 8x8
N_TRAIN = 4000  # training images
FILTERS = 8  # of the first convolution; the second has twice as many
LATENT_DIM = 32  # numbers in the code
EPOCHS = 8  # passes over the training images
SEED = 0  # of the weights and of the order of the images

# %%
learn.begin("06", globals())
splits = kerasae.data.load(DATA)
raw_train, raw_test = splits.array("train")[:N_TRAIN], splits.array("test")[:2000]
x_train, x_test = raw_train / 255.0, raw_test / 255.0  # grey values from 0 to 1
size, pixels = splits.shape[0], x_test[0].size
hidden = (FILTERS, 2 * FILTERS)
print(f"{len(x_train):,} images to train on, each {splits.shape}, codes of {LATENT_DIM} numbers")

# %% [markdown]
# ## Predict first
#
# The first layer of our encoder turns an image into a few maps of half its height and width. A
# *dense* layer could compute the same maps, with a weight for each pair of a pixel and an output.
# **How many times as many weights does it need, biases aside?** Write a number instead of `None`.

# %%
guess = None

# %% [markdown]
# ## 1. The same weights everywhere
#
# | symbol | in code | what it is |
# |---|---|---|
# | $n$ | `size` | height (and width) of what goes in |
# | $k$ | `kernel` | edge of the kernel: how far a filter looks |
# | $s$ | `stride` | step from one place to the next |
# | $w_{abcf}$ | `w` | weight of filter $f$ at place $(a,b)$ of its window, channel $c$ |
# | $y_{ijf}$ | `features` | how well filter $f$ fits at cell $(i,j)$ |
#
# A convolution lays a window of $k \times k$ pixels on the image, multiplies with the weights of a
# filter, and adds up. Then the window moves by $s$ pixels and takes *the same* weights again:
#
# $$y_{ijf} = b_f + \sum_{a,b,c} w_{abcf}\;x_{si+a,\;sj+b,\;c}.$$
#
# Two things are saved against a dense layer: each output sees $k^2$ pixels and not all (*local*),
# and all outputs of a filter have the same weights (*shared*).


# %%
def convolve(x, w, b, stride):
    """Return the convolution of one image (n, n, channels), without zeros around it."""
    kernel = w.shape[0]
    cells = (x.shape[0] - kernel) // stride + 1
    y = np.zeros((cells, cells, w.shape[-1]))
    for i in range(cells):
        for j in range(cells):
            window = x[stride * i : stride * i + kernel, stride * j : stride * j + kernel]
            y[i, j] = np.tensordot(window, w, axes=3) + b
    return y


keras.utils.set_random_seed(SEED)
layer = keras.layers.Conv2D(FILTERS, 4, strides=2, padding="valid")
features = np.array(layer(x_test[:1].astype("float32")))[0]
w, b = layer.get_weights()
apart = np.abs(convolve(x_test[0], w, b, 2) - features).max()
learn.claim("C6.1", "largest difference of a loop over cells and keras.layers.Conv2D",
            apart, "<", 1e-5)

# %%
first = w.size
as_dense = pixels * (size // 2) ** 2 * FILTERS
learn.table([["convolution", first], ["dense layer", as_dense]], ["first layer", "weights"])
learn.reveal(
    guess, as_dense / first, "weights of the dense layer for each weight of the convolution"
)

# %% [markdown]
# Looking at 16 pixels instead of all saves the smaller part of it. The larger part is sharing: one
# set of weights for all cells, $(n/2)^2$ of them.

# %% [markdown]
# ## 2. Down by strides
#
# How many cells come out? Without zeros around (`"valid"`) the window fits
# $\lfloor (n-k)/s \rfloor + 1$ times. With `padding="same"` zeros are put around so that the result
# has $\lceil n/s \rceil$ cells: stride 2 halves. Each cell looks at few pixels, its *receptive
# field*. Layers widen it: one step in layer $l$ is $s_1 s_2 \cdots s_{l-1}$ pixels, and so
#
# $$r = 1 + \sum_l (k_l - 1)\prod_{i<l} s_i.$$
#
# The encoder of `kerasae` has kernels of 4 and strides of 2, and a dense layer at its end, which
# makes the code a vector.

# %%
keras.utils.set_random_seed(SEED)
ae = kerasae.build("convolutional", splits.shape, latent_dim=LATENT_DIM, hidden=hidden,
                   input_dtype=splits.dtype)
ladder = [("image", splits.shape)]
for network in (ae.encoder_network, ae.decoder_network):
    ladder += [(layer.name, tuple(layer.output.shape[1:])) for layer in network.layers
               if layer.name in ("encoder_1", "encoder_2", "code", "unflatten", "decoder_1")
               and layer is not ae.decoder_network.layers[0]]
ladder.append(("output", splits.shape))
sizes = {name: shape[0] for name, shape in ladder}
learn.table([[name, " x ".join(map(str, shape)), int(np.prod(shape))] for name, shape in ladder],
            ["layer", "shape", "numbers"])
learn.claim("C6.2", "two strides of 2: the grid is a quarter of the image, rounded up",
            sizes["encoder_2"] == -(-size // 4), "==", True)
learn.claim("C6.3", "numbers in the code, which must be fewer than pixels", ae.latent_dim, "<",
            pixels)

# %%
fig, ax = plt.subplots(figsize=(8.4, 3.0))
left = 0.0
for name, shape in ladder:
    tall = shape[0] / size if len(shape) == 3 else 0.06
    wide = 0.16 + 0.045 * shape[-1] if len(shape) == 3 else 1.4
    ax.add_patch(Rectangle((left, -tall / 2), wide, tall, facecolor="#E8F1F8", edgecolor="#0072B2"))
    middle = left + wide / 2
    ax.text(middle, -0.62, "\u00d7".join(map(str, shape)), ha="center", fontsize=9)
    ax.text(middle, 0.56, name.replace("_", " "), ha="center", fontsize=9, weight="bold")
    left += wide + 0.9
ax.set(xlim=(-0.3, left - 0.5), ylim=(-0.75, 0.75))
ax.axis("off")
learn.figure(fig, alt="Boxes from left to right, as high as their maps, wide if they are many: "
             f"{size} pixels high, then {sizes['encoder_1']} and {sizes['encoder_2']}, a flat code "
             f"of {LATENT_DIM} numbers, and up again to {size}.")

# %% [markdown]
# The receptive field can be measured: which pixels have a gradient at the cell in the middle?
# Filters of ones and no ReLU let everything through.


# %%
def measured_field(layers, size=64):
    """Return how many pixels in a row a cell in the middle depends on."""
    stack = keras.Sequential([
        keras.layers.Conv2D(1, kernel, strides=stride, padding="same", kernel_initializer="ones")
        for kernel, stride in layers
    ])
    image = tf.zeros((1, size, size, 1))
    with tf.GradientTape() as tape:
        tape.watch(image)
        cells = stack(image)
        middle = cells[0, cells.shape[1] // 2, cells.shape[2] // 2, 0]
    rows = np.abs(tape.gradient(middle, image).numpy()[0, :, :, 0]).sum(axis=1)
    return int((rows > 0).sum())


# %%
def field(layers):
    """Return the receptive field of layers, pairs of kernel and stride, by the formula."""
    strides = [stride for _, stride in layers]
    return 1 + sum((k - 1) * int(np.prod(strides[:i])) for i, (k, _) in enumerate(layers))


stacks = [[(4, 2), (4, 2)], [(3, 1), (3, 2), (3, 1), (3, 2)], [(5, 1), (2, 2), (4, 2)]]
rows = [[str(layers), field(layers), measured_field(layers)] for layers in stacks]
learn.table(rows, ["layers, (kernel, stride)", "receptive field", "measured"])
learn.claim("C6.4", "the formula gives the measured receptive fields",
            all(row[1] == row[2] for row in rows), "==", True)

# %% [markdown]
# ## 3. A shift stays a shift
#
# Move the image by $s$ pixels, and each window finds at cell $i$ what it found at cell $i+1$. The
# weights are the same there, so the features are the same numbers, one cell further. This is
# *equivariance*: it holds for every image, for any weights, trained or not. For two layers the
# step is the *total stride*, $2 \cdot 2 = 4$ pixels.
#
# Two limits. At the border, cells look at the zeros around the image, and these do not move along.
# And a shift by less than the total stride falls between the cells.
#
# Below, a window slides over a mosaic of digits; the convolutions of our encoder, with the weights
# it was born with, take images of any size. A dense layer could not.

# %%
tiles = x_test[:25, ..., 0].astype("float32")
mosaic = np.block([[tiles[5 * i + j] for j in range(5)] for i in range(5)])[None, ..., None]
edge = 4 * size  # of the window


def features_of(x, layers):
    """Return the features after the first one or two convolutions, for images of any size."""
    for place in range(1, layers + 1):
        x = ae.encoder_network.get_layer(f"encoder_{place}")(x)
    return np.array(x)[0]


def difference(move, layers):
    """Largest difference of features, relative to their spread, at the best shift by cells."""
    still, moved = (features_of(mosaic[:, m : m + edge, :edge], layers) for m in (0, move))
    cells, found = len(still), []
    for shift in range(move + 1):
        if cells - 2 - shift > 1:  # interior rows that both windows have
            one, other = still[1 + shift : cells - 1, 1:-1], moved[1 : cells - 1 - shift, 1:-1]
            found.append(np.sqrt(np.mean((one - other) ** 2)) / still.std())
    return min(found)


# %%
moves = np.arange(9)
apart = {layers: [difference(move, layers) for move in moves] for layers in (1, 2)}
learn.claim("C6.5", "image moved by one total stride, 4 pixels: difference of the interior "
            "features one cell further", apart[2][4], "<", 1e-5)
learn.claim("C6.6", "moved by half of it: difference, in standard deviations", apart[2][2], ">")

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.3))
for layers, marker in ((1, "o"), (2, "s")):
    ax.plot(moves, apart[layers], marker=marker, markersize=5, clip_on=False)
ax.text(2, 0.55 * apart[1][1], "one layer\nstride 2", ha="center")
ax.text(6, 1.05 * apart[2][6], "two layers, total stride 4", ha="center")
ax.set(xlabel="image moved by, pixels", ylabel="difference / spread", ylim=(0, 1.2 * max(apart[2])),
       title="features, at the best shift by cells")
ax.set_xticks(moves)
learn.figure(fig, alt="Difference of the features against the shift of the image. One layer of "
             f"stride 2: 0 at each even shift, {apart[1][1]:.2f} at 1 pixel. Two layers: 0 at 0, 4 "
             f"and 8 pixels only, {apart[2][2]:.2f} at 2.")

# %% [markdown]
# ## 4. Up again
#
# The decoder has to grow. A *transposed convolution* turns the window around: each cell lays its
# kernel, times its own value, on the output, and the next cell does so $s$ pixels further; where
# kernels overlap, they add up. A convolution is linear, $y = Cx$ with a large matrix $C$, mostly
# zeros. This one multiplies with $C^\top$. It is no inverse. It is defined by
#
# $$\langle C x,\; h\rangle = \langle x,\; C^\top h\rangle \quad\text{for all } x, h.$$

# %%
rng = np.random.default_rng(SEED)
down = keras.layers.Conv2D(FILTERS, 4, strides=2, padding="same", use_bias=False)
up = keras.layers.Conv2DTranspose(1, 4, strides=2, padding="same", use_bias=False)
x = rng.normal(size=(1, 16, 16, 1)).astype("float32")
h = rng.normal(size=(1, 8, 8, FILTERS)).astype("float32")
down.build(x.shape)
up.build(h.shape)
up.set_weights(down.get_weights())  # the same kernel, (4, 4, 1, filters)
one, other = np.sum(np.array(down(x)) * h), np.sum(x * np.array(up(h)))
print(f"both products: {one:.4f} and {other:.4f}")
learn.claim("C6.7", "difference of the two products, with one kernel",
            abs(one - other), "<", 1e-3)

# %% [markdown]
# How many kernels overlap at a pixel? With kernel 4 and stride 2 it is the same number everywhere.
# With kernel 3 and stride 2 it is 1, 2 or 4, in turns. Weights are drawn at random before training,
# so a pixel on which more kernels lie has more power, and a *checkerboard* lies over the image.
# Even overlap wants a kernel that is a multiple of the stride.
#
# A spectrum shows it best: a checkerboard has the highest frequency there is, half a cycle per
# pixel. Below, a grid of ones goes through many kernels drawn at random, and the power of what
# comes out is averaged over them.


# %%
def overlaps(kernel, cells=18):
    """Return how many kernels of stride 2 lie on each pixel, away from the border."""
    ones = {"strides": 2, "padding": "same", "kernel_initializer": "ones"}
    layer = keras.layers.Conv2DTranspose(1, kernel, **ones)
    return np.array(layer(np.ones((1, cells, cells, 1), "float32")))[0, 2:-2, 2:-2, 0]


def spectrum(kernel, cells=18, draws=2000):
    """Return, per frequency, the amplitude of the mean power of a row, over the mean itself."""
    normal = keras.initializers.RandomNormal(stddev=1.0, seed=SEED)
    layer = keras.layers.Conv2DTranspose(draws, kernel, strides=2, padding="same",
                                         kernel_initializer=normal)
    out = np.array(layer(np.ones((1, cells, cells, 1), "float32")))[0, 2:-2, 2:-2]
    power = np.square(out).mean(axis=(0, 2))  # of each column: over rows and draws
    return np.fft.rfftfreq(len(power)), np.abs(np.fft.rfft(power)) / power.sum()


# %%
three, four = overlaps(3), overlaps(4)
(frequencies, of_three), (_, of_four) = spectrum(3), spectrum(4)
learn.claim("C6.8", "kernel 3, stride 2: most over fewest overlaps", three.max() / three.min(),
            "==", 4)
learn.claim("C6.9", "kernel 4, stride 2: most over fewest overlaps", four.max() / four.min(),
            "==", 1)
learn.claim("C6.10", "amplitude at half a cycle per pixel, over the mean: kernel 3", of_three[-1],
            ">")
learn.claim("C6.11", "the same with kernel 4: chance alone", of_four[-1], "<")

# %%
fig, axes = plt.subplots(1, 3, figsize=(8.4, 2.9), width_ratios=(1, 1, 1.5))
for ax, counts, kernel in zip(axes, (three, four), (3, 4), strict=False):
    ax.imshow(counts[:6, :6], cmap="Blues", vmin=0, vmax=6)
    for (i, j), value in np.ndenumerate(counts[:6, :6]):
        ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=9)
    ax.set(title=f"kernel {kernel}", xticks=[], yticks=[])
for kernel, values, marker in ((3, of_three, "o"), (4, of_four, "s")):
    axes[2].plot(frequencies[1:], values[1:], label=f"kernel {kernel}", marker=marker, markersize=4)
axes[2].legend()
axes[2].set(xlabel="cycles per pixel", title="spectrum, untrained")
learn.figure(fig, alt="Left and middle: kernels that overlap at each pixel, stride 2: 1, 2 or 4 in "
             "turns with kernel 3, always 4 with kernel 4. Right: spectrum of the mean power; at "
             f"half a cycle per pixel {of_three[-1]:.2f} of the mean with kernel 3, "
             f"{of_four[-1]:.2f} with kernel 4.")

# %% [markdown]
# ## 5. Against a dense model
#
# Two models with codes of one size, trained on the same images for as many epochs. The test images
# are watched along the way, and nothing is chosen by that curve: no epoch, no size. Whoever chooses
# takes validation images (lesson 02).


# %%
def train(name, **options):
    """Train a variant; return it with its MSE on the test images after each epoch."""
    keras.utils.set_random_seed(SEED)
    ae = kerasae.build(name, splits.shape, LATENT_DIM, input_dtype=splits.dtype, **options)
    ae.compile()
    history = ae.fit(raw_train, epochs=EPOCHS, batch_size=32, validation_data=raw_test, verbose=0)
    curve = history.history["val_reconstruction_loss"]
    print(f"{name}{options or ''}: test MSE {curve[-1]:.5f}")
    return ae, curve


dense, dense_curve = train("undercomplete")
conv, conv_curve = train("convolutional", hidden=hidden)

# %%
kernels = sum(w.size for layer in (*conv.encoder_network.layers, *conv.decoder_network.layers)
              if "Conv" in type(layer).__name__ for w in layer.get_weights())
learn.table([["dense, 128 and 64 units", dense.count_params(), ""],
             [f"convolutional, {hidden[0]} and {hidden[1]} filters", conv.count_params(), kernels]],
            ["model", "parameters", "of these in convolutions"])
learn.claim("C6.12", "parameters of the dense model for each of the convolutional one",
            dense.count_params() / conv.count_params(), ">")
learn.claim("C6.13", "test MSE of the convolutional model over that of the dense one",
            conv_curve[-1] / dense_curve[-1], "<", profile="full")

# %% [markdown]
# Where are the weights of the convolutional model? Nearly all in two dense layers, from the last
# grid to the code and back. The convolutions themselves are a small part. On images of 8×8 pixels,
# as in the smoke profile, the grid is 2×2 cells and there is next to nothing to share: there the
# dense model wins, and the last claim is tested with 28×28 pixels only.

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.4))
epochs = np.arange(1, EPOCHS + 1)
curves = {"dense": dense_curve, "convolutional": conv_curve}
for name, curve in curves.items():
    ax.semilogy(epochs, curve)
    ax.annotate(name, (epochs[-1], curve[-1]), (6, -3), textcoords="offset points")
ax.set(
    xlabel="epoch",
    ylabel="test MSE",
    xlim=(None, 1.25 * EPOCHS),
    title=f"codes of {LATENT_DIM} numbers",
)
learn.figure(fig, alt=f"Test MSE against the epoch: the dense model ends at {dense_curve[-1]:.4f}, "
             f"the convolutional one at {conv_curve[-1]:.4f}.")

# %%
shown = raw_test[:8]
reconstruction = conv.reconstruct(shown)
learn.figure(
    kerasae.report.figures.reconstruction_grid(shown, reconstruction, value_range=(0, 255))
)

# %% [markdown]
# ## What is a good number?
#
# The ceiling is the mean image. PCA with as many numbers needs no training. The second column is
# the error on test images that were moved to the right and down by a pixel or two, as nothing in
# training was.

# %%
move = max(1, size // 14)
shifted = np.zeros_like(raw_test)
shifted[:, move:, move:] = raw_test[:, :-move, :-move]
pca = PCA(LATENT_DIM).fit(x_train.reshape(len(x_train), -1))
mean_image = x_train.mean(axis=0)


def by_pca(x):
    """Reconstruct images by PCA."""
    flat = (x / 255).reshape(len(x), -1)
    return 255 * np.clip(pca.inverse_transform(pca.transform(flat)), 0, 1).reshape(x.shape)


ways = [("mean image", lambda x: 255 * mean_image), (f"PCA, {LATENT_DIM} numbers", by_pca),
        ("dense", dense.reconstruct), ("convolutional", conv.reconstruct)]
rows = [[name, *(np.mean((way(x) / 255 - x / 255.0) ** 2) for x in (raw_test, shifted))]
        for name, way in ways]
learn.table(rows, ["model", "test MSE", f"moved by {move}"])

# %% [markdown]
# Read the row of PCA first. A dense model above it has not been trained to the end: so the
# convolutional model learns more from few images in few epochs, which is not that a dense one could
# never do as well. And on moved images the convolutional model suffers too, and need not beat PCA.
# Its features move along with the image, but then come the two dense layers around the code, and
# they know places.

# %% [markdown]
# ## Pitfalls
#
# ### Pitfall: the copies are nearly perfect, and the model is good for nothing
#
# **Museum.** The convolutional example of keras.io, whose title promises denoising, first trains an
# autoencoder to copy digits: two convolutions of 32 filters, each followed by pooling, and no dense
# layer. The grid in the middle looks small, 7×7. But it is 32 maps deep: 1,568 numbers for an
# image of 784. Nothing is squeezed, and the small error says nothing.
#
# One line shows it: count the numbers of the code. Half of these are enough for a perfect copy
# without any training. Below, filters that each pass on one pixel of a 4×4 window.

# %%
layers = [layer for _ in range(2) for layer in (
    keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
    keras.layers.MaxPooling2D(2, padding="same"))]
published = keras.Sequential([keras.Input(splits.shape), *layers])
numbers = int(np.prod(published.output_shape[1:]))
print(f"{numbers:,} numbers in the code of an image of {pixels} pixels")  # catches it

x = x_test[:500].astype("float32")
pick = np.eye(16, dtype="float32").reshape(4, 4, 1, 16)
down = keras.layers.Conv2D(16, 4, strides=4, use_bias=False)
up = keras.layers.Conv2DTranspose(1, 4, strides=4, use_bias=False)
code = down(x)
up.build(code.shape)
down.set_weights([pick])
up.set_weights([pick])
copy_error = float(np.mean((np.array(up(down(x))) - x) ** 2))
learn.claim("C6.14", "numbers in that code, for each pixel", numbers / pixels, "==", 2)
learn.claim("C6.15", "a strided convolution and its transpose, by hand, with as many numbers as "
            "pixels: MSE", copy_error, "==", 0)

# %% [markdown]
# `kerasae` builds a code that is a vector, says its size, and calls a model undercomplete only if
# it is.

# %%
try:
    kerasae.build("convolutional", splits.shape, numbers)
except ValueError as error:
    print(error)

# %% [markdown]
# ### Pitfall: height and width are exchanged, and it trains
#
# **Museum.** The exercise on variational autoencoders in chapter 0.5 of ARENA 3.0 reshaped the
# numbers behind the decoder's dense layer to channels, *width*, height, where channels, height,
# width was meant; issue 164 reports it, and adds that the network still trains.
#
# Of course it does. The dense layer before it can learn its outputs in any order. Below, the
# trained decoder with the exchange, and the rows of its dense layer in the order that undoes it:
# the same error to the last digits. No loss, no curve and no picture shows the mistake, until
# weights move to another framework, a code is drawn as a map, or images are not square.
#
# What shows it is a *known answer*: put in something that is not symmetric. One lit cell at the
# top right must light up the top right.

# %%
net = conv.decoder_network
grid = net.get_layer("unflatten").output
tail = keras.Model(grid, net.output)
upright, exchanged = keras.Input(grid.shape[1:]), keras.Input(grid.shape[1:])
turned = keras.layers.Permute((2, 1, 3))(exchanged)
tails = {"right": keras.Model(upright, tail(upright)),
         "exchanged": keras.Model(exchanged, tail(turned))}


def lit_corner(decode):
    """Return where the image changes, on average, when the cell at the top right is lit."""
    cells = np.zeros((2, *grid.shape[1:]), "float32")
    cells[1, 0, -1] = 1
    dark, lit = np.array(decode(cells))[..., 0]
    change = np.abs(lit - dark) / np.abs(lit - dark).sum()
    row, column = ((change * place).sum() for place in np.indices(change.shape))
    middle = (size - 1) / 2
    return ("top" if row < middle else "bottom") + (" right" if column > middle else " left")


for name, decode in tails.items():
    print(f"{name}: the cell at the top right lights up the {lit_corner(decode)}")  # catches it

# %%
expected = {"right": "top right", "exchanged": "bottom left"}
learn.claim("C6.16", "decoders, of 2, of which the known answer tells whether they exchange",
            sum(lit_corner(decode) == expected[name] for name, decode in tails.items()),
            ">")

# %%
kernel, bias = net.get_layer("decoder_grid").get_weights()
order = np.arange(bias.size).reshape(grid.shape[1:]).transpose(1, 0, 2).ravel()
code = conv.encode(raw_test)
cells = np.maximum(code @ kernel[:, order] + bias[order], 0).reshape(-1, *grid.shape[1:])
images = conv.output_activation(tails["exchanged"].predict(cells, verbose=0, batch_size=500))
as_before = np.abs(255 * np.array(images) - conv.reconstruct(raw_test)).max() / 255
learn.claim("C6.17", "exchanged model, its dense layer in another order: largest change of a pixel",
            as_before, "<", 1e-4)

# %% [markdown]
# ## Exercises
#
# ### Exercise 6.1: how many cells (2 minutes)
#
# Return the number of cells that a convolution makes of `size` pixels in a row.


# %%
def output_size(size, kernel, stride, padding):
    """Return the number of cells, an int; padding is "valid" or "same"."""
    return None  # your code


learn.exercise("6.1").check(output_size)


# %% tags=["solution"]
def output_size(size, kernel, stride, padding):
    """Return the number of cells, an int; padding is "valid" or "same"."""
    if padding == "same":
        return -(-size // stride)
    return (size - kernel) // stride + 1


learn.exercise("6.1").check(output_size)

# %% [markdown]
# ### Exercise 6.2: receptive field and total stride (10 minutes)
#
# For a list of layers `(kernel, stride)`, return the receptive field of a cell of the last one and
# the total stride, both in pixels. A convolution with kernel 1 sees what it sits on.


# %%
def receptive_field(layers):
    """Return (receptive field, total stride) in pixels for pairs (kernel, stride)."""
    return None  # your code


learn.exercise("6.2").check(receptive_field)


# %% tags=["solution"]
def receptive_field(layers):
    """Return (receptive field, total stride) in pixels for pairs (kernel, stride)."""
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step  # one cell of this layer's input is `step` pixels
        step *= stride
    return field, step


learn.exercise("6.2").check(receptive_field)

# %% [markdown]
# ### Exercise 6.3: remove the checkerboard (open)
#
# Along one axis, a transposed convolution without cropping turns `cells` cells into
# `(cells - 1) * stride + kernel` pixels (for kernels at least as large as the stride). Return how
# many kernels lie on each pixel. Then find the kernels of 2 to 8 for which a stride of 3 gives an
# even count away from the border. Go further: train this lesson's model with one, or resize and
# then convolve with stride 1 instead, and compare the spectra.


# %%
def overlap_counts(cells, kernel, stride):
    """Return how many kernels lie on each pixel, an array of ints."""
    return None  # your code


learn.exercise("6.3").check(overlap_counts)


# %% tags=["solution"]
def overlap_counts(cells, kernel, stride):
    """Return how many kernels lie on each pixel, an array of ints.

    Even away from the border where the kernel is a multiple of the stride: 3 and 6 for stride 3.
    """
    counts = np.zeros((cells - 1) * stride + kernel, int)
    for cell in range(cells):
        counts[cell * stride : cell * stride + kernel] += 1
    return counts


learn.exercise("6.3").check(overlap_counts)

# %% [markdown]
# ## Three questions
#
# **1. The image is moved by 2 pixels, the encoder has a total stride of 4. Do the features move?**
#
# <details><summary>Answer</summary>
#
# They change, and no shift by cells makes them equal (C6.6). Equivariance holds for whole total
# strides, away from the border.
#
# </details>
#
# **2. A grid of 4×4×64 in the middle of a model for 28×28 images. Is that a bottleneck?**
#
# <details><summary>Answer</summary>
#
# No: 1,024 numbers for 784 pixels. Height and width say nothing without the channels.
#
# </details>
#
# **3. Is a transposed convolution the inverse of the convolution with the same kernel?**
#
# <details><summary>Answer</summary>
#
# In general not: it has the transposed matrix, and only sizes are undone. For filters that each
# pick one pixel of a window of their own the matrix is a permutation, and there it is (C6.15).
#
# </details>

# %% [markdown]
# ## Summary
#
# - A convolution has few weights and asks the same at every place; a shift stays a shift.
# - Strides shrink, transposed convolutions grow; kernels a multiple of the stride leave no grid.
# - The code has height times width times channels numbers; count them.
# - A known answer that is not symmetric finds what no loss shows.

# %%
learn.claims_table()

# %% [markdown]
# ## Next
#
# [Lesson 07](07_variational.ipynb) gives the code a distribution, and draws new samples from it.
#
# ### References
#
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, 2016, sections 9.1 and 9.2: sparse
#   interactions, shared weights, equivariance; section 9.5: strides and zero padding.
# - V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, sections 2
#   and 4: sizes, transposed convolutions.
# - A. Odena, V. Dumoulin, C. Olah, "Deconvolution and checkerboard artifacts", *Distill*, 2016.
# - A. Azulay, Y. Weiss, "Why do deep convolutional networks generalize so poorly to small image
#   transformations?", *Journal of Machine Learning Research* 20, 2019, section 2: strides.
