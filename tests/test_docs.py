"""What the documentation says can be done: its links lead somewhere, its commands compose, its example runs."""

import itertools
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from recsys import tables
from recsys.report import Balanced, Fairness, Record, Reliability
from recsys.stage.prepare import prepare
from tests.compose import job
from tests.report.synthetic import evaluation

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
OWN_DATA = ROOT / "docs/own-data.md"
FENCE = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")


def commands() -> list[str]:
    """Every command of the project in the documentation, as typed; those with placeholders are left out."""
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = [line for _, block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
        spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
        found += [m.group() for s in lines + spans if (m := re.search(r"python -m ray_jobs\.\w+.*", s))]
    return sorted({c for c in found if "<" not in c and "…" not in c})


def overrides(command: str) -> tuple[str, list[str]]:
    """The verb of a command and its overrides, options of Hydra included."""
    _, _, module, *arguments = shlex.split(command, comments=True)
    return module.removeprefix("ray_jobs."), arguments


def combinations(arguments: list[str]) -> list[tuple[str, ...]]:
    """The overrides of each job of a sweep."""
    parsed = OverridesParser.create().parse_overrides(arguments)
    choices = [
        [f"{o.key_or_group}={value}" for value in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [str(o.input_line)]
        for o in parsed
    ]
    return list(itertools.product(*choices))


def search_path(tmp_path: Path) -> str:
    """A folder with the configuration files that the documentation shows."""
    for _, block in FENCE.findall(OWN_DATA.read_text()):
        if named := re.match(r"# my_conf/(\S+\.yaml)\n", block):
            path = tmp_path / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
    return f"hydra.searchpath=[file://{tmp_path}]"


def test_there_are_commands_to_check():
    verbs = {overrides(command)[0] for command in commands()}
    assert len(commands()) >= 15
    assert {"pipeline", "score"} <= verbs


@pytest.mark.parametrize("command", commands())
def test_every_command_composes(command, tmp_path):
    verb, arguments = overrides(command)
    extra = ["name=unnamed"] if not any(a.startswith("name=") for a in arguments) else []
    if "--config-dir" in arguments:
        at = arguments.index("--config-dir")
        arguments[at : at + 2] = [search_path(tmp_path)]
    if "--cfg" in arguments:
        at = arguments.index("--cfg")
        del arguments[at : at + 2]
    if "--multirun" in arguments:
        arguments.remove("--multirun")
        jobs = combinations(arguments)
        assert len({job(verb, *extra, *chosen).name for chosen in jobs}) == len(jobs) > 1
    else:
        job(verb, *extra, *arguments)


def test_the_small_example_is_prepared_as_told(tmp_path):
    text = OWN_DATA.read_text()
    for name, content in re.findall(r"`(\w+\.csv)`[^`]*```csv\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(content)
    typed = next(c for c in commands() if "name=mine " in c and "source.fields" in c and "rater" in c)
    arguments = [a for a in overrides(typed)[1] if not a.startswith(("source.path=", "model="))]
    manifest = prepare(job("prepare", *arguments, f"source.path={tmp_path}", f"store.root={tmp_path}/runs"))
    assert {n: r["out"] for n, r in manifest["rows"].items()} == {"items": 4, "queries": 3, "judgments": 8}
    assert manifest["labels"] == {"relevance": 7}  # the two ratings of one pair are averaged


def test_the_mapping_as_a_file_says_the_same_as_on_the_command_line(tmp_path):
    typed = next(c for c in commands() if "name=mine " in c and "source.fields" in c and "rater" in c)
    as_file = job("pipeline", search_path(tmp_path), "name=mine", "model=bm25", "source=my_shop")
    assert job("pipeline", *overrides(typed)[1]) == as_file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_page_is_linked_from_the_readme():
    linked = set(re.findall(r"\]\((docs/[^)\s]+\.md)\)", (ROOT / "README.md").read_text()))
    assert linked == {str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")}


def test_the_tree_of_the_readme_is_the_repository():
    tree = next(block for _, block in FENCE.findall((ROOT / "README.md").read_text()) if "stage/" in block)
    folder, seen = "", 0
    for line in tree.splitlines():
        indented = line.startswith("  ")
        names = re.split(r"\s{2,}", line.strip())[0].split()
        folder = folder if indented else names[0]
        for name in (n for n in names if n != "…"):
            path = ROOT / (folder if indented else "") / name
            assert path.is_dir() if name.endswith("/") else path.is_file(), name
            seen += 1
    assert seen > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_yaml_block_is_yaml(page):
    for language, block in FENCE.findall(page.read_text()):
        if language == "yaml":
            assert isinstance(yaml.safe_load(block), dict)


def test_every_metric_of_the_reports_is_defined():
    page = (ROOT / "docs/metrics.md").read_text()
    scene = evaluation(num_queries=40, num_items=60)
    balanced = Balanced(k=10, num_replicates=20, min_queries=2, min_size=1, slices=[], crosses=[], max_values=12)
    records = [*balanced.records(scene), *Reliability(num_bins=15, num_replicates=20).records(scene)]
    groups = {"columns": [], "threshold": None, "k": 10, "num_replicates": 20, "min_queries": 2, "max_values": 9}
    records += Fairness(**groups, level=0.05).records(scene)
    around = r"^((?:random|lift|detectable difference|difference|adjusted p|macro|worst|gap) )*"
    for metric in {r.metric.replace("@10", "@k") for r in records}:
        bare = metric if metric == "catalogue share" else re.sub(r" (catalogue|uncalibrated|change)$", "", metric)
        assert f"`{re.sub(around, '', bare)}`" in page, metric
        if prefix := re.match(around, bare).group().split(" random ")[0].strip():  # pyright: ignore[reportOptionalMemberAccess]
            assert f"`{prefix} <metric>`" in page, metric


def test_every_column_and_every_field_is_described():
    results, own = (ROOT / "docs/results.md").read_text(), OWN_DATA.read_text()
    for contract in (tables.LABELS, tables.RANKS, tables.TOP, tables.CALIBRATED):
        for name in contract.names:
            assert f"`{name}`" in results, name
    for contract in tables.RAW.values():
        for name in contract.names:
            assert f"`{name}`" in own, name
    named = [f.name for f in fields(Record)]
    assert all(f"`{name}`" in results for name in named)
    shown = next(block for language, block in FENCE.findall((ROOT / "README.md").read_text()) if language == "json")
    assert list(json.loads(shown)) == named


def test_decisions_are_numbered_without_a_gap():
    numbers = sorted(int(p.name[:4]) for p in (ROOT / "docs/decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
