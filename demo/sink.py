"""A mail server on this machine's loopback that delivers nowhere: each mail it accepts becomes an .eml file.

Run it as `python -m demo.sink --port 1025 --folder .demo/mails`.
"""

import argparse
import re
import signal
import threading
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

LOOPBACK = "127.0.0.1"


class MailFolder:
    """A folder of mails as `0001-<recipient>.eml`, byte for byte as sent, numbered on from the files in it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.written = len(list(folder.glob("*.eml")))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Accept the mail after it is written to the disk."""
        recipient = re.sub(r"[^\w.@+-]", "_", envelope.rcpt_tos[0])
        content = envelope.original_content or b""
        (self.folder / f"{self.written + 1:04d}-{recipient}.eml").write_bytes(content)
        self.written += 1
        return "250 2.0.0 written"


def start(folder: Path, port: int) -> Controller:
    """Start the sink in a thread of this process; its `stop()` ends it. Raise an OSError if the port is taken."""
    controller = Controller(MailFolder(folder), hostname=LOOPBACK, port=port)
    controller.start()
    return controller


def main() -> None:
    """Run the sink until it is interrupted or terminated."""
    parser = argparse.ArgumentParser(prog="python -m demo.sink", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=1025)
    parser.add_argument("--folder", type=Path, default=Path(".demo/mails"))
    arguments = parser.parse_args()
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    controller = start(arguments.folder, arguments.port)
    print(f"accepting mail on {LOOPBACK}:{arguments.port}, writing it to {arguments.folder}", flush=True)
    ended.wait()
    controller.stop()


if __name__ == "__main__":
    main()
