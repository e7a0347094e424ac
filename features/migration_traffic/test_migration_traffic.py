"""The scenarios of migration_traffic.feature, under readable test names."""

from pytest_bdd import scenarios

scenarios("migration_traffic/migration_traffic.feature")
