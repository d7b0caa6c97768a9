"""A caller of the Exponea SDK that tries again: the SDK itself does not.

    python retries.py URL PROJECT_TOKEN
"""

import logging
import sys
import time

import requests
from exponea_python_sdk import Exponea
from exponea_python_sdk.exceptions import APIException

url, token = sys.argv[1:]
logging.disable()
exponea = Exponea(token, username="any", password="key", url=url)
# With a time of its own, an event that is sent again is the same one.
event = ({"registered": "sdk@example.com"}, "payment", {"price": 100.0}, 1700000000.5)
for attempt in range(1, 20):
    try:
        assert exponea.tracking.add_event(*event) is True
        break
    except (APIException, requests.ConnectionError) as error:
        print(f"attempt {attempt}: {type(error).__name__}")
        time.sleep(0.01)
print(f"tracked after {attempt} attempts")
