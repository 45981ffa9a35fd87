"""Tables and plots of the scaling benchmark."""

from __future__ import annotations

from pathlib import Path

from benchmarks.common.records import markdown_table
from demix_jax.common.wording import in_words

_AXES = {
    "rows": ("N", "training samples"),
    "columns": ("M", "validation samples"),
    "parameters": ("P", "parameters"),
}


def markdown(results: dict, picture: str) -> str:
    """The write-up of whatever sections `results` holds. picture: file name of the plot."""
    parts = [
        "# Influence against the size of the problem",
        "Cosine influence, f32, a perceptron of 100 features with hidden layers 64-32 where nothing else is said, "
        "training data mapped from files. Every point is measured in a process of its own. Memory is the process's "
        "own, without pages of mapped files, at the peak and beyond what there was before.",
    ]
    for name, (letter, words) in _AXES.items():
        if name in results:
            parts += _curve(results[name], letter, words)
    if set(_AXES) & set(results):
        parts.append(f"![Seconds and memory against N, M and P]({picture})")
    for name, write in {"devices": _devices, "million": _million, "plans": _plans}.items():
        if name in results:
            parts += write(results[name])
    return "\n\n".join(parts) + "\n"


def _curve(section: dict, letter: str, words: str) -> list[str]:
    points = section["points"]
    fixed = ", ".join(
        f"{other} = {points[0][name]:,}"
        for name, (other, _) in _AXES.items()
        if len({point[name] for point in points}) == 1
    )
    rows = [
        [f"{point[section['axis']]:,}", _seconds(point["seconds"]), _seconds(point["median_seconds"]),
         f"{point['rows'] * point['columns'] / point['seconds'] / 1e6:.0f} M", in_words(point["memory"])]
        for point in points
    ]  # fmt: skip
    return [
        f"## {letter}, {words} ({fixed})",
        "`influence_blocks`, each block dropped; fastest and median of several runs, compiled before.",
        markdown_table([letter, "fastest", "median", "pairs/s", "memory"], rows),
        f"Time grows with the power **{section['exponent']:.2f}** of {letter}; beyond the "
        f"{_seconds(section['fixed_seconds'])} that the smallest problem takes along this axis, with the power "
        f"**{section['added']:.2f}**.",
        _run_line(section),
    ]


def _devices(section: dict) -> list[str]:
    points = section["points"]
    rows = [
        [str(point["devices"]), _seconds(point["seconds"]), f"{point['seconds'] / points[0]['seconds']:.2f}"]
        for point in points
    ]
    return [
        f"## Devices (N = {points[0]['rows']:,}, M = {points[0]['columns']:,})",
        "`influence_matrix(mesh=…)` on virtual devices of one CPU, which share its cores: this measures what dealing "
        "the work out costs, not what more devices gain.",
        markdown_table(["devices", "seconds", "to one"], rows),
        _run_line(section),
    ]


def _million(section: dict) -> list[str]:
    return [
        f"## {section['rows']:,} × {section['columns']:,} to disk",
        f"`write_influence` from a cold start, compilation, fingerprints, checksums and fsync included: "
        f"**{_seconds(section['seconds'])}**; {in_words(section['disk'])} written. Memory "
        f"{in_words(section['memory'])} beyond the start, {in_words(section['process'])} of the process's own in all, "
        f"{in_words(section['resident'])} resident with the pages of mapped data.",
        _run_line(section),
    ]


def _plans(section: dict) -> list[str]:
    rows = []
    for case in section["cases"]:
        predicted, taken = case["plan"], case["write"]
        row = [f"{taken['rows']:,} × {taken['columns']:,}, {taken['curvature']}"]
        for name, show in (("seconds", _seconds), ("memory", in_words), ("disk", in_words)):
            row.append(f"{show(predicted[name])} / {show(taken[name])} = {predicted[name] / taken[name]:.2f}")
        rows.append([*row, _seconds(predicted["planning_seconds"])])
    return [
        "## Plans",
        "Predicted by `influence_plan` / taken by `write_influence` from a cold start.",
        markdown_table(["matrix", "time", "memory", "disk", "planning took"], rows),
        _run_line(section),
    ]


def plot(results: dict, path: Path) -> None:
    """Seconds and memory against N, M and P, in logarithms."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, places = pyplot.subplots(2, len(_AXES), figsize=(10, 5), sharex="col", sharey="row", layout="constrained")
    for column, (name, (letter, words)) in zip(places.T, _AXES.items(), strict=True):
        if name not in results:
            continue
        points = results[name]["points"]
        sizes = [point[results[name]["axis"]] for point in points]
        column[0].loglog(sizes, [point["seconds"] for point in points], "o-", color="#2a6f97")
        column[1].loglog(sizes, [point["memory"] / 2**20 for point in points], "o-", color="#6a994e")
        column[0].set_title(f"exponent {results[name]['added']:.2f} beyond fixed costs", fontsize=9)
        column[1].set_xlabel(f"{letter}, {words}")
    places[0, 0].set_ylabel("seconds")
    places[1, 0].set_ylabel("MiB beyond the start")
    for place in places.ravel():
        place.grid(alpha=0.3)
        place.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _seconds(value: float) -> str:
    return f"{value * 1e3:.1f} ms" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def _run_line(section: dict) -> str:
    run = section["run"]
    return f"*{run['date']}, commit {run['commit']}, {run['machine']}; `{run['command']}`*"
