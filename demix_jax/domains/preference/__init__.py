"""Preference data: find pairs that are swapped, damaged or break a shortcut.

```python
from demix_jax import preference

diagnosis = preference.diagnose("pairs.jsonl", model="SmolLM2-135M-Instruct")
diagnosis.save("diagnosis")
repaired = preference.repair("pairs.jsonl", diagnosis)
```
"""

from demix_jax.domains.preference.decoder.load import load_decoder
from demix_jax.domains.preference.decoder.weights import Decoder
from demix_jax.domains.preference.domain import diagnose
from demix_jax.domains.preference.files import read_pairs
from demix_jax.domains.preference.fold_models import AdapterTraining
from demix_jax.domains.preference.inject import InjectedPairs, inject_errors
from demix_jax.domains.preference.objectives import DPO, BradleyTerry
from demix_jax.domains.preference.pairs import Message, Pair, Pairs, make_pairs
from demix_jax.domains.preference.repaired_pairs import RepairedPairs, repair

__all__ = [
    "DPO",
    "AdapterTraining",
    "BradleyTerry",
    "Decoder",
    "InjectedPairs",
    "Message",
    "Pair",
    "Pairs",
    "RepairedPairs",
    "diagnose",
    "inject_errors",
    "load_decoder",
    "make_pairs",
    "read_pairs",
    "repair",
]
