"""Show the state page of the nights in Airflow's UI, and let tasks start quickly.

The page, under "Nights" in the menu, is the one that the last night left in the landing. Whoever is signed in may read it.
It holds no addresses.
"""

import os
import sys
from typing import Any

from airflow.api_fastapi.core_api.security import get_user
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

app = FastAPI(title="Certificate analytics", dependencies=[Depends(get_user)])

_NO_PAGE = "<p>No night has left a state page yet. Run <code>nightly_events</code>.</p>"


@app.get("/nights")
def nights() -> HTMLResponse:
    """Return the page that the last night left, or a sentence where there is none."""
    from etl import pipeline, settings  # imports of stages stand inside, as in the DAGs

    page = pipeline.read_status_page(settings.load())
    return HTMLResponse(page.decode() if page else _NO_PAGE)


@hookimpl
def on_starting(component: Any) -> None:  # noqa: ARG001  # Airflow calls it by this name
    """Import Great Expectations when the scheduler starts. LocalExecutor forks its workers from it, and these their tasks.

    Without this each task that validates imports it, which takes longer than the validation. Nothing that starts threads is
    imported, since a fork does not have them: Arrow's allocator is told to do without one, and DuckDB is left out.
    """
    if sys.argv[1:2] == ["scheduler"]:
        os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
        import great_expectations  # noqa: F401


class CertificateAnalytics(AirflowPlugin):
    """The menu entry, the small application behind it, and this module as a listener."""

    name = "certificate_analytics"
    listeners = [sys.modules[__name__]]  # noqa: RUF012
    fastapi_apps = [{"app": app, "url_prefix": "/certificate-analytics", "name": "Certificate analytics"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Nights",
            "href": "/certificate-analytics/nights",
            "destination": "nav",
            "category": "browse",
            "url_route": "nights",
        }
    ]
