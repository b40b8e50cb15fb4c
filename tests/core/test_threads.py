"""How threads wait is settled before torch is loaded, and never over a choice."""

import os
import subprocess
import sys

import pytest

from llmrank.core import threads


def test_what_somebody_has_chosen_stays(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    threads.settle()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    threads.settle()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    "door",
    ["import pages.shared.app.frame", "import llmrank.__main__ as m; m.main([])"],
)
def test_every_door_settles_it_before_torch_is_there(door):
    """A hook on torch's import reads what OpenMP would then read."""
    hook = (
        "import sys, os\n"
        "class Hook:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            print('torch', os.environ.get('OMP_WAIT_POLICY'))\n"
        "sys.meta_path.insert(0, Hook())\n"
        f"try:\n    {door}\nexcept SystemExit:\n    pass\n"
        "import torch\n"
    )
    free = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    told = subprocess.run(
        [sys.executable, "-c", hook],
        env=free,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [x for x in told.stdout.splitlines() if x.startswith("torch")] == [
        "torch PASSIVE"
    ]
