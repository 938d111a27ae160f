"""The job script of docs/cluster.md, run as two jobs of an array."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.test_cli import folder  # noqa: F401

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def shell(command, **variables):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )


def test_the_job_script(folder):  # noqa: F811
    if not PAGE.is_file():
        pytest.skip("no docs here")
    text = PAGE.read_text()
    (script,) = re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)
    assert "'timm:resnet*' 'timm:convnext*'" in script
    script = script.replace("'timm:resnet*' 'timm:convnext*'", "nets.py:first nets.py:second")
    script = script.replace("--workers 4", "--workers 1")
    for number in "12":
        done = shell(
            script,
            SLURM_ARRAY_TASK_ID=number,
            SLURM_ARRAY_TASK_COUNT="2",
            SLURM_CPUS_PER_TASK="1",
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("added ") == 1
    merging = re.findall(r"^    (pyattrx zoo (?:create|merge) zoo/ .*)$", text, re.M)
    assert len(merging) == 2
    done = shell(f"{' && '.join(merging)} --json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout[done.stdout.index("{") :])
    assert sorted(found["added"]) == ["nets.py:first", "nets.py:second"]
