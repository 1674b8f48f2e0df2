"""A small credential platform that exists nowhere: what `make demo` runs the pipeline on.

`platform.simulate` writes the registry and the raw logs of some weeks, `sink` accepts the mails that the
reports become. Nobody in it is real: every address lies at a reserved example domain, or at a mistyped
look-alike that no mail ever leaves for, and every IP in a range set aside for documentation and measurements.
"""
