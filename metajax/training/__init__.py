"""The one outer loop: steps over a device mesh, checkpoints that are whole or absent, and the run's log."""
