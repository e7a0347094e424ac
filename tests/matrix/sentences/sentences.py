"""Scenarios that nothing but the fault matrix runs: each sentence on traffic once, so that a fault may turn it red.

No test by its name, since it runs on a target, as features do: `virtlab run tests/matrix/sentences/sentences.py`.
"""

from pathlib import Path

from pytest_bdd import scenarios

# The tests' own conftest has a fixture of this name, which is another lab.
from steps.fixtures import lab as lab

scenarios(str(Path(__file__).with_name("sentences.feature")))
