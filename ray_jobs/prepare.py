"""raw/ -> corpus/. Validates, cleans, splits and shards a source.

python -m ray_jobs.prepare [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.prepare import prepare


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("prepare", prepare)


if __name__ == "__main__":
    main()
