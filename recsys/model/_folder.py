"""scorer.json: what a model folder is, beside what Hugging Face writes there."""

import json
from collections.abc import Mapping
from pathlib import Path

from recsys.store import Folder

NAME = "scorer.json"


def write_settings(folder: Path, *, model: str, outputs: tuple[str, ...], settings: Mapping[str, object]) -> None:
    """Writes `<folder>/scorer.json`: the model's stem, its outputs and further settings."""
    content = {"model": model, "outputs": list(outputs), **settings}
    (folder / NAME).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def fitted_outputs(folder: Folder) -> tuple[str, ...]:
    """The outputs of a fitted model, without opening it."""
    return tuple(folder.read_json(NAME)["outputs"])


def read_settings(folder: Path, *, model: str) -> dict:
    """The content of `scorer.json`. Raises ValueError if the folder is not a fitted `model`."""
    path = folder / NAME
    if not path.is_file():
        raise ValueError(f"{folder} is not a fitted model: it has no {NAME}; give a folder that `train` has written")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        found = settings["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a fitted model ({error!r}); train again") from error
    if found != model:
        raise ValueError(f"{folder} holds a fitted '{found}', not a '{model}'; use model={found}, or train again")
    return settings
