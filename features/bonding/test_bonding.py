"""The scenarios of bonding.feature."""

from pytest_bdd import scenarios

scenarios("bonding/bonding.feature")
