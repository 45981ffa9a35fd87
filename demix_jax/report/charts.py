"""Charts of the report: influence profiles, probability histograms and a heat map of suspect cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from demix_jax.common.bands import LIKELY
from demix_jax.common.error_types import ERROR_TYPES
from demix_jax.common.wording import Html, Words, count
from demix_jax.report.findings import column, most_certain, times_suspect
from demix_jax.report.html import element
from demix_jax.report.svg import Panel
from demix_jax.report.words import cell, signed

if TYPE_CHECKING:
    from demix_jax.diagnosis.result import Diagnosis

MAX_PROFILE_ROWS = 1_000
MAX_HEAT_ROWS = 30
MAX_HEAT_COLUMNS = 16
NUM_BINS = 20  # with an edge at one half
_POINTS = np.linspace(0.0, 1.0, 41)


class Profile(NamedTuple):
    """Sorted influence of a group of rows: 10 %, 50 % and 90 % quantiles over the rows, f[3, 41].

    same, other: on validation samples with the row's label and with another label; None if no row has any.
    num_rows: size of the group.
    """

    same: np.ndarray | None
    other: np.ndarray | None
    num_rows: int


def influence_profiles(diagnosis: Diagnosis) -> dict[str, Profile]:
    """Influence on validation samples, sorted from most helped to most harmed.

    By error type for likely rows, and for "none" of the rows that are not flagged at all.

    If labels are comparable classes, validation samples with the row's label are separated from the others. Otherwise
    all count as having the row's label.
    """
    groups = {name: np.flatnonzero(diagnosis.bands(name).likely) for name in ERROR_TYPES}
    groups["none"] = np.flatnonzero(~diagnosis.flags.any(axis=1))
    given, valid = _label_codes(diagnosis)
    result = {}
    for name, rows in groups.items():
        part = rows[np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), MAX_PROFILE_ROWS)).astype(int))]
        influence = np.asarray(diagnosis.influence[part], dtype=np.float32)
        places = np.asarray(diagnosis.validation_rows)[diagnosis.fold[part]]
        usable = np.isfinite(influence) & (places >= 0)
        same = valid[places] == given[part, None]
        profiles = [_band(influence, usable & same), _band(influence, usable & ~same)]
        result[name] = Profile(profiles[0], profiles[1], len(rows))
    return result


def _label_codes(diagnosis: Diagnosis) -> tuple[np.ndarray, np.ndarray]:
    train, valid = (column(frame, diagnosis.label) for frame in (diagnosis.train, diagnosis.valid))
    if not _compares_labels(diagnosis):
        return np.zeros(len(train), int), np.zeros(len(valid), int)
    places = {cell(value): place for place, value in enumerate(train.unique())}
    codes = [np.array([places.get(cell(v), -1) for v in labels], dtype=int) for labels in (train, valid)]
    return codes[0], codes[1]


def _compares_labels(diagnosis: Diagnosis) -> bool:
    return diagnosis.presentation.words.compares_labels and not diagnosis.target.ordered


def _band(influence: np.ndarray, usable: np.ndarray) -> np.ndarray | None:
    """Quantiles over rows of their sorted values at 41 evenly spaced ranks; rows without values are skipped."""
    keep = usable.any(axis=1)
    if not keep.any():
        return None
    ordered = np.sort(np.where(usable, influence, np.inf)[keep], axis=1)  # unusable values sort last
    last = usable[keep].sum(axis=1) - 1
    place = _POINTS[None, :] * last[:, None]
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, last[:, None])
    below, above = np.take_along_axis(ordered, low, axis=1), np.take_along_axis(ordered, high, axis=1)
    return np.quantile(below + (place - low) * (above - below), [0.1, 0.5, 0.9], axis=0)


def profile_figure(diagnosis: Diagnosis) -> Html:
    """Small multiples of `influence_profiles`: one panel per error type and one for rows without a finding."""
    profiles = influence_profiles(diagnosis)
    bands = [band for p in profiles.values() for band in (p.same, p.other) if band is not None]
    limit = _round_up(max((float(np.abs(band).max()) for band in bands), default=1.0) or 1.0)
    two, words = _compares_labels(diagnosis), diagnosis.presentation.words
    panels = [
        _profile_panel(name, profile, usual=profiles["none"], limit=limit, two=two, words=words)
        for name, profile in profiles.items()
    ]
    legend = element(
        "p",
        element("span", class_="key solid", aria_hidden="true"),
        f"validation samples with the {words.noun}'s label" if two else "all validation samples",
        [element("span", class_="key dashed", aria_hidden="true"), "with another label"] if two else None,
        element("span", class_="key band", aria_hidden="true"),
        f"80 % of the {words.noun}s",
        element("span", class_="key faint", aria_hidden="true"),
        f"{words.noun}s without a finding, for comparison",
        class_="legend",
    )
    caption = element(
        "figcaption",
        f"Each panel takes the likely {words.noun}s of one kind and sorts the validation samples from the one that a "
        f"{words.noun} helps most (left, influence below zero: raising the {words.noun}'s weight lowers that sample's "
        f"loss) to the one that it harms most (right, above zero). Lines are medians over the {words.noun}s; the thin "
        "grey ones repeat the last panel.",
    )
    return element("figure", element("div", panels, class_="panels four"), legend, caption)


def _profile_panel(name: str, profile: Profile, *, usual: Profile, limit: float, two: bool, words: Words) -> Html:
    title = f"{words.names[name]}, {count(profile.num_rows, words.noun)}"
    panel = Panel(name, title, -limit, limit, width=400)
    for value, text in ((limit, f"+{limit:g}"), (0.0, "0"), (-limit, f"−{limit:g}")):
        panel.rung(value, text)
    said = []
    pairs = ((profile.other, usual.other, "dashed", "another"), (profile.same, usual.same, "solid", "the same"))
    for band, reference, style, which in pairs:
        if reference is not None and profile is not usual:
            panel.curve(_POINTS, reference[1], f"reference {style}")
        if band is not None:
            panel.band(_POINTS, band[0], band[2], style)
            panel.curve(_POINTS, band[1], style)
            of = f" on samples with {which} label" if two else ""
            said.append(f"median influence{of} from {signed(band[1][0])} to {signed(band[1][-1])}")
    if not said:
        panel.under(0.5, f"no such {words.noun}s")
        return panel.html(f"no such {words.noun}s")
    panel.under(0.0, "most helped")
    panel.under(1.0, "most harmed")
    return panel.html("; ".join(said))


def probability_figure(diagnosis: Diagnosis) -> Html:
    """Histograms of the three probabilities with a logarithmic count axis and the two bands."""
    panels, noun = [_histogram_panel(diagnosis, name) for name in ERROR_TYPES], diagnosis.presentation.words.noun
    caption = element(
        "figcaption",
        f"{noun.capitalize()}s by probability; every rung of the count axis is ten times the one below. "
        f"{noun.capitalize()}s to the right of the dashed line are worth a look; from 50 % on, in full colour, they "
        "are likely wrong, or likely break a shortcut.",
    )
    return element("figure", element("div", panels, class_="panels three"), caption)


def _histogram_panel(diagnosis: Diagnosis, name: str) -> Html:
    words, p = diagnosis.presentation.words, diagnosis.probability[:, ERROR_TYPES.index(name)].astype(float)
    counts, edges = np.histogram(p[np.isfinite(p)], bins=NUM_BINS, range=(0.0, 1.0))
    top = max(int(np.ceil(np.log10(max(int(counts.max()), 1) + 1))), 1)
    threshold = diagnosis.summary.thresholds[name]
    panel = Panel(name, words.names[name], 0.0, top)
    for power in range(top + 1):
        panel.rung(power, f"{10**power:,}" if power < 6 else f"1e{power}")
    for number, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        if number:
            middle = (left + right) / 2
            band = "likely" if middle >= LIKELY else "look" if middle >= threshold else "quiet"
            said = f"{left:.2f} to {right:.2f}: {count(int(number), words.noun)}"
            panel.bar(left, right, np.log10(number), band, said)
    panel.upright(threshold, "threshold")
    for share in (0.0, 0.5, 1.0):
        panel.under(share, f"{100 * share:.0f} %")
    bands = diagnosis.bands(name)
    likely = count(int(bands.likely.sum()), words.noun)
    return panel.html(f"{likely} likely, {int(bands.look.sum()):,} worth a look from {threshold:.2f} on")


def suspect_figure(diagnosis: Diagnosis) -> Html | None:
    """Heat map of suspect cells in the most certain feature errors, one line per column; None without any."""
    num_flagged = int(diagnosis.flagged("feature_error").sum())
    columns, noun = diagnosis.evidence.columns, diagnosis.presentation.words.noun
    if not num_flagged or not columns:
        return None
    rows = most_certain(diagnosis, "feature_error", MAX_HEAT_ROWS)
    surprise = np.nan_to_num(np.asarray(diagnosis.evidence.cell_surprise, dtype=float))
    times = times_suspect(diagnosis)
    weight = [(times[c.name], surprise[rows, q].max()) for q, c in enumerate(columns)]
    order = sorted(range(len(columns)), key=lambda q: weight[q], reverse=True)[:MAX_HEAT_COLUMNS]
    body = []
    for q in order:
        cells = [
            element("td", class_=f"heat h{_level(surprise[i, q])}", title=f"{noun} {i}: {surprise[i, q]:.1f} nats")
            for i in rows
        ]
        name = element("th", cell(columns[q].name, 28), scope="row")
        body.append(element("tr", name, element("td", f"{weight[q][0]:,}", class_="number"), cells))
    head = element(
        "tr",
        element("th", "Column", scope="col"),
        element("th", "Suspect in", scope="col", class_="number"),
        element("th", f"The {len(rows)} most certain {noun}s", scope="colgroup", colspan=len(rows)),
    )
    scale = element(
        "p",
        "Nats above the usual: ",
        [
            [element("span", class_=f"swatch heat h{k}", aria_hidden="true"), text]
            for k, text in enumerate(("under 1", "1 to 2", "2 to 3", "3 to 5", "5 to 8", "over 8"))
        ],
        class_="legend",
    )
    caption = element(
        "figcaption",
        f"Each column of cells is one of the {noun}s that most certainly have wrong features; the darker a cell, the "
        f"more its value surprises, given the rest of its {noun}. “Suspect in” counts all "
        f"{count(num_flagged, f'flagged {noun}')}.",
    )
    table = element("table", element("thead", head), element("tbody", body), class_="heatmap")
    left_out = len(columns) - len(order)
    more = element("p", f"{left_out} quieter columns are not shown.", class_="small") if left_out > 0 else None
    return element("figure", element("div", table, class_="scroll", tabindex="0"), more, scale, caption)


def _level(nats: float) -> int:
    return int(np.searchsorted([1.0, 2.0, 3.0, 5.0, 8.0], nats, side="right"))


def _round_up(value: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)))
