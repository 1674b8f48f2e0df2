"""MailerSend: the activity of one domain; ``domain`` is the id that MailerSend gave it.

MailerSend keeps one to thirty days, depending on the plan, and refuses (422) what is older. The activity has neither user
agent nor metadata.
developers.mailersend.com/api/v1/activity
"""

from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

from etl.extract.api import Request, day_bounds
from etl.settings import Source

RETENTION_DAYS = 30

# Without opened_unique and clicked_unique, which repeat opened and clicked.
_ACTIVITIES = [
    "queued", "sent", "delivered", "soft_bounced", "hard_bounced", "deferred", "opened", "clicked", "unsubscribed",
    "spam_complaints",
]  # fmt: skip


def headers(secret: str) -> Mapping[str, str]:
    """Return the key as a bearer token."""
    return {"Authorization": f"Bearer {secret}"}


def first(source: Source, day: date) -> list[Request]:
    """Return the request for the first page of the day's activity."""
    start, end = (int(instant.timestamp()) for instant in day_bounds(day))
    params = {"date_from": start, "date_to": end, "limit": 100, "page": 1, "event[]": _ACTIVITIES}
    return [Request(listing="activity", paths=(f"/v1/activity/{quote(str(source.domain), safe='')}",), params=params)]


def following(request: Request, answer: Any) -> list[Request]:
    """Return the next page while the answer links to one. The link itself lacks the parameters of the request."""
    return [request.with_params(page=request.params["page"] + 1)] if answer["links"]["next"] else []
