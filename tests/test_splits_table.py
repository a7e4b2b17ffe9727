"""The printed table of splits: aligned, every class and label in it, unknown counts too."""

from __future__ import annotations

from rn50med.data.splits import split_lines


def test_classes_stand_below_patients_and_images() -> None:
    table = {
        "test": {"patients": 100, "images": 310, "classes": {"normal": 155, "pneumonia": 155}},
        "train": {"patients": 1000, "images": 12345, "classes": {"normal": 12000, "pneumonia": 345}},
    }
    assert split_lines(table) == [
        "                  train        test",
        "patients           1000         100",
        "images            12345         310",
        "normal     12000 (97 %)  155 (50 %)",
        "pneumonia     345 (3 %)  155 (50 %)",
    ]


def test_labels_show_positive_negative_and_unknown_and_what_unknown_is_taken_for() -> None:
    def counts(positive: int, unknown: int) -> dict[str, object]:
        label = {"positive": positive, "negative": 40 - positive - unknown, "unknown": unknown}
        labels = {"hernia": label | {"unknown_is": "ignore"}, "mass": label | {"unknown_is": "negative"}}
        return {"patients": 20, "images": 40, "classes": {"hernia": 0, "mass": 0}, "labels": labels}

    assert split_lines({"train": counts(7, 0), "val": counts(0, 12), "test": counts(3, 40 - 3)}) == [
        "                                     train      val    test",
        "patients                                20       20      20",
        "images                                  40       40      40",
        "positive/negative/unknown",
        "  hernia                            7/33/0  0/28/12  3/0/37",
        "  mass (unknown taken as negative)  7/33/0  0/28/12  3/0/37",
    ]


def test_a_class_that_one_split_lacks_is_0_there_and_unknown_is_told_where_it_occurs() -> None:
    table = {
        "train": {"patients": 3, "images": 9, "classes": {"a": 4, "b": 3}, "unknown": {"b": 2}},
        "test": {"patients": 1, "images": 1, "classes": {"a": 1}},
    }
    assert split_lines(table) == [
        "                        train       test",
        "patients                    3          1",
        "images                      9          1",
        "a                    4 (44 %)  1 (100 %)",
        "b         3 (33 %), 2 unknown    0 (0 %)",
    ]
