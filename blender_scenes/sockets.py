"""The links and values of the sockets of a material's nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

Color = np.ndarray
"""Linear red, green and blue at points, (N, 3), or one colour for all points, (1, 3)."""


class NotUnderstood(Exception):
    """A node whose colour cannot be computed here."""


def source(socket: Any) -> tuple[Any, Any] | None:
    """The node and output that a socket is linked to; None if it has its own value. `NotUnderstood` for a muted node."""
    while socket.is_linked and socket.links:
        link = socket.links[0]
        if link.is_muted:
            return None
        if link.from_node.type != "REROUTE":
            if link.from_node.mute:
                raise NotUnderstood(f"the muted node {link.from_node.bl_label!r}")
            return link.from_node, link.from_socket
        socket = link.from_node.inputs[0]
    return None


def constant(socket: Any) -> Color:
    value = getattr(socket, "default_value", None)
    if isinstance(value, int | float):
        return np.full((1, 3), float(value))
    if value is None:
        raise NotUnderstood(f"the input {socket.name!r}")
    return np.array([value[:3]], float)


def channels(values: np.ndarray, output: Any) -> np.ndarray:
    """The part (..., 3) of colours with opacity (..., 4) that a node's output gives: opacity for ``Alpha``, else colour."""
    return np.repeat(values[..., 3:], 3, axis=-1) if output.name == "Alpha" else values[..., :3]


def total(a: Color | None, b: Color | None) -> Color | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def product(a: Color, b: Color | None) -> Color:
    """One colour times another, if there is one."""
    return a if b is None else a * b
