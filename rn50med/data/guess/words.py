"""What columns, classes and views are usually called; names are compared without case, blanks and signs."""

from __future__ import annotations

from collections.abc import Iterable

from rn50med.data.manifest import folded

NEGATIVE = (
    "normal", "negative", "nofinding", "nofindings", "none", "benign", "healthy", "control", "absent", "no",
    "false", "clear", "unremarkable", "nodisease", "nontumor", "notumor", "nodr", "0", "n", "neg",
)  # fmt: skip
"""Classes without the finding, the surest first."""

LABEL = (
    "label", "labels", "class", "classname", "diagnosis", "dx", "target", "finding", "findings", "category",
    "disease", "pathology", "outcome", "grade", "level", "y", "groundtruth", "malignant", "abnormal",
)  # fmt: skip
"""Columns of the label, the surest first."""

GROUP = (
    "patientid", "patient", "mrn", "subject", "subjectid", "pid", "participantid", "participant", "personid",
    "caseid", "case", "eid", "lesionid", "lesion",
)  # fmt: skip
"""Columns whose images have to stay together, the surest first."""

IMAGE = (
    "image", "path", "file", "filename", "filepath", "imagepath", "imageid", "imageindex", "img",
    "imagename", "dicompath", "dicom", "idcode",
)  # fmt: skip
"""Columns of the image, the surest first."""

SPLIT = ("split", "set", "subset", "partition", "fold", "stage")
"""Columns of the split."""

STUDY = (
    "study", "studyid", "studyuid", "studyinstanceuid", "accession", "accessionnumber", "exam", "examid",
)  # fmt: skip

VIEW = ("viewposition", "view", "projection", "frontallateral", "appa", "orientation")
"""Columns of the view of a film."""

FRONTAL = frozenset({"pa", "ap", "frontal", "antero-posterior", "posteroanterior", "anteroposterior"})
LATERAL = frozenset({"ll", "rl", "lateral", "lat", "lao", "rao", "leftlateral"})

ABOUT_THE_PERSON = frozenset(
    {
        "sex", "gender", "age", "patientage", "patientsex", "ageyears", "race", "ethnicity", "laterality",
        "side", "site", "hospital", "center", "centre", "institution", "scanner", "manufacturer", "model",
        "modality", "device", "year", "date", "dxtype", "localization", "bodypart", "height", "weight", "bmi",
        "smoker", "insurance", "width", "follow-up", "followup", "sourcerow", "quality",
    }
)  # fmt: skip
"""Columns that describe a person or a machine, not what is to be predicted."""


def named(columns: Iterable[str], words: Iterable[str]) -> str | None:
    """Return the column that has the first of these names, or None.

    Args:
        columns: That are there.
        words: Names without case, blanks and signs, the surest first.

    Example:
        >>> named(["Image ID", "Patient-ID", "dx"], ("mrn", "patientid"))
        'Patient-ID'
    """
    by_name = {plain(column): column for column in reversed(list(columns))}
    return next((by_name[word] for word in words if word in by_name), None)


def plain(text: str) -> str:
    """Return text without case, blanks and signs.

    Args:
        text: As it was written.

    Example:
        >>> plain("Frontal/Lateral"), plain("No Finding ")
        ('frontallateral', 'nofinding')
    """
    return folded(text).replace("/", "")
