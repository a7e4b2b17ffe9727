"""The items of two reporting guidelines, in our own short words, and what can answer each of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """What a guideline asks for.

    Args:
        number: As the guideline counts.
        asks: What is to be told.
        topics: Names of what the run folder can tell of it.
        study: Keys of the study block that its authors can answer with.
        author: Whether it takes its authors even so, as a title does.
    """

    number: str
    asks: str
    topics: tuple[str, ...] = ()
    study: tuple[str, ...] = ()
    author: bool = False


@dataclass(frozen=True)
class Answer:
    """What the run folder tells of one matter.

    Args:
        text: A sentence or two; empty where it tells nothing.
        done: Whether what was asked for was done.
    """

    text: str
    done: bool = True


@dataclass(frozen=True)
class Guideline:
    """A guideline for reports.

    Args:
        name: What people call it.
        source: Where it was published.
        items: In their order.
    """

    name: str
    source: str
    items: tuple[Item, ...]


CLAIM = Guideline(
    "CLAIM 2024",
    "Tejani et al., Radiology: Artificial Intelligence 2024, doi 10.1148/ryai.240300",
    (
        Item("1", "Title or abstract names the AI and its kind", ("kind",), author=True),
        Item("2", "Abstract: design, methods, results, conclusions", author=True),
        Item("3", "Background, intended use and clinical role", (), ("background", "intended_use")),
        Item("4", "Aims and hypotheses", (), ("objectives",)),
        Item("5", "Prospective or retrospective", (), ("design",)),
        Item("6", "Goal of the study", ("goal",)),
        Item("7", "Sources of the data", ("source",), ("data_source",)),
        Item("8", "Who and what was included and excluded", ("exclusions",), ("eligibility",)),
        Item("9", "Preparation of the images", ("preparation",)),
        Item("10", "Selection of a part of the data", ("subset",)),
        Item("11", "How images were made anonymous", (), ("deidentification",)),
        Item("12", "What was done about missing data", ("missing",), ("missing_data",)),
        Item("13", "How images were acquired", ("acquisition",), ("acquisition",)),
        Item("14", "Reference standard: how the truth is known", (), ("reference_standard",)),
        Item("15", "Why this reference standard", (), ("reference_rationale",)),
        Item("16", "Who gave the labels", (), ("labelling",)),
        Item("17", "How the test set was labelled", (), ("labelling", "blinding")),
        Item("18", "How far readers agreed", (), ("agreement",)),
        Item("19", "How images were put into splits", ("splits",)),
        Item("20", "By what the splits are disjoint", ("disjoint",)),
        Item("21", "Size of the test set, and why", ("width",), ("sample_size",)),
        Item("22", "The model", ("model",)),
        Item("23", "Software with versions", ("software",)),
        Item("24", "Initial parameters", ("initial",)),
        Item("25", "Training", ("preparation", "training", "epochs")),
        Item("26", "How the final model was chosen", ("epochs",)),
        Item("27", "Ensembles", ("ensemble",)),
        Item("28", "Measures of performance", ("measures",)),
        Item("29", "Measures of uncertainty", ("intervals",)),
        Item("30", "Robustness", ("robustness",)),
        Item("31", "Explanations of single results", ("explanations",)),
        Item("32", "Test on internal data", ("internal",)),
        Item("33", "Test on external data", ("external",)),
        Item("34", "Registration, where it is a trial", (), ("registration",)),
        Item("35", "Numbers included and excluded, as a diagram", ("flow",)),
        Item("36", "Patients of each split", ("patients",), author=True),
        Item("37", "Performance with its uncertainty", ("result",)),
        Item("38", "Diagnostic accuracy with its precision", ("accuracy",)),
        Item("39", "Analysis of wrong results", ("errors",), author=True),
        Item("40", "Limitations", ("limits",), ("limitations",)),
        Item("41", "Meaning for practice", (), ("implications", "intended_use")),
        Item("42", "Where protocol and details can be read", ("details",), ("protocol",)),
        Item("43", "Who can get software, model and data", ("repeat",), ("data_access", "code_access")),
        Item("44", "Funding, and the part of funders", (), ("funding",)),
    ),
)

TRIPOD_AI = Guideline(
    "TRIPOD+AI",
    "Collins et al., BMJ 2024;385:e078378, doi 10.1136/bmj-2023-078378",
    (
        Item("1", "Title: making or evaluating a model, for whom, of what", ("kind",), author=True),
        Item("2", "Abstract, by its own checklist", author=True),
        Item("3a", "Clinical context, reason, models that exist", (), ("background",)),
        Item("3b", "For whom, at which point of care, by whom", (), ("intended_use", "population")),
        Item("3c", "Known inequalities between groups", (), ("inequalities",)),
        Item("4", "Objectives: making, evaluating or both", ("goal",), ("objectives",)),
        Item(
            "5a", "Sources of the data, and whom they stand for", ("source",), ("data_source", "population")
        ),
        Item("5b", "Dates", (), ("dates",)),
        Item("6a", "Setting, number and place of centres", (), ("setting",)),
        Item("6b", "Eligibility", ("exclusions",), ("eligibility",)),
        Item("6c", "Treatments, where they matter", (), ("treatments",)),
        Item("7", "Preparation and checks of the data", ("preparation", "findings")),
        Item("8a", "Outcome: what, when and how it is assessed", ("classes",), ("reference_standard",)),
        Item("8b", "Who assessed the outcome", (), ("labelling",)),
        Item("8c", "What they did not know", (), ("blinding",)),
        Item("9a", "Choice of predictors", ("predictors",)),
        Item("9b", "Predictors: what, when and how measured", ("acquisition",), ("acquisition",)),
        Item("9c", "Who assessed predictors, where it takes judgement", ("predictors",)),
        Item("10", "Size of the study, and why", ("width",), ("sample_size",)),
        Item("11", "Missing data", ("missing",), ("missing_data",)),
        Item("12a", "How the data were used and divided", ("splits",)),
        Item("12b", "How predictors entered the model", ("preparation",)),
        Item("12c", "Kind of model, all steps of making it", ("model", "training", "epochs", "point")),
        Item("12d", "Differences between clusters, how handled", ("clusters",)),
        Item("12e", "Measures and plots of performance", ("measures",)),
        Item("12f", "Updating of the model", ("updating",)),
        Item("12g", "How predictions were computed", ("computed",)),
        Item("13", "Class imbalance", ("imbalance",)),
        Item("14", "Fairness", ("groups",), ("inequalities",)),
        Item("15", "What the model returns, and thresholds", ("output",)),
        Item("16", "How test data differ from training data", ("internal",), author=True),
        Item("17", "Ethics and consent", (), ("ethics",)),
        Item("18a", "Funding", (), ("funding",)),
        Item("18b", "Conflicts of interest", (), ("conflicts",)),
        Item("18c", "Protocol", (), ("protocol",)),
        Item("18d", "Registration", (), ("registration",)),
        Item("18e", "Access to the data", (), ("data_access",)),
        Item("18f", "Access to the code", ("repeat",), ("code_access",)),
        Item("19", "Part of patients and public", (), ("involvement",)),
        Item("20a", "Flow of participants, with and without the outcome", ("flow",)),
        Item("20b", "Characteristics of participants", ("patients",), author=True),
        Item("20c", "Test and training data compared", ("patients",), author=True),
        Item("21", "Participants and outcomes of each analysis", ("splits",)),
        Item("22", "The whole model, for others to use", ("repeat",), ("code_access",)),
        Item("23a", "Performance with intervals, of subgroups too", ("result", "groups")),
        Item("23b", "Differences in performance between clusters", ("clusters",)),
        Item("24", "Results of updating", ("updating",)),
        Item("25", "Interpretation, fairness included", author=True),
        Item("26", "Limitations", ("limits",), ("limitations",)),
        Item("27a", "What is to be done about poor input", ("input",), author=True),
        Item("27b", "What users have to do and to know", author=True),
        Item("27c", "Next steps", (), ("implications",)),
    ),
)
