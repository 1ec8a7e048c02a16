"""Tests of the inversion domain: tokens, subspaces, starts, objectives, runs."""
