"""A local server that answers as the providers document their APIs, records each request, and fails on demand.

Its rows are those of the provider's listings. Each provider's function filters and pages them as its documentation
says, and refuses what the documentation forbids, so that a wrong request is not answered by accident.
"""

import json
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

KEY = "key-4f9d2c:71be"
BASIC = "Basic " + urlsafe_b64encode(f"api:{KEY}".encode()).decode()


class Asked(NamedTuple):
    """A request as it arrived, and when."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    at: float


class RefusedError(Exception):
    """An error of the provider. Its argument is the HTTP status."""


class ProviderServer:
    """A provider's data and the requests that it got. ``faults`` maps the number of a request to its fault."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.rows: dict[str, list[Any]] = {}
        self.faults: dict[int, Any] = {}
        self.down_from: int | None = None
        self.page_size = 10_000
        self.asked: list[Asked] = []
        self.sent: list[bytes] = []
        self.url = ""

    def fault(self) -> Any:
        """Return the fault of the latest request, or None."""
        number = len(self.asked) - 1
        down = self.down_from is not None and number >= self.down_from
        return 503 if down else self.faults.get(number)

    def answer(self, asked: Asked, headers: Any) -> Any:
        """Return the provider's answer as JSON. Raise RefusedError where it has none."""
        if not _takes_key(self.provider, headers):
            raise RefusedError(401)
        return _PROVIDERS[self.provider](self, asked)


@contextmanager
def serve(provider: str) -> Iterator[ProviderServer]:
    """Yield a provider's server on loopback, and stop it when the block ends."""
    server = ProviderServer(provider)
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": server}))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    provider: ProviderServer

    def do_GET(self) -> None:
        self._reply("GET")

    def do_POST(self) -> None:
        self._reply("POST")

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""

    def _reply(self, method: str) -> None:
        parts = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(method, unquote(parts.path), parse_qs(parts.query), json.loads(text or "null"), time.monotonic())
        self.provider.asked.append(asked)
        match self.provider.fault():
            case "drop":
                self.close_connection = True
            case {"status": status, **headers}:
                self._send(status, b"{}", headers)
            case "html":
                self._send(200, b"<html>sign in</html>", {})
            case bytes(body):
                self._send(200, body, {"Content-Encoding": "gzip"})
            case int(status):
                self._send(status, b"{}", {})
            case fault:
                self._answer(asked, is_cut=fault == "cut")

    def _answer(self, asked: Asked, *, is_cut: bool) -> None:
        try:
            body = json.dumps(self.provider.answer(asked, self.headers), indent=1).encode()
        except RefusedError as refused:
            self._send(refused.args[0], b"{}", {})
        else:
            if not is_cut:
                self.provider.sent.append(body)
            self._send(200, body, {}, cut_at=len(body) // 2 if is_cut else None)

    def _send(self, status: int, body: bytes, headers: dict[str, Any], cut_at: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[:cut_at])
        self.close_connection = self.close_connection or cut_at is not None


def _takes_key(provider: str, headers: Any) -> bool:
    name, value = {
        "mailgun": ("Authorization", BASIC),
        "postmark": ("X-Postmark-Server-Token", KEY),
        "sparkpost": ("Authorization", KEY),
        "brevo": ("api-key", KEY),
        "mailersend": ("Authorization", f"Bearer {KEY}"),
        "mailjet": ("Authorization", "Basic " + urlsafe_b64encode(KEY.encode()).decode()),
        "sendgrid": ("Authorization", f"Bearer {KEY}"),
    }[provider]
    return bool(headers.get(name) == value)


def _need(condition: object, status: int = 400) -> None:
    if not condition:
        raise RefusedError(status)


def _iso(word: str) -> datetime:
    moment = datetime.fromisoformat(word)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _one(asked: Asked, name: str) -> str:
    _need(name in asked.query)
    return asked.query[name][0]


def _token(**state: Any) -> str:
    return urlsafe_b64encode(json.dumps(state).encode()).decode()


def _mailgun(server: ProviderServer, asked: Asked) -> Any:
    if asked.path == "/v1/analytics/logs":
        return _mailgun_logs(server, asked)
    folder, _, token = asked.path.partition("/events/")
    if token:
        state = json.loads(urlsafe_b64decode(token))
    else:
        _need(asked.path == "/v3/mail.example.com/events", 404)
        limit = int(_one(asked, "limit"))
        _need(1 <= limit <= 300 and _one(asked, "ascending") == "yes")
        state = {"begin": int(_one(asked, "begin")), "end": int(_one(asked, "end")), "at": 0, "limit": limit}
    rows = [row for row in server.rows.get("events", []) if state["begin"] <= row["timestamp"] < state["end"]]
    page = rows[state["at"] : state["at"] + state["limit"]]
    following = _token(**{**state, "at": state["at"] + len(page)})
    # Links name the provider's own host, as those of the real API do.
    base = f"https://api.mailgun.net{folder.removesuffix('/events')}/events"
    return {"items": page, "paging": {"next": f"{base}/{following}", "first": base, "last": base, "previous": base}}


def _mailgun_logs(server: ProviderServer, asked: Asked) -> Any:
    _need(asked.method == "POST")
    start, end = (parsedate_to_datetime(asked.body[name]) for name in ("start", "end"))
    pagination = asked.body["pagination"]
    at, limit = int(pagination.get("token") or 0), pagination["limit"]
    rows = [
        row
        for row in server.rows.get("logs", [])
        if start <= _iso(row["@timestamp"]) < end and row["event"] in asked.body["events"]
    ]
    page = rows[at : at + limit]
    return {"start": asked.body["start"], "end": asked.body["end"], "items": page, "aggregates": {},
            "pagination": {"next": str(at + len(page)), "total": len(rows)}}  # fmt: skip


def _postmark(server: ProviderServer, asked: Asked) -> Any:
    if asked.path.endswith("/details"):
        known = {row["MessageID"]: row for row in server.rows.get("deliveries", [])}
        name = asked.path.split("/")[3]
        _need(name in known, 404)
        return known[name]
    listing, key, moment = {
        "/messages/outbound/opens": ("opens", "Opens", "ReceivedAt"),
        "/messages/outbound/clicks": ("clicks", "Clicks", "ReceivedAt"),
        "/bounces": ("bounces", "Bounces", "BouncedAt"),
        "/messages/outbound": ("messages", "Messages", "ReceivedAt"),
    }[asked.path]
    count, offset = int(_one(asked, "count")), int(_one(asked, "offset"))
    _need(count <= 500 and count + offset <= 10_000, 422)
    eastern = ZoneInfo("America/New_York")
    start, end = (datetime.fromisoformat(_one(asked, name)).replace(tzinfo=eastern) for name in ("fromdate", "todate"))
    rows = [row for row in server.rows.get(listing, []) if start <= _iso(row[moment]) <= end]
    rows.sort(key=lambda row: _iso(row[moment]), reverse=True)
    return {"TotalCount": len(rows), key: rows[offset : offset + count]}


def _sparkpost(server: ProviderServer, asked: Asked) -> Any:
    _need(asked.path == "/api/v1/events/message", 404)
    start, end, cursor = _iso(_one(asked, "from")), _iso(_one(asked, "to")), _one(asked, "cursor")
    _need(int(_one(asked, "per_page")) <= 10_000)
    at = 0 if cursor == "initial" else int(cursor)
    rows = [row for row in server.rows.get("events", []) if start <= _iso(row["timestamp"]) < end]
    page, further = rows[at : at + server.page_size], at + server.page_size
    link = f"{asked.path}?cursor={further}&from={_one(asked, 'from')}&to={_one(asked, 'to')}&per_page=10000"
    return {"results": page, "total_count": len(rows), "links": {"next": link} if further < len(rows) else {}}


def _brevo(server: ProviderServer, asked: Asked) -> Any:
    _need(asked.path == "/v3/smtp/statistics/events", 404)
    first, last = (date.fromisoformat(_one(asked, name)) for name in ("startDate", "endDate"))
    limit, offset = int(_one(asked, "limit")), int(_one(asked, "offset"))
    _need(limit <= 2500 and _one(asked, "sort") == "asc")
    rows = [row for row in server.rows.get("events", []) if first <= _iso(row["date"]).date() <= last]
    page = rows[offset : offset + limit]
    return {"events": page} if page else {}


def _mailersend(server: ProviderServer, asked: Asked) -> Any:
    _need(asked.path == "/v1/activity/jpzkmgq7", 404)
    start, end = (datetime.fromtimestamp(int(_one(asked, name)), UTC) for name in ("date_from", "date_to"))
    page, limit = int(_one(asked, "page")), int(_one(asked, "limit"))
    _need(start < end and 10 <= limit <= 100, 422)
    rows = [
        row
        for row in server.rows.get("activity", [])
        if start <= _iso(row["created_at"]) < end and row["type"] in asked.query["event[]"]
    ]
    has_more = page * limit < len(rows)
    link = f"https://api.mailersend.com{asked.path}?page={page + 1}" if has_more else None
    return {"data": rows[(page - 1) * limit : page * limit], "links": {"last": None, "prev": None, "next": link},
            "meta": {"current_page": page, "per_page": limit}}  # fmt: skip


def _mailjet(server: ProviderServer, asked: Asked) -> Any:
    listing = asked.path.removeprefix("/v3/REST/")
    moment, first, last = {
        "openinformation": ("OpenedAt", "EventFromTs", "EventToTs"),
        "clickstatistics": ("ClickedAt", "EventFromTs", "EventToTs"),
        "bouncestatistics": ("BouncedAt", "EventFromTs", "EventToTs"),
        "message": ("ArrivedAt", "FromTS", "ToTS"),
    }[listing]
    start, end = (datetime.fromtimestamp(int(_one(asked, name)), UTC) for name in (first, last))
    limit, offset = int(_one(asked, "Limit")), int(_one(asked, "Offset"))
    _need(limit <= 1000)
    rows = [row for row in server.rows.get(listing, []) if start <= _iso(row[moment]) < end]
    page = rows[offset : offset + limit]
    return {"Count": len(page), "Data": page, "Total": len(page)}


def _sendgrid(server: ProviderServer, asked: Asked) -> Any:
    if asked.method == "GET":
        known = {row["sg_message_id"]: row for row in server.rows.get("details", [])}
        name = asked.path.removeprefix("/v3/logs/")
        _need(name in known, 404)
        return known[name]
    _need(asked.path == "/v3/logs", 404)
    words = asked.body["query"].split('"')
    field = "sg_message_id_created_at"
    _need([words[0], words[2]] == [f"{field} >= TIMESTAMP ", f" AND {field} < TIMESTAMP "])
    _need(1 <= asked.body["limit"] <= 1000)
    rows = [row for row in server.rows.get("mails", []) if _iso(words[1]) <= _iso(row[field]) < _iso(words[3])]
    return {"messages": rows[: asked.body["limit"]]}


_PROVIDERS = {
    "mailgun": _mailgun,
    "postmark": _postmark,
    "sparkpost": _sparkpost,
    "brevo": _brevo,
    "mailersend": _mailersend,
    "mailjet": _mailjet,
    "sendgrid": _sendgrid,
}
