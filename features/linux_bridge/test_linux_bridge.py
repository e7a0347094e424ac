"""The scenarios of linux_bridge.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("linux_bridge/linux_bridge.feature")
