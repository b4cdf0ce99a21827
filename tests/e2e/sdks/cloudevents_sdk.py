"""Round trips of the PyPI package `cloudevents`: what is published in each mode comes back from the log as the same event, by
the package's own reader. Its argument is the server's URL."""

import json
import sys
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from urllib.parse import urlsplit

from cloudevents.core.bindings.http import HTTPMessage, from_structured_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

SERVER = urlsplit(sys.argv[1]).netloc
made = 0


def make(data=None, **attributes):
    global made
    made += 1
    named = {"id": f"pypi-{made}", "source": "/pypi", "type": "pypi.tested", "subject": "order/o-1"}
    return CloudEvent({"specversion": "1.0", **named, **attributes}, data)


def events():
    yield make({"n": 1, "nested": [None, True, "x"]}, datacontenttype="application/json")
    yield make({"n": 1}, datacontenttype="application/vnd.example+json")
    yield make("text", datacontenttype="text/plain")
    yield make('<much wow="xml"/>', datacontenttype="application/xml")
    yield make(b"\0\1\x80\xff", datacontenttype="application/octet-stream")
    yield make({}, datacontenttype="application/json", time=datetime(2018, 4, 5, 17, 31, tzinfo=timezone.utc))
    yield make(time=datetime(2018, 4, 5, 17, 31, 0, 250, tzinfo=timezone(timedelta(hours=-3))), dataschema="urn:a:b")
    yield make(extinteger=10, extboolean=True, extstring="text", exturi="https://example.com", extbinary="TWE=")
    yield make(subject='100% of "a" & <b>', partitionkey="Euro € 😀")


def request(method, path, body=None, headers={}):
    connection = HTTPConnection(SERVER, timeout=30)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status in (200, 202), answer
    return answer


def send(message):
    return request("POST", "/v1/events", message.body, message.headers)["events"]


def stored(position):
    event = request("GET", f"/v1/events/{position}")["event"]
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, json.dumps(event).encode())
    return from_structured_event(message)


def same(event, accepted, is_text=False):
    assert not accepted["duplicate"], accepted
    found, sent = stored(accepted["position"]), event
    for name in {*found.get_attributes(), *sent.get_attributes()}:
        values = [found.get_attributes().get(name), sent.get_attributes().get(name)]
        if is_text and isinstance(values[1], (bool, int)):
            values = [str(value) for value in values]
        assert values[0] == values[1], (name, values)
    assert found.get_data() == sent.get_data(), (found.get_data(), sent.get_data())


for event in events():
    same(event, send(to_structured_event(event))[0])
for event in events():
    same(event, send(to_binary_event(event))[0], is_text=True)
batch = list(events())
body = b"[" + b",".join(to_structured_event(event).body for event in batch) + b"]"
accepted = send(HTTPMessage({"content-type": "application/cloudevents-batch+json"}, body))
for event, one in zip(batch, accepted, strict=True):
    same(event, one)
again = send(to_binary_event(batch[0]))[0]
assert again["duplicate"] and again["position"] == accepted[0]["position"], again
