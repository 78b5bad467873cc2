"""Scripts that are run as files, each by the Python of the package it times; see `protocol`."""
