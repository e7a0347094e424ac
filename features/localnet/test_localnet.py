"""The scenarios of localnet.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("localnet/localnet.feature")
