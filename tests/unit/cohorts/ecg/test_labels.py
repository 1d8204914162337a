"""The label table and what becomes of statements."""

from __future__ import annotations

from collections import Counter

import pytest

from lifecycle.cohorts.ecg.attributes import age_group, attribute, sex_of, whole
from lifecycle.cohorts.ecg.labels import Labeller, names_by, require_statements, table
from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.errors import UnusableInputError

# The facts a loader must honour (design 05, B), and PTB-XL's superclasses.
SNOMED = {
    "AFIB": "164889003", "AFLT": "164890007", "SR": "426783006", "SBRAD": "426177001",
    "STACH": "427084000", "SARRH": "427393009", "PACE": "10370003", "SVARR": "63593006",
    "SVTAC": "426761007", "PSVT": "67198005", "BIGU": "11157007", "TRIGU": "251180001",
}  # fmt: skip


def labeller(classes: tuple[str, ...], **mapped: str) -> Labeller:
    return Labeller(classes, mapped, names_by("snomed"), Counter())


def test_table_holds_twelve_rhythms_and_five_superclasses_with_sources() -> None:
    kinds = Counter(one.kind for one in table())
    assert kinds == {"rhythm": 12, "superclass": 5}
    assert {one.name: one.snomed for one in table() if one.kind == "rhythm"} == SNOMED
    assert all(one.source and one.english for one in table())
    assert all(one.scp == one.name for one in table() if one.kind == "rhythm")


def test_no_code_means_two_statements() -> None:
    for scheme in ("scp", "snomed", "cpsc2018", "rhythm"):
        codes = [code for one in table() for code in str(getattr(one, scheme)).split(";") if code]
        assert len(codes) == len(set(codes))
        assert set(names_by(scheme)) == set(codes)


def test_rhythm_strings_and_numbers() -> None:
    rhythms = names_by("rhythm")
    assert [rhythms[text] for text in ("(N", "(NSR", "(AFIB", "(AFL", "(B", "(T", "(SVTA")] == [
        "SR", "SR", "AFIB", "AFLT", "BIGU", "TRIGU", "SVTAC",
    ]  # fmt: skip
    assert names_by("cpsc2018") == {"1": "SR", "2": "AFIB"}


def test_label_joins_classes_in_class_order_and_counts_the_rest() -> None:
    one = labeller(("AFIB", "SR"))
    assert one.label(["426783006", "164889003", "999", "999"]) == "AFIB|SR"
    assert one.label(["999"]) == ""
    assert one.label([]) == ""
    assert one.others == {"999": 2}


def test_a_map_renames_statements_of_the_file_and_our_names() -> None:
    one = labeller(("AF", "SR"), AFIB="AF", AFLT="AF", **{"713422000": "SR"})
    assert one.label(["164890007", "713422000"]) == "AF|SR"
    assert one.label(["164889003", "164890007"]) == "AF"


def test_superclasses_are_ptbxls_unless_mapped() -> None:
    plan = SignalPlan(statements="superclass")
    plain = CohortSource(source="cinc2021", path="x", measures="ecg")
    with pytest.raises(UnusableInputError, match="belongs to ptbxl"):
        require_statements(plain, plan)
    mapped = CohortSource(source="cinc2021", path="x", measures="ecg", labels={"426783006": "NORM"})
    require_statements(mapped, plan)
    require_statements(CohortSource(source="ptbxl", path="x", measures="ecg"), plan)


@pytest.mark.parametrize(
    ("age", "group"),
    [("39.9", "<40"), ("40", "40-64"), ("65.0", "65-89"), ("89", "65-89"), ("90", "90+"),
     ("300.0", "90+"), ("", ""), ("NaN", ""), ("-1", ""), ("Unknown", "")],
)  # fmt: skip
def test_age_groups(age: str, group: str) -> None:
    assert age_group(age) == group


def test_attributes_are_written_alike() -> None:
    assert [sex_of(text) for text in ("Male", "f", "FEMALE", "Unknown")] == [
        "male", "female", "female", "",
    ]  # fmt: skip
    assert [attribute("sex", text) for text in ("0", "1.0", "")] == ["male", "female", ""]
    assert attribute("device", "CS-12   E") == "CS-12 E"
    assert attribute("site", "2.0") == "2"
    assert [whole(text) for text in ("15709.0", "7", "1.5", "x", "-1", "")] == [
        "15709", "7", None, None, None, None,
    ]  # fmt: skip
