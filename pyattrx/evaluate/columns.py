"""What the columns of somebody's table are, told by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pyattrx.errors import InvalidTypeError, InvalidValueError

__all__ = ["ROLES", "Columns", "names_datasets", "normal", "roles_of"]

Columns = Mapping[str, str | Sequence[str] | None]

ROLES = {
    "model": (
        "model", "model_name", "model_id", "architecture", "arch", "network", "backbone", "encoder",
        "checkpoint",
    ),
    "source": (
        "source", "source_dataset", "pretrained", "pretrained_on", "pretraining",
        "upstream_dataset",
    ),
    "dataset": (
        "dataset", "data_set", "dataset_name", "target", "target_dataset", "task", "task_name",
        "downstream", "downstream_dataset", "finetuned_dataset",
    ),
    "accuracy": (
        "accuracy", "acc", "top1", "top_1", "acc1", "acc_1", "oracle", "test_accuracy", "test_acc",
        "eval_accuracy", "val_accuracy", "val_acc", "lp_acc1", "performance", "score",
    ),
    "seed": ("seed", "random_seed", "repeat", "trial"),
    "kind": ("kind", "truth", "protocol", "finetune_type"),
}  # fmt: skip

_MODELS = re.compile(
    r"resne[xs]?t|densenet|mobilenet|efficientnet|mnasnet|regnet|convnext|squeezenet|shufflenet|"
    r"googlenet|alexnet|inception|swin|swav|byol|simclr|deepcluster|moco|mixer|"
    r"\b(vgg|vit|deit|beit|mae|dino|clip|pirl|pcl|sela|infomin|insdis|xception)(?![a-z])"
)
_DATASETS = re.compile(
    r"cifar|caltech|aircraft|flowers|food|oxford|stanford|imagenet|mnist|svhn|eurosat|resisc|"
    r"patch_?camelyon|retinopathy|clevr|dsprites|smallnorb|kitti|sun_?397|places|inaturalist|"
    r"nabird|\b(dtd|pets|cars|dogs|voc|cub|sun|gtsrb|stl)(?![a-z])"
)
_MOST_DOUBT = 0.1


def normal(name: str) -> str:
    """Return a name in small letters and digits, with one underscore for what is between."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def roles_of(header: Sequence[str], given: Columns | None) -> dict[str, list[str]]:
    """Return the columns of every role, as `given` says or by known names.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        `given` has an unknown role or column, or several columns have names of one role.

    Examples
    --------
    >>> from pyattrx.evaluate.columns import roles_of
    >>> roles_of(["Architecture", "Target Dataset", "Oracle"], None)
    {'model': ['Architecture'], 'dataset': ['Target Dataset'], 'accuracy': ['Oracle']}
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise InvalidTypeError(
            "columns", given, f"a mapping of {', '.join(ROLES)} to names of columns"
        )
    found: dict[str, list[str]] = {}
    for role, names in given.items():
        if role not in ROLES:
            raise InvalidValueError("columns", role, f"one of {list(ROLES)}")
        found[role] = [] if names is None else [names] if isinstance(names, str) else list(names)
        for name in found[role]:
            if name not in header:
                raise InvalidValueError(
                    "columns", name, f"a column for {role}, one of {list(header)}"
                )
        if role != "accuracy" and len(found[role]) > 1:
            raise InvalidValueError("columns", names, f"one column for {role}")
    taken = [name for names in found.values() for name in names]
    for role, known in ROLES.items():
        if role in found:
            continue
        alike = [name for name in header if name not in taken and normal(name) in known]
        if len(alike) > 1:
            raise InvalidValueError("columns", dict(given), f"which of {alike} is for {role!r}")
        found[role] = alike
    return {role: found[role] for role in ROLES if found[role]}


def names_datasets(outer: Sequence[str], inner: Sequence[str], rows: str | None) -> bool:
    """Return whether the outer names are data sets and the inner ones models, as `rows` says.

    Raises
    ------
    InvalidValueError
        It does not say, and the names do not tell.

    Examples
    --------
    >>> from pyattrx.evaluate.columns import names_datasets
    >>> names_datasets(["pets", "dtd"], ["resnet18", "vgg11"], None)
    True
    """
    if rows is not None:
        return rows == "datasets"
    (outer_models, outer_data), (inner_models, inner_data) = map(_shares, (outer, inner))
    datasets, models = outer_data + inner_models, outer_models + inner_data
    if min(datasets, models) > _MOST_DOUBT or max(datasets, models) < 0.5:
        expected = (
            f"'datasets' or 'models': whether {_few(outer)} are data sets and {_few(inner)} "
            "models, or the other way round"
        )
        raise InvalidValueError("rows", rows, expected)
    return datasets > models


def _shares(names: Sequence[str]) -> tuple[float, float]:
    """Shares of names that look like models, and like data sets."""
    plain = [re.sub(r"[_\-./]", " ", name.lower()) for name in names]
    models = [bool(_MODELS.search(name)) for name in plain]
    datasets = [
        bool(_DATASETS.search(name)) and not model
        for name, model in zip(plain, models, strict=True)
    ]
    return sum(models) / len(names), sum(datasets) / len(names)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
