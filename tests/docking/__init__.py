"""Tests of the benchmark of docking."""
