"""The page: one self-contained HTML file from an evaluation, its records and charts."""

import json
from dataclasses import asdict, dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from recsys.report import _svg, _tables, _text
from recsys.report._chart import Chart, ExposureCurve, ReliabilityDiagram, Remark, SliceGroup
from recsys.report._evaluation import Evaluation, Record
from recsys.report._examples import examples
from recsys.report._sentences import sentences

SHOWN_SLICES = 8  # of one slicing before the rest folds away
MAX_SLICES = 200  # of one slicing on the page; metrics.json has all
TOGETHER = {"macro": "Mean of slices", "worst": "Worst", "gap": "Best less worst"}
RATES = ("log_loss", "brier", "ece", "mean_probability", "positive_rate")
CHANGED = {"log_loss": 3, "brier": 3, "ece": 3, "ece_equal_mass": 3, "debiased_l2": 3, "smooth_ece": 3, "ecce": 3}
CHANGED |= {"calibration_ratio": 2}
DIFFERS = 0.05  # share of false discoveries among the slices that are marked
AROUND = ("lift", "random", "detectable")


def to_json(records: list[Record]) -> str:
    """`metrics.json`: the flat list of records, in a fixed order, undefined numbers as null."""
    order = sorted(records, key=lambda r: (r.report, r.target, r.split, r.slice != "overall", r.slice, r.metric))
    lines = ",\n".join(json.dumps(asdict(record), ensure_ascii=False, allow_nan=False) for record in order)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def render(evaluation: Evaluation, records: list[Record], charts: list[Chart]) -> str:
    """The page's HTML. It names nothing outside itself."""
    environment = Environment(
        loader=PackageLoader("recsys.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    view = _View(evaluation=evaluation, records=records, charts=charts)
    folder = resources.files("recsys.report")
    return environment.get_template("page.html").render(
        evaluation=evaluation,
        sentences=sentences(evaluation, records, charts),
        facts=view.facts(),
        targets=[view.target(name) for name in evaluation.targets],
        data=view.data(),
        remarks=sorted({r.text for r in charts if isinstance(r, Remark) and not r.target}),
        num_records=len(records),
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        js=Markup((folder / "page.js").read_text(encoding="utf-8")),
        text=_text,
    )


@dataclass(frozen=True, kw_only=True)
class _View:
    """What the template shows, section by section, as plain dictionaries."""

    evaluation: Evaluation
    records: list[Record]
    charts: list[Chart]

    def facts(self) -> list[tuple[str, str]]:
        run = self.evaluation
        possible = run.num_queries * run.num_items
        pairs = "every pair scored" if possible and run.num_pairs == possible else "pairs scored"
        pairs = pairs if run.first is None else "pairs scored again"
        facts = [
            (_text.count(run.num_pairs), pairs),
            (_text.count(run.num_queries), "query" if run.num_queries == 1 else "queries"),
            (_text.count(run.num_items), "item" if run.num_items == 1 else "items"),
            (_text.count(run.num_labels), "labels"),
        ]
        return [(figure, about) for figure, about in facts if figure != "0" or about == "labels"]

    def target(self, name: str) -> dict:
        own = [r for r in self.records if r.target == name]
        return {
            "name": name,
            "about": self.evaluation.targets[name].describe(),
            "reliability": self._reliability(name, own),
            "ranking": self._ranking(own),
            "slices": self._slices(name, own),
            "exposure": self._exposure(name, own),
            "calibrators": self._calibrators(name),
            "sections": _tables.sections(self.charts, name),
            "examples": examples(self.evaluation, name, num_queries=6, num_places=5),
            "remarks": [c.text for c in self.charts if isinstance(c, Remark) and c.target == name],
        }

    def _reliability(self, name: str, own: list[Record]) -> dict | None:
        diagrams = [c for c in self.charts if isinstance(c, ReliabilityDiagram) and c.target == name]
        found = {r.metric: r for r in own if r.report == "reliability"}
        if not any(len(d.bins.weight_B) for d in diagrams):
            return None
        reach = [float(v) for d in diagrams for b in (d.bins,) for v in (*b.predicted_B, *b.observed_B)]
        axis = _svg.Axis([0.0, max(reach, default=1.0)], within=(0.0, 1.0))
        titles = {"uncalibrated": "Before calibration", "probability": "After calibration"}
        rows = [
            {
                "name": _text.metric(metric),
                "digits": digits,
                "after": found[metric],
                "before": found[f"{metric} uncalibrated"],
                "change": found[f"{metric} change"],
            }
            for metric, digits in CHANGED.items()
            if metric in found
        ]
        figures = [
            {
                "title": titles[d.column],
                "svg": _svg.reliability(d, axis, titles[d.column]),
                "bins": _bins(d),
                "counted": d.counted,
            }
            for d in diagrams
        ]
        return {"figures": figures, "rows": rows}

    def _ranking(self, own: list[Record]) -> dict | None:
        overall = [r for r in own if r.report == "balanced" and r.slice == "overall"]
        found = {(r.split, r.metric): r for r in overall}
        main = self.evaluation.split
        names = [r.metric for r in overall if r.split == main and (main, f"lift {r.metric}") in found]
        if not any(found[main, name].num_queries for name in names):
            return None
        axis = _svg.Axis([0.0, 1.0])

        def row(metric: str) -> dict:
            record, random = found[main, metric], found[main, f"random {metric}"]
            name = _text.metric(metric)
            return {
                "name": name,
                "record": record,
                "random": random,
                "lift": found[main, f"lift {metric}"],
                "detectable": found.get((main, f"detectable difference {metric}")),
                "svg": _svg.strip(
                    axis, name, value=record.value, low=record.low, high=record.high, random=random.value
                ),
            }

        pools = (
            ("Among the labelled items of a query", [row(n) for n in names if "catalogue" not in n]),
            ("Among all items of the catalogue", [row(n) for n in names if "catalogue" in n]),
        )
        others = [s for s in ("train", "validation", "test") if s != main and (s, names[0]) in found]
        splits = [
            {"name": m, "cells": [found.get((s, m)) for s in (main, *others)]}
            for m in (*names, *RATES)
            if (main, m) in found
        ]
        further = [r for r in overall if r.split == main and r.metric not in (*names, *RATES, "threshold")]
        return {
            "further": [r for r in further if r.metric.split()[0] not in AROUND],
            "grades": self._grades(own, main),
            "threshold": found.get((main, "threshold")),
            "decided": [found.get((main, m)) for m in ("precision", "recall", "f1")],
            "scale": _svg.scale(axis),
            "pools": [(title, rows) for title, rows in pools if rows],
            "split_names": [main, *others] if others else [],
            "splits": splits,
        }

    def _grades(self, own: list[Record], split: str) -> list[tuple[str, list[Record | None]]]:
        """Precision, recall and F1 of each grade."""
        found = {(r.metric, r.slice): r for r in own if r.split == split and r.metric.startswith("grade_")}
        where = list(dict.fromkeys(slice_name for _, slice_name in found))
        statistics = ("grade_precision", "grade_recall", "grade_f1")
        return [(w.partition("=")[2], [found.get((s, w)) for s in statistics]) for w in where]

    def _slices(self, name: str, own: list[Record]) -> dict | None:
        groups = [c for c in self.charts if isinstance(c, SliceGroup) and c.target == name]
        own = [r for r in own if r.report == "balanced" and r.split == self.evaluation.split]
        found = {(r.metric, r.slice): r for r in own}
        metrics = list(dict.fromkeys(r.metric for r in own if r.slice == "overall"))
        metrics = [m for m in metrics if (f"lift {m}", "overall") in found or m in RATES]
        if not groups or not metrics:
            return None
        axes = {metric: self._axis(found, metric, groups) for metric in {g.metric for g in groups}}
        return {
            "groups": [self._group(found, group, axes[group.metric], metrics) for group in groups],
            "columns": metrics,
            "min_queries": groups[0].min_queries,
            "has_small": any(
                found[g.metric, f"{g.column}={v}"].num_queries < g.min_queries for g in groups for v in g.values
            ),
        }

    def _axis(self, found: dict, metric: str, groups: list[SliceGroup]) -> _svg.Axis:
        """One axis for all slices that show the metric; small ones do not stretch it."""
        where = [f"{g.column}={v}" for g in groups if g.metric == metric for v in g.values]
        plain = [found[metric, w] for w in where]
        large = [r for r in plain if r.num_queries >= groups[0].min_queries] or plain
        random = [found[f"random {metric}", r.slice].value for r in large if (f"random {metric}", r.slice) in found]
        reach = [v for r in large for v in (r.value, r.low, r.high)] + random + [found[metric, "overall"].value]
        limit = float("inf") if metric == "log_loss" else 1.0
        return _svg.Axis([v for v in reach if v is not None], within=(0.0, limit))

    def _group(self, found: dict, group: SliceGroup, axis: _svg.Axis, metrics: list[str]) -> dict:
        overall = found[group.metric, "overall"]
        rows = [self._slice(found, group, value, axis, overall.value) for value in group.values]
        worst = 1 if group.metric != "log_loss" else -1
        rows.sort(key=lambda r: (r["record"].value is None, r["small"], worst * (r["record"].value or 0.0)))
        summary = [(label, found.get((f"{label} {group.metric}", f"{group.column}=*"))) for label in TOGETHER]
        return {
            "name": _text.column(group.column),
            "metric": _text.metric(group.metric),
            "overall": overall,
            "scale": _svg.scale(axis),
            "rows": rows[:SHOWN_SLICES],
            "more": rows[SHOWN_SLICES:MAX_SLICES],
            "left_out": max(len(rows) - MAX_SLICES, 0),
            "summary": [(TOGETHER[label], record) for label, record in summary if record],
            "all": [
                {"value": r["value"], "cells": [found.get((m, f"{group.column}={r['value']}")) for m in metrics]}
                for r in rows[:MAX_SLICES]
            ],
        }

    def _slice(self, found: dict, group: SliceGroup, value: str, axis: _svg.Axis, line: float | None) -> dict:
        record = found[group.metric, f"{group.column}={value}"]
        random = found.get((f"random {group.metric}", record.slice))
        small = record.num_queries < group.min_queries
        svg = _svg.strip(
            axis,
            _text.short(value),
            value=record.value,
            low=record.low,
            high=record.high,
            line=line,
            random=random.value if random else None,
            small=small,
        )
        p = found.get((f"adjusted p {group.metric}", record.slice))
        differs = p is not None and p.value is not None and p.value <= DIFFERS
        return {
            "value": value,
            "record": record,
            "random": random,
            "small": small,
            "differs": found[f"difference {group.metric}", record.slice] if differs else None,
            "svg": svg,
        }

    def _exposure(self, name: str, own: list[Record]) -> dict | None:
        curve = next((c for c in self.charts if isinstance(c, ExposureCurve) and c.target == name), None)
        if curve is None:
            return None
        at = f"@{curve.k}"
        wanted = ("coverage", "top 1 % exposure", "gini", "entropy", "popularity_bias", "novelty", "diversity")
        overall = {r.metric: r for r in own if r.slice == "overall" and r.split == "all"}
        parts = [r for r in own if r.metric == f"exposure{at}"]
        sizes = {r.slice: r for r in own if r.metric == "catalogue share"}
        return {
            "k": curve.k,
            "svg": _svg.exposure(curve),
            "figures": [overall[m + at] for m in wanted if m + at in overall],
            "parts": [(r.slice.partition("=")[2], r, sizes[r.slice]) for r in parts],
        }

    def _calibrators(self, name: str) -> dict | None:
        fitted = self.evaluation.calibration.get(name, {})
        candidates = [c for c in fitted.get("candidates", []) if c.get("log_loss") is not None]
        if not candidates:
            return None
        ends = [v for c in candidates for v in (c["log_loss"], c.get("low"), c.get("high")) if v is not None]
        axis = _svg.Axis(ends, within=(0.0, float("inf")))
        rows = [
            {
                "name": c["name"],
                "chosen": c["name"] == fitted.get("chosen"),
                "value": c["log_loss"],
                "low": c.get("low"),
                "high": c.get("high"),
                "svg": _svg.strip(axis, c["name"], value=c["log_loss"], low=c.get("low"), high=c.get("high")),
            }
            for c in sorted(candidates, key=lambda c: (c["log_loss"], c["name"]))
        ]
        return {"rows": rows, "scale": _svg.scale(axis), "chosen": fitted.get("chosen")}

    def data(self) -> list[dict]:
        """Each raw table: rows in, kept, merged, quarantined, and whether they add up."""
        made = []
        for name, rows in self.evaluation.rows.items():
            merged, quarantined = rows.get("merged", {}), rows.get("quarantined", {})
            num_in, num_out = rows.get("in", 0), rows.get("out", 0)
            num_merged, num_quarantined = sum(merged.values()), sum(quarantined.values())
            whole = max(num_in, num_out + num_merged + num_quarantined, 1)
            parts = [("kept", num_out), ("merged", num_merged), ("quarantined", num_quarantined)]
            about = f"{name}: " + ", ".join(f"{_text.count(n)} {part}" for part, n in parts)
            made.append(
                {
                    "name": name,
                    "in": num_in,
                    "out": num_out,
                    "merged": num_merged,
                    "quarantined": num_quarantined,
                    "missing": num_in - num_out - num_merged - num_quarantined,
                    "reasons": [("merged", r, n) for r, n in sorted(merged.items(), key=lambda x: (-x[1], x[0]))]
                    + [("quarantined", r, n) for r, n in sorted(quarantined.items(), key=lambda x: (-x[1], x[0]))],
                    "svg": _svg.bar(about, [(part, n / whole) for part, n in parts]),
                }
            )
        return made


def _bins(diagram: ReliabilityDiagram) -> list[dict]:
    bins = diagram.bins
    return [
        {
            "from": float(bins.start_B[b]),
            "to": float(bins.end_B[b]),
            "said": float(bins.predicted_B[b]),
            "seen": float(bins.observed_B[b]),
            "low": float(bins.low_B[b]),
            "high": float(bins.high_B[b]),
            "labels": float(bins.weight_B[b]),
            "queries": int(bins.num_queries_B[b]),
        }
        for b in range(len(bins.weight_B))
    ]
