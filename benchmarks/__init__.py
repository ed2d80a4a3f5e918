"""The benchmark of speed, outside the package: `make bench`, or `python -m benchmarks --help`."""
