"""corpus/ -> model/. Fits a model; networks with Ray Train.

python -m ray_jobs.train [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.train import train


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("train", train)


if __name__ == "__main__":
    main()
