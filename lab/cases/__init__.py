"""Customers' cases: their own manifests and a small ``case.yaml`` made into a feature that any target can run."""
