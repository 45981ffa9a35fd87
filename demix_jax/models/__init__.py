"""Task models: networks with a per-example loss, and their training."""

from demix_jax.models.networks import MLP, FTTransformer
from demix_jax.models.task_model import (
    MODELS,
    TaskModel,
    TaskModelLike,
    check_model_name,
    check_task_model,
    make_task_model,
)
from demix_jax.models.training import TrainedModel, mean_loss, ranking_error, train_task_model

__all__ = [
    "MLP",
    "MODELS",
    "FTTransformer",
    "TaskModel",
    "TaskModelLike",
    "TrainedModel",
    "check_model_name",
    "check_task_model",
    "make_task_model",
    "mean_loss",
    "ranking_error",
    "train_task_model",
]
