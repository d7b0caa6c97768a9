"""The details of errors in words, by what the service's reflection tells alone.

    python details.py ADDRESS PROJECT_TOKEN KEY_ID KEY_SECRET

The service limits addresses to one request, but not loopback, and believes X-Forwarded-For.
"""

import base64
import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, token, key_id, secret = sys.argv[1:]
pair = base64.b64encode(f"{key_id}:{secret}".encode()).decode()
metadata = [("authorization", f"Basic {pair}"), ("x-forwarded-for", "203.0.113.7")]
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
Status = GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))
service = pool.FindServiceByName("footfall.tracking.v2.TrackingService")
method = service.FindMethodByName("AddEvent")
request = GetMessageClass(method.input_type)(project_token=token, customer_ids={"registered": "a"})
rpc = channel.unary_unary(
    f"/{service.full_name}/{method.name}",
    request_serializer=lambda message: message.SerializeToString(),
    response_deserializer=GetMessageClass(method.output_type).FromString,
)

# The first lacks its type, the second is one too many.
for _ in range(2):
    try:
        rpc(request, metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
        status = json_format.MessageToDict(Status.FromString(packed), descriptor_pool=pool)
        print(f"{error.code().name}: {status['message']}")
        for detail in status["details"]:
            kind = detail.pop("@type").removeprefix("type.googleapis.com/")
            print(f"  {kind} {json.dumps(detail, sort_keys=True)}")
