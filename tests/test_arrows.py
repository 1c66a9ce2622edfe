"""Imports go one way, and heavy libraries stay in their rooms."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = [  # from the top: a file may import from tiers below its own
    {"ray_jobs"},
    {"config"},
    {"stage"},
    {"report"},
    {"objective", "explainer", "adversary", "teacher"},
    {"source", "clean", "split", "balance", "augment", "model", "calibrator", "pairs"},
    {"delta"},
    {"tile", "merge", "metric"},
    {"part"},
    {"grid", "seed", "store", "target", "scorer", "shortlist"},
    {"tables"},
]
TIER = {room: level for level, rooms in enumerate(TIERS) for room in rooms}
WITHIN = {("config", "config")}
CONFINED = {
    "hydra": ("ray_jobs/", "recsys/config.py", "recsys/sweep.py"),
    "omegaconf": ("ray_jobs/", "recsys/config.py", "recsys/sweep.py"),
    "ray": ("recsys/stage/", "recsys/serving/", "recsys/sweep.py"),
    "torch": (
        "recsys/model/",
        "recsys/objective/",
        "recsys/adversary/",
        "recsys/explainer/",
        "recsys/stage/_fit.py",
        "recsys/stage/_learner.py",
        "recsys/stage/pretrain.py",
    ),
    "transformers": ("recsys/model/",),
    "matplotlib": ("recsys/report/_render.py",),
    "jinja2": ("recsys/report/_render.py",),
}
FILES = sorted([*ROOT.glob("recsys/**/*.py"), *ROOT.glob("ray_jobs/*.py")])


def modules(path: Path) -> set[str]:
    """Every module a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "recsys":
                found |= {f"recsys.{alias.name}" for alias in node.names if not alias.name.startswith("__")}
    return found


def room(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "ray_jobs":
        return "ray_jobs"
    return parts[1] if parts[0] == "recsys" and len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_go_down(path):
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here in (None, "__init__"):
        return
    assert here in TIER, f"{here} is a new room: give it a tier"
    for module in modules(path):
        there = room(module)
        if there and there != here and (here, there) not in WITHIN:
            assert TIER[there] > TIER[here], f"{path.name} imports {module} against the arrow"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_stay_in_their_rooms(path):
    name = str(path.relative_to(ROOT))
    for module in modules(path):
        rooms = CONFINED.get(module.split(".")[0])
        assert rooms is None or name.startswith(rooms), f"{name} imports {module}"
