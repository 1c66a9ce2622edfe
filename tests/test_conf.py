"""Every option composes, every knob is commented, and every user error is one clear line with exit status 2."""

import sys
from pathlib import Path

import pytest

from recsys import config
from recsys.stage.pipeline import pipeline
from tests.compose import SMALL_SHOP, job

CONF = Path(config.CONF)
OPTIONS = [(group, name) for group, options in (config.ONE_OF | config.SOME_OF).items() for name in options]
PATHS = {"chorus", "esci", "openbandit", "wands", "scored", "delimited", "parquet"}
CALIBRATOR_KNOBS = {
    "down_sampling": ("keep_rate=0.1",),
    "prior_shift": ("trained_rate=0.5",),
    "segment": ("by=kind",),
    "multicalibration": ("by=[kind,category]",),
}


@pytest.mark.parametrize(("group", "name"), OPTIONS, ids="=".join)
def test_every_option_composes(group, name):
    chosen = f"{group}=[{name}]" if group in config.SOME_OF else f"{group}={name}"
    key = {"candidates": "path", "cascade": "run"}.get(name, "path" if name in PATHS else "")
    given = [f"{group}.{key}=/somewhere"] if key else []
    given += ["teacher.runs=[/somewhere]"] if name == "run" else []
    given += ["report.compare.runs=[/somewhere]"] if name == "compare" else []
    given += [f"report.experiment.{k}=x" for k in ("arm", "unit", "control") if name == "experiment"]
    given += [f"calibrator.{name}.{knob}" for knob in CALIBRATOR_KNOBS.get(name, ())]
    value = getattr(job("pipeline", "name=x", chosen, *given), group)
    assert type(value[name] if group in config.SOME_OF else value).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("verb", config.JOBS)
def test_every_verb_composes(verb):
    asked = ["rows.path=rows.parquet"] if verb == "evaluate" else []
    assert type(job(verb, "name=x", *asked)) is config.JOBS[verb]


TABLES = ("name:", "items:", "queries:", "judgments:", "impressions:")  # keys that name themselves


def test_every_knob_has_a_comment():
    for path in CONF.rglob("*.yaml"):
        for line in path.read_text().splitlines():
            bare = line.strip()
            if ": " in bare and not bare.startswith(("-", "#")) and not bare.startswith(TABLES):
                assert "#" in bare, f"{path.relative_to(CONF)}: {bare}"


def fails(capsys, monkeypatch, *arguments: str) -> str:
    """Runs the pipeline as a command; the one line it leaves on standard error."""
    monkeypatch.setattr(sys, "argv", ["ray_jobs.pipeline", *arguments])
    monkeypatch.setattr("recsys.stage._cluster.connect", lambda job: pytest.fail("Ray was started"))
    monkeypatch.setattr("recsys.stage.score.connect", lambda job: pytest.fail("Ray was started"))
    monkeypatch.setattr("recsys.stage.train.connect", lambda job: pytest.fail("Ray was started"))
    with pytest.raises(SystemExit) as stopped:
        config.run("pipeline", pipeline)
    assert stopped.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


ITEMS = "sku,name\na,red shoe\nb,blue shoe\nc,green hat\n"
JUDGED = "query,sku,grade\nshoe,a,3\nshoe,b,2\nhat,c,3\nhat,a,0\nred,a,3\nred,b,0\n"
MAPPED = (
    "source=delimited",
    "+source.columns.items={item_id:sku,text:name}",
    "+source.columns.judgments={query_id:query,item_id:sku,label:grade}",
)


def shop(folder: Path, items: str = ITEMS, judged: str = JUDGED) -> tuple[str, ...]:
    (folder / "items.csv").write_text(items)
    (folder / "judgments.csv").write_text(judged)
    return (*MAPPED, f"source.path={folder}", f"store.root={folder}/runs", "name=own", "model=bm25")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model=bm52",), ("model=bm52", "did you mean bm25", "two_tower")),
        (("modle=bm25",), ("modle",)),
        (("model=bm25", "model.k2=1"), ("model.k2",)),
        (("calibrator=[plat]",), ("calibrator=plat", "platt")),
        (("model=bm25", "model.k1=high"), ("model.k1", "high", "Float")),
        (("seed=-1",), ("seed=-1", "negative")),
        (("keep=all",), ("keep='all'", "every, top, labelled")),
        (("tiles.items=0",), ("tiles.items=0", "at least 1")),
        (("tiles.seconds=0",), ("tiles.seconds=0", "above 0")),
        (("score_type=int8",), ("score_type='int8'", "float32, float16")),
        (("name=a/b",), ("a/b", "cannot name a folder")),
        (("model=two_tower", "model.pretrained=/no/such/folder"), ("/no/such/folder",)),
        (("pairs=candidates", "model=bm25", "pairs.path=/no/such/table"), ("pairs.path=/no/such/table",)),
        (("pairs=cascade", "model=bm25", "pairs.run=/no/run"), ("pairs.run=/no/run", "no finished scores/")),
        (("pairs=cascade", "model=bm25", "pairs.run=/no/run", "pairs.top=0"), ("pairs.top=0", "at least 1")),
        (("source=chorus", "source.path=/no/such/data"), ("/no/such/data",)),
        (("source=chorus",), ("source.path has no value",)),
        (("source=scored",), ("source.path has no value",)),
        (("source.locales=us",), ("source.locales=us", "not a ListConfig")),
        (("name=null",), ("name", "not Optional")),
        (("resources.cpus_per_actor=-1",), ("resources.cpus_per_actor=-1", "at least 0")),
        (("model=random", "model.spread=1e39"), ("model.spread=1e+39", "at most 1e30")),
        (("model=split_encoder", "model.joint_layers=0"), ("model.joint_layers=0", "between 1 and 2")),
        (("teacher=run",), ("teacher.runs has no value",)),
        (("teacher=run", "teacher.runs=[/no/such]"), ("teacher.runs", "run 'such' has no finished model/")),
        (("teacher=run", "teacher.runs=[x]", "model=bm25"), ("teacher=run", "nothing to teach model=bm25")),
        (("model=bm25", "reuse=nope"), ("reuse=nope", "no such run")),
        (("model=bm25", "report=[compare]"), ("report.compare.runs has no value",)),
        (
            ("model=bm25", "report=[compare]", "report.compare.runs=[/no/such]"),
            ("run 'such' has no finished calibration/",),
        ),
        (("store.root=/proc/runs", "model=bm25"), ("/proc/runs",)),
        (("store.root=nope://x", "model=bm25"), ("nope://x", "s3://")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_command_line_is_one_clear_line(capsys, monkeypatch, tmp_path, arguments, words):
    root = () if any(a.startswith("store.root") for a in arguments) else (f"store.root={tmp_path}",)
    line = fails(capsys, monkeypatch, *root, *arguments)
    for word in words:
        assert word in line


@pytest.mark.parametrize(
    ("items", "judged", "words"),
    [
        (ITEMS.replace("name", "label"), JUDGED, ("no column 'name'", "label")),
        ("sku,name\n", JUDGED, ("items", "no row")),
        (ITEMS + ",grey sock\n", JUDGED, ("key 'item_id' is null", "1 of 4")),
        (ITEMS + "a,black shoe\n", JUDGED, ("'a'", "2 times")),
        (ITEMS, JUDGED + "red,c,7\n", ("label 7", "'red'", "'c'", "0–3")),
        (ITEMS, JUDGED + "red,c,good\n", ("good",)),
    ],
    ids=["missing column", "empty table", "null key", "repeated key", "label outside range", "label not a number"],
)
def test_a_broken_table_is_one_clear_line(capsys, monkeypatch, tmp_path, items, judged, words):
    line = fails(capsys, monkeypatch, *shop(tmp_path, items, judged))
    for word in words:
        assert word in line, line


def test_a_column_that_later_stages_add_cannot_be_mapped(capsys, monkeypatch, tmp_path):
    further = "+source.columns.items={item_id:sku,text:name,score:name}"
    line = fails(capsys, monkeypatch, *shop(tmp_path)[:1], further, *shop(tmp_path)[2:])
    assert "['score']" in line
    assert "source=scored" in line


def test_a_damaged_manifest_is_named(capsys, monkeypatch, tmp_path):
    folder = tmp_path / "runs" / "own" / "corpus"
    folder.mkdir(parents=True)
    (folder / "_MANIFEST.json").write_text('{"fingerprint": "ab')
    line = fails(capsys, monkeypatch, *shop(tmp_path))
    assert f"{folder}/_MANIFEST.json is damaged" in line
    assert "delete its folder" in line


def test_a_folder_that_is_no_model_is_named(capsys, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    line = fails(
        capsys, monkeypatch, f"store.root={tmp_path}", "model=cross_encoder", f"model.pretrained={tmp_path}/empty"
    )
    assert f"{tmp_path}/empty" in line
    assert "config.json" in line


def test_a_name_used_by_another_configuration_is_refused_before_anything_runs(capsys, monkeypatch, tmp_path):
    from recsys.stage.prepare import prepare

    prepare(job("prepare", f"store.root={tmp_path}", "name=used", *SMALL_SHOP))
    line = fails(
        capsys,
        monkeypatch,
        f"store.root={tmp_path}",
        "name=used",
        "model=bm25",
        *SMALL_SHOP,
        "split.test=0.3",
        "split.train=0.5",
    )
    assert "'used' already holds corpus/" in line
    assert "split.test: 0.2 -> 0.3" in line
    assert "another name" in line
