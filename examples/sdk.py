"""Tracks and reads back with the Exponea SDK, unmodified.

    pip install exponea-python-sdk
    python sdk.py http://127.0.0.1:8080 PROJECT_TOKEN KEY_ID KEY_SECRET
"""

import sys

from exponea_python_sdk import Exponea

url, token, key_id, secret = sys.argv[1:]
exponea = Exponea(token, username=key_id, password=secret, url=url)
jane = {"registered": "jane@example.com"}

exponea.tracking.update_customer_properties(jane, {"first_name": "Jane"})
exponea.tracking.add_event(jane, "page_visit", {"path": "/pricing"})
results = exponea.tracking.batch_commands([
    exponea.tracking.update_customer_properties(jane, {"plan": "pro"}, batch=True),
    exponea.tracking.add_event(jane, "purchase", {"price": 49.9}, batch=True),
])
print("batch:", results)

customer = exponea.customer.get_customer(jane)
print("properties:", customer["properties"])
for event in exponea.customer.get_events(jane, ["page_visit", "purchase"]):
    print("event:", event["type"], event["properties"])
