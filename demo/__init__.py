"""A small fictitious credential platform, on which `make demo` runs the pipeline.

`platform.simulate` writes the registry and the raw logs of some weeks. `sink` is the mail server that accepts the
reports. No person in it is real. Every address has a reserved example domain, or a mistyped one to which no mail is
ever sent. Every IP is in a range reserved for documentation and measurements.
"""
