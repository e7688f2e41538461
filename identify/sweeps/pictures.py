"""The pictures of a sweep as files: one for each measure that has results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from identify.base.errors import InputError
from identify.base.extras import DRAWING, needed
from identify.base.files import together
from identify.base.options import PICTURES, choice
from identify.report.canvas import to_png, to_svg
from identify.sweeps.curves import noise_curves, thresholds_curves
from identify.sweeps.diagrams import recovery_diagram, verdict_diagram
from identify.sweeps.exposures import update_diagram
from identify.sweeps.panels import Row, values_of

FORMS = dict(zip(PICTURES, (to_png, to_svg), strict=True))


def write_pictures(rows: Sequence[Row], target: Path, source: Path, *, x: str | None, y: str | None, form: str) -> list[Path]:
    """Draw the rows of a table, which are from the store ``source``, and write the pictures to ``target``; see ``Sweep.plot``."""
    needed("matplotlib", DRAWING)
    render = FORMS[choice("form", form, PICTURES)]
    of = {name: [row for row in rows if row["measure"] == name] for name in ("verdict", "thresholds", "recovery", "update")}
    done = {name: [row for row in some if row["state"] == "done"] for name, some in of.items()}
    figures = {}
    if done["verdict"]:
        figures["verdict"] = verdict_diagram(of["verdict"], x, y)
    if done["thresholds"]:
        figures["thresholds"] = thresholds_curves(of["thresholds"], x)
    if done["recovery"]:
        noises = [value for value in values_of(done["recovery"], "noise") if value]
        figures["recovery"] = recovery_diagram(of["recovery"], x, y)
        if len(noises) > 1:
            figures["noise"] = noise_curves(of["recovery"])
    if done["update"]:
        figures["update"] = update_diagram(of["update"])
    if not figures:
        raise InputError(f"store: no results to draw in {source}; sweep first, or choose other points with where")
    try:
        with together(target) as staged:
            for name, figure in figures.items():
                (staged / f"{name}.{form}").write_bytes(render(figure))
    except OSError as error:
        raise InputError(f"out: {target} cannot be written ({error.strerror}); choose a folder that is writable") from None
    return [target / f"{name}.{form}" for name in figures]
