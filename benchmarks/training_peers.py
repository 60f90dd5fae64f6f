"""The programs of `training.py` that need PyTorch, in an environment of their own."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Network(nn.Module):
    """Encoder and decoder of one of the networks, with its loss."""

    def __init__(self, name: str, chosen: dict):
        super().__init__()
        self.name, self.noise = name, chosen.get("noise", 0.0)
        hidden, code = chosen["hidden"], chosen["code"]
        if name == "conv":
            first, second = hidden
            self.encoder = nn.Sequential(
                nn.Conv2d(1, first, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(first, second, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(49 * second, code),
            )
            self.decoder = nn.Sequential(
                nn.Linear(code, 49 * second),
                nn.ReLU(),
                nn.Unflatten(1, (second, 7, 7)),
                nn.ConvTranspose2d(second, first, 3, 2, 1, 1),
                nn.ReLU(),
                nn.ConvTranspose2d(first, 1, 3, 2, 1, 1),
            )
            return
        kind = nn.Sigmoid if name == "contractive" else nn.ReLU
        self.encoder = chain([784, *hidden, code * (2 if name == "vae" else 1)], kind)
        if name == "contractive":
            self.encoder.append(nn.Sigmoid())
        self.decoder = chain([code, *reversed(hidden), 784], kind)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch in [0, 1]."""
        if self.name == "conv":
            x = x.reshape(-1, 1, 28, 28)
        if self.name == "contractive":
            # One random projection, as kerasae's default.
            x = x.detach().requires_grad_()
            h = self.encoder(x)
            signs = torch.randint(0, 2, h.shape).to(h.dtype) * 2 - 1
            (pulled,) = torch.autograd.grad(h, x, signs, create_graph=True)
            penalty = pulled.square().sum(1).mean()
            return functional.mse_loss(self.decoder(h), x) + 1e-4 * penalty
        if self.name == "vae":
            mean, log_var = self.encoder(x).chunk(2, 1)
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
            logits = self.decoder(z)
            kl = 0.5 * (log_var.exp() - log_var + mean**2 - 1).sum()
            likelihood = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            return (likelihood + kl) / len(x)
        noisy = x + self.noise * torch.randn_like(x) if self.noise else x
        return functional.mse_loss(self.decoder(self.encoder(noisy)), x)


def chain(widths: list[int], kind: type) -> nn.Sequential:
    """Return dense layers with an activation between them."""
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(widths):
        layers += [nn.Linear(i, o), kind()]
    return nn.Sequential(*layers[:-1])


def make(
    program: str, network: str, chosen: dict, data: np.ndarray, batch: int, rate: float
) -> Callable[[], object]:
    """Return the function of a program that trains a network for an epoch."""
    torch.manual_seed(0)
    if program == "pythae":
        return with_pythae(chosen, data, batch, rate)
    if program == "PyOD":
        from pyod.models.auto_encoder import AutoEncoder

        return lambda: AutoEncoder(random_state=0, verbose=0).fit(data)
    model = Network(network, chosen)
    x = torch.from_numpy(data.astype("float32") / 255)
    if program == "PyTorch, by hand":
        optimizer = torch.optim.Adam(model.parameters(), rate, fused=True)

        def train() -> None:
            order = torch.randperm(len(x))
            for start in range(0, len(x), batch):
                optimizer.zero_grad(set_to_none=True)
                model.loss(x[order[start : start + batch]]).backward()
                optimizer.step()

        return train
    optimizer = torch.optim.Adam(model.parameters(), rate)
    set_ = torch.utils.data.TensorDataset(x, torch.zeros(len(x)))
    loader = torch.utils.data.DataLoader(set_, batch_size=batch, shuffle=True)

    def loop() -> None:
        total = 0.0
        for images, _ in loader:
            optimizer.zero_grad()
            loss = model.loss(images)
            loss.backward()
            optimizer.step()
            total += loss.item()
        assert math.isfinite(total)

    return loop


def with_pythae(chosen: dict, data: np.ndarray, batch: int, rate: float) -> Callable[[], object]:
    """Train pythae's VAE with its own trainer, one hidden layer in each half."""
    import tempfile

    from pythae.data.datasets import DatasetOutput
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    (width,), code = chosen["hidden"], chosen["code"]

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = nn.Linear(784, width), nn.Linear(width, 2 * code)

        def forward(self, x):
            mean, log_var = self.out(torch.relu(self.hidden(x.flatten(1)))).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = nn.Linear(code, width), nn.Linear(width, 784)

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.out(torch.relu(self.hidden(z)))))

    class Rows(torch.utils.data.Dataset):
        def __init__(self):
            self.x = torch.from_numpy(data.astype("float32") / 255)

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return DatasetOutput(data=self.x[i])

    config = VAEConfig(input_dim=(784,), latent_dim=code, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    folder = tempfile.mkdtemp()
    trainer = BaseTrainer(
        model=model,
        train_dataset=Rows(),
        eval_dataset=None,
        training_config=BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            learning_rate=rate,
            no_cuda=True,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=batch,
        ),
    )
    trainer.prepare_training()
    return lambda: trainer.train_step(1)
