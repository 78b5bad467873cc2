"""The notebooks, the results that they show, and the laboratory that makes those: a package in a checkout alone."""
