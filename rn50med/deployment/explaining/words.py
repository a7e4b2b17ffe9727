"""What is said of heat maps: beside the files, and of the test by random weights."""

from __future__ import annotations

from textwrap import fill
from types import MappingProxyType

import numpy as np
import pandas as pd

from rn50med.deployment.explaining.drawing import COLOURS, NOTICE, OPAQUE, OUTLINED
from rn50med.deployment.explaining.maps import STEPS, Baseline, Method

_METHODS = MappingProxyType(
    {
        "gradcam": (
            "Grad-CAM (Selvaraju et al., ICCV 2017): the last feature maps, each weighed by how the score of "
            "the class rises with it; what speaks against the class is left out."
        ),
        "gradcam++": (
            "Grad-CAM++ (Chattopadhyay et al., WACV 2018): as Grad-CAM, with weights that count each place "
            "where the score rises, so that several findings do not hide each other; what speaks against "
            "the class is left out."
        ),
        "ig": (
            "Integrated gradients (Sundararajan et al., ICML 2017): the magnitude of each pixel's share in "
            f"the score, for the class or against it, over {STEPS} steps from a {{baseline}} image, smoothed "
            "by 1/64 of the network's square."
        ),
        "attention": (
            "Attention (Ilse et al., ICML 2018): the share of each place in what the head pools from the "
            "last feature maps; it is the same for every class."
        ),
    }
)

_COARSE = (
    " One cell of the feature maps is 32 pixels of the network's square wide: a map is no sharper than that."
)

_README = """\
{NOTICE}
Maps of networks that find what they look for often miss where it is (Saporta et al., Nature Machine
Intelligence 2022, doi:10.1038/s42256-022-00536-x; Arun et al., Radiology: AI 2021,
doi:10.1148/ryai.2021200267). Research use only.

{method}

NUMBER-NAME.npy  the map: 32-bit floats, height x width of the image as it is displayed, from 0 to 1, where 1
                 is the most important place of this image; maps of different images have no common scale
NUMBER-NAME.png  the image in grey under the map ({COLOURS}, {OPAQUE:.0%} opaque at 1); the line encloses the
                 most important {OUTLINED:.0%} of the pixels
explanations.csv a row per map: image, patient, class, its probability, the call, the files. "shown_on" is
                 "image", or "square" where the transforms do not say where their pixels come from; the
                 map is then one of what the network was shown

NUMBER counts the maps; NAME is the image's file name, reduced to letters, digits, dots and dashes. Names
and pictures are as confidential as the images; the files are readable by their owner alone.
"""

_SANITY = """
"spearman" and "ssim" compare each map with that of the same network after its last stage and its head were
made random, "spearman_whole" and "ssim_whole" after all of it was (Adebayo et al., NeurIPS 2018,
arXiv:1810.03292). {meaning}
"""

SANITY = ("spearman", "ssim", "spearman_whole", "ssim_whole")
"""Columns of the table that compare maps with those of random weights."""

MEANING = (
    "Near 0, the maps depend on what these layers have learnt. Near 1, they do not: against the random "
    "network, they then show edges and contrast that any network would mark, and say little about this one."
)


def readme(method: Method, baseline: Baseline, sanity: bool) -> str:
    """Return what stands beside the maps.

    Args:
        method: How they were made.
        baseline: What integrated gradients started from.
        sanity: Whether they were compared with those of random weights.
    """
    words = _METHODS[method].format(baseline="black" if baseline == "black" else "uniformly grey")
    words += "" if method == "ig" else _COARSE
    text = _README.format(
        NOTICE=fill(NOTICE, 110),
        method=fill(words, 110),
        COLOURS=COLOURS,
        OPAQUE=OPAQUE,
        OUTLINED=OUTLINED,
    )
    return text + (_SANITY.format(meaning=fill(MEANING, 110)) if sanity else "")


def sanity_summary(frame: pd.DataFrame) -> str:
    """Return what the comparison with random weights found, and what it means.

    Args:
        frame: Of `explain`, with its columns `SANITY`.

    Example:
        >>> frame = pd.DataFrame({"spearman": [0.6, 0.8], "ssim": [0.5, 0.5],
        ...                       "spearman_whole": [float("nan")] * 2, "ssim_whole": [0.0, 0.2]})
        >>> print(sanity_summary(frame))
        sanity: 2 maps compared with those of random weights
          last stage and head random: rank correlation median 0.70 (0.60 to 0.80),
            SSIM median 0.50 (0.50 to 0.50)
          whole network random: rank correlation undefined, SSIM median 0.10 (0.00 to 0.20)
        Near 0, the maps depend on what these layers have learnt. Near 1, they do not: against the random
        network, they then show edges and contrast that any network would mark, and say little about this one.
    """
    lines = [f"sanity: {int(frame['ssim'].notna().sum())} maps compared with those of random weights"]
    for what, suffix in (("last stage and head", ""), ("whole network", "_whole")):
        made = frame[frame[f"ssim{suffix}"].notna()]
        rank, structure = _spread(made[f"spearman{suffix}"]), _spread(made[f"ssim{suffix}"])
        lines.append(f"  {what} random: rank correlation {rank}, SSIM {structure}")
    return "\n".join([*lines, MEANING])


def _spread(values: pd.Series[float]) -> str:
    known = values.dropna().to_numpy(dtype=np.float64)
    if not known.size:  # a constant map has no ranks
        return "undefined"
    lacking = len(values) - known.size
    constant = f"; undefined for {lacking}" if lacking else ""
    return f"median {np.median(known):.2f} ({known.min():.2f} to {known.max():.2f}{constant})"
