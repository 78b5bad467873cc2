"""The plot of a benchmark: who takes how long, and how the time grows."""

from kernl_keras.experiments.files import whole

from . import plan


def draw(results, path):
    """Draws a results file.

    Args:
        results: dict, as `run.benchmark` returns it.
        path: of the picture to write.

    Returns:
        whether there is a picture: drawing needs matplotlib, an optional package.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    parts = [part for part in ("step", "scale") if part in results["parts"]]
    if not parts:
        return True
    panels = {"step": 1, "scale": len(plan.SCALES)}
    height = 1.5 + 0.28 * len(results["parts"]["step"]) if "step" in parts else 3.2
    figure = Figure(figsize=(4.0 * sum(panels[part] for part in parts), height), layout="constrained")
    axes = iter(figure.subplots(1, sum(panels[part] for part in parts), squeeze=False)[0])
    if "step" in parts:
        draw_step(next(axes), results["parts"]["step"])
    if "scale" in parts:
        for axis in plan.SCALES:
            rows = [row for row in results["parts"]["scale"] if row["name"].startswith(axis)]
            draw_scale(next(axes), axis, rows, results["summary"][f"exponent of the time in {axis}"])
    with whole(path) as part:
        figure.savefig(part, dpi=110)
    return True


def draw_step(axes, rows):
    """A bar a row, the fastest on top."""
    rows = sorted((row for row in rows if row["settings"]["rule"] != "peak"), key=lambda row: -row["seconds"])
    colors = ["#1f6f8b" if row["name"] == plan.OURS else "#9aa5b1" for row in rows]
    bars = axes.barh([row["name"] for row in rows], [row["seconds"] for row in rows], color=colors)
    axes.bar_label(bars, [f"{row['seconds']:.2g} s" for row in rows], padding=3, fontsize=8)
    axes.set(xscale="log", xlabel="seconds a step", title="one training step")
    axes.margins(x=0.3)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_scale(axes, axis, rows, exponent):
    """Seconds over a size, both logarithmic."""
    sizes = [row["settings"][axis] for row in rows]
    axes.plot(sizes, [row["seconds"] for row in rows], "o-", color="#1f6f8b")
    axes.set(xscale="log", yscale="log", xlabel=axis, ylabel="seconds a step", title=f"exponent {exponent:.2f}")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
