"""An option is three files of one stem: the YAML, the dataclass, the test. And files stay small."""

from pathlib import Path

import pytest

from recsys import calibrator, clean, model, objective, pairs, report, source, split, target, teacher

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "calibrator": calibrator,
    "clean": clean,
    "model": model,
    "objective": objective,
    "pairs": pairs,
    "report": report,
    "source": source,
    "split": split,
    "target": target,
    "teacher": teacher,
}


def stems(folder: Path, suffix: str) -> set[str]:
    return {p.stem for p in folder.glob(f"*{suffix}") if not p.stem.startswith("_")}


@pytest.mark.parametrize("name", PACKAGES)
def test_an_option_is_three_files_of_one_stem(name):
    options = set(PACKAGES[name].OPTIONS)
    assert stems(ROOT / "recsys" / name, ".py") == options
    assert stems(ROOT / "conf" / name, ".yaml") == options
    tests = {s.removeprefix("test_") for s in stems(ROOT / "tests" / name, ".py") if s.startswith("test_")}
    assert options <= tests


@pytest.mark.parametrize("name", PACKAGES)
def test_the_class_is_named_like_its_file(name):
    for stem, option in PACKAGES[name].OPTIONS.items():
        assert option.__module__ == f"recsys.{name}.{stem}"
        assert option.__name__ == "".join(word.capitalize() for word in stem.split("_"))


def test_files_are_small_and_none_is_called_utils():
    for path in [*ROOT.glob("recsys/**/*.py"), *ROOT.glob("ray_jobs/*.py"), *ROOT.glob("tests/**/*.py")]:
        assert len(path.read_text().splitlines()) < 400, path
        assert path.stem not in ("utils", "helpers", "common", "misc"), path


def test_every_job_has_a_configuration_and_is_short():
    jobs = stems(ROOT / "ray_jobs", ".py")
    assert jobs == stems(ROOT / "conf", ".yaml") - {"run"}
    for path in ROOT.glob("ray_jobs/*.py"):
        assert len(path.read_text().splitlines()) <= 25, path
