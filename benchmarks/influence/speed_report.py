"""Tables and plots of the influence speed benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.records import markdown_table, run_line

OURS = "demix_jax"
_COLOURS = {
    "demix_jax, cosine": "#2a6f97",
    "demix_jax, GaussNewton": "#6a994e",
    "PyTorch, torch.func, cosine": "#b8b8b8",
}


def markdown(results: dict, picture: str, *, targets: bool) -> str:
    """The write-up of whatever sections `results` holds.

    picture: file name of the plot. targets: whether to say which are met; they were set for two cores.
    """
    parts = [
        "# Influence matrices: speed, memory and error",
        "N training × M validation samples, P parameters, f32. Times are medians of interleaved runs in one process, "
        "data in memory, compilation apart; memory is the peak beyond what was there before and the result. ± is the "
        "slowest run over the fastest.",
    ]
    writers = {
        "cosine": _cosine,
        "clicks": _clicks,
        "gauss_newton": _gauss_newton,
        "exactness": _exactness,
        "peers": _peers,
        "scaling": _scaling,
    }
    claims = _claims(results) if targets else []
    if claims:
        parts += ["## What was asked for", markdown_table(["claim", "target", "measured", "met"], claims)]
    for name, write in writers.items():
        if name in results:
            parts += write(results[name])
            if name == "scaling":
                parts.append(f"![Seconds against N, M, P and depth]({picture})")
            parts.append(run_line(results[name]["run"]))
    return "\n\n".join(parts) + "\n"


def _cosine(section: dict) -> list[str]:
    return ["## Cosine influence", *_cosine_tables(section)]


def _clicks(section: dict) -> list[str]:
    rows = [
        [f"{point['num_items']:,}", f"{point['num_parameters']:,}", _seconds(point["seconds"]),
         f"{point['slowest_over_fastest']:.2f}", _memory(point["memory_bytes"]), _first(point)]
        for point in section["catalogues"]
    ]  # fmt: skip
    first = section["catalogues"][0]
    return [
        "## Cosine influence of a click model",
        *_cosine_tables(section),
        f"### Size of the catalogue, DIN, 100 clicks, N = {first['num_train']:,}, M = {first['num_valid']:,}",
        markdown_table(["items", "P", "seconds", "±", "memory", "first run"], rows),
        "Small tables are multiplied in full; of large ones only the rows that samples looked up, whatever their size.",
    ]


def _cosine_tables(section: dict) -> list[str]:
    parts = []
    for problem in section["problems"]:
        ours = problem["methods"][OURS]["seconds"]
        rows = [
            [
                name, _seconds(method["seconds"]), f"{method['seconds'] / ours:.1f} ×",
                f"{method['slowest_over_fastest']:.2f}", f"{method['pairs_per_second'] / 1e6:.2f} M",
                _memory(method["memory_bytes"]), f"{method['max_error']:.1e}",
                f"{method['max_difference_from_torch']:.1e}", _first(method),
            ]
            for name, method in problem["methods"].items()
        ]  # fmt: skip
        floor, size = problem["floor_seconds"], problem.get("sgemm_size", 2048)
        rows.append(["floor", _seconds(floor), f"{floor / ours:.2f} ×", *[""] * 6])
        parts += [
            f"### {_title(problem)}",
            markdown_table(
                ["method", "seconds", "to ours", "±", "pairs/s", "memory", "error", "from torch.func", "first run"],
                rows,
            ),
            f"Floor: {problem['flops_per_pair']:,} flops per pair of ghost inner products at this machine's "
            f"{problem['sgemm_flops_per_second'] / 1e9:,.0f} Gflop/s ({size} × {size} sgemm). Error: largest "
            "difference from cosines computed in float64, over all training and the first validation samples. Both "
            "sides differentiate the same form of the cross-entropy, which keeps the gradient of a sample that the "
            f"model is sure of. {problem['samples_at_kinks']} of the samples have a hidden value within 1e-6 of 0: "
            "which way ReLU turns there is left to rounding, so their gradients can differ between correct programs.",
        ]
    return parts


def _gauss_newton(section: dict) -> list[str]:
    base = section["methods"][f"{OURS}, cosine"]["seconds"]
    rows = [
        [name, _seconds(method["seconds"]), f"{method['seconds'] / base:.1f} ×", _memory(method["memory_bytes"]),
         f"{method['slowest_over_fastest']:.2f}", _first(method)]
        for name, method in section["methods"].items()
    ]  # fmt: skip
    return [
        f"## Curvature: {_title(section)}",
        markdown_table(["method", "seconds, fit and scores", "to cosine", "memory", "±", "first run"], rows),
        f"λ = {section['damping']}, {section['samples']:,} curvature samples. Relative error of GaussNewton against "
        f"converged conjugate gradients in float64 (residual {section['cg_residual']:.0e}), two validation samples: "
        f"**{section['error_against_cg']:.1e}**. kronfluence runs once; its inner product, without curvature, is given "
        "to show what its scores cost at least.",
    ]


def _exactness(section: dict) -> list[str]:
    rows = [
        [problem["problem"], f"{problem['num_parameters']:,}", f"{problem['error_against_inverse']:.1e}"]
        for problem in section["problems"]
    ]
    return [
        "## Gauss–Newton against the explicit inverse in float64",
        markdown_table(["model (one output: regression)", "P", "relative error"], rows),
        f"N = {section['problems'][0]['num_train']}, M = {section['problems'][0]['num_valid']}, all samples in the "
        f"curvature, λ = {section['problems'][0]['damping']}; norm of the difference over the norm of the matrix.",
    ]


def _peers(section: dict) -> list[str]:
    methods = section["methods"]
    rows = []
    for name, method in sorted(methods.items(), key=lambda item: (item[1]["job"], item[1]["seconds"])):
        ours = methods[f"{OURS}, {method['job']}"]["seconds"]
        rows.append(
            [name, _seconds(method["seconds"]), f"{method['seconds'] / ours:.1f} ×",
             f"{method['pairs_per_second'] / 1e6:.2f} M", _memory(method["memory_bytes"]),
             f"{method['correlation_with_ours']:.4f}"]
        )  # fmt: skip
    notes = [
        "Each row against ours doing the same job. kronfluence's EK-FAC samples the labels of its Fisher matrix, ours "
        "takes the expectation, so the two differ by sampling noise. traker projects gradients at random, which is "
        "another job: see fidelity. pyDVL 0.9.2 was tried: it does not import with NumPy 2."
    ]
    if section["not_installed"]:
        notes.append(f"Not installed in this run: {', '.join(section['not_installed'])}.")
    head = ["method", "seconds", "to ours", "pairs/s", "memory", "correlation with ours"]
    return [f"## Other libraries: {_title(section)}", markdown_table(head, rows), *notes]


def _scaling(section: dict) -> list[str]:
    parts = ["## Time against size"]
    for axis, points in section["curves"].items():
        names = list(points[0]["seconds"])
        rows = [[f"{p['value']:,}", p["problem"], *(_seconds(p["seconds"][n]) for n in names)] for p in points]
        fixed = ", ".join(
            f"{letter} = {points[0][key]:,}"
            for letter, key in (("N", "num_train"), ("M", "num_valid"), ("P", "num_parameters"))
            if len({p[key] for p in points}) == 1
        )
        parts += [f"### {axis} ({fixed}; one run each)", markdown_table([axis, "model", *names], rows)]
    return parts


def _claims(results: dict) -> list[list[str]]:
    rows = []
    if "cosine" in results:
        large, _, transformer = results["cosine"]["problems"]
        ours, torch = large["methods"][OURS], large["methods"]["PyTorch, torch.func"]
        title = f"{large['problem']}, {large['num_train']:,} × {large['num_valid']:,}"
        rows += [
            _claim(f"{title}: faster than torch.func", "≥ 45 ×", torch["seconds"] / ours["seconds"], 45, "{:.1f} ×"),
            _claim(f"{title}: time over the floor", "≤ 2 ×", ours["seconds"] / large["floor_seconds"], -2, "{:.2f} ×"),
            *_error_claims(title, ours, torch, 1e-5),
        ]
        if ours["memory_bytes"] is not None:
            memory = ours["memory_bytes"] / 1e6
            rows.append(_claim(f"{title}: memory beyond the result", "< 300 MB", memory, -300, "{:.0f} MB"))
        rows += _speed_claims(transformer, 3)
    if "clicks" in results:
        rows += _speed_claims(results["clicks"]["problems"][0], 5)
    if "gauss_newton" in results:
        section = results["gauss_newton"]
        methods = section["methods"]
        ratio = methods[f"{OURS}, GaussNewton"]["seconds"] / methods[f"{OURS}, cosine"]["seconds"]
        rows += [
            _claim("Gauss–Newton: time over the cosine matrix", "≤ 12 ×", ratio, -12, "{:.1f} ×"),
            _claim("Gauss–Newton: error against CG", "≤ 1e-3", section["error_against_cg"], -1e-3, "{:.1e}"),
        ]
    if "exactness" in results:
        worst = max(problem["error_against_inverse"] for problem in results["exactness"]["problems"])
        rows.append(_claim("Gauss–Newton: worst error against the inverse", "≤ 1e-3", worst, -1e-3, "{:.1e}"))
    return rows


def _speed_claims(problem: dict, least: float) -> list[list[str]]:
    ours, torch = problem["methods"][OURS], problem["methods"]["PyTorch, torch.func"]
    title = f"{problem['problem']}, {problem['num_train']:,} × {problem['num_valid']:,}"
    ratio = torch["seconds"] / ours["seconds"]
    faster = _claim(f"{title}: faster than torch.func", f"≥ {least} ×", ratio, least, "{:.1f} ×")
    return [faster, *_error_claims(title, ours, torch, 1e-4)]


def _error_claims(title: str, ours: dict, torch: dict, bound: float) -> list[list[str]]:
    target = f"≤ {bound:.0e}"
    claims = []
    for suffix, where in (("", ""), ("_off_kinks", ", samples near a kink of ReLU apart")):
        difference, error = ours[f"max_difference_from_torch{suffix}"], ours[f"max_error{suffix}"]
        if suffix and (difference, error) == (ours["max_difference_from_torch"], ours["max_error"]):
            continue
        own = f"torch.func's own: {torch[f'max_error{suffix}']:.1e}"
        claims += [
            _claim(
                f"{title}: largest difference of cosines from torch.func{where}", target, difference, -bound, "{:.1e}"
            ),
            _claim(f"{title}: from float64{where} ({own})", target, error, -bound, "{:.1e}"),
        ]
    return claims


def _claim(claim: str, target: str, measured: float, bound: float, form: str) -> list[str]:
    """bound: least value, or minus the largest value, that meets the target."""
    met = measured >= bound if bound > 0 else measured <= -bound
    return [claim, target, form.format(measured), "yes" if met else "**no**"]


def _title(problem: dict) -> str:
    return (
        f"{problem['problem']}, N = {problem['num_train']:,}, M = {problem['num_valid']:,}, "
        f"P = {problem['num_parameters']:,}"
    )


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _first(method: dict) -> str:
    return "" if method["first_run_seconds"] is None else _seconds(method["first_run_seconds"])


def _memory(value: int | None) -> str:
    return "" if value is None else f"{value / 1e6:,.0f} MB"


def plot(curves: dict[str, Any], path: Path) -> None:
    """Seconds against N, M, P and depth, one panel each, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (axis, points) in zip(figure.subplots(1, len(curves), sharey=True), curves.items(), strict=True):
        for name in points[0]["seconds"]:
            values, seconds = zip(*((p["value"], p["seconds"][name]) for p in points), strict=True)
            axes.plot(values, seconds, marker="o", markersize=4, color=_COLOURS[name], label=name)
        axes.set(xscale="log", yscale="log", xlabel=axis)
        axes.set_xticks([p["value"] for p in points], [_short(p["value"]) for p in points])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    first = figure.axes[0]
    first.set_ylabel("seconds")
    first.legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=150)


def _short(value: int) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else str(value)
