"""The problems of the influence benchmarks: the same model, parameters and data in JAX and in PyTorch."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from demix_jax.domains.recommendation.networks import DIN
from demix_jax.influence.fidelity import AdamFit
from demix_jax.models import MLP, FTTransformer, TaskModel

NUM_FEATURES = 107  # as many as Adult has, encoded


class Problem(NamedTuple):
    """model: the JAX task model. train, valid: {"x": f32[N, D] or for DIN a dict of arrays, "y": [N]}, all NumPy."""

    name: str
    model: TaskModel
    params: Any
    train: dict[str, Any]
    valid: dict[str, Any]

    def first(self, num_train: int, num_valid: int) -> Problem:
        """The first samples only."""
        train, valid = (
            jax.tree.map(lambda leaf, num=num: leaf[:num], batch)
            for batch, num in ((self.train, num_train), (self.valid, num_valid))
        )
        return self._replace(train=train, valid=valid)

    @property
    def num_pairs(self) -> int:
        return len(self.train["y"]) * len(self.valid["y"])


def mlp_problem(
    num_train: int,
    num_valid: int,
    *,
    widths: tuple[int, ...] = (256, 128, 64),
    num_outputs: int = 2,
    num_features: int = NUM_FEATURES,
    steps: int = 300,
) -> Problem:
    """A multi-layer perceptron, shortly trained. num_outputs: K classes, or 1 for regression."""
    model = TaskModel(MLP(widths, num_outputs), "regression" if num_outputs == 1 else "classification")
    name = "MLP " + "-".join(str(width) for width in (num_features, *widths, num_outputs))
    return _trained(name, model, num_train, num_valid, num_features, max(2, num_outputs), steps)


def transformer_problem(num_train: int, num_valid: int, *, steps: int = 20) -> Problem:
    """An FT-Transformer with one token per feature and a summary token: 108 tokens of width 64."""
    groups = tuple((i, i + 1) for i in range(NUM_FEATURES))
    model = TaskModel(FTTransformer(groups=groups, num_outputs=2), "classification")
    return _trained("FT-Transformer, 108 tokens", model, num_train, num_valid, NUM_FEATURES, 2, steps)


def din_problem(num_train: int, num_valid: int, *, num_items: int = 1_682, steps: int = 20) -> Problem:
    """DIN at the size of MovieLens-100k: 943 users, histories of up to 100 clicks, 70 encoded side features."""
    network = DIN(num_users=943, num_items=num_items, num_categories=19)
    batch = clicks_like(num_train + num_valid, network, length=100, num_side=70)
    name = f"DIN, {num_items:,} items, 100 clicks"
    return _fitted(name, TaskModel(network, "classification"), batch, num_train, steps)


def _trained(name, model, num_train, num_valid, num_features, num_classes, steps) -> Problem:
    batch = table_like(num_train + num_valid, num_features, num_classes, model.task)
    return _fitted(name, model, batch, num_train, steps)


def _fitted(name: str, model: TaskModel, batch: dict, num_train: int, steps: int) -> Problem:
    train = jax.tree.map(lambda leaf: leaf[:num_train], batch)
    valid = jax.tree.map(lambda leaf: leaf[num_train:], batch)
    few = jax.tree.map(lambda leaf: leaf[:4096], train)
    one = jax.tree.map(lambda leaf: leaf[0], few)
    fit = AdamFit(
        model.loss,
        lambda key: model.init(key, one),
        steps=steps,
        learning_rate=1e-3,
        batch_size=128,
    )
    params = jax.jit(fit)(jax.random.key(0), few, np.ones(len(few["y"]), np.float32))
    return Problem(name, model, params, train, valid)


def table_like(num: int, num_features: int, num_classes: int, task: str) -> dict[str, np.ndarray]:
    """An encoded table: a few numbers, the rest one-hot categories, and a noisy target that depends on them."""
    rng = np.random.default_rng(0)
    num_numbers = max(2, num_features // 16)
    columns = [rng.normal(size=(num, num_numbers))]
    left = num_features - num_numbers
    while left:
        width = min(left, int(rng.integers(2, 17)))
        columns.append(np.eye(width)[rng.integers(0, width, num)])
        left -= width
    x = np.concatenate(columns, axis=1).astype(np.float32)
    hidden = np.tanh(x @ rng.normal(size=(num_features, 16)) / 2)
    scores = hidden @ rng.normal(size=(16, num_classes)) + rng.gumbel(size=(num, num_classes))
    if task == "regression":
        target = scores[:, 0]
        return {"x": x, "y": ((target - target.mean()) / target.std()).astype(np.float32)}
    return {"x": x, "y": scores.argmax(axis=1).astype(np.int32)}


def clicks_like(num: int, network: DIN, length: int, num_side: int) -> dict[str, Any]:
    """Click samples whose items are drawn by a power law and whose label depends on item and side features."""
    rng = np.random.default_rng(0)
    popularity = np.arange(1, network.num_items + 1) ** -0.7
    draw = lambda shape: 1 + rng.choice(network.num_items, shape, p=popularity / popularity.sum())  # noqa: E731
    category = np.concatenate([[0], rng.integers(1, network.num_categories + 1, network.num_items)])
    present = np.arange(length)[::-1] < rng.integers(1, length + 1, num)[:, None]
    history, item = np.where(present, draw((num, length)), 0), draw(num)
    ids = {"user": rng.integers(1, network.num_users + 1, num), "item": item, "category": category[item]}
    ids |= {"history": history, "history_category": category[history]}
    side = rng.normal(size=(num, num_side)).astype(np.float32)
    score = side[:, 0] + 0.5 * (category[item] % 2) + 0.5 * rng.logistic(size=num)
    x = {name: leaf.astype(np.int32) for name, leaf in ids.items()} | {"side": side}
    return {"x": x, "y": (score > 0).astype(np.int32)}


def near_kink(problem: Problem, batch: dict[str, np.ndarray], *, distance: float = 1e-6) -> np.ndarray:
    """bool[N]: samples of a perceptron with a hidden value within `distance` of 0, where rounding decides what ReLU
    passes on and two correct programs may differ; none for other networks."""
    near = np.zeros(len(batch["y"]), bool)
    if not isinstance(problem.model.network, MLP):
        return near
    hidden = batch["x"].astype(np.float64)
    layers = problem.params["params"]
    for number in range(len(layers) - 1):
        layer = layers[f"Dense_{number}"]
        hidden = hidden @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
        near |= (np.abs(hidden) < distance).any(axis=1)
        hidden = np.maximum(hidden, 0)
    return near


def torch_twin(problem: Problem) -> Any:
    """The PyTorch module with the same parameters, which computes the same outputs."""
    import torch

    params = jax.tree.map(np.array, problem.params)["params"]
    with torch.no_grad():
        if isinstance(problem.model.network, FTTransformer):
            module = _torch_transformer(params, problem.model.network)
        elif isinstance(problem.model.network, DIN):
            module = _torch_din(params)
        else:
            names = sorted(params, key=lambda name: int(name.split("_")[1]))
            layers = [_linear(params[name]) for name in names]
            spaced = [part for layer in layers[:-1] for part in (layer, torch.nn.ReLU())]
            module = torch.nn.Sequential(*spaced, layers[-1])
    return module.eval()


def _linear(params: dict) -> Any:
    import torch

    bias = params["bias"].reshape(-1)
    kernel = params["kernel"].reshape(-1, len(bias))  # heads, before or behind, are joined
    layer = torch.nn.Linear(*kernel.shape)
    layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
    layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _torch_transformer(params: dict, network: FTTransformer) -> Any:
    import torch
    from torch import nn

    width, heads = network.width, network.num_heads

    def norm(values: dict) -> nn.LayerNorm:
        layer = nn.LayerNorm(width, eps=1e-6)  # Flax's epsilon
        layer.weight.copy_(torch.from_numpy(values["scale"]))
        layer.bias.copy_(torch.from_numpy(values["bias"]))
        return layer

    class Attention(nn.Module):
        def __init__(self, values: dict) -> None:
            super().__init__()
            self.query, self.key, self.value = (_linear(values[name]) for name in ("query", "key", "value"))
            self.out = _linear(values["out"])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query, key, value = (
                part(x).unflatten(-1, (heads, width // heads)).transpose(-3, -2)
                for part in (self.query, self.key, self.value)
            )
            weights = torch.softmax(query @ key.transpose(-1, -2) / (width // heads) ** 0.5, dim=-1)
            return self.out((weights @ value).transpose(-3, -2).flatten(-2))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.from_numpy(params["Tokenizer_0"]["kernel"]))  # one feature per token
            self.shift = nn.Parameter(torch.from_numpy(params["Tokenizer_0"]["bias"]))
            self.summary = nn.Parameter(torch.from_numpy(params["summary_token"]))
            blocks = range(network.num_blocks)
            self.norms = nn.ModuleList(norm(params[f"LayerNorm_{i}"]) for i in range(2 * len(blocks) + 1))
            self.attention = nn.ModuleList(Attention(params[f"MultiHeadDotProductAttention_{i}"]) for i in blocks)
            self.dense = nn.ModuleList(_linear(params[f"Dense_{i}"]) for i in range(2 * len(blocks) + 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = x.unsqueeze(-1) * self.scale + self.shift
            tokens = torch.cat([tokens, self.summary.expand(*tokens.shape[:-2], 1, width)], dim=-2)
            for i, attention in enumerate(self.attention):
                tokens = tokens + attention(self.norms[2 * i](tokens))
                hidden = torch.relu(self.dense[2 * i](self.norms[2 * i + 1](tokens)))
                tokens = tokens + self.dense[2 * i + 1](hidden)
            return self.dense[-1](torch.relu(self.norms[-1](tokens[..., -1, :])))

    return Transformer()


def _torch_din(params: dict) -> Any:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tables = params["ItemEmbedding_0"] | {"user": params["_Head_0"]["user"]}
            self.tables = nn.ParameterDict({name: torch.from_numpy(table) for name, table in tables.items()})
            self.of_click = nn.Parameter(torch.from_numpy(params["Dense_0"]["kernel"]))
            self.of_candidate, self.weight = _linear(params["Dense_1"]), _linear(params["Dense_2"])
            self.head = nn.ModuleList(_linear(params["_Head_0"][f"Dense_{i}"]) for i in range(3))

        def forward(self, x: dict) -> torch.Tensor:
            look_up = lambda name, ids: nn.functional.embedding(ids, self.tables[name])  # noqa: E731
            candidate = torch.cat([look_up("item", x["item"]), look_up("category", x["category"])], dim=-1)
            history = [look_up("item", x["history"]), look_up("category", x["history_category"])]
            clicks = torch.cat(history, dim=-1)
            place = torch.arange(clicks.shape[-2], 0, -1, dtype=clicks.dtype).unsqueeze(-1)
            recency = torch.cat([1 / place, torch.log(place) / 5], dim=-1).expand(*clicks.shape[:-1], 2)
            pairs = torch.cat([clicks, candidate.unsqueeze(-2) * clicks, recency], dim=-1)
            hidden = nn.functional.silu(pairs @ self.of_click + self.of_candidate(candidate).unsqueeze(-2))
            weight = self.weight(hidden).squeeze(-1).masked_fill(x["history"] == 0, -torch.inf).softmax(dim=-1)
            interest = (weight.unsqueeze(-2) @ clicks).squeeze(-2)
            user = look_up("user", x["user"])
            hidden = torch.cat([user, candidate, interest, candidate * interest, x["side"]], dim=-1)
            for layer in self.head[:-1]:
                hidden = nn.functional.silu(layer(hidden))
            return self.head[-1](hidden)

    return Net()
