"""Task models: networks with a per-example loss, and their training."""

from demix_jax.models.networks import MLP, FTTransformer
from demix_jax.models.recommendation import CLICK_MODELS, DIEN, DIN, make_click_model
from demix_jax.models.task_model import MODELS, TaskModel, make_task_model
from demix_jax.models.training import TrainedModel, mean_loss, ranking_error, train_task_model

__all__ = [
    "CLICK_MODELS",
    "DIEN",
    "DIN",
    "MLP",
    "MODELS",
    "FTTransformer",
    "TaskModel",
    "TrainedModel",
    "make_click_model",
    "make_task_model",
    "mean_loss",
    "ranking_error",
    "train_task_model",
]
