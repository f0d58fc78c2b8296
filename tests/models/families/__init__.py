"""The tiny models of tests/models/make_families.py, by kind: each module has FAMILIES, from names to functions."""
