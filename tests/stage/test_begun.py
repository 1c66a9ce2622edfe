"""What was decided when the first tile was scored holds for the last."""

from dataclasses import replace
from typing import Any

import pytest

from recsys import grid
from recsys.stage._begun import PLAN, Begun, resume
from recsys.store import Folder, describe
from tests.compose import job

TILES = grid.plan([grid.Market(0, 7, 0, 11)], 3, 4)


def model(**settled: Any) -> Any:
    option: Any = job("score", "name=x", "model=two_tower").model
    return replace(option, **settled)


def begun(**settled: Any) -> Begun:
    return Begun(tiles=TILES, model=describe(model(**settled)), device="cpu")


def test_what_is_written_is_read_again_under_its_own_fingerprint_alone(tmp_path):
    folder = Folder.open(str(tmp_path))
    assert Begun.read(folder, "mine") is None
    begun(dtype="bfloat16", batch_tokens=4096).write(folder, "mine")
    assert Begun.read(folder, "mine") == begun(dtype="bfloat16", batch_tokens=4096)
    assert Begun.read(folder, "other") is None


def test_a_processor_that_would_choose_another_dtype_goes_on_in_the_first(caplog):
    before, here = begun(dtype="float32", batch_tokens=4096), model(dtype="bfloat16", batch_tokens=8192)
    with caplog.at_level("INFO", "recsys"):
        assert before.goes_on(here, "cpu") == model(dtype="float32", batch_tokens=4096)
    assert caplog.messages == ["score       goes on as it was begun: dtype=float32, batch_tokens=4096"]
    assert not before.same(here, "cpu")
    assert before.goes_on(model(dtype="float32", batch_tokens=4096), "cpu") == model(dtype="float32", batch_tokens=4096)


def test_another_kind_of_device_is_refused():
    with pytest.raises(ValueError, match=r"begun on cpu, and this is cuda.*resources\.device=cpu"):
        begun(dtype="float32", batch_tokens=4096).goes_on(model(dtype="float32", batch_tokens=4096), "cuda")


def test_a_plan_without_tiles_holds_for_the_same_processor_alone(tmp_path):
    folder, here = Folder.open(str(tmp_path)), model(dtype="float32", batch_tokens=4096)
    planned = begun(dtype="float32", batch_tokens=4096)
    planned.write(folder, "mine")
    assert resume(folder, "mine", here, "cpu") == (planned, here)
    assert resume(folder, "mine", here, "cuda") == (None, here)


def test_tiles_without_their_plan_are_refused(tmp_path):
    folder, here = Folder.open(str(tmp_path)), model(dtype="bfloat16", batch_tokens=4096)
    planned = begun(dtype="float32", batch_tokens=4096)
    planned.write(folder, "mine")
    folder.join("tiles").write("part-000000000.parquet", b"")
    assert resume(folder, "mine", here, "cpu") == (planned, model(dtype="float32", batch_tokens=4096))
    folder.remove(PLAN)
    with pytest.raises(ValueError, match=r"holds scored tiles but not their own plan\.parquet.*delete that folder"):
        resume(folder, "mine", here, "cpu")
