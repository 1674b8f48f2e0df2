"""Certificate and badge analytics: seven stages, in the order in which the data flow.

extract     copies the raw bytes of one slice, or of the registry, into the landing, exactly as given
normalise   turns a slice's raw bytes into events and rejects: one vocabulary for every provider
validate    keeps a slice out that would make the figures wrong
load        replaces the slice's rows in the warehouse, whole or not at all
statistics  answers in SQL: the metric catalogue for any instant, and the figures of a report
render      turns landed figures into HTML, PDF, CSV and a mail
deliver     says which reports are due, and sends each of them once

A slice is one source on one UTC day. Stages never import one another: each reads what the stage before it left.
"""
