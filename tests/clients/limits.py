"""A refusal by any quota, over gRPC and as raw HTTP: prints what both say, once every number agrees with all others.

    python limits.py ADDRESS PROJECT_TOKEN KEY_ID KEY_SECRET

The service's time stands still, loopback is exempt, and it refuses at the latest after ten calls.
"""

import base64
import json
import math
import socket
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, token, key_id, secret = sys.argv[1:]
authorization = "Basic " + base64.b64encode(f"{key_id}:{secret}".encode()).decode()
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
service = pool.FindServiceByName("footfall.tracking.v2.TrackingService")
method = service.FindMethodByName("GetSystemTime")
request = GetMessageClass(method.input_type)(project_token=token)
rpc = channel.unary_unary(
    f"/{service.full_name}/{method.name}",
    request_serializer=lambda message: message.SerializeToString(),
    response_deserializer=GetMessageClass(method.output_type).FromString,
)
caller = "203.0.113.7"


def refused_call():
    for _ in range(10):
        try:
            rpc(request, metadata=[("authorization", authorization), ("x-forwarded-for", caller)], timeout=10)
        except grpc.RpcError as error:
            return error
    raise AssertionError("not refused")


def raw_get():
    """Status, headers and body, from the bytes on the socket."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        lines = [
            f"GET /track/v2/projects/{token}/system/time HTTP/1.1",
            "Host: footfall",
            f"Authorization: {authorization}",
            f"X-Forwarded-For: {caller}",
            "Connection: close",
        ]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, body = answer.split(b"\r\n\r\n", 1)
    first, *rest = head.decode().split("\r\n")
    headers = {}
    for line in rest:
        name, value = line.split(":", 1)
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value.strip()
    assert len(body) == int(headers["content-length"]), headers
    return int(first.split(" ")[1]), headers, body


def items(field):
    """The items of a structured list: name to parameters, all of them whole numbers (RFC 9651)."""
    found = {}
    for item in field.split(","):
        name, *parameters = item.strip().split(";")
        assert name[0] == name[-1] == '"', field
        found[name.strip('"')] = {key: int(value) for key, value in (one.split("=") for one in parameters)}
    return found


error = refused_call()
http_status, headers, body = raw_get()

# gRPC: the code, the message and the details, decoded with the types that Google publishes.
assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
metadata = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata())
status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
assert (status.code, status.message) == (code_pb2.RESOURCE_EXHAUSTED, error.details()), status
details = {}
for packed in status.details:
    kind = packed.TypeName()
    message = getattr(error_details_pb2, kind.removeprefix("google.rpc."))()
    assert packed.Unpack(message) and kind not in details, kind
    details[kind] = message
assert set(details) == {"google.rpc.RetryInfo", "google.rpc.QuotaFailure", "google.rpc.ErrorInfo"}, details
wait = details["google.rpc.RetryInfo"].retry_delay
nanos = wait.seconds * 1_000_000_000 + wait.nanos
assert int(metadata["grpc-retry-pushback-ms"]) == math.ceil(nanos / 1_000_000), metadata

# REST: the same status, message and details, in the JSON form of the same types.
assert http_status == 429, http_status
assert headers["content-type"] == "application/json", headers
told = json.loads(body)
assert told["success"] is False and told["code"] == "RESOURCE_EXHAUSTED", told
assert told["error"] == told["message"] == told["errors"][0] == status.message, told
in_json = {}
for detail in told["details"]:
    kind = detail.pop("@type").removeprefix("type.googleapis.com/")
    in_json[kind] = json_format.ParseDict(detail, type(details[kind])())
assert in_json == details, (in_json, details)
assert int(headers["retry-after"]) == math.ceil(nanos / 1_000_000_000), headers

# The headers of both, and what they say beside the details.
assert headers["ratelimit-policy"] == metadata["ratelimit-policy"], (headers, metadata)
policies, limits = items(headers["ratelimit-policy"]), items(headers["ratelimit"])
# The call was a request of the address as well, which admits it before anybody knows the project.
before = items(metadata["ratelimit"])
if limits["perip"]["r"] > 0:
    before["perip"]["r"] -= 1
assert limits == before, (headers, metadata)
assert list(policies) == list(limits), headers
info = details["google.rpc.ErrorInfo"]
assert (info.reason, info.domain) == ("RATE_LIMIT_EXCEEDED", "footfall"), info
refusing = info.metadata["quota_policy"]
assert int(info.metadata["quota_limit"]) == policies[refusing]["q"], info
violations = details["google.rpc.QuotaFailure"].violations
spent = [name for name, limit in limits.items() if limit["r"] == 0]
assert refusing in spent and len(violations) == len(spent), (violations, limits)
for name in spent:
    policy = policies[name]
    rule = f"{policy['q']} requests per {policy['w']} s"
    assert any(rule in violation.description for violation in violations), (name, violations)
assert f"{policies[refusing]['q']} requests per {policies[refusing]['w']} s" in status.message, status
assert limits[refusing]["t"] * 1_000_000_000 >= nanos, (limits, nanos)

print(json.dumps({
    "message": status.message,
    "wait_ms": nanos / 1_000_000,
    "pushback_ms": int(metadata["grpc-retry-pushback-ms"]),
    "retry_after": int(headers["retry-after"]),
    "subjects": [violation.subject for violation in violations],
    "policy": headers["ratelimit-policy"],
    "limit": headers["ratelimit"],
}))
