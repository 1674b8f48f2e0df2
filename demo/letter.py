"""One access mail and its events, in the format of SendGrid's event webhook."""

import base64
from dataclasses import dataclass, field
from random import Random
from typing import Any

from demo.registry import Recipient

HOUR, DAY = 3600, 86400
CREDENTIAL_URL = "https://credentials.example"


@dataclass
class Letter:
    """One access mail and its events, each with the second (Unix time) in which the webhook posts it."""

    rng: Random
    recipient: Recipient
    message_id: str
    has_arguments: bool = True
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def add(self, event: str, at: float, **fields: Any) -> None:
        """Append an event. It is usually posted within half a minute, and sometimes hours later."""
        record = self._record(event, int(at)) | fields
        if self.has_arguments:
            record |= {
                "recipient_id": self.recipient.recipient_id,
                "certificate_id": self.recipient.certificate.certificate_id,
            }
        delay = self.rng.expovariate(1 / 25) + (self.rng.random() < 0.008) * self.rng.uniform(HOUR, 30 * HOUR)
        self.events.append((int(at + delay) + 1, record))

    def _record(self, event: str, timestamp: int) -> dict[str, Any]:
        number, person = len(self.events), self.recipient.person
        tail = f"recvd-6f4b8d7c9-{person.number:05d}-1-{timestamp:08X}-{number}.0"
        event_id = base64.urlsafe_b64encode(f"{event}-{number}-24417310-{self.message_id}-0".encode())
        return {
            "email": person.email,
            "timestamp": timestamp,
            "smtp-id": f"<{self.message_id}@geopod-ismtpd-{person.number % 60}>",
            "event": event,
            "category": ["access_email"],
            "sg_event_id": event_id.decode().rstrip("="),
            "sg_message_id": f"{self.message_id}.{tail}",
        }


def heavy_tailed(rng: Random, median: float, spread: float) -> float:
    """Return a random delay in seconds. Half of the delays are below the median, and a few are many times longer."""
    return rng.lognormvariate(0, spread) * median


def credential_url(recipient: Recipient) -> str:
    """Return the link of the access mail: the Recipient View page of one credential."""
    return f"{CREDENTIAL_URL}/{recipient.recipient_id}"


def unsubscribe_url(letter: Letter) -> str:
    """Return the unsubscribe link in the footer of the mail."""
    return f"{CREDENTIAL_URL}/unsubscribe/{letter.message_id}"
