"""Reads a list of requests as JSON from standard input, each a method, a path and headers; sends them to the argument with a
body of 5 MiB, each over a connection of its own; and prints each answer's status and code."""

import json
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

BODY = b" " * (5 << 20)


def ask(method, path, headers):
    connection = HTTPConnection(urlsplit(sys.argv[1]).netloc, timeout=30)
    try:
        connection.request(method, path, body=BODY, headers=headers)
        response = connection.getresponse()
        return f"{response.status} {json.load(response)['code']}"
    except (OSError, HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


print(json.dumps([ask(*request) for request in json.load(sys.stdin)]))
