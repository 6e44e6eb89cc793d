"""Finished rounds measured again or anew: by the code, the split and the n of their run."""

from collections.abc import Sequence
from typing import Any

import torch

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.metrics.families import is_own, reserved
from lightning_collapse.metrics.features import Features, features_of
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.measuring import Measuring, Seen, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import Regime
from lightning_collapse.regimes.options import regime_of
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import check_record, distance_name
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.sampling.choice import same_latents

__all__ = ["RunMeasuring", "recorded_regime", "seen_of", "with_figures"]

# Rows by which figures' names are told.
_FEW = 64


class RunMeasuring:
    """A run's rounds as measures need them.

    Attributes:
        records: of all finished rounds.
    """

    def __init__(
        self,
        run: Run,
        measures: Sequence[Measure],
        features: Features | None = None,
        bar: bool = False,
    ) -> None:
        """Opens the run's real rows and samples.

        Args:
            run: of at least one finished round.
            measures: in the order of the columns, at least one.
            features: of measures that name none; default: the space of the run's Fréchet distance.
            bar: show the progress of features that are slow.

        Raises:
            FileNotFoundError: no round is finished.
            ValueError: a manifest is damaged; or the space is not known by its name.
        """
        if not measures:
            raise ValueError("measures: none; name one, or leave the default ones on")
        self._measures, self._features = list(measures), features
        self._rounds = [run.samples(r) for r in range(run.rounds)]
        if not self._rounds:
            raise FileNotFoundError(f"run = {run}: has no finished round")
        self.records = [check_record(rows.record or {}, r) for r, rows in enumerate(self._rounds)]
        self._seed, train, held_out = recorded_split(run, self.records[-1])
        most = max(measure.rows for measure in measures)
        most = max(most, *(record.get("fd_n") or 0 for record in self.records))
        self._split = train, held_out
        self._real = RealData(train, held_out, most, bar=bar)
        self._pool = Pool(train, self._seed)
        self._measuring: dict[tuple[Features, int, int], Measuring] = {}
        self._seen: tuple[int, Measuring, Seen] | None = None

    def fields(self, r: int) -> dict[str, Any]:
        """What measures tell of round r, as fields of its record."""
        samples, record, measuring = self._rounds[r], self.records[r], self._measuring_of(r)
        seen = self._seen_of(r, measuring)
        # Their rows cannot tell any more.
        seen.sums.n_nonfinite = record.get("n_nonfinite", 0)
        shares = r > 0 and same_latents(samples.recipe)
        steps = r > 0 and measuring.wants_step and not shares
        told = measuring.figures(
            seen,
            self._seen_of(r - 1, measuring, measuring.first_rows) if steps else None,
            labels=samples.labels,
            labels_before=self._rounds[r - 1].labels if steps else None,
            trained_on=self._trained_on(r),
            latents_of_before=shares,
            latents_of_training=shares and record.get("n_synthetic", 0) > 0,
        )
        fields = record_of(list(told))
        self._seen = r, measuring, seen
        return fields

    def _measuring_of(self, r: int) -> Measuring:
        """The measures of a round: they may have changed where the run went on."""
        features = self._features or _space(self.records[r])
        n = len(self._rounds[r])
        key = features, n, self.records[r].get("fd_n") or min(n, self._real.held_out_rows)
        if key not in self._measuring:
            made = self._measuring[key] = Measuring(
                self._measures, self._real, features, n, summed=key[2], seed=self._seed
            )
            self._refuse_reserved(made, features)
        return self._measuring[key]

    def _refuse_reserved(self, made: Measuring, features: Features) -> None:
        """Refuses measures of a user's own whose figures would be taken for this package's."""
        own = [measure for measure in self._measures if is_own(measure)]
        for space in {measure.features or features for measure in own}:
            train, held_out = (rows[torch.arange(min(len(rows), _FEW))] for rows in self._split)
            ours = reserved(space, RealData(train, held_out, _FEW))
            if taken := ours.intersection(made.names(own)):
                raise ValueError(
                    f"measures: {min(taken)} is a figure of this package; let your measure name "
                    "its own otherwise"
                )

    def _seen_of(self, r: int, measuring: Measuring, rows: int | None = None) -> Seen:
        """What is seen of round r, of all its rows or of the first ones."""
        if self._seen is not None and self._seen[:2] == (r, measuring):
            return self._seen[2]
        return seen_of(measuring, self._rounds[r], rows)

    def _trained_on(self, r: int) -> Rows | None:
        """What round r trained on; None where its regime is not of this package, or curated."""
        regime = recorded_regime(self.records[r])
        if regime is None:
            return None
        while self._pool.round < r:
            made = self._pool.round
            self._pool.deposit(self._rounds[made], self.records[made].get("n_trainable"))
        # Measured out of order, an earlier round's pool is gone.
        return self._pool.drawn(regime) if self._pool.round == r else None


def seen_of(measuring: Measuring, samples: StoredRows, rows: int | None = None) -> Seen:
    """Gives what is seen of samples, a shard at a time: of all, or of about the first `rows`."""
    seen, start = measuring.seen(), 0
    for shard in samples.shards:
        if rows is not None and start >= rows:
            break
        some = torch.arange(start, start := start + len(shard.crc32))
        seen.update(int(some[0]), samples[some])
    return seen


def recorded_regime(record: dict[str, Any]) -> Regime | None:
    """Gives the regime of a round's record; None where it is not of this package, or curated."""
    if record.get("curator"):
        return None
    try:
        return regime_of(str(record.get("regime")), record["regime_options"])
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def with_figures(record: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """A record with what measures tell in the place of what they told before, and beside it."""
    merged = record | fields
    merged["measured_rows"] = record.get("measured_rows", {}) | fields["measured_rows"]
    cautions = record.get("cautions", {})
    still = {name: why for name, why in cautions.items() if name not in fields}
    return merged | {"cautions": still | fields["cautions"]}


def _space(record: dict[str, Any]) -> Features:
    features = features_of(name := distance_name(record))
    if features is None:
        raise ValueError(f"features: the run's {name} is of a space of its user's own; name it")
    return features
