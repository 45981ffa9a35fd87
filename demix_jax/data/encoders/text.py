"""Latent features of texts: hashed character trigrams, tf-idf, truncated SVD.

Trigrams are hashed with array arithmetic on UTF-8 bytes, a hundred times faster than a Python loop over strings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_COMPONENTS = 16
_NUM_BUCKETS = 2048
_MAX_BYTES = 400  # longer texts are cut: the beginning tells the topic, and the rest costs time
_MAX_FIT = 10_000
_CHUNK = 20_000


@dataclass(frozen=True)
class TextFeatures:
    """A fitted map from texts to d ≤ 16 latent features.

    idf: f32[2048], by bucket of trigrams. components: f32[2048, d] and mean: f32[d], scaled so that the features of the
    fitted texts have mean 0 and standard deviation 1.
    """

    idf: np.ndarray
    components: np.ndarray
    mean: np.ndarray

    @classmethod
    def fit(cls, texts: list[str]) -> TextFeatures:
        """Fit on distinct texts; of more than 10,000 texts, evenly spaced ones are used."""
        from sklearn.decomposition import TruncatedSVD

        sample = texts[:: -(-len(texts) // _MAX_FIT)]
        counts = _trigram_counts(sample)
        seen_in = np.bincount(counts.indices, minlength=_NUM_BUCKETS)
        idf = (np.log((1 + len(sample)) / (1 + seen_in)) + 1).astype(np.float32)
        weighted = _weigh(counts, idf)
        svd = TruncatedSVD(min(NUM_COMPONENTS, max(1, len(sample) - 1)), random_state=0).fit(weighted)
        components = np.asarray(svd.components_, dtype=np.float32).T
        scores = np.asarray(weighted @ components)
        spread = scores.std(axis=0)
        keep = spread > 1e-4 * max(spread.max(), 1e-12)
        return cls(idf, components[:, keep] / spread[keep], scores.mean(axis=0)[keep] / spread[keep])

    def __call__(self, texts: list[str]) -> np.ndarray:
        """f32[T, d]: features of T texts, within ±3."""
        chunks = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)] or [[]]
        scores = [np.asarray(_weigh(_trigram_counts(chunk), self.idf) @ self.components) for chunk in chunks]
        return np.clip(np.concatenate(scores) - self.mean, -3.0, 3.0).astype(np.float32)


def _trigram_counts(texts: list[str]):
    """Sparse f32[T, 2048]: counts of hashed byte trigrams in each lower-cased text with a space at either end."""
    from scipy.sparse import csr_matrix

    padded = [f" {text[:_MAX_BYTES].lower()} ".encode()[: _MAX_BYTES + 2] + b"\0\0" for text in texts]
    data = np.frombuffer(b"".join(padded) + b"\0\0", dtype=np.uint8).astype(np.uint32)
    lengths = np.array([len(p) for p in padded], dtype=np.int64)
    hashed = (data[:-2] * 65_537 + data[1:-1] * 257 + data[2:]) * np.uint32(2_654_435_761)  # Knuth's multiplier
    inside = (data[:-2] != 0) & (data[1:-1] != 0) & (data[2:] != 0)  # trigrams do not cross the end of a text
    rows = np.repeat(np.arange(len(texts)), lengths)
    bucket = (hashed >> np.uint32(21)).astype(np.int64)  # the top 11 bits: 2,048 buckets
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    counts = csr_matrix((ones, (rows[inside], bucket[inside])), shape=(len(texts), _NUM_BUCKETS))
    counts.sum_duplicates()
    return counts


def _weigh(counts, idf: np.ndarray):
    """Sparse f32[T, 2048]: tf-idf with logarithmic counts; rows have norm 1."""
    weighted = counts.copy()
    weighted.data = (1 + np.log(weighted.data)) * idf[weighted.indices]
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    weighted.data /= np.repeat(np.maximum(norms, 1e-12), np.diff(weighted.indptr))
    return weighted
