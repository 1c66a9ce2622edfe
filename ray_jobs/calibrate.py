"""scores/ -> calibration/. Turns scores into probabilities.

python -m ray_jobs.calibrate [group=option] [key=value] [--multirun] [--cfg job]
"""

from recsys import config
from recsys.stage.calibrate import calibrate


def main() -> None:
    """Runs the job that the command line describes."""
    config.run("calibrate", calibrate)


if __name__ == "__main__":
    main()
