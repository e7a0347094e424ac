"""The scenarios of nmcli.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("nmcli/nmcli.feature")
