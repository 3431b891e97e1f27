"""What a service is told when it starts; nothing of it changes while it runs."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

from snt_zoo.errors import ServiceError
from snt_zoo.service.tokens import Tokens

DEFAULT_PORT = 8765
MAX_SKETCH_BYTES = 200_000
"""The bound of a sketch's file (`snt_zoo.encoders.bounds.SIZE_LIMIT`)."""

UPLOAD_BYTES = 32 * 2**20
"""Of an upload of images. More need not be sent: a sketch is made of 512 images at most."""
BUNDLE_BYTES = 10**9
"""Of an upload of a bundle: what `snt-zoo pull` takes by default."""
UPLOAD_SECONDS = 900.0
DOWNLOAD_SECONDS = 3600.0


@dataclass(frozen=True)
class Settings:
    """The settings of a service.

    Args:
        host: address that it listens on; another than this machine's own needs tokens.
        port: that it listens on; 0 takes a free one.
        tokens: who may do what; without any, everybody on this machine may read and nobody may write.
        names: host names by which others call it, besides `localhost` and addresses.
        askers: processes that answer queries by sketch; with 0 the threads do.
        threads: that compute answers; as many as there are cores.
        waiting: requests that may wait for a thread; more are told to come again.
        rate: requests in a second of one client, in the long run; None for any number.
        max_upload_bytes: of the images in an upload, once they are unpacked.
        max_images: in an upload.
        max_pixels: of one uploaded image.
        seconds: that an answer may take.
        runs: folder whose runs the page shows live; None for none.
        drain: seconds that answers under way have to end when the service is asked to stop.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    tokens: Tokens = field(default_factory=Tokens)
    names: tuple[str, ...] = ()
    askers: int = 0
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    waiting: int = 256  # at 50 ms each the last of them is answered within 13 s
    rate: float | None = None
    max_upload_bytes: int = 4 * UPLOAD_BYTES
    max_images: int = 2_000
    max_pixels: int = 25_000_000
    seconds: float = 60.0
    runs: Path | None = None
    drain: float = 20.0

    def __post_init__(self) -> None:
        if not self.tokens and not is_this_machine(self.host):
            raise ServiceError(
                f"{self.host} can be reached from other machines, and nobody would have to show a token: "
                "make tokens with `snt-zoo serve --new-tokens FILE` and start it with --token-file FILE, or "
                "leave out --host"
            )


def is_this_machine(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
