"""The findings as one page that stands alone; it names no image and no patient."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from rn50med.cli.inspect_console import in_order, verdict
from rn50med.errors import listed

if TYPE_CHECKING:
    from rn50med.data.inspection import Inspection
    from rn50med.data.transforms import Transforms

_TEMPLATE = "inspect_page.html.jinja"
_THUMBNAIL = 96  # pixels
_MOST = 8  # thumbnails of a finding
_MOST_ROWS = 50


def page(found: Inspection, transforms: Transforms | None = None) -> str:
    """Return everything that was found as HTML.

    Args:
        found: By the gate.
        transforms: Of the recipe, to show images as the network sees them; None for no images, the
            default, since they are patients' data.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = files("rn50med.cli").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    head, rows = _split_rows(found.audit)
    return environment.from_string(template).render(
        verdict=verdict(found).strip(),
        synthetic=found.manifest.synthetic,
        stopped=bool(found.errors),
        findings=_findings(found, transforms),
        head=head,
        rows=rows,
        origin=found.audit["split_origin"],
        flow=found.audit["flow"],
        images=_images(found.audit["images"]),
        shown=transforms is not None,
    )


def _findings(found: Inspection, transforms: Transforms | None) -> list[dict[str, Any]]:
    return [
        {
            "severity": "allowed" if f.severity == "error" and f.code in found.allowed else f.severity,
            "code": f.code,
            "message": f.message,
            "remedy": f.remedy.rstrip("."),
            "rows": listed(f.rows, _MOST_ROWS),
            "pictures": [] if transforms is None else thumbnails(found, f.rows, transforms),
        }
        for f in in_order(found)
    ]


def thumbnails(found: Inspection, rows: Sequence[int], transforms: Transforms) -> list[str]:
    """Return the first images of some rows as data URLs, without any metadata.

    Args:
        found: By the gate.
        rows: Of the source.
        transforms: Whose deterministic part is shown.
    """
    from rn50med.data.manifest import ROW  # noqa: PLC0415 - with pandas

    wanted = set(rows)
    positions = [
        position
        for position, (row, seen) in enumerate(zip(found.manifest.column(ROW), found.seen, strict=True))
        if seen is not None and int(row) in wanted
    ]
    return [_picture(found, position, transforms) for position in positions[:_MOST]]


def _picture(found: Inspection, position: int, transforms: Transforms) -> str:
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    pixels = found.picture(position)
    if pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    picture = Image.fromarray(
        pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    )
    picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def _images(counted: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the files say of themselves, a line each."""
    lines = [("images read", str(counted["read"])), ("not readable", str(counted["unreadable"]))]
    for what in ("format", "mode", "bits", "modality", "view"):
        if counted[what]:
            lines.append((what, ", ".join(f"{name}: {number}" for name, number in counted[what].items())))
    for what in ("height", "width"):
        if counted[what]:
            low, middle, high = (f"{counted[what][end]:g}" for end in ("min", "median", "max"))
            lines.append((what, f"{low} to {high} pixels, median {middle}"))
    return lines


def _split_rows(audit: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of splits.

    Args:
        audit: Facts of the source.
    """
    splits = audit.get("splits") or {}
    names = list(dict.fromkeys(name for counts in splits.values() for name in counts["classes"]))
    rows = [
        [split, *(str(n) for n in (counts["patients"], counts["images"])), *_classes(counts, names)]
        for split, counts in splits.items()
    ]
    return ["split", "patients", "images", *names], rows


def _classes(counts: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    total = max(1, counts["images"])
    shown = []
    for name in names:
        number = counts["classes"].get(name, 0)
        unknown = counts.get("labels", {}).get(name, {}).get("unknown", 0)
        shown.append(f"{number} ({100 * number / total:.0f} %){f', {unknown} unknown' if unknown else ''}")
    return shown
