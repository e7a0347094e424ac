"""The scenarios of pod_network.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("pod_network/pod_network.feature")
