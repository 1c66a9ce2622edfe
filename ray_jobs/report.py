"""calibration/ -> report/. Writes metrics.json and the page.

python -m ray_jobs.report [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.report import report


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("report", report)


if __name__ == "__main__":
    main()
