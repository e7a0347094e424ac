"""The scenarios of localnet_coe.feature."""

from pytest_bdd import scenarios

scenarios("localnet_coe/localnet_coe.feature")
