"""What the Exponea SDK, unmodified, gets from a running service.

    python sdk.py URL PROJECT_TOKEN KEY_ID KEY_SECRET
"""

import sys
import time

import requests
from exponea_python_sdk import Exponea
from exponea_python_sdk.exceptions import APIException

url, token, key_id, secret = sys.argv[1:]
# A base URL that ends in a slash makes paths that begin with two.
for base in (url, url + "/"):
    client = Exponea(token, username=key_id, password=secret, url=base)
    assert abs(client.tracking.get_system_time() - time.time()) < 60, base


def refused(call, *arguments):
    """The text of the error that a call ends with."""
    try:
        answer = call(*arguments)
    except APIException as error:
        return error.args[0]
    raise AssertionError(f"not refused: {answer!r}")


def has_route(path):
    """Whether a route is served: nobody is let in there without a key."""
    return requests.post(f"{url}/data/v2/projects/{token}/{path}").status_code == 401


tracking, customer = client.tracking, client.customer
ids = {"registered": "sdk@example.com", "cookie": "sdk-1"}

# One customer: properties of every kind, and events with and without the defaults, which are sent as nulls.
properties = {"name": "Žofie", "age": 9007199254740993, "vip": True, "score": 1.5, "tags": ["a", {"b": None}]}
assert tracking.update_customer_properties(ids, properties) is True
assert tracking.add_event(ids, "bare") is True
assert tracking.add_event(ids, "payment", {"price": 100.0, "items": 2}, 1700000000.5) is True
# A retry changes nothing.
assert tracking.add_event(ids, "payment", {"price": 100.0, "items": 2}, 1700000000.5) is True

# A batch whose second command fails, and a time among the results.
results = tracking.batch_commands([
    tracking.add_event(ids, "first", {"n": 1}, 1700000001, batch=True),
    tracking.add_event({"registered": ""}, "second", batch=True),
    tracking.update_customer_properties(ids, {"plan": "pro"}, batch=True),
    tracking.get_system_time(batch=True),
])
assert results[:3] == [True, False, True], results
assert abs(results[3] - time.time()) < 60, results

# Reads.
found = customer.get_customer(ids)
assert found["ids"] == {"registered": "sdk@example.com", "cookie": ["sdk-1"]}, found
assert found["properties"] == {**properties, "plan": "pro"}, found
assert [event["type"] for event in found["events"]] == ["payment", "first", "bare"], found
assert found["events"][0] == {
    "type": "payment", "timestamp": 1700000000.5, "properties": {"price": 100.0, "items": 2},
}, found
bare = found["events"][2]
assert bare["properties"] == {} and abs(bare["timestamp"] - time.time()) < 60, bare
events = customer.get_events({"cookie": "sdk-1"}, ["payment", "first"])
assert events == found["events"][:2], events

attributes = customer.get_customer_attributes(
    ids, properties=["name", "missing"], ids=["registered", "cookie"], segmentations=["s"], predictions=["p"],
)
assert attributes == {
    "properties": {"name": "Žofie", "missing": None},
    "ids": {"registered": "sdk@example.com", "cookie": ["sdk-1"]},
    # Of no kind that there is: the SDK takes such results for missing permissions.
    "segmentations": {"s": None},
    "predictions": {"p": None},
}, attributes
assert customer.get_customer_consents(ids, ["newsletter"]) == {"newsletter": None}

# Refusals, in the words that the SDK hands on.
assert refused(customer.get_customer, {"registered": "nobody"}) == "Customer does not exist"
assert refused(customer.get_events, ids, []).startswith("Field 'event_types'")
assert refused(tracking.add_event, ids, None) == "Field 'event_type' is required."
assert refused(tracking.add_event, {}, "x") == "At least one id should be specified."
assert refused(tracking.batch_commands, []) == "No commands"
time_command = tracking.get_system_time(batch=True)
assert refused(tracking.batch_commands, [time_command] * 51) == "Too many commands: 51, at most 50"
wrong = Exponea(token, username=key_id, password="wrong", url=url)
assert refused(wrong.tracking.get_system_time) == "invalid secret"
unknown = Exponea(token, username="unknown", password=secret, url=url)
assert refused(unknown.tracking.add_event, ids, "x") == "Access key not found"
elsewhere = Exponea("elsewhere", username=key_id, password=secret, url=url)
assert refused(elsewhere.tracking.get_system_time) == "Could not authenticate"

# Routes that not every version has.
if has_route("customers/export"):
    everybody = customer.get_customers()
    mine = [one for one in everybody if one["ids"]["registered"] == "sdk@example.com"]
    assert len(mine) == 1 and mine[0]["ids"]["cookie"] == ["sdk-1"], everybody
    assert mine[0]["properties"]["plan"] == "pro", mine
else:
    print("skipped: customers/export")
if has_route("customers/anonymize"):
    assert customer.anonymize_customer(ids) is True
    assert refused(customer.get_customer, ids) == "Customer does not exist"
else:
    print("skipped: customers/anonymize")
print("the SDK gets what it expects")
