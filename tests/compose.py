"""Jobs from the real configuration, as the command line makes them."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from recsys import config

SMALL_SHOP = (
    "source.num_items=150",
    "source.num_search_queries=36",
    "source.num_users=12",
    "source.num_judged_queries=48",
    "source.judgments_per_query=12",
    "source.num_sessions=150",
)
QUICK_REPORT = ("report.balanced.num_replicates=100", "report.reliability.num_replicates=100")


def job(verb: str, *overrides: str) -> Any:
    """The job object of `python -m ray_jobs.<verb> <overrides>`."""
    config.register()
    with initialize_config_dir(config.CONF, version_base="1.3"):
        composed = compose(verb, list(overrides), return_hydra_config=True)
        with open_dict(composed):
            del composed["hydra"]
        return config.to_job(composed)


def small(root: object, name: str, *overrides: str) -> tuple[str, ...]:
    """Overrides of a quick pipeline on a small shop."""
    return (f"store.root={root}", f"name={name}", "model=bm25", *SMALL_SHOP, *QUICK_REPORT, *overrides)
