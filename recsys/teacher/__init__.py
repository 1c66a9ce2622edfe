"""Teachers: who labels pairs that nobody has judged."""

from recsys.teacher._teacher import Fitted, Lessons, Teacher
from recsys.teacher.nobody import Nobody
from recsys.teacher.run import Run

OPTIONS = {"nobody": Nobody, "run": Run}

__all__ = ["OPTIONS", "Fitted", "Lessons", "Nobody", "Run", "Teacher"]
