"""Reaching a Ray cluster, or starting one here. Ray itself is loaded only then: it is the extra `ray`."""

import logging
import socket
from typing import Any

from engines.core.errors import MissingExtra, ScdError

LOCAL = "local"
ANSWER = 5.0  # seconds that a cluster has to answer


def check_answers(address: str) -> None:
    """ScdError where nothing listens at host:port; Ray itself would try for minutes. Its other forms ("auto", "ray://") are its own."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and "//" not in host):
        return
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except OSError as error:
        raise no_cluster(address, error) from error


def no_cluster(address: str, error: Exception) -> ScdError:
    why = getattr(error, "strerror", None) or str(error).split("\n")[0]
    return ScdError(f"no Ray cluster answers at {address} ({why})", "check the address, or use --ray without one")


def connect(address: str) -> Any:
    """Ray itself, on a cluster or on one that it starts here."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("--ray", "ray") from error
    if ray.is_initialized():
        return ray
    check_answers(address)
    try:
        ray.init(address=None if address == LOCAL else address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise no_cluster(address, error) from error
    return ray
