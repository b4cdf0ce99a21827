"""What schemathesis cannot know: how bodies of bytes are written, and which handlers and deliveries the server has."""

import os
import re

import schemathesis

KNOWN = {"name": os.environ.get("KNOWN_HANDLERS", "").split(), "id": os.environ.get("KNOWN_DELIVERIES", "").split()}
FORM = {"name": r"[a-z][a-z0-9-]{0,63}", "id": r"[a-z][a-z0-9-]{0,63}@[0-9]{1,19}"}


@schemathesis.serializer("application/wasm", "application/octet-stream")
def write_bytes(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_path_parameters(_context, path_parameters):
    """Puts what exists in the place of half of the valid names, so that not every answer is 404."""
    for name, value in (path_parameters or {}).items():
        known = KNOWN.get(name)
        if known and isinstance(value, str) and re.fullmatch(FORM[name], value) and len(value) % 2 == 0:
            path_parameters[name] = known[len(value) // 2 % len(known)]
    return path_parameters
