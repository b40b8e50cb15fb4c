"""How threads wait for one another, decided before torch is first imported."""

import os

POLICY = {"OMP_WAIT_POLICY": "PASSIVE"}
"""They sleep while they wait. By default those of OpenMP spin, and where others want
the cores they hold up the very thread they wait for: see `benchmarks.threads`."""


def settle() -> None:
    """Set the policy for this process and its children, where nobody has set one.

    OpenMP reads it once, when torch is loaded.
    """
    for name, value in POLICY.items():
        os.environ.setdefault(name, value)
