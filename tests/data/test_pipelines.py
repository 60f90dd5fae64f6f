import numpy as np
import pytest

import kerasae.data


def test_batches_keep_the_remainder_and_know_their_number():
    splits = kerasae.data.load(np.arange(200.0).reshape(100, 2), batch_size=32)
    shapes = [tuple(batch.shape) for batch in splits.train]
    assert shapes == [(32, 2), (32, 2), (16, 2)]
    assert int(splits.train.cardinality()) == 3
    assert splits.train.element_spec.shape.as_list() == [None, 2]


def test_validation_comes_in_file_order_every_time():
    splits = kerasae.data.load(np.arange(200.0).reshape(100, 2), batch_size=4)
    for _ in range(2):
        rows = np.concatenate(list(splits.validation.as_numpy_iterator()))
        np.testing.assert_array_equal(rows, splits.array("validation"))


def test_uint8_reaches_the_model_unchanged():
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 5, 3), np.uint8)
    splits = kerasae.data.load(images, validation=0, test=0, batch_size=40)
    assert splits.dtype == "uint8"
    assert splits.value_range == (0.0, 255.0)
    (batch,) = splits.train.as_numpy_iterator()
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(np.sort(batch, axis=0), np.sort(images, axis=0))


def test_an_empty_split_is_an_empty_dataset():
    splits = kerasae.data.load(np.ones((10, 3)), validation=0, test=0)
    assert splits.sizes["test"] == 0
    assert list(splits.test) == []
    assert splits.array("test").shape == (0, 3)


@pytest.fixture
def trained():
    """Return a function: fit some epochs, return the loss after every batch by epoch."""
    import keras

    class FirstColumn(keras.Model):
        def __init__(self):
            super().__init__()
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return self.scale * x[:, 0]

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(y_pred)

    class Resume(keras.callbacks.Callback):
        def __init__(self, splits):
            super().__init__()
            self.splits, self.losses = splits, {}

        def on_epoch_begin(self, epoch, logs=None):
            self.splits.set_epoch(epoch)
            self.losses[epoch] = []
            self.current = epoch

        def on_train_batch_end(self, batch, logs=None):
            self.losses[self.current].append(float(logs["loss"]))

    def fit(splits, initial_epoch, epochs):
        model = FirstColumn()
        model.compile(optimizer=keras.optimizers.SGD(0.0))
        resume = Resume(splits)
        model.fit(
            splits.train,
            initial_epoch=initial_epoch,
            epochs=epochs,
            verbose=0,
            shuffle=False,  # Keras warns that it cannot shuffle a dataset
            callbacks=[resume],
            validation_data=splits.validation,
        )
        return resume.losses

    return fit


@pytest.mark.parametrize("memory_budget", [2**20, 200])
def test_a_resumed_fit_sees_the_order_of_an_uninterrupted_one(trained, tmp_path, memory_budget):
    np.save(tmp_path / "x.npy", np.arange(200, dtype=np.float32).reshape(100, 2))

    def load():
        return kerasae.data.load(
            tmp_path / "x.npy", batch_size=16, memory_budget=memory_budget, seed=1
        )

    whole = trained(load(), 0, 3)
    resumed = trained(load(), 2, 3)
    assert load().streamed == (memory_budget == 200)
    assert len(whole[2]) == -(-load().sizes["train"] // 16)
    assert whole[2] == resumed[2]
    assert whole[1] != whole[2]
    # All batches together hold every training row once, whatever the order.
    assert whole[2][-1] == pytest.approx(whole[1][-1], rel=1e-6)
