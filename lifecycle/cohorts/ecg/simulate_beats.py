"""When the hearts of the simulated 12-lead cohort beat: one strip of beats a rhythm.

Times are in milliseconds from the first sample. Intervals follow textbook limits (sinus rhythm 50
to 105, tachycardia above 99, bradycardia below 60 beats a minute) and medians of PTB-XL.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lifecycle.cohorts.ecg.simulate_draws import Draws, sine_of

Shape = Literal["native", "ventricular", "paced"]
Atrium = Literal["sinus", "early", "retrograde", "none"]

SPAN_BEFORE, SPAN_AFTER = 700.0, 650.0  # a beat outside the strip reaches into it that far
REFRACTORY = 300.0


class Beat(NamedTuple):
    """One beat.

    Attributes:
        at: time of the R wave.
        interval: since the beat before.
        shape: which ventricular complex.
        atrium: which P wave.
        spike: the pacemaker stimulates the atrium.
    """

    at: float
    interval: float
    shape: Shape
    atrium: Atrium
    spike: bool = False


@dataclass(frozen=True, slots=True)
class Strip:
    """Beats and what the atria do between them.

    Attributes:
        beats: in order of time.
        flutter: length of a flutter cycle, 0 for no flutter.
        fibrillates: f-waves are present.
        change: until then fibrillation, from then on flutter, where a strip has both.
    """

    beats: tuple[Beat, ...]
    flutter: float = 0.0
    fibrillates: bool = False
    change: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """A sinus node: mean interval, share by which breathing moves it, length of a breath."""

    mean: float
    breathing: float
    breath: float
    jitter: float = 0.014

    def interval(self, draws: Draws, at: float) -> float:
        """The interval that follows a beat."""
        swing = self.breathing * sine_of(at / self.breath)
        return self.mean * (1.0 + swing + self.jitter * draws.z())


@dataclass(frozen=True, slots=True)
class Ectopy:
    """Premature beats.

    Attributes:
        after: normal beats before each one, or 0 where they come at random.
        chance: probability after each normal beat, where at random.
        atrial: atrial (narrow, early P) or ventricular.
        coupling: least and largest interval, as share of the sinus interval.
        until: the premature beats end there.
    """

    after: int
    chance: float
    atrial: bool
    coupling: tuple[float, float]
    until: float

    def due(self, draws: Draws, quiet: int, at: float) -> bool:
        """A premature beat follows."""
        if at >= self.until:
            return False
        return quiet >= self.after if self.after else draws.chance(self.chance)


def strip(draws: Draws, rhythm: str, second: str, end: float) -> Strip:
    """The beats of a record.

    Args:
        draws: the record's stream.
        rhythm: class that the strip shows, "" for none of the twelve.
        second: class that it shows besides, "" for none.
        end: length of the record.
    """
    return _RHYTHMS[rhythm](draws, second, end)


def _pace(draws: Draws, mean: float, breathing: float = 0.022) -> Pace:
    return Pace(mean, draws.ln(breathing, 0.5), draws.between(2800.0, 5200.0))


def _normal_pace(draws: Draws) -> Pace:
    mean = draws.ln(855.0, 0.165)
    return _pace(draws, min(max(mean, 570.0), 1190.0))


def _sinus(draws: Draws, pace: Pace, end: float, ectopy: Ectopy | None = None) -> tuple[Beat, ...]:
    """Sinus beats with premature ones; a ventricular one is followed by a full pause."""
    at, interval, quiet = -SPAN_BEFORE - draws.u() * pace.mean, pace.mean, 0
    beats: list[Beat] = []
    while at < end + SPAN_AFTER:
        beats.append(Beat(at, interval, "native", "sinus"))
        interval = pace.interval(draws, at)
        quiet += 1
        if ectopy is not None and ectopy.due(draws, quiet, at):
            early = max(REFRACTORY, interval * draws.between(*ectopy.coupling))
            beats.append(_premature(at + early, early, ectopy))
            at += early
            interval = interval * 1.12 if ectopy.atrial else 2.0 * interval - early
            quiet = 0
        at += interval
    return tuple(beats)


def _premature(at: float, interval: float, ectopy: Ectopy) -> Beat:
    if ectopy.atrial:
        return Beat(at, interval, "native", "early")
    return Beat(at, interval, "ventricular", "none")


def _train(
    draws: Draws, end: float, interval: Callable[[], float], shape: Shape, atrium: Atrium
) -> tuple[Beat, ...]:
    """Beats of one kind whose intervals ask no sinus node."""
    step = interval()
    at = -SPAN_BEFORE - draws.u() * step
    beats: list[Beat] = []
    while at < end + SPAN_AFTER:
        beats.append(Beat(at, step, shape, atrium))
        step = interval()
        at += step
    return tuple(beats)


def _joined(first: tuple[Beat, ...], then: tuple[Beat, ...], change: float) -> tuple[Beat, ...]:
    """One rhythm until `change`, another from there on, never two beats at once."""
    kept = [beat for beat in first if beat.at < change]
    free = kept[-1].at + REFRACTORY if kept else change
    rest = [beat for beat in then if beat.at >= max(change, free)]
    if kept and rest:
        rest[0] = rest[0]._replace(interval=rest[0].at - kept[-1].at)
    return (*kept, *rest)


def _sr(draws: Draws, _: str, end: float) -> Strip:
    pace = _normal_pace(draws)
    ectopy = None
    if draws.chance(0.07):
        ectopy = Ectopy(0, 0.13, draws.chance(0.4), (0.55, 0.75), end)
    return Strip(_sinus(draws, pace, end, ectopy))


def _stach(draws: Draws, _: str, end: float) -> Strip:
    u = draws.u()
    return Strip(_sinus(draws, _pace(draws, 605.0 - 165.0 * u * u, 0.010), end))


def _sbrad(draws: Draws, _: str, end: float) -> Strip:
    return Strip(_sinus(draws, _pace(draws, draws.between(1010.0, 1400.0)), end))


def _sarrh(draws: Draws, second: str, end: float) -> Strip:
    mean = draws.ln(940.0, 0.13)
    if second == "SBRAD":
        mean = max(1020.0, mean * 1.15)
    pace = Pace(mean, min(draws.ln(0.135, 0.35), 0.35), draws.between(3000.0, 6500.0))
    return Strip(_sinus(draws, pace, end))


def _afib(draws: Draws, second: str, end: float) -> Strip:
    mean = min(max(draws.ln(655.0, 0.24), 400.0), 1250.0)
    beats = _irregular(draws, mean, end)
    if second != "AFLT":
        return Strip(beats, fibrillates=True)
    change = end * draws.between(0.35, 0.65)
    flutter = _aflt(draws, "", end)
    joined = _joined(beats, flutter.beats, change)
    return Strip(joined, flutter.flutter, fibrillates=True, change=change)


def _irregular(draws: Draws, mean: float, end: float) -> tuple[Beat, ...]:
    def interval() -> float:
        return max(REFRACTORY, mean * draws.ln(1.0, 0.20))

    return _train(draws, end, interval, "native", "none")


def _aflt(draws: Draws, second: str, end: float) -> Strip:
    slow = draws.chance(0.20)
    cycle = draws.between(240.0, 290.0) if slow else draws.between(188.0, 240.0)
    mode = draws.pick({"2": 55, "3": 10, "4": 20, "variable": 15})
    if second == "SVTAC":
        mode = "2"

    def interval() -> float:
        ratio = int(draws.pick({"2": 45, "3": 25, "4": 30})) if mode == "variable" else int(mode)
        return cycle * ratio * (1.0 + 0.006 * draws.z())

    return Strip(_train(draws, end, interval, "native", "none"), flutter=cycle)


def _pace_maker(draws: Draws, second: str, end: float) -> Strip:
    """VVI, DDD or AAI; with AFIB always VVI over f-waves, with SR sinus beats for a part."""
    mode = draws.pick({"VVI": 45, "DDD": 40, "AAI": 15})
    period = 1000.0 if draws.chance(0.45) else draws.between(790.0, 1010.0)
    shape: Shape = "native" if mode == "AAI" else "paced"
    atrium: Atrium = "none" if mode == "VVI" else "sinus"
    if second == "AFIB":
        shape, atrium = "paced", "none"
    beats = _train(draws, end, lambda: period * (1.0 + 0.002 * draws.z()), shape, atrium)
    if atrium == "sinus":
        beats = tuple(beat._replace(spike=True) for beat in beats)
    if second == "SR":
        pace = _pace(draws, period * draws.between(0.85, 0.97))
        beats = _joined(beats, _sinus(draws, pace, end), end * draws.between(0.4, 0.7))
    return Strip(beats, fibrillates=second == "AFIB")


def _svtac(draws: Draws, _: str, end: float) -> Strip:
    return Strip(_supraventricular(draws, end))


def _supraventricular(draws: Draws, end: float) -> tuple[Beat, ...]:
    period = draws.between(290.0, 430.0)
    atrium: Atrium = "retrograde" if draws.chance(0.5) else "none"
    return _train(draws, end, lambda: period * (1.0 + 0.006 * draws.z()), "native", atrium)


def _psvt(draws: Draws, _: str, end: float) -> Strip:
    """65% start or stop within the strip."""
    fast = _supraventricular(draws, end)
    if not draws.chance(0.65):
        return Strip(fast)
    sinus = _sinus(draws, _normal_pace(draws), end)
    change = end * draws.between(0.25, 0.75)
    starts = draws.chance(0.5)
    return Strip(_joined(sinus, fast, change) if starts else _joined(fast, sinus, change))


def _svarr(draws: Draws, second: str, end: float) -> Strip:
    rare = 0.6 if second == "SR" else 1.0
    chance = rare * draws.between(0.18, 0.50)
    ectopy = Ectopy(0, chance, atrial=True, coupling=(0.52, 0.80), until=end + SPAN_AFTER)
    return Strip(_sinus(draws, _normal_pace(draws), end, ectopy))


def _pattern(draws: Draws, second: str, end: float, after: int) -> Strip:
    """Bigeminy or trigeminy; beside sinus rhythm only in the first part of the strip."""
    until = end * draws.between(0.5, 0.75) if second == "SR" else end + SPAN_AFTER
    middle = draws.between(0.54, 0.70)
    ectopy = Ectopy(after, 0.0, draws.chance(0.15), (middle - 0.02, middle + 0.02), until)
    return Strip(_sinus(draws, _normal_pace(draws), end, ectopy))


def _bigu(draws: Draws, second: str, end: float) -> Strip:
    return _pattern(draws, second, end, after=1)


def _trigu(draws: Draws, second: str, end: float) -> Strip:
    return _pattern(draws, second, end, after=2)


def _junctional(draws: Draws, _: str, end: float) -> Strip:
    period = draws.between(1000.0, 1500.0)
    return Strip(_train(draws, end, lambda: period * (1.0 + 0.01 * draws.z()), "native", "none"))


_RHYTHMS: dict[str, Callable[[Draws, str, float], Strip]] = {
    "SR": _sr,
    "AFIB": _afib,
    "STACH": _stach,
    "SARRH": _sarrh,
    "SBRAD": _sbrad,
    "PACE": _pace_maker,
    "SVARR": _svarr,
    "BIGU": _bigu,
    "AFLT": _aflt,
    "SVTAC": _svtac,
    "PSVT": _psvt,
    "TRIGU": _trigu,
    "": _junctional,
}
