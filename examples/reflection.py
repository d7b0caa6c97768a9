"""Calls Footfall over gRPC without generated code: the service itself tells its contract.

    pip install grpcio-reflection
    python reflection.py 127.0.0.1:8080 PROJECT_TOKEN KEY_ID KEY_SECRET
"""

import base64
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

address, token, key_id, secret = sys.argv[1:]
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
pair = base64.b64encode(f"{key_id}:{secret}".encode()).decode()


def call(service, method, **fields):
    service = pool.FindServiceByName(f"footfall.tracking.v2.{service}")
    method = service.FindMethodByName(method)
    rpc = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    request = GetMessageClass(method.input_type)(project_token=token, **fields)
    return rpc(request, metadata=[("authorization", f"Basic {pair}")], timeout=10)


jane = {"registered": "jane@example.com"}
properties = {"fields": {"path": {"string_value": "/docs"}, "items": {"integer_value": 3}}}
call("TrackingService", "AddEvent", customer_ids=jane, event_type="page_visit", properties=properties)
customer = call("CustomerService", "GetCustomer", customer_ids=jane)
for event in customer.events:
    print("event:", event.type, sorted(event.properties.fields))
