"""Field types of the built-in kinds, as data; made by `generate.py` from the models of the `kubernetes` package."""
