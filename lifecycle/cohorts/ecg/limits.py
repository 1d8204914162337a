"""Limits of the expectations that ECG signals must meet."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.domain.limits import Count, OpenShare, Positive, Share


@dataclass(frozen=True, slots=True)
class SignalThresholds:
    """Limits of the expectations of signals; in brackets, the extreme of 500 PTB-XL records.

    Attributes:
        amplitude: largest peak to peak of a record, mV (14.8).
        lead_amplitude: least and largest median peak to peak of a lead, mV (0.74 to 2.1); outside,
            the gain is wrong.
        still: longest stretch of one value in a living lead, s (0.32).
        clipped: largest share of a lead that stays at its own extreme (0.005).
        flat: largest share of the records in which a lead may be flat (0).
        residual: largest breach of Einthoven's and Goldberger's relations, microvolt (2).
        steepness: least and largest share of its range that the middle lead of the middle record
            crosses within 10 ms. PTB-XL at 100 Hz has 0.55 and at 500 Hz 0.59; 500 Hz called 100
            has 0.16, 100 Hz called 500 has 0.78.
        training_per_class, holdout_per_class, frozen_per_class: least positives of a class; with
            fewer, no figure of that class means anything.
    """

    amplitude: Positive = 20.0
    lead_amplitude: tuple[Positive, Positive] = (0.1, 10.0)
    still: Positive = 1.0
    clipped: Share = 0.02
    flat: OpenShare = 0.05
    residual: Positive = 50.0
    steepness: tuple[Share, Share] = (0.30, 0.70)
    training_per_class: Count = 10
    holdout_per_class: Count = 5
    frozen_per_class: Count = 5
