"""How a run is judged, decided before training: what a case is, the rule of calls, what else is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rn50med.evaluation.cases import Combination, Unit, UnitName
from rn50med.evaluation.operating_rule import Rule

Asked = Literal["auto", "image", "study", "patient"]


@dataclass(frozen=True)
class Protocol:
    """How a run is judged.

    Args:
        rule: How the operating point is chosen on val.
        unit: What a case is; `auto` is the patient where all images of each patient have the same label,
            else the image.
        images: How the probabilities of a case's images are put together.
        temperature: Whether logits are divided by the temperature that val asks for.
        prevalence: Of classes or labels where the model is to be used, in (0, 1): predictive values are
            given for them as well.
        subgroups: Columns of the manifest whose groups the report shows; those of usual names where None.

    Example:
        >>> protocol = Protocol(Rule("cost", false_negative_cost=3.0), prevalence={"mass": 0.1})
        >>> Protocol.from_plain(protocol.as_plain()) == protocol
        True
    """

    rule: Rule = field(default_factory=Rule)
    unit: Asked = "auto"
    images: Combination = "mean"
    temperature: bool = True
    prevalence: Mapping[str, float] = field(default_factory=dict)
    subgroups: tuple[str, ...] | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return plain types, for a checkpoint."""
        groups = None if self.subgroups is None else list(self.subgroups)
        return asdict(self) | {"prevalence": dict(self.prevalence), "subgroups": groups}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Protocol:
        """Return what the plain types of `as_plain` stand for.

        Args:
            plain: Its fields; those that are absent have their defaults.
        """
        groups = plain.get("subgroups")
        return cls(
            **{key: value for key, value in plain.items() if key not in {"rule", "subgroups"}},
            rule=Rule(**plain.get("rule", {})),
            subgroups=None if groups is None else tuple(groups),
        )

    def published(self, unit: Unit) -> dict[str, Any]:
        """Return what ``metrics.json`` says of it.

        Args:
            unit: What `auto` became.
        """
        groups = None if self.subgroups is None else list(self.subgroups)
        return {
            "unit": unit.of,
            "images": unit.images,
            "rule": self.rule.name,
            **self.rule.used(),
            "prevalence": dict(self.prevalence),
            "subgroups": groups,
        }

    def decided(self, unit: UnitName) -> Unit:
        """Return a unit with the combination that was asked for.

        Args:
            unit: What a case is.
        """
        return Unit(unit, self.images)
