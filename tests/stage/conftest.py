"""One Ray for all tests of the stages."""

import logging
import warnings

import pytest

from recsys.stage import _cluster


@pytest.fixture(scope="session", autouse=True)
def one_ray():
    """A local Ray with logical CPUs to spare; shut down at the end of the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _cluster.ray.init(
            address="local", num_cpus=5, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
    yield
    _cluster.ray.shutdown()
