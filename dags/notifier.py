"""Send alerts through a connection of Airflow's, by the notifier that the provider of the connection's type has."""

from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any, NamedTuple

from airflow.sdk import Connection


class Notifier(NamedTuple):
    """The notifier of a provider: where it is, what it is made from, and the package that brings it."""

    module: str
    name: str
    arguments: Callable[[str, str, str], dict[str, Any]]
    package: str


DISCORDS_LIMIT = 2000

NOTIFIERS = {
    "apprise": Notifier(
        "airflow.providers.apprise.notifications.apprise",
        "AppriseNotifier",
        lambda connection, subject, text: {"apprise_conn_id": connection, "title": subject, "body": text},
        "apache-airflow-providers-apprise",
    ),
    "discord": Notifier(
        "airflow.providers.discord.notifications.discord",
        "DiscordNotifier",
        lambda connection, subject, text: {
            "discord_conn_id": connection,
            "text": f"**{subject}**\n{text}"[:DISCORDS_LIMIT],
        },
        "apache-airflow-providers-discord",
    ),
    "http": Notifier(
        "airflow.providers.http.notifications.http",
        "HttpNotifier",
        lambda connection, subject, text: {"http_conn_id": connection, "json": {"subject": subject, "text": text}},
        "apache-airflow-providers-http",
    ),
    "slackwebhook": Notifier(
        "airflow.providers.slack.notifications.slack_webhook",
        "SlackWebhookNotifier",
        lambda connection, subject, text: {
            "slack_webhook_conn_id": connection,
            "text": f"*{escape(subject, quote=False)}*\n{escape(text, quote=False)}",
        },
        "apache-airflow-providers-slack",
    ),
}
"""The notifiers by the type of the connection."""


def notify(connection: str, subject: str, text: str) -> None:
    """Send an alert through the connection of that id; raise an UnsentAlert if that fails.

    The text of an error that is none of ours may hold the connection's address, which for a webhook is a secret, so only
    the error's class is named.
    """
    from etl.errors import UnsentAlert

    try:
        kind = Connection.get(connection).conn_type
    except Exception as error:  # noqa: BLE001  # a backend of secrets may raise anything
        raise UnsentAlert(connection, f"Airflow cannot give it ({type(error).__name__})") from None
    if kind not in NOTIFIERS:
        raise UnsentAlert(connection, f"its type is {kind}, and must be one of {', '.join(NOTIFIERS)}")
    notifier = NOTIFIERS[kind]
    try:
        send = getattr(import_module(notifier.module), notifier.name)
    except ImportError:
        raise UnsentAlert(connection, f"install {notifier.package}") from None
    try:
        # Calling notify() leaves the templates of the notifier unrendered: our text is no template.
        send(**notifier.arguments(connection, subject, text)).notify({})
    except Exception as error:  # noqa: BLE001  # a provider may raise anything
        raise UnsentAlert(connection, f"it failed with {type(error).__name__}") from None
