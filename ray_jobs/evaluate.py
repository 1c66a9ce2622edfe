"""Scored, labelled rows of any number -> report/. Calibrates and evaluates them in bounded memory.

python -m ray_jobs.evaluate rows.path=… [group=option] [key=value] [--cfg job]
"""

from recsys import config
from recsys.stage.evaluate import evaluate


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("evaluate", evaluate)


if __name__ == "__main__":
    main()
