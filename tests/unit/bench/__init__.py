"""Tests of the benchmark: what it makes of what it measures."""
