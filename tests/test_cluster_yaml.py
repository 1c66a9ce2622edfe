"""cluster.yaml passes Ray's own checks, without a network, and says what the documentation says of it."""

import re
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
WORKERS = ("cpu", "gpu")


def cluster() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def pinned(package: str) -> str:
    found = re.search(rf"(?m)^{package}==(\S+)$", (ROOT / "constraints.txt").read_text())
    assert found is not None
    return found.group(1)


def images(config: dict) -> list[str]:
    own = [t["docker"]["worker_image"] for t in config["available_node_types"].values() if "docker" in t]
    return [config["docker"]["head_image"], config["docker"]["worker_image"], *own]


def test_ray_accepts_it():
    validate_config(prepare_config(cluster()))


def test_ray_would_refuse_a_misspelt_knob():
    from jsonschema import ValidationError

    with pytest.raises(ValidationError, match="idle_timeout_minute"):
        validate_config(prepare_config(cluster() | {"idle_timeout_minute": 5}))


def test_every_image_has_the_pinned_ray_and_the_supported_python():
    assert len(images(cluster())) == 3
    for image in images(cluster()):
        assert re.fullmatch(rf"rayproject/ray:{re.escape(pinned('ray'))}-py311-(cpu|gpu)", image)


def test_gpu_workers_have_gpus_and_an_image_for_them():
    types = cluster()["available_node_types"]
    assert types["gpu"]["resources"]["GPU"] >= 1
    assert types["gpu"]["docker"]["worker_image"].endswith("-gpu")
    assert [name for name, kind in types.items() if "GPU" in kind["resources"]] == ["gpu"]


@pytest.mark.parametrize("name", WORKERS)
def test_workers_are_spot_machines_that_come_and_go(name):
    config = prepare_config(cluster())
    kind = config["available_node_types"][name]
    assert kind["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert kind["min_workers"] == 0 < kind["max_workers"]
    assert config["idle_timeout_minutes"] > 0


def test_the_head_is_neither_a_spot_machine_nor_a_worker():
    config = prepare_config(cluster())
    head = config["available_node_types"][config["head_node_type"]]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"]["CPU"] == 0
    assert config["max_workers"] >= sum(config["available_node_types"][n]["max_workers"] for n in WORKERS)


def test_nodes_install_the_pinned_dependencies_from_files_that_exist():
    config = prepare_config(cluster())
    mounted = {remote: local for remote, local in config["file_mounts"].items() if not local.startswith("~")}
    for remote, local in mounted.items():
        assert (ROOT / local).is_file()
        assert remote == f"/home/ray/recsys/{local}"
    (command,) = config["setup_commands"]
    assert "-c /home/ray/recsys/constraints.txt /home/ray/recsys" in command
    assert {"constraints.txt", "pyproject.toml", "README.md", "LICENSE"} == set(mounted.values())


def test_every_node_has_the_token_and_asks_for_it():
    config = cluster()
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
