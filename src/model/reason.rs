//! Why something that a caller sent is refused, dropped or remarked on: one closed list for both protocols, the metrics
//! and the documents.

/// What becomes of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing of the call or command is stored.
    Refused,
    /// It is accepted, and changes nothing.
    Dropped,
    /// It is stored, but not quite as it was sent, or not as it was meant.
    Remark,
}

macro_rules! reasons {
    ($($(#[$at:meta])* $name:ident = $tag:literal, $severity:ident: $meaning:literal, $advice:literal;)+) => {
        /// A reason. Each has a tag that never changes, and never means another thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(
                #[doc = $meaning]
                $name,
            )+
        }

        impl Reason {
            /// Every reason, as the documents list them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its tag, as in the metrics. `ErrorInfo.reason` has it in upper case.
            pub const fn tag(self) -> &'static str {
                match self {
                    $(Self::$name => $tag),+
                }
            }

            /// What becomes of what was sent.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity),+
                }
            }

            /// What is the matter.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning),+
                }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice),+
                }
            }
        }
    };
}

reasons! {
    // Who calls.
    ProjectUnknown = "project_unknown", Refused:
        "no project has this token", "compare the token with `[[project]]` in the settings";
    KeyMissing = "key_missing", Refused:
        "the call has no key", "send `Authorization: Token …` or `Basic …`";
    KeyUnreadable = "key_unreadable", Refused:
        "the `Authorization` header cannot be read", "send `Token public_key` or `Basic base64(key_id:secret)`";
    KeyUnknown = "key_unknown", Refused:
        "the project has no such key", "compare key and project with the settings";
    SecretWrong = "secret_wrong", Refused:
        "the key's secret is another one", "send the secret that `footfall keygen` printed, or make a new key";
    PermissionMissing = "permission_missing", Refused:
        "the key may not do this", "add the permission to the key, or use another key";
    // How much is sent.
    RateLimitExceeded = "rate_limit_exceeded", Refused:
        "an address, a project or a key has spent its quota", "wait as long as the answer says; send batches";
    RequestsInFlight = "requests_in_flight", Refused:
        "too many calls are in flight, of the address or in all", "wait for answers before sending more";
    StreamsOpen = "streams_open", Refused:
        "too many streams are open, of the key, the address or in all", "end streams that nobody reads";
    ReadsInFlight = "reads_in_flight", Refused:
        "a read did not get its turn in time", "read less at once";
    BodyMemory = "body_memory", Refused:
        "bodies and messages take all the memory that they may", "send less at once, or raise `body_memory_max`";
    AnswersNotTaken = "answers_not_taken", Refused:
        "earlier answers have not been read yet", "read answers as they come";
    HeadersTooLarge = "headers_too_large", Refused:
        "the request's headers are too large", "send fewer or shorter headers";
    BodyTooLarge = "body_too_large", Refused:
        "the body is larger than its route allows", "send smaller bodies, or several batches";
    MessageTooLarge = "message_too_large", Refused:
        "the gRPC message is larger than its rpc allows", "send smaller messages";
    BodyTimeout = "body_timeout", Refused:
        "the body or the first message did not come in time", "send faster, or raise `body_timeout`";
    BodyIncomplete = "body_incomplete", Refused:
        "the caller ended its body early", "look for what cuts its connection";
    // What protocol it is.
    PathUnknown = "path_unknown", Refused:
        "no route has this path", "compare it with the list of routes";
    MethodNotAllowed = "method_not_allowed", Refused:
        "the path has other methods", "use a method that `Allow` names";
    MediaTypeUnsupported = "media_type_unsupported", Refused:
        "the body's type or charset is not read here", "send `Content-Type: application/json`";
    CodingUnsupported = "coding_unsupported", Refused:
        "the compression is not supported", "use one that the text names";
    CodingInvalid = "coding_invalid", Refused:
        "the body is not compressed as its header says", "send the header that fits";
    RpcUnknown = "rpc_unknown", Refused:
        "no service has this rpc", "compare client and service: reflection lists the rpcs";
    MessageInvalid = "message_invalid", Refused:
        "the gRPC message, or the number of messages, breaks the protocol",
        "generate the client from these definitions";
    DeadlineInvalid = "deadline_invalid", Refused:
        "`grpc-timeout` cannot be read", "send up to eight digits and a unit";
    DeadlineExceeded = "deadline_exceeded", Refused:
        "the call's own deadline has passed", "give it more time; retrying with the same timestamps is safe";
    Cancelled = "cancelled", Refused:
        "the caller has gone", "nothing, unless it is unexpected";
    JsonInvalid = "json_invalid", Refused:
        "the body is not JSON in UTF-8", "send one JSON object";
    KeyTwice = "key_twice", Refused:
        "an object has the same key twice", "send each key once";
    FieldInvalid = "field_invalid", Refused:
        "a field has a value that it cannot have", "the text names field and value";
    // What a command says.
    IdsMissing = "ids_missing", Refused:
        "no ID is usable: none there, empty, or a word for nothing", "send at least one ID with a value";
    IdTypeUnknown = "id_type_unknown", Refused:
        "the project does not list this type of ID", "list it in the project, or set `unlisted_ids = \"skip\"`";
    IdInvalid = "id_invalid", Refused:
        "an ID is too long, or neither text nor a whole number", "send up to 256 characters";
    EventTypeInvalid = "event_type_invalid", Refused:
        "the event has no type, or one that is too long", "send 1 to 255 characters";
    TimeInvalid = "time_invalid", Refused:
        "a time cannot be read, or is outside 1970 to 9999", "send Unix seconds or ISO 8601";
    UrlMissing = "url_missing", Refused:
        "a click has no address", "send `url`";
    PropertiesInvalid = "properties_invalid", Refused:
        "the properties are no object, too many, or have a name or value that cannot be kept",
        "the text names the property";
    PropertyTooLarge = "property_too_large", Refused:
        "a property's value is too large", "send at most 16 KiB as JSON";
    PropertyTooDeep = "property_too_deep", Refused:
        "a property's value nests too deep", "send at most 32 levels";
    CommandTooLarge = "command_too_large", Refused:
        "a command is too large", "send at most 800 KiB as JSON";
    CommandUnknown = "command_unknown", Refused:
        "a batch or stream has a command that does not exist, or none", "the text names it";
    BatchEmpty = "batch_empty", Refused:
        "a batch has no commands", "send 1 to 50";
    BatchTooLong = "batch_too_long", Refused:
        "a batch has too many commands", "send at most 50";
    // What a read asks.
    CustomerUnknown = "customer_unknown", Refused:
        "no customer has one of the IDs", "compare them; a write becomes readable shortly after its answer";
    CustomersSeveral = "customers_several", Refused:
        "the IDs are those of several customers", "name one of them";
    QueryInvalid = "query_invalid", Refused:
        "a query names too few or too many things, or a limit out of range", "the text names the field";
    CursorInvalid = "cursor_invalid", Refused:
        "a cursor or page token is not one that this project was given", "start again from a time";
    AnswerTooLarge = "answer_too_large", Refused:
        "the answer would be larger than clients read", "ask as the text says";
    // What the service cannot do now.
    Overloaded = "overloaded", Refused:
        "more is waiting to be written than may", "wait as long as the answer says";
    ViewBehind = "view_behind", Refused:
        "the view is too far behind the log to be read in time", "wait; see `footfall_view_lag_seconds`";
    ViewStopped = "view_stopped", Refused:
        "the view has stopped", "operators: see the log";
    DiskFull = "disk_full", Refused:
        "the disk is full", "operators: free space, and it goes on by itself";
    LogFailed = "log_failed", Refused:
        "the log takes no more after a failed write", "operators: see the log, and restart";
    Draining = "draining", Refused:
        "the service is about to stop", "call again: another process takes over";
    Damaged = "damaged", Refused:
        "stored data is damaged", "operators: see the log, and restore a backup";
    Internal = "internal", Refused:
        "a defect of the service", "operators: see the log for the call's `x-request-id`";
    Unavailable = "unavailable", Refused:
        "the service cannot take the call now", "wait as long as the answer says";
    // What is accepted all the same.
    Duplicate = "duplicate", Dropped:
        "the event is there already, with the same time and properties", "nothing: retries are meant to do this";
    IdSkipped = "id_skipped", Remark:
        "an ID of a type that the project does not list was skipped", "list the type in the project";
    IdsClash = "ids_clash", Remark:
        "the IDs are those of customers that cannot be one; nothing was merged",
        "look for a device or cookie of several people";
    SoftIdEvicted = "soft_id_evicted", Remark:
        "a customer had 64 soft IDs of the type; the one unused for longest was dropped",
        "look for a cookie that changes with each visit";
    PropertyDropped = "property_dropped", Remark:
        "a customer had 1,024 properties; the one updated longest ago was dropped",
        "look for a client that makes up names";
    TimeInFuture = "time_in_future", Remark:
        "a time is ahead of its receipt; an update counts as of now, an event keeps it", "set the client's clock";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_reason_has_a_tag_of_its_own_that_error_info_takes() {
        let tags: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.tag()).collect();
        assert_eq!(tags.len(), Reason::ALL.len());
        for tag in tags {
            let is_word =
                |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
            assert!(tag.len() <= 63 && tag.split('_').all(is_word), "{tag}");
        }
    }
}
