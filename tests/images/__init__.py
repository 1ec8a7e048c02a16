"""Tests of the image domain: schedulers that carry noise, pipelines as rollouts, image scores."""
