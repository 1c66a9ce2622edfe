"""corpus/ + model/ -> scores/. Scores every query-item pair with Ray Data.

python -m ray_jobs.score [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.score import score


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("score", score)


if __name__ == "__main__":
    main()
