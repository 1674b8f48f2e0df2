"""The stage statistics: query the warehouse for any instant, and land the figures of a report.

Every figure is computed in SQL. This package binds parameters, joins results, and compares the loaded slices with those
that the configuration expects. Times are naive UTC; in the figures document they are text with ``Z``.
"""

from etl.statistics.coverage import FOR_EVER, Waivers, failed_slices, oddities, slices, through_by_source, whole_through
from etl.statistics.metric_catalogue import METRIC_CATALOGUE_VERSION, attribution, catalogue, recipients, refresh
from etl.statistics.report import Background, figures, land_figures, subscriptions

__all__ = [
    "FOR_EVER",
    "METRIC_CATALOGUE_VERSION",
    "Background",
    "Waivers",
    "attribution",
    "catalogue",
    "failed_slices",
    "figures",
    "land_figures",
    "oddities",
    "recipients",
    "refresh",
    "slices",
    "subscriptions",
    "through_by_source",
    "whole_through",
]
