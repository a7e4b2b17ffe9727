"""What only the authors of a study know, and a report asks for: who, when, how labelled, who allowed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Study:
    """What the report says in its authors' words. Every key may be left out; name no patients.

    Args:
        background: Clinical background: what is done today, and why a model could help.
        objectives: What the study is to find out, and its hypotheses.
        intended_use: Who is to use the model, on whom, at which point of care, and for what it is not meant.
        population: Who it is meant for, and whom these images stand for.
        inequalities: Known differences in care or outcome between groups of people, and what was done
            about them.
        design: Prospective or retrospective; cohort, case-control or registry.
        data_source: Where the images come from: hospitals, registries, public data sets with their licence.
        setting: Kind of care, number of centres, countries.
        dates: First and last examination.
        eligibility: Who was included and who was not, and how they were found.
        treatments: Treatments before or during imaging that may show.
        acquisition: Devices, protocols and views.
        deidentification: How the images were made anonymous.
        missing_data: What was missing, why, and what was done about it.
        reference_standard: How the truth of a label is known: pathology, follow-up, readers, reports.
        reference_rationale: Why this reference standard was chosen, and where it may be wrong.
        labelling: Who gave the labels, with which training, on what tools; in the test set too.
        blinding: What those who gave the labels did not know.
        agreement: How far the readers agreed, and how they settled where they did not.
        sample_size: How many patients were planned, and why so many.
        ethics: Ethics committee, its number, and consent or its waiver.
        registration: Registry and number of the study, or that there is none.
        protocol: Where the protocol can be read, or that there is none.
        involvement: Part that patients and public had in the study, or that they had none.
        funding: Who paid, and what part they had.
        conflicts: Conflicts of interest of the authors.
        data_access: Who can get the data, and how.
        code_access: Who can get code and trained model, and how.
        limitations: What may be wrong, or hold elsewhere only in part.
        implications: What follows for practice, and what has to be studied next.

    Example:
        >>> Study(setting="one children's hospital").given()
        (('Setting', "one children's hospital"),)
    """

    background: str = ""
    objectives: str = ""
    intended_use: str = ""
    population: str = ""
    inequalities: str = ""
    design: str = ""
    data_source: str = ""
    setting: str = ""
    dates: str = ""
    eligibility: str = ""
    treatments: str = ""
    acquisition: str = ""
    deidentification: str = ""
    missing_data: str = ""
    reference_standard: str = ""
    reference_rationale: str = ""
    labelling: str = ""
    blinding: str = ""
    agreement: str = ""
    sample_size: str = ""
    ethics: str = ""
    registration: str = ""
    protocol: str = ""
    involvement: str = ""
    funding: str = ""
    conflicts: str = ""
    data_access: str = ""
    code_access: str = ""
    limitations: str = ""
    implications: str = ""

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any]) -> Study:
        """Return the study of a recipe; what it does not say is empty.

        Args:
            recipe: In plain values.

        Example:
            >>> Study.from_recipe({"study": {"dates": "2019 to 2021"}}).dates
            '2019 to 2021'
        """
        block = recipe.get("study")
        told = block if isinstance(block, Mapping) else {}
        known = {field.name for field in fields(cls)}
        return cls(**{name: str(text) for name, text in told.items() if name in known and text is not None})

    def text(self, name: str) -> str:
        """Return what is said of a matter, on one line; empty where nothing is.

        Args:
            name: Of one of the arguments.
        """
        return " ".join(str(getattr(self, name)).split())

    def given(self) -> tuple[tuple[str, str], ...]:
        """Return name and text of each matter that something is said of, in their order."""
        told = ((title_of(field.name), self.text(field.name)) for field in fields(self))
        return tuple((name, text) for name, text in told if text)


def title_of(name: str) -> str:
    """Return what a matter is called in a report.

    Args:
        name: Of an argument of `Study`.

    Example:
        >>> title_of("reference_standard")
        'Reference standard'
    """
    return name.replace("_", " ").capitalize()
