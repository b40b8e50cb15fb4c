"""The model in small: a bar a layer, what is kept solid, what is removed hatched."""

from collections.abc import Sequence

from llmrank.report.charts.theme import palette


def layer_strips(
    dense: Sequence[int],
    kept: Sequence[int] | None,
    *,
    width: int,
    height: int,
    dark: bool,
) -> str:
    """Return an SVG of the layers' widths, the first layer on the left.

    Args:
        dense: neurons of each layer before the cut.
        kept: after it; None where that is not known yet: all is drawn faint.
        width: in pixels.
        height: likewise; the widest layer is as high.
        dark: draw for the dark theme.
    """
    colours, tallest = palette(dark), max(dense)
    step = width / len(dense)
    bar = max(1.0, step * 0.72)
    opacity, parts = 0.35 if kept is None else 1, []
    for place, before in enumerate(dense):
        after = before if kept is None else kept[place]
        x, top = place * step, height * (1 - before / tallest)
        cut = height * (1 - after / tallest)
        parts.append(
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{bar:.1f}" '
            f'height="{cut - top:.1f}" fill="url(#removed)"/>'
            f'<rect x="{x:.1f}" y="{cut:.1f}" width="{bar:.1f}" '
            f'height="{height - cut:.1f}" fill="{colours.accent}" '
            f'opacity="{opacity}"/>'
        )
    said = "not known yet" if kept is None else f"{sum(kept):,} kept"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{len(dense)} layers, {sum(dense):,} neurons: {said}">'
        '<defs><pattern id="removed" width="4" height="4" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="1.2" height="4" fill="{colours.neutral}"/></pattern></defs>'
        f"{''.join(parts)}</svg>"
    )
