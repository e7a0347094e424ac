"""The scenarios of cnv_bridge.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("cnv_bridge/cnv_bridge.feature")
