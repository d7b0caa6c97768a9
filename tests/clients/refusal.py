"""A refusal beyond the rate limit, over gRPC and REST: both say the same.

    python refusal.py ADDRESS PROJECT_TOKEN KEY_ID KEY_SECRET

The service limits addresses to two requests an hour, but not loopback, and believes X-Forwarded-For.
"""

import base64
import math
import sys

import grpc
import requests
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

address, token, key_id, secret = sys.argv[1:]
caller = "203.0.113.7"
pair = base64.b64encode(f"{key_id}:{secret}".encode()).decode()
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
service = pool.FindServiceByName("footfall.tracking.v2.TrackingService")
method = service.FindMethodByName("GetSystemTime")
request = GetMessageClass(method.input_type)(project_token=token)


def call(forwarded_for):
    rpc = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    metadata = [("authorization", f"Basic {pair}"), ("x-forwarded-for", forwarded_for)]
    return rpc(request, metadata=metadata, timeout=10)


def get(forwarded_for):
    url = f"http://{address}/track/v2/projects/{token}/system/time"
    headers = {"X-Forwarded-For": forwarded_for}
    return requests.get(url, headers=headers, auth=(key_id, secret), timeout=10)


# The quota is one for both protocols.
assert call(caller).HasField("time")
assert get(caller).status_code == 200
try:
    call(caller)
except grpc.RpcError as error:
    over_grpc = error
else:
    raise AssertionError("not refused")
over_rest = get(caller)
# Others notice nothing.
assert call("203.0.113.8").HasField("time")
assert get("203.0.113.9").status_code == 200

assert over_grpc.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, over_grpc
status = rpc_status.from_call(over_grpc)
assert status.code == code_pb2.RESOURCE_EXHAUSTED, status
details = {}
for packed in status.details:
    kind = packed.TypeName()
    message = getattr(error_details_pb2, kind.removeprefix("google.rpc."))()
    assert packed.Unpack(message), kind
    details[kind] = message
assert set(details) == {"google.rpc.RetryInfo", "google.rpc.QuotaFailure", "google.rpc.ErrorInfo"}, details
assert details["google.rpc.ErrorInfo"].reason == "RATE_LIMIT_EXCEEDED", details
(violation,) = details["google.rpc.QuotaFailure"].violations
assert violation.subject == f"address:{caller}", violation
delay = details["google.rpc.RetryInfo"].retry_delay.ToTimedelta().total_seconds()
# Two an hour: the next is admitted half an hour after the first.
assert 1700 < delay <= 1800, delay
pushback = dict(over_grpc.trailing_metadata())["grpc-retry-pushback-ms"]
assert 0 <= int(pushback) - delay * 1000 < 1.001, (pushback, delay)

assert over_rest.status_code == 429, over_rest.text
body = over_rest.json()
assert body["success"] is False and body["code"] == "RESOURCE_EXHAUSTED", body
assert body["error"] == body["message"] == body["errors"][0] == status.message, body
told = {}
for detail in body["details"]:
    kind = detail.pop("@type").removeprefix("type.googleapis.com/")
    message = getattr(error_details_pb2, kind.removeprefix("google.rpc."))()
    told[kind] = json_format.ParseDict(detail, message)
assert set(told) == set(details), body
for kind in ("google.rpc.QuotaFailure", "google.rpc.ErrorInfo"):
    assert told[kind] == details[kind], body
rest_delay = told["google.rpc.RetryInfo"].retry_delay.ToTimedelta().total_seconds()
# It was asked a moment later.
assert 0 <= delay - rest_delay < 60, (delay, rest_delay)
assert int(over_rest.headers["Retry-After"]) == math.ceil(rest_delay), over_rest.headers
assert over_rest.headers["RateLimit-Policy"] == '"perip";q=2;w=3600', over_rest.headers
assert over_rest.headers["RateLimit"].startswith('"perip";r=0;t='), over_rest.headers
print("both protocols refuse in the same words")
