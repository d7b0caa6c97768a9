"""Stands in for grpcurl where the documents use it: makes the call that its arguments ask for.

    grpcurl.py -plaintext [-H "name: value"] -d JSON ADDRESS SERVICE/METHOD
"""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

arguments, metadata, data, rest = sys.argv[1:], [], "{}", []
while arguments:
    argument = arguments.pop(0)
    if argument == "-plaintext":
        continue
    elif argument == "-H":
        name, value = arguments.pop(0).split(": ", 1)
        metadata.append((name.lower(), value))
    elif argument == "-d":
        data = arguments.pop(0)
    elif argument.startswith("-"):
        sys.exit(f"{argument}: not known to the stand-in")
    else:
        rest.append(argument)
address, symbol = rest
service_name, method_name = symbol.split("/")
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
method = pool.FindServiceByName(service_name).FindMethodByName(method_name)
rpc = channel.unary_unary(
    f"/{service_name}/{method_name}",
    request_serializer=lambda message: message.SerializeToString(),
    response_deserializer=GetMessageClass(method.output_type).FromString,
)
request = json_format.Parse(data, GetMessageClass(method.input_type)())
try:
    print(json_format.MessageToJson(rpc(request, metadata=metadata, timeout=10)))
except grpc.RpcError as error:
    sys.exit(f"{error.code()}: {error.details()}")
