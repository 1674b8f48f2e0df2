"""Certificate and badge analytics: seven stages, in the order in which the data flow.

extract     copies the raw bytes of one slice, or of the registry, into the landing, exactly as given
normalise   turns the raw bytes of a slice into events and rejects: one vocabulary for every provider
validate    refuses a slice that would make the figures wrong
load        replaces the rows of the slice in the warehouse, whole or not at all
statistics  computes in SQL: the metric catalogue at any instant, and the figures of a report
render      turns landed figures into HTML, PDF, CSV and a mail
deliver     decides which reports are due, and sends each of them once

A slice is one source on one UTC day. Stages never import one another. Each reads what the stage before it wrote.
"""
