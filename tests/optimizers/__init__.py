"""Tests of the benchmark of optimisers."""
