"""One vector of ours out of a foreign dataset's columns: picked by name, converted, and held against its bounds."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.exchange.units import conversions_to, parse_conversion
from hybrid_rl_ros.data.specs import Dimension, VectorSpec
from hybrid_rl_ros.errors import UserError

# A demonstration may leave the bounds of a specification, but hardly by more than their own width.
_FAR = 1.0


def require_known(names: Iterable[str], known: Sequence[str], what: str, mend: str = '') -> None:
    """Raise UserError for the first name that is not known, with the nearest one that is."""
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise UserError(
                f'{what} {name!r} is not there; the nearest is {nearest[0]!r}{mend}'
                if nearest
                else f'{what} {name!r} is not there, nor any other{mend}'
            )


@dataclass
class Columns:
    """`kind` is state or action; `names` are ours, in order; `picks` the columns of theirs that they come from.

    Ours is `factors` * theirs + `offsets`; `units` are those that come out, where the mapping says so. Where
    `normalised`, theirs are -1 to 1.
    """

    kind: str
    names: list[str]
    picks: list[int]
    factors: np.ndarray
    offsets: np.ndarray
    units: list[str | None]
    spec: VectorSpec | None
    normalised: np.ndarray

    @classmethod
    def of(cls, kind: str, where: str, theirs: list[str], spec: VectorSpec | None, mapping: Mapping) -> Columns:
        """What `spec` names, or with None everything there is, under our names where the mapping has them.

        Raises UserError naming the first that is missing and the nearest that is there.
        """
        renamed = getattr(mapping, kind)
        require_known(renamed.values(), theirs, f'{where}: {kind}')
        if spec is None:
            ours = {their: our for our, their in renamed.items()}
            names = [ours.get(name, name) for name in theirs]
            picks = list(range(len(theirs)))
        else:
            names = spec.names
            require_known(renamed, names, f'mapping: {kind}')
            wanted = [renamed.get(name, name) for name in names]
            mend = f'; say in the mapping {kind}: {{OUR NAME: THEIRS}}'
            require_known(wanted, theirs, f'{where}: {kind}', mend)
            picks = [theirs.index(name) for name in wanted]
        scaled = kind == 'action' and mapping.action_scale == 'normalised'
        normalised = np.array([scaled and name not in {**mapping.units, **mapping.ranges} for name in names], bool)
        bounds = spec.dimensions if spec else [None] * len(names)
        conversions = [_conversion(*each, mapping) for each in zip(names, bounds, normalised)]
        return cls(
            kind=kind,
            names=names,
            picks=picks,
            factors=np.array([conversion.factor for conversion in conversions]),
            offsets=np.array([conversion.offset for conversion in conversions]),
            units=[conversion.unit for conversion in conversions],
            spec=spec,
            normalised=normalised,
        )

    def require_units(self, where: str, found: VectorSpec | None, theirs: list[str]) -> None:
        """Raise UserError where the unit that comes out, as far as it is known, is not that of our specification."""
        if self.spec is None:
            return
        known = {dimension.name: dimension.unit for dimension in found.dimensions} if found else {}
        for dimension, pick, converted in zip(self.spec.dimensions, self.picks, self.units):
            unit = converted or known.get(theirs[pick])
            if unit is not None and unit != dimension.unit:
                raise UserError(
                    f'{where}: {self.kind} {dimension.name!r} comes in {unit}, expected {dimension.unit}'
                    f'{_conversion_hint(dimension, unit)}'
                )

    def take(self, where: str, rows: np.ndarray) -> np.ndarray:
        """(N, D) float32 of ours from (N, theirs). Raises UserError for what is not finite or far out of its bounds."""
        values = np.asarray(rows)[:, self.picks]
        self._require_normalised(where, values)
        if (self.factors != 1.0).any() or self.offsets.any():
            values = values * self.factors + self.offsets
        with np.errstate(over='ignore'):
            numbers = values.astype(np.float32)
        self._require_finite(where, numbers)
        if self.spec is not None:
            self._require_near(where, numbers)
        return numbers

    def derived(self, lowest: np.ndarray, highest: np.ndarray, known: VectorSpec | None) -> tuple[Dimension, ...]:
        """Dimensions from what the dataset holds: bounds are the extremes found, one unit apart at least.

        Those that the exporting store wrote are kept, unless the mapping converts them.
        """
        kept = {dimension.name: dimension for dimension in known.dimensions} if known else {}
        dimensions = []
        columns = zip(self.names, self.units, self.normalised, lowest.tolist(), highest.tolist())
        for name, unit, normalised, low, high in columns:
            if name in kept and unit is None:
                dimensions.append(kept[name])
            elif normalised:
                dimensions.append(Dimension(name=name, unit='1', low=-1.0, high=1.0))
            else:
                low, high = (low, high) if low <= high else (0.0, 0.0)  # no row at all
                margin = 0.0 if low < high else 0.5
                dimensions.append(Dimension(name=name, unit=unit or '', low=low - margin, high=high + margin))
        return tuple(dimensions)

    def _require_normalised(self, where: str, values: np.ndarray) -> None:
        outside = np.argwhere(self.normalised & (np.abs(values) > 1.0 + 1e-6))
        if len(outside):
            row, column = outside[0]
            raise UserError(
                f'{where} row {row}: action {self.names[column]!r} is {values[row, column]:g}, expected -1 to 1, as '
                'the mapping says action_scale: normalised'
            )

    def _require_finite(self, where: str, values: np.ndarray) -> None:
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row, column = bad[0]
            raise UserError(f'{where} row {row}: {self.kind} {self.names[column]!r} is {values[row, column]}')

    def _require_near(self, where: str, values: np.ndarray) -> None:
        assert self.spec is not None
        margin = _FAR * (self.spec.high - self.spec.low)
        outside = np.argwhere((values < self.spec.low - margin) | (values > self.spec.high + margin))
        if not len(outside):
            return
        row, column = outside[0]
        dimension = self.spec.dimensions[column]
        raise UserError(
            f'{where} row {row}: {self.kind} {dimension.name!r} is {values[row, column]:g}, far outside '
            f'[{dimension.low:g}, {dimension.high:g}] {dimension.unit}{self._range_hint(dimension, values[:, column])}'
        )

    def _range_hint(self, dimension: Dimension, values: np.ndarray) -> str:
        """What would bring all of the values inside, if something that a mapping can say does."""
        if self.kind == 'action' and (np.abs(values) <= 1.0).all():
            return '; if their actions are -1 to 1, say in the mapping action_scale: normalised'
        for conversion in conversions_to(dimension.unit):
            converted = values * parse_conversion(conversion)[0]
            if (converted >= dimension.low).all() and (converted <= dimension.high).all():
                return f'; if that is another unit, say in the mapping units: {{{dimension.name}: {conversion}}}'
        return ''


@dataclass(frozen=True)
class _Conversion:
    factor: float = 1.0
    offset: float = 0.0
    unit: str | None = None


def _conversion(name: str, bound: Dimension | None, normalised: bool, mapping: Mapping) -> _Conversion:
    """What turns their number into ours. Raises UserError."""
    if name in mapping.units:
        if name in mapping.ranges:
            raise UserError(f'mapping: {name!r} has both units and ranges; a range says all')
        factor, unit = parse_conversion(mapping.units[name])
        return _Conversion(factor, unit=unit)
    if name in mapping.ranges and bound is None:
        raise UserError(f'mapping: ranges: {name!r} needs the bounds of a configuration (--config)')
    if bound is None or not (normalised or name in mapping.ranges):
        return _Conversion()
    first, last = mapping.ranges.get(name, (-1.0, 1.0))
    factor = (bound.high - bound.low) / (last - first)
    return _Conversion(factor, bound.low - first * factor, bound.unit)


def _conversion_hint(dimension: Dimension, unit: str) -> str:
    conversion = f'{unit}->{dimension.unit}'
    if conversion not in conversions_to(dimension.unit):
        return ''
    return f'; say in the mapping units: {{{dimension.name}: {conversion}}}'
