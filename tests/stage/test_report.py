"""Reports that look at other runs and at the log: what they open, and what they are known by."""

import json
from pathlib import Path

import numpy as np
import pytest

from recsys.stage.pipeline import pipeline
from recsys.stage.report import report
from tests.compose import job

QUICK = ("report.compare.num_replicates=40", "report.compare.num_flips=200", "report.compare.min_queries=5")


def scored(folder: Path, name: str, noise: float) -> tuple[str, ...]:
    """Overrides of a run on given scores; the same labels whatever the noise."""
    rng = np.random.default_rng(0)
    lines = ["query,item,label,score,device"]
    for q in range(30):
        truth_I = rng.normal(size=8)
        label_I = np.clip(np.rint(truth_I + rng.normal(size=8) / 2 + 1), 0, 3)
        score_I = truth_I + noise * rng.normal(size=8)
        lines += [f"q{q},i{i},{label_I[i]:g},{score_I[i]:.6f},{('phone', 'desk')[q % 2]}" for i in range(8)]
    path = folder / f"{name}.csv"
    path.write_text("\n".join(lines) + "\n")
    return (f"store.root={folder}/runs", f"name={name}", "source=scored", f"source.path={path}", "report=[reliability]")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("compared")
    for name, noise in (("rough", 2.0), ("fine", 0.1)):
        pipeline(job("pipeline", *scored(root, name, noise), "report.reliability.num_replicates=20"))
    return root


def test_two_runs_are_compared_on_what_they_share(root):
    uri = f"{root}/runs/rough"
    setting = (f"store.root={root}/runs", "name=both", "reuse=fine", "report=[compare]")
    fine = job("report", f"store.root={root}/runs", "name=fine", "report=[compare]", f"report.compare.runs=[{uri}]")
    with pytest.raises(ValueError, match=r"already holds report/.*inputs.run rough: \(absent\)"):
        report(fine)
    pipeline(job("pipeline", *scored(root, "fine", 0.1), *setting[1:], f"report.compare.runs=[{uri}]", *QUICK))
    records = json.loads((root / "runs/both/report/metrics.json").read_text())
    found = {(r["metric"], r["slice"]): r for r in records if r["report"] == "compare"}
    assert found["shared pairs", "overall"]["value"] == 240
    assert found["difference ndcg@10 vs rough", "overall"]["low"] > 0
    assert found["p ndcg@10 vs rough", "overall"]["value"] < 0.05
    page = (root / "runs/both/report/index.html").read_text()
    assert "Better than rough:" in page
    manifest = json.loads((root / "runs/both/report/_MANIFEST.json").read_text())
    theirs = json.loads((root / "runs/rough/calibration/_MANIFEST.json").read_text())
    assert manifest["inputs"]["run rough"] == theirs["fingerprint"]
    assert "runs" not in manifest["config"]["report"]["compare"]


def test_a_run_is_not_compared_with_itself_nor_with_its_namesake(root):
    uri = f"{root}/runs/rough"
    for name, runs in (("rough", f"[{uri}]"), ("other", f"[{uri},{uri}/../rough]")):
        setting = job(
            "report", f"store.root={root}/runs", f"name={name}", "report=[compare]", f"report.compare.runs={runs}"
        )
        with pytest.raises(ValueError, match="a run 'rough' a second time"):
            setting.plan({"calibration": "x"})
