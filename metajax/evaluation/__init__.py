"""Metrics, baselines, protocols, statistics and reports: what may be claimed of a learner, and how sure it is."""
