"""The same influence matrices by other means: PyTorch by hand, and the libraries for it that are installed.

Each function takes a Problem and returns a function without arguments that computes f[N, M] (numpy), with the sign of
`influence_matrix`: negative where raising the training sample's weight lowers the validation sample's loss. Building
a peer that is not installed raises ImportError.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from benchmarks.influence.problems import Problem, torch_twin
from demix_jax.gradients.per_example import per_example_gradients

Method = Callable[[], Any]
CHUNK = 1024


def dense_cosine(problem: Problem) -> Method:
    """JAX with gradients in full: vmap of grad, a chunk at a time, and a matrix product."""

    @jax.jit
    def rows(params: Any, batch: Any) -> jax.Array:
        gradients = per_example_gradients(problem.model.loss, params, batch)
        gradients = jax.vmap(lambda tree: ravel_pytree(tree)[0])(gradients)
        return gradients / jnp.linalg.norm(gradients, axis=1, keepdims=True)

    product = jax.jit(lambda left, right: -jnp.matmul(left, right.T, precision="highest"))

    def run() -> np.ndarray | jax.Array:
        valid = jnp.concatenate([rows(problem.params, chunk) for chunk in _chunks(problem.valid)])
        blocks = [product(rows(problem.params, chunk), valid) for chunk in _chunks(problem.train)]
        if jax.default_backend() != "cpu":
            return jnp.concatenate(blocks)
        return np.concatenate([np.asarray(block) for block in blocks])

    return run


def torch_func(problem: Problem, *, cosine: bool = True, double: bool = False) -> Method:
    """torch.func: vmap of grad, a chunk at a time, and a matrix product. double: in float64, as an oracle.

    On JAX's device where that is a GPU; the result stays there.
    """
    import torch

    module = torch_twin(problem).to(_torch_device())
    module = module.double() if double else module
    params = {name: value.detach() for name, value in module.named_parameters()}
    loss = _torch_loss(problem)

    def one(params: dict, x: Any, y: Any) -> Any:
        outputs = torch.func.functional_call(module, params, (jax.tree.map(lambda leaf: leaf.unsqueeze(0), x),))
        return loss(outputs, y.unsqueeze(0)).sum()

    gradient = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0))

    def rows(batch: dict) -> Any:
        x, y = _tensors(batch, double, _torch_device())
        parts = [part.reshape(len(y), -1) for part in gradient(params, x, y).values()]
        joined = torch.cat(parts, dim=1)
        return joined / joined.norm(dim=1, keepdim=True) if cosine else joined

    def run() -> np.ndarray:
        valid = torch.cat([rows(chunk) for chunk in _chunks(problem.valid)])
        matrix = valid.new_empty(len(problem.train["y"]), len(valid))
        for start, chunk in zip(range(0, len(matrix), CHUNK), _chunks(problem.train), strict=True):
            torch.mm(rows(chunk), valid.T, out=matrix[start : start + CHUNK])
        matrix = matrix.neg_()
        return matrix if matrix.is_cuda else matrix.numpy()

    return run


def kronfluence(problem: Problem, strategy: str, damping: float | None = None, samples: int | None = None) -> Method:
    """kronfluence: fit of the factors ("ekfac", or nothing for "identity") and pairwise scores."""
    import torch
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    loss = _torch_loss(problem)
    regression = problem.model.task == "regression"

    class OwnTask(Task):
        def compute_train_loss(self, batch: Any, model: Any, sample: bool = False) -> Any:
            outputs, y = model(batch[0]), batch[1]
            if sample and regression:
                y = torch.normal(outputs[:, 0].detach(), 1.0)
            elif sample:
                y = torch.multinomial(torch.softmax(outputs.detach(), dim=-1), num_samples=1).flatten()
            return loss(outputs, y).sum()

        def compute_measurement(self, batch: Any, model: Any) -> Any:
            return self.compute_train_loss(batch, model)

    task = OwnTask()
    module = prepare_model(torch_twin(problem), task)
    train, valid = (torch.utils.data.TensorDataset(*_tensors(batch)) for batch in (problem.train, problem.valid))
    factor_args = FactorArguments(strategy=strategy, covariance_max_examples=samples, lambda_max_examples=samples)
    score_args = ScoreArguments(damping_factor=damping)

    def run() -> np.ndarray:
        with tempfile.TemporaryDirectory() as directory, _quiet():
            analyzer = Analyzer("influence", module, task, cpu=True, output_dir=directory, disable_tqdm=True)
            analyzer.fit_all_factors("factors", train, per_device_batch_size=2048, factor_args=factor_args)
            analyzer.compute_pairwise_scores(
                "scores", "factors", query_dataset=valid, train_dataset=train, per_device_query_batch_size=CHUNK,
                per_device_train_batch_size=CHUNK, score_args=score_args,
            )  # fmt: skip
            scores = analyzer.load_pairwise_scores("scores")["all_modules"]
        return -scores.numpy().T

    return run


def captum_tracin(problem: Problem) -> Method:
    """captum's TracInCP with one checkpoint: inner products of gradients."""
    import torch
    from captum.influence import TracInCP

    module = torch_twin(problem)
    train = torch.utils.data.TensorDataset(*_tensors(problem.train))
    tracin = TracInCP(
        module, train, checkpoints=["only"], checkpoints_load_func=lambda module, path: 1.0,
        loss_fn=torch.nn.CrossEntropyLoss(reduction="sum"), batch_size=CHUNK, sample_wise_grads_per_batch=True,
    )  # fmt: skip

    def run() -> np.ndarray:
        with _quiet():
            return -tracin.influence(_tensors(problem.valid)).numpy().T

    return run


def dattri_cosine(problem: Problem) -> Method:
    """dattri's TracIn with normalised gradients and one checkpoint."""
    import torch
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask

    module = torch_twin(problem)

    def loss(params: dict, data: Any) -> Any:
        x, y = data
        outputs = torch.func.functional_call(module, params, (x.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(outputs, y.unsqueeze(0))

    task = AttributionTask(loss_func=loss, model=module, checkpoints=module.state_dict())
    attributor = TracInAttributor(task, weight_list=torch.ones(1), normalized_grad=True, device="cpu")
    attributor.projector_kwargs = None  # its constructor cannot be asked for no random projection

    def loader(batch: dict) -> Any:
        return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*_tensors(batch)), batch_size=CHUNK)

    def run() -> np.ndarray:
        with _quiet():
            return -attributor.attribute(loader(problem.train), loader(problem.valid)).detach().numpy()

    return run


def trak(problem: Problem, modules: list[Any], proj_dim: int = 2048) -> np.ndarray:
    """f[N, M], TRAK over several trained modules, as influence on the loss.

    Its model output is the margin of the label (regression: the prediction), whose change it predicts; the chain rule
    at the validation sample turns that into a change of loss, averaged over the modules.
    """
    import torch
    from trak import TRAKer
    from trak.modelout_functions import AbstractModelOutput, ImageClassificationModelOutput

    class Prediction(AbstractModelOutput):
        def __init__(self) -> None:
            super().__init__()

        @staticmethod
        def get_output(model: Any, weights: Any, buffers: Any, x: Any, y: Any) -> Any:
            return torch.func.functional_call(model, (weights, buffers), (x.unsqueeze(0),)).sum()

        def get_out_to_loss_grad(self, model: Any, weights: Any, buffers: Any, batch: Any) -> Any:
            outputs = torch.func.functional_call(model, (weights, buffers), (batch[0],))
            return (batch[1] - outputs[:, 0]).detach().unsqueeze(-1)

    regression = problem.model.task == "regression"
    num_train, num_valid = len(problem.train["y"]), len(problem.valid["y"])
    train, valid = list(_tensors(problem.train)), list(_tensors(problem.valid))
    with tempfile.TemporaryDirectory() as directory, _quiet():
        traker = TRAKer(
            modules[0], Prediction() if regression else ImageClassificationModelOutput(), num_train, save_dir=directory,
            device="cpu", proj_dim=proj_dim, use_half_precision=False, logging_level=40,
        )  # fmt: skip
        for number, module in enumerate(modules):
            traker.load_checkpoint(module.state_dict(), model_id=number)
            traker.featurize(batch=train, num_samples=num_train)
        traker.finalize_features()
        for number, module in enumerate(modules):
            traker.start_scoring_checkpoint("valid", module.state_dict(), number, num_targets=num_valid)
            traker.score(batch=valid, num_samples=num_valid)
        scores = np.array(traker.finalize_scores("valid"))
    with torch.no_grad():
        outputs = torch.stack([module(valid[0]) for module in modules])
        if regression:
            slope = (outputs[:, :, 0] - valid[1]).mean(dim=0)
        else:
            slope = torch.softmax(outputs, dim=-1)[:, torch.arange(num_valid), valid[1]].mean(dim=0) - 1.0
    return scores * slope.numpy()


def _torch_loss(problem: Problem) -> Any:
    import torch

    if problem.model.task == "regression":
        return lambda outputs, y: 0.5 * (outputs[:, 0] - y) ** 2

    def cross_entropy(outputs: Any, y: Any) -> Any:
        """As `demix_jax.models.losses.softmax_cross_entropy`, so that both sides differentiate the same formula."""
        label = y.unsqueeze(-1)
        margins = (outputs - outputs.gather(-1, label)).scatter(-1, label, -torch.inf)
        return torch.nn.functional.softplus(torch.logsumexp(margins, dim=-1))

    return cross_entropy


def _torch_device() -> str:
    """PyTorch's name of the kind of device that JAX computes on."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def _tensors(batch: dict[str, Any], double: bool = False, device: str = "cpu") -> tuple[Any, Any]:
    import torch

    def tensor(leaf: np.ndarray) -> Any:
        made = torch.from_numpy(leaf).to(device)
        if not made.is_floating_point():
            return made.long()
        return made.double() if double else made

    return jax.tree.map(tensor, batch["x"]), tensor(batch["y"])


def _chunks(batch: dict[str, Any]) -> list[dict[str, Any]]:
    num = len(batch["y"])
    return [jax.tree.map(lambda leaf, s=start: leaf[s : s + CHUNK], batch) for start in range(0, num, CHUNK)]


@contextlib.contextmanager
def _quiet() -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


def versions() -> dict[str, str]:
    """Version of each peer, or that it is not installed."""
    found = {}
    for name in ("torch", "kronfluence", "captum", "dattri", "traker"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
