"""Show the state page of the nights in Airflow's UI, under "Nights" in the menu.

The page is the one that the last night left in the landing. Whoever is signed in may read it. It holds no addresses.
"""

from airflow.api_fastapi.core_api.security import get_user
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


class CertificateAnalytics(AirflowPlugin):
    """The menu entry, and the small application behind it."""

    name = "certificate_analytics"
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
