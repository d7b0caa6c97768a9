//! The contract as Envoy's transcoder can use it.

use footfall::grpc::DESCRIPTORS;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

const STRUCT: &str = "google/protobuf/struct.proto";

/// The descriptors, annotations and all, but an event's properties are a `google.protobuf.Struct`.
///
/// On the wire our `Object` is a superset of it, so the service gets what it understands; and it is what lets the
/// transcoder take the very body that Footfall takes. As an `Object` it would have to say
/// `{"fields": {"price": {"numberValue": 49.9}}}`, and be larger.
pub(super) fn for_envoy() -> Vec<u8> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let set = pool.get_message_by_name("google.protobuf.FileDescriptorSet");
    let mut set = DynamicMessage::decode(set.unwrap(), DESCRIPTORS).unwrap();
    let file = named(&mut set, "file", "footfall/tracking/v2/tracking.proto");
    let dependencies = file.get_field_by_name_mut("dependency").unwrap();
    dependencies
        .as_list_mut()
        .unwrap()
        .push(Value::String(STRUCT.to_owned()));
    let event = named(file, "message_type", "AddEventRequest");
    let properties = named(event, "field", "properties");
    let of = Value::String(".google.protobuf.Struct".to_owned());
    properties.set_field_by_name("type_name", of);
    // A file stands behind those that it imports. Sets that follow each other are one set.
    let imported = DescriptorPool::global().get_file_by_name(STRUCT).unwrap();
    let imported = prost_types::FileDescriptorSet {
        file: vec![imported.file_descriptor_proto().clone()],
    };
    let mut bytes = imported.encode_to_vec();
    set.encode(&mut bytes).unwrap();
    bytes
}

/// The message with a name in a list of a message.
fn named<'a>(message: &'a mut DynamicMessage, list: &str, name: &str) -> &'a mut DynamicMessage {
    let list = message.get_field_by_name_mut(list).unwrap();
    let messages = list.as_list_mut().unwrap().iter_mut();
    messages
        .filter_map(Value::as_message_mut)
        .find(|message| {
            let field = message.get_field_by_name("name").unwrap();
            field.as_str() == Some(name)
        })
        .unwrap()
}
