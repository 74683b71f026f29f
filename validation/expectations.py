"""Sortline's own expectations, beside those of Great Expectations; a rules file names them as `expect_...`.

Each looks at the whole frame of facts (validation/facts.py) at once, and names the rows that break it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from models.data.folder_profile import CATEGORIES, NUMBERS, FolderProfile, compare_profiles, profile_manifest
from models.data.shortcuts import Shortcut, property_shortcuts
from validation.facts import colliding

_NUMBERS = ("width_px", "height_px", "size_bytes", "brightness", "contrast", "sharpness", "information", "aspect")
_CATEGORIES = ("format", "mode", "is_grey", "orientation", "frames")
_FRAME = "table.sortline_frame"


class _WholeFrame(TableMetricProvider):
    """The frame itself, as a metric; Great Expectations hands it to the expectations and keeps it nowhere."""

    metric_name = _FRAME

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,
        execution_engine: Any,
        metric_domain_kwargs: Any,
        metric_value_kwargs: Any,  # noqa: ARG002 - the names are part of the interface
        metrics: Any,  # noqa: ARG002
        runtime_configuration: Any,  # noqa: ARG002
    ) -> pd.DataFrame:
        frame: pd.DataFrame = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type="table")[0]
        return frame


class _FrameExpectation(BatchExpectation):
    """An expectation that is judged on the frame."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (_FRAME,)

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: Any = None,  # noqa: ARG002
        execution_engine: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        return self.judge(metrics[_FRAME])

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """What Great Expectations calls a validation result."""
        raise TypeError(f"{type(self).__name__} does not say how it judges {len(frame)} rows")


def _result(
    success: bool, observed: str, rows: pd.DataFrame | None = None, items: Iterable[str] = ()
) -> dict[str, Any]:
    found: dict[str, Any] = {"observed_value": observed, "details": {"items": list(items)}}
    if rows is not None:
        found["unexpected_index_list"] = rows.index.tolist()
    return {"success": bool(success), "result": found}


def _usable(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The named columns of labelled pictures that decode."""
    return frame.loc[(frame["status"] == "ok") & frame["class_name"].notna(), list(columns)]


def _class_rows(frame: pd.DataFrame) -> pd.Series[int]:
    """Readable pictures of each class; one whose every picture is unreadable counts too, with none."""
    seen = frame.loc[frame["status"] != "ignored", "class_name"].dropna()
    names = seen.str.split("|").explode() if seen.str.contains("|", regex=False).any() else seen
    decoded = names[frame.loc[names.index, "status"] == "ok"]
    counts: pd.Series[int] = decoded.astype(object).value_counts().reindex(sorted(set(names)), fill_value=0)
    return counts


class ExpectClassCountToBeAtLeast(_FrameExpectation):
    """There are at least `min_classes` classes."""

    min_classes: int = 2
    success_keys: ClassVar[tuple[str, ...]] = ("min_classes",)
    args_keys: ClassVar[tuple[str, ...]] = ("min_classes",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Classes seen, those without a readable picture too."""
        classes = _class_rows(frame)
        return _result(len(classes) >= self.min_classes, f"{len(classes)} classes", items=classes.index)


class ExpectClassesToHaveRows(_FrameExpectation):
    """Every class has at least `min_rows` pictures that decode."""

    min_rows: int = 20
    success_keys: ClassVar[tuple[str, ...]] = ("min_rows",)
    args_keys: ClassVar[tuple[str, ...]] = ("min_rows",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Classes with too few, and their number."""
        rows = _class_rows(frame)
        few = rows[rows < self.min_rows]
        smallest = f"smallest class has {rows.min()}" if len(rows) else "no class"
        return _result(
            len(rows) > 0 and not len(few), smallest, items=[f"{name} ({count})" for name, count in few.items()]
        )


class ExpectImbalanceToBeAtMost(_FrameExpectation):
    """The largest class has at most `max_ratio` times the pictures of the smallest."""

    max_ratio: float = 100
    success_keys: ClassVar[tuple[str, ...]] = ("max_ratio",)
    args_keys: ClassVar[tuple[str, ...]] = ("max_ratio",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The ratio, and both classes."""
        rows = _class_rows(frame)
        if not len(rows):
            return _result(False, "no class")
        ratio = float(rows.max() / max(rows.min(), 1))
        return _result(ratio <= self.max_ratio, f"{ratio:.1f}", items=[str(rows.idxmax()), str(rows.idxmin())])


class ExpectOneLabelAPicture(_FrameExpectation):
    """Rows of one `key` have one class: image_id for copies, duplicate_group for near copies."""

    key: str = "image_id"
    success_keys: ClassVar[tuple[str, ...]] = ("key",)
    args_keys: ClassVar[tuple[str, ...]] = ("key",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Rows whose kin have another class."""
        rows = _usable(frame, ["class_name", self.key]).dropna(subset=[self.key])
        rows = rows[rows[self.key].duplicated(keep=False)]
        bad = rows[rows.groupby(self.key)["class_name"].transform("nunique") > 1]
        return _result(bad.empty, f"{len(bad)} pictures under several classes", bad)


class ExpectNamesNotToCollide(_FrameExpectation):
    """No two values of `column` differ only in case or in how accents are written."""

    column: str = "path"
    success_keys: ClassVar[tuple[str, ...]] = ("column",)
    args_keys: ClassVar[tuple[str, ...]] = ("column",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The rows that collide, or for classes their names."""
        bad = colliding(pa.array(frame[self.column], pa.string(), from_pandas=True))
        rows = frame.loc[frame[self.column].isin(bad), ["path"]] if bad and self.column == "path" else None
        return _result(not bad, f"{len(bad)} names collide", rows, sorted(bad))


class ExpectLabelsToBeThoseOf(_FrameExpectation):
    """The classes are exactly `classes`."""

    classes: list[str]
    success_keys: ClassVar[tuple[str, ...]] = ("classes",)
    args_keys: ClassVar[tuple[str, ...]] = ("classes",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """What is new and what is missing."""
        found = _class_rows(frame)
        new, gone = sorted(set(found.index) - set(self.classes)), sorted(set(self.classes) - set(found.index))
        items = [*(f"new: {name}" for name in new), *(f"missing: {name}" for name in gone)]
        return _result(not items, f"{len(new)} new, {len(gone)} missing", items=items)


class ExpectLargestGroupToBeAtMost(_FrameExpectation):
    """No group of pictures that stay together is more than `max_share` of all."""

    max_share: float = 0.2
    success_keys: ClassVar[tuple[str, ...]] = ("max_share",)
    args_keys: ClassVar[tuple[str, ...]] = ("max_share",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The largest group, where it has more than one picture."""
        sizes = frame["group_id"].value_counts()
        share = float(sizes.iloc[0] / sizes.sum()) if len(sizes) and sizes.iloc[0] > 1 else 0.0
        rows = frame.loc[frame["group_id"] == sizes.index[0], ["path"]] if share > self.max_share else None
        return _result(share <= self.max_share, f"largest group holds {share:.3f} of the pictures", rows)


class ExpectNoShortcut(_FrameExpectation):
    """No property gives a class away: AUC at most `max_auc`, for classes of at least `min_rows` pictures."""

    max_auc: float = 0.95
    min_rows: int = 20
    success_keys: ClassVar[tuple[str, ...]] = ("max_auc", "min_rows")
    args_keys: ClassVar[tuple[str, ...]] = ("max_auc", "min_rows")

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Properties that do."""
        rows = _usable(frame, ["class_name", *_NUMBERS, *_CATEGORIES])
        codes, names = pd.factorize(rows["class_name"], sort=True)
        found = property_shortcuts(
            {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in _NUMBERS},
            {name: pd.factorize(rows[name], use_na_sentinel=False)[0].astype(np.int64) for name in _CATEGORIES},
            codes.astype(np.int64),
            self.min_rows,
        )
        bad = [shortcut for shortcut in found if shortcut.auc > self.max_auc]
        observed = f"best: {_spoken(found[0], names)}" if found else "no class is large enough to tell"
        return _result(not bad, observed, items=[_spoken(shortcut, names) for shortcut in bad])


class ExpectFolderLikeBefore(_FrameExpectation):
    """The folder's properties are spread as in `reference`, the profile of an accepted one, as JSON."""

    reference: str
    min_rows: int = 200
    effect: float = 0.15
    success_keys: ClassVar[tuple[str, ...]] = ("reference", "min_rows", "effect")
    args_keys: ClassVar[tuple[str, ...]] = ("reference", "min_rows", "effect")

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Properties that moved; too few rows to tell is a failure, never a pass."""
        before, now = FolderProfile.model_validate_json(self.reference), _profile(frame)
        fewest = min(before.rows, now.rows)
        if fewest < self.min_rows:
            return _result(False, f"{fewest} pictures are not enough to tell, {self.min_rows} would be")
        shifts = compare_profiles(before, now, self.effect)
        items = [f"{s.property_name} moved by {s.distance:.2f} (limit {s.limit:.2f})" for s in shifts]
        return _result(not shifts, f"{len(shifts)} properties moved", items=items)


class ExpectNoSplitLeakage(_FrameExpectation):
    """No value of `key` is in two of train, tune and test."""

    key: str = "image_id"
    success_keys: ClassVar[tuple[str, ...]] = ("key",)
    args_keys: ClassVar[tuple[str, ...]] = ("key",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Rows whose kin are in another split."""
        rows = frame.loc[frame["split"] != "left_out", ["split", self.key]].dropna(subset=[self.key])
        rows = rows[rows[self.key].duplicated(keep=False)]
        bad = rows[rows.groupby(self.key)["split"].transform("nunique") > 1]
        return _result(bad.empty, f"{len(bad)} pictures across splits", bad)


class ExpectClassesInEverySplit(_FrameExpectation):
    """Every class is in each of `splits`."""

    splits: list[str]
    success_keys: ClassVar[tuple[str, ...]] = ("splits",)
    args_keys: ClassVar[tuple[str, ...]] = ("splits",)

    def judge(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Classes that are missing somewhere."""
        names = frame["class_name"].dropna().astype(object).str.split("|").explode()
        names = names[names != ""]
        present = set(zip(names, frame.loc[names.index, "split"], strict=True))
        absent = [f"{n} in {s}" for n in sorted(set(names)) for s in self.splits if (n, s) not in present]
        return _result(bool(len(names)) and not absent, f"{len(absent)} missing", items=absent)


def _profile(frame: pd.DataFrame) -> FolderProfile:
    return profile_manifest(pa.Table.from_pandas(frame[[*NUMBERS, *CATEGORIES]], preserve_index=False))


def _spoken(shortcut: Shortcut, names: Any) -> str:
    return f"{shortcut.property_name} tells {names[shortcut.class_index]} with AUC {shortcut.auc:.3f}"
