"""What the report says in sentences: the verdict, its basis, the summary, the glossary."""

from __future__ import annotations

import numpy as np

from lifecycle.consistency.agree import Agreement
from lifecycle.consistency.calls import REFUSED_NO, REFUSED_YES
from lifecycle.domain.names import NONE
from lifecycle.domain.predictions import Calls, Cutoffs
from lifecycle.domain.verdict import Finding, Status
from lifecycle.report.faced import Faced, reported
from lifecycle.report.source import ReportInput
from lifecycle.report.text import MINUS, listed, many, number, percent, plainly

SIGNS: dict[Status, str] = {"pass": "✓", "fail": "✖", "inconclusive": "?"}

_VERDICT = {
    "pass": "meets every criterion of the laboratory's policy",
    "fail": "does not meet the laboratory's policy",
    "inconclusive": "could not be shown to meet the laboratory's policy",
}
BASES = {
    "first build": (
        "First build of its version: there is no build before it to agree with. It was judged by "
        "the criteria that need none, and against the version that it follows where there is one."
    ),
    "identity": (
        "Identity: the candidate is one and the same function as the build before (same weights, "
        "preprocessing, classes and tau, exact inference). It agrees with that build on every "
        "input, by proof; this says nothing about accuracy, nor about other builds."
    ),
    "statistical": (
        "Statistical: the builds were compared case by case on the frozen clinical test set, and "
        "the verdict rests on exact confidence bounds over patients."
    ),
    "unreleased reference": (
        "Unreleased reference: no build of this version has been released, so the candidate was "
        "compared with the latest build before it. That comparison cannot support a release by "
        "itself."
    ),
}
SCOPE = (
    "The builds are fixed and the cases are the sample: a verdict speaks of these builds on cases "
    "like the frozen ones, not of the training recipe and not of builds to come."
)
SAMPLING = (
    "What the figures mean depends on how the frozen cases were sampled. Only a consecutive or "
    "random sample of the clinic's cases estimates the clinic's rate; a convenience or enriched "
    "set does not, and its rate of contradictions can lie above or below what the clinic will see."
)
STATED = {
    "unstated": "The laboratory has not stated how this set was drawn (`frozen.sampling`): read "
    "the figures as figures of this set.",
    "convenience": "The laboratory states that this is a convenience sample: read the figures as "
    "figures of this set.",
    "enriched": "The laboratory states that this set is enriched with difficult or rare cases: "
    "read the figures as figures of this set.",
    "consecutive": "The laboratory states that these are consecutive cases.",
    "random": "The laboratory states that these cases were drawn at random from the clinic's.",
}
BEFORE = (
    "Different versions must not contradict each other either: a patient who is followed over time "
    "can have a result of each. What decides of this stands under the criteria."
)
SUPPORT = (
    "This report supports records under 21 CFR Part 11, validation evidence under CLIA 42 CFR "
    "493.1253(b)(2), change and problem records under IEC 62304 clauses 6.2 and 8.2, and a "
    "predetermined change control plan (FDA). It is evidence for those who judge these matters and "
    "claims nothing beyond that."
)
DECISION = (
    "The report is no decision. A release or a refusal is the signed record that `lifecycle "
    "release` writes; this page and the MLflow view are copies that anyone with access can change."
)

UNSIGNED = (
    "Nobody had signed when this page was written. The pipeline writes its report before anyone "
    "can sign; signatures come later, are kept in the signed chain, and are shown by"
)
SIGNED = (
    "These are copies of records of the signed chain, which alone counts; it is shown and checked "
    "by"
)
MASKED = (
    "IDENTIFIERS MASKED: cases and patients have numbers here instead of their identifiers; the "
    "project keeps the originals."
)
SIMULATED = (
    "SIMULATED DATA: no patient stands behind any figure on this page. It cannot support a "
    "clinical release."
)

_CRITERIA = {
    "evidence": "All evidence is there",
    "data.validation": "The data meet their expectations",
    "pin": "The frozen set is the pinned one",
    "policy.age": "The policy is older than the build",
    "recipe.blind": "Recipe unchanged since discordant cases were seen",
    "tau": "Precision that tau shows, at least",
    "holdout.precision": "Precision on the holdout at tau",
    "holdout.recall": "Recall on the holdout at tau",
    "classes.minimum": "Frozen cases of the rarest class",
    "auc.macro": "Macro AUC on the frozen set",
    "consistency": "Discordant patients",
    "consistency.identity": "One and the same function as the build before",
    "consistency.series": "Discordant patients, all builds together",
    "consistency.pair": "Discordant patients, against",
    "consistency.ever": "Discordant patients, any two builds",
    "consistency.cases": "Discordant cases of patients with several",
    "consistency.cases.series": "Discordant cases, all builds together",
    "consistency.cases.pair": "Discordant cases, against",
    "consistency.cases.ever": "Discordant cases, any two builds",
    "discordant.count": "Discordant cases",
    "lost": "Patients who lose their report, against",
    "lost.yes": "Patients who lose a call, against",
    "lost.no": "Share of a patient's exclusions that are lost, against",
    "gained": "Reports gained, against",
    "reportable.floor": "Share that all builds report",
    "actions.count": "Cases whose clinical action changes",
    "arithmetic": "Same recipe, data and machine give the same weights",
    "rehearsals": "Rehearsed numerics profiles that agree",
    "rehearsals.bits": "Rehearsed profiles with other weights",
    "predecessor": "The version before is followed",
    "predecessor.classes": "Classes of one name that the map takes apart",
    "predecessor.coverage": "Calls of the version before that can be compared",
    "predecessor.frozen": "Frozen cases of the version before that are gone or changed",
    "predecessor.series": "Discordant patients, with all its releases",
    "predecessor.pair": "Discordant patients, against the version before,",
    "predecessor.ever": "Discordant patients, any two builds with the version before",
    "predecessor.lost": "Patients who lose their report, against the version before,",
    "predecessor.floor": "Share that it and the version before report",
    "predecessor.discordant.count": "Discordant cases, with the version before",
    "exposure": "Networks judged on these frozen cases",
}


def criterion_words(name: str) -> str:
    """A criterion's name in words; one that is not known here by its own name."""
    base, _, of = name.partition(":")
    words = _CRITERIA.get(base)
    if words is None:
        return name
    first, _, rest = of.partition(":")
    return f"{words} {first}{f', class {rest}' if rest else ''}" if of else words


GLOSSARY = (
    ("build, version", "A build (b1, b2, …) is one training of a version. A version is a change "
     "that users are told of: classes, recipe or intended use."),
    ("call and score", "What a build says of a case: for one-of-many classes the class with the "
     "highest score, and that score; for several classes at once, yes or no for each class."),
    ("tau (critical value)", "The score at or above which a call is reportable. It was chosen once "
     "on the holdout of the version's first build, and is then frozen."),
    ("reportable, inconclusive", "A case whose call reaches tau is reportable; below tau it is "
     "inconclusive, and the clinic gets no class. A case that can have several classes is "
     f"inconclusive where none is called and not every one is ruled out, and `{NONE}` where every "
     "one is."),
    ("frozen clinical test set", "The cases on which all builds of a version are compared. Pinned "
     "by digest, never trained on."),
    ("|S|, |R|, |D|", "|S|: cases looked at. |R|: those that all compared builds report. |D|: "
     "those of R whose calls are not all the same."),
    ("discordant case", "All compared builds report it, and not all with the same result: a "
     "patient followed over time could get two answers."),
    ("conversion", "Reportable in one build, inconclusive in another. Counted neither as agreement "
     "nor as contradiction: shown apart."),
    ("longitudinal consistency", f"1 {MINUS} |D|/|R|: how often all builds give the same "
     "result, given that all of them report one. The policy demands at least p."),
    ("ever", "Cases on which any two builds gave two different reportable results, over cases that "
     "at least two builds report."),
    ("m, Z, bound", "m: patients with a case in R. Z: patients' discordant fractions, added up. "
     "Bound: with the stated confidence the true rate is not above it (exact, "
     "Clopper-Pearson on patients). A criterion passes by its bound, not by its figure."),
    ("attempt", "A network judged on the frozen set on the way to one release. Trying until it "
     "passes is a test repeated, so attempt k is tested at alpha / 2^k."),
    ("margin", "A score minus its nearest critical value: how far a result is from being another. "
     "A discordant case counts as firm as the weaker of its two contradicting results."),
    ("Brier score, ECE", "How well a score is the chance of being right: the mean squared error, "
     "and the mean difference of score and share that was right. 0 is best."),
    ("lost, gained report", "Lost: the earlier build reported the case, the candidate does not. "
     "Gained: the reverse."),
    ("verdict", "Pass, fail or inconclusive: the worst of all criteria. Inconclusive means that "
     "this set could not show it either way."),
)  # fmt: skip


def at_most(agreement: Agreement) -> str:
    """What the bound over patients is a bound of: their mean share, a patient's with one case."""
    bound, who = percent(agreement.series.upper), unit_words(agreement)
    if agreement.largest <= 1:
        return f"at most {bound} of {who} like these would meet a contradiction"
    one = "patient" if agreement.unit == "patient" else "component"
    return (
        f"at most {bound} of a {one}'s reported cases would be contradicted, on average over {who} "
        "like these"
    )


def unit_words(agreement: Agreement) -> str:
    """What the bounds count: patients, or components of them."""
    shared = "components (patients that share a slide)"
    return "patients" if agreement.unit == "patient" else shared


def banner_line(data: ReportInput) -> str:
    """Classifier, version and build in one line."""
    return f"{data.name} {data.classifier.version} {data.build}"


def summary(data: ReportInput, faced: Faced) -> list[str]:
    """Plain sentences: what was judged, what was found, what is missing.

    Args:
        data: the report's values.
        faced: its builds.
    """
    calls = faced.now
    said = [f"Build {data.build} of {data.name} (version {data.classifier.version}) "
            f"{_VERDICT[data.verdict.status]}."]  # fmt: skip
    said += _criteria(data.verdict.findings)
    said.append(_reported(data, calls))
    said += _wrong(faced)
    if data.agreement is not None:
        said += _agreed(data.agreement)
        said += [str(text) for text in (data.verdict.shown.get("guaranteed"),) if text]
    if data.cutoffs.status == "refused":
        said.append("Tau was refused, so nothing is reportable.")
    said += power(data)
    if data.simulated:
        said.append("All of it was found on simulated cases and says nothing about patients.")
    return said


def _criteria(findings: tuple[Finding, ...]) -> list[str]:
    def named(status: Status) -> list[str]:
        return [finding.criterion for finding in findings if finding.status == status]

    if not findings:
        return ["No criterion was judged."]
    passed, failed, unknown = named("pass"), named("fail"), named("inconclusive")
    said = [f"{len(passed)} of {many(len(findings), 'criterion', 'criteria')} passed."]
    said += [f"Not met: {listed(failed)}."] if failed else []
    said += [f"Could not be shown: {listed(unknown)}."] if unknown else []
    return said


def _reported(data: ReportInput, calls: Calls) -> str:
    n, patients = len(calls.ids), len(set(calls.patients))
    if data.frozen.task == "multi":
        return _reported_cells(calls, f"{many(n, 'case')} ({many(patients, 'patient')})")
    reported = int((calls.state != 0).any(axis=1).sum())
    return (
        f"On the frozen clinical test set of {many(n, 'case')} "
        f"({many(patients, 'patient')}) it reports {reported:,} "
        f"({percent(reported / n if n else None)}); the others are inconclusive."
    )


def _reported_cells(calls: Calls, where: str) -> str:
    """Multi-label: each class of a case is called present, ruled out, or inconclusive."""
    yes, no = int((calls.state == 1).sum()), int((calls.state == -1).sum())
    cases = int((calls.state == 1).any(axis=1).sum())
    left = calls.state.size - yes - no
    return (
        f"On the frozen clinical test set of {where} with {len(calls.classes)} classes it calls "
        f"{yes:,} results present (in {many(cases, 'case')}) and rules out {no:,}; the other "
        f"{left:,} ({percent(left / calls.state.size if calls.state.size else None)}) are "
        "inconclusive."
    )


def _wrong(faced: Faced) -> list[str]:
    """Reported calls that the reference class contradicts; nothing where no case has one."""
    known, calls, truth = faced.known, faced.now, faced.truth
    if not known.any():
        return []
    if faced.multi:
        yes, no = ((calls.state == side) & known[:, None] for side in (1, -1))
        return [
            f"Of cases with reference classes, {int((yes & ~truth).sum()):,} of "
            f"{int(yes.sum()):,} present calls and {int((no & truth).sum()):,} of "
            f"{int(no.sum()):,} exclusions are wrong."
        ]
    told = reported(calls) & known
    right = truth[np.arange(len(known)), calls.argmax]
    return [
        f"Of {many(int(told.sum()), 'reported case')} with a reference class "
        f"{int((told & ~right).sum()):,} are wrong."
    ]


def _agreed(agreement: Agreement) -> list[str]:
    figures, names = agreement.series, listed(agreement.names)
    if not figures.R:
        return [f"No case is reported by all of {names}: nothing can be said of their agreement."]
    first = (
        f"{names} all report {many(figures.R, 'case')}; on {figures.D:,} of them "
        f"({percent(figures.D / figures.R)}) they contradict each other."
    )
    second = (
        f"With {plainly(1 - agreement.a)} confidence {at_most(agreement)}; "
        f"{many(figures.conversions, 'case')} converted between reportable and inconclusive."
    )
    return [first, second]


def power(data: ReportInput) -> list[str]:
    """Whether a set of this size can show what the policy asks for, as the gate found it."""
    shown = data.verdict.shown
    needed, there = shown.get("patients_needed"), shown.get("patients")
    said = []
    if isinstance(needed, int) and isinstance(there, int):
        said.append(
            f"The policy needs at least {many(needed, 'patient')} with a reported case, even "
            f"without a single contradiction; {_enough(data, needed, there)}."
        )
    return said


def _enough(data: ReportInput, needed: int, there: int) -> str:
    """Patients of the set, and those whom the builds report: only these count."""
    if there < needed:
        return (
            f"with {there:,} this set is too small ever to show consistency (a rebuild of the same "
            "bits shows it without counting)"
        )
    if data.agreement is None:
        return f"this set has {there:,}, so it can show consistency if enough of them are reported"
    m = data.agreement.series.m
    can = "enough to show" if m >= needed else "too few to show"
    return f"this set has {there:,}, of whom all builds report {m:,}: {can} consistency"


def attempts(data: ReportInput) -> str:
    """How many attempts there were, and what cannot be known of them."""
    known = (
        "No attempt counts here: this is the version's first network."
        if data.attempts == 0
        else f"{many(data.attempts, 'attempt')} counted towards this release so far."
    )
    level = data.agreement and f" Its tests were made at a level of {number(data.agreement.a)}."
    return (
        f"{known}{level or ''} Attempts made in a copy of the project that was thrown away cannot "
        "be seen from here."
    )


def frozen_drawn(data: ReportInput) -> str:
    """Where the frozen set comes from, as far as params.yaml says."""
    fraction, folds = data.classifier.frozen.fraction, data.classifier.frozen.folds
    if folds is not None:
        return (
            f"The frozen set is fold {listed(folds)} of the cohort, as it was published; it is as "
            "good a sample of the clinic as that cohort is."
        )
    if fraction is None:
        return "The frozen set is a cohort of its own, stated in params.yaml."
    return (
        f"The frozen set is a share of {plainly(fraction)} of the cohort, drawn by patient and "
        "stratified by class; it is as good a sample of the clinic as that cohort is."
    )


def tau_remarks(cutoffs: Cutoffs) -> list[str]:
    """How tau came about: chosen by rule, or stated by a person, with what its choice noted."""
    chosen = (
        "Tau is the lowest score at which the class was still called with the precision that the "
        "laboratory asked for, read on the holdout of the version's first build. Later builds are "
        "held to it."
    )
    given = "A person stated this tau; it was not chosen on a holdout."
    notes = [str(cutoffs.evidence[key]) for key in ("said", "note") if cutoffs.evidence.get(key)]
    return [given if cutoffs.status == "given" else chosen, *notes]


def _in_force(cutoffs: Cutoffs) -> list[float]:
    """Distinct cutoffs at which a class is called; a refused one stands at 1 and is none."""
    chosen = cutoffs.evidence.get("chosen")
    if not chosen or len(chosen) == 1:
        return sorted(set(cutoffs.yes))
    called = (one for one in chosen if one["side"] == "yes" and one["status"] != "refused")
    return sorted({one["tau"] for one in called})


def tau_line(cutoffs: Cutoffs) -> str:
    """Tau in force, in one sentence."""
    if cutoffs.status == "refused":
        return "Refused: no critical value is in force, and every case is inconclusive."
    values = _in_force(cutoffs)
    if not values:
        where = "none for calling a class present"
    elif len(values) == 1:
        where = number(values[0])
    else:
        where = f"{number(values[0])} to {number(values[-1])}, by class"
    closed = listed(
        sorted({*cutoffs.evidence.get(REFUSED_YES, ()), *cutoffs.evidence.get(REFUSED_NO, ())})
    )
    refused = f" No cutoff could be chosen on one side or both of: {closed}." if closed else ""
    return f"tau = {where} ({cutoffs.status}).{refused}"
