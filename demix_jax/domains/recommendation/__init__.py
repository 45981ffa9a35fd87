"""Click logs: find samples with a wrong label or wrong features, and samples that break a shortcut.

```python
from demix_jax import recommendation

data = recommendation.load_recommendation("movielens")
samples = recommendation.make_samples(data).part("train")
diagnosis = recommendation.diagnose(samples)
diagnosis.save("diagnosis")
```

`read_recommendation_data` reads a log of your own in place of a public one. `diagnose` and `inject_errors` are also
`demix_jax.diagnose_interactions` and `demix_jax.inject_interaction_errors`.
"""

from demix_jax.domains.recommendation.domain import diagnose_interactions as diagnose
from demix_jax.domains.recommendation.inject import InjectedInteractions
from demix_jax.domains.recommendation.inject import inject_interaction_errors as inject_errors
from demix_jax.domains.recommendation.log import RecommendationData, read_recommendation_data
from demix_jax.domains.recommendation.named import RECOMMENDATION_NAMES, load_recommendation
from demix_jax.domains.recommendation.samples import IDENTIFIERS, LABEL, SPLITS, InteractionSamples, make_samples

__all__ = [
    "IDENTIFIERS",
    "LABEL",
    "RECOMMENDATION_NAMES",
    "SPLITS",
    "InjectedInteractions",
    "InteractionSamples",
    "RecommendationData",
    "diagnose",
    "inject_errors",
    "load_recommendation",
    "make_samples",
    "read_recommendation_data",
]
