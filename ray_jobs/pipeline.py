"""raw/ -> report/. The whole flow: runs what is missing.

python -m ray_jobs.pipeline [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.pipeline import pipeline


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("pipeline", pipeline)


if __name__ == "__main__":
    main()
