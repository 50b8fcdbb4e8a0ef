"""Train on shards with WebDataset and PyTorch, without igllm: a small network learns to count objects."""

import sys
from pathlib import Path

import torch
import webdataset
from matplotlib.figure import Figure
from torch import nn

shards = sorted(map(str, Path(sys.argv[1] if len(sys.argv) > 1 else "data").glob("*.tar")))
out = Path(sys.argv[2] if len(sys.argv) > 2 else "losses.png")
STEPS, BATCH = 60, 8

samples = webdataset.WebDataset(shards, shardshuffle=False).shuffle(1000, seed=1).decode("torchrgb").to_tuple("png", "json").repeat()
batches = webdataset.WebLoader(samples, batch_size=None).batched(BATCH, collation_fn=list)

torch.manual_seed(0)
layers = [nn.Conv2d(3, 16, 5, stride=4), nn.ReLU(), nn.Conv2d(16, 32, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1)]
model = nn.Sequential(*layers)
model(torch.zeros(1, *next(iter(samples))[0].shape))  # gives the last layer its size
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
losses = []
for step, batch in zip(range(STEPS), batches, strict=False):
    images = torch.stack([image for image, _ in batch])
    counts = torch.tensor([float(len(record["scene"]["objects"])) for _, record in batch])
    loss = nn.functional.mse_loss(model(images)[:, 0], counts)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step % 10 == 0:
        print(f"step {step}: {loss.item():.3f}")

figure = Figure(figsize=(4, 2.5), layout="constrained")
axes = figure.subplots()
axes.semilogy(losses)
axes.set(xlabel="step", ylabel="squared error of the count")
figure.savefig(out)
