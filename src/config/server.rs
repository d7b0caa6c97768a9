//! `[server]`: the listeners, and what guards them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::reader::Fields;
use super::tls;
use super::units::{
    ANSWER_SIZE, DURATION, HEAD_SIZE, SIZE, SOCKET, WAIT, count, nonzero, nonzero_u32,
};
use super::value::{Kind, SWITCH, Value};

/// The listeners, and what guards them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where gRPC and REST are served. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Where metrics and health are served. Default 127.0.0.1:9090.
    pub admin_listen: SocketAddr,
    /// With what [`Options::listen`] speaks TLS: `[server.tls]`. Default: plain text.
    pub tls: Option<tls::Options>,
    /// The same for [`Options::admin_listen`]: `[server.admin_tls]`.
    pub admin_tls: Option<tls::Options>,
    /// Whether each connection to [`Options::listen`] begins with a head of the PROXY protocol, which names its client.
    /// Default: no.
    pub proxy_protocol: bool,
    /// Open connections beyond which no more are accepted. Default 10000.
    pub connections_max: NonZeroUsize,
    /// Open connections of [`Options::admin_listen`]. Default 256.
    pub admin_connections_max: NonZeroUsize,
    /// Open connections of one address (IPv6: of a /64) beyond which further ones are closed at once; proxies that are
    /// believed may have any number. Default 512.
    pub connections_per_address_max: NonZeroUsize,
    /// Concurrent HTTP/2 streams of one connection. Default 256.
    pub streams_max: NonZeroU32,
    /// Head of an HTTP/1.1 request, and list of headers of an HTTP/2 one, in bytes, with 32 for each header. Default 32
    /// KiB.
    pub header_bytes_max: NonZeroU32,
    /// HTTP/2 streams of one connection that their caller has reset before they were looked at. Default 20.
    pub resets_max: NonZeroUsize,
    /// HTTP/2 streams of one connection, in all its time, that were reset for what their caller did wrong. Default
    /// 1024.
    pub error_resets_max: NonZeroUsize,
    /// Calls in flight, from their headers until their answers begin. Default 16384.
    pub requests_max: NonZeroUsize,
    /// Calls in flight of one client address (IPv6: of a /64), until it has taken its answers over HTTP/2. Default
    /// 1024.
    pub requests_per_address_max: NonZeroUsize,
    /// Longest an HTTP/1.1 connection waits for the head of its next request, and any connection for its first bytes
    /// and for the end of a TLS handshake. Default 10 s.
    pub header_timeout: Duration,
    /// Longest that a kept HTTP/1.1 connection waits for the first byte of its next request. Default 75 s.
    pub keep_alive_timeout: Duration,
    /// Longest a caller may take to send a request's body, over both protocols, or the first message of a stream of
    /// commands. Default 30 s.
    pub body_timeout: Duration,
    /// How long an HTTP/2 connection is silent before the caller is asked whether it is still there; without an
    /// answer it is closed. Default 5 min.
    pub idle_timeout: Duration,
    /// Longest a read waits for the view, and an append for the disk. Default 10 s.
    pub request_timeout: Duration,
    /// Watches and exports that one key may have in flight. Default 64.
    pub watchers_max: NonZeroUsize,
    /// Reads that run at once, in all. Default 64.
    pub reads_max: NonZeroUsize,
    /// Reads that run at once of a project. Default 16.
    pub reads_per_project_max: NonZeroUsize,
    /// Reads that run at once of a key. Default 8.
    pub reads_per_key_max: NonZeroUsize,
    /// Bytes of answers to reads that are not taken yet, in all. Default 256 MiB.
    pub answers_bytes_max: NonZeroUsize,
    /// Bytes of answers of one key that are not taken yet. Default 64 MiB.
    pub answers_per_key_bytes_max: NonZeroUsize,
    /// Largest message of gRPC that is answered, with its framing, in bytes. Default 4 MiB.
    pub answer_bytes_max: NonZeroUsize,
    /// Longest that an export stays with one moment. Default 30 s.
    pub snapshot_timeout: Duration,
    /// Longest silence of a watch before it tells its cursor. Default 15 s.
    pub watch_heartbeat: Duration,
    /// Watches, exports, streams of commands, watches of health and reflections in flight, over all protocols. Default
    /// 16384.
    pub streaming_calls_max: NonZeroUsize,
    /// The same of one client address (IPv6: of a /64). Default 256.
    pub streaming_calls_per_address_max: NonZeroUsize,
    /// Streams of commands of one key. Default 4096.
    pub streaming_calls_per_key_max: NonZeroUsize,
    /// Streams that send, commands or questions to reflection, and whose callers do not take what they are answered.
    /// Default 256.
    pub stalled_streams_max: NonZeroUsize,
    /// What the bodies and messages that are received, decompressed or not yet handled may take of the memory, in
    /// bytes. The first 4 KiB of each call are not counted. Default 256 MiB.
    pub body_memory_max: NonZeroUsize,
    /// The same of one client address (IPv6: of a /64). Default 64 MiB.
    pub body_memory_per_address_max: NonZeroUsize,
    /// The same of one key. Default 128 MiB.
    pub body_memory_per_key_max: NonZeroUsize,
    /// Largest body of a single route, decompressed, in bytes. Default 1 MiB.
    pub body_bytes_max: NonZeroUsize,
    /// Largest body of a batch, decompressed, in bytes. Default 16 MiB.
    pub batch_bytes_max: NonZeroUsize,
    /// How long a stopping server still accepts connections after it stopped being ready. Default 0 s.
    pub drain_wait: Duration,
    /// Longest a stopping server waits for the requests in flight. Default 30 s.
    pub drain_timeout: Duration,
    /// Origins whose pages may call: `*`, or such as `https://example.com`. Default `*`; empty: none may.
    pub cors_origins: Vec<String>,
}

const ORIGIN: Kind<String> = Kind::new(
    "\"*\" or an origin such as \"https://example.com\", without a path",
    |value| {
        value
            .text()
            .filter(|text| is_origin(text))
            .map(str::to_owned)
    },
);

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            admin_listen: (Ipv4Addr::LOCALHOST, 9090).into(),
            tls: None,
            admin_tls: None,
            proxy_protocol: false,
            connections_max: nonzero(10_000),
            admin_connections_max: nonzero(256),
            connections_per_address_max: nonzero(512),
            streams_max: nonzero_u32(256),
            header_bytes_max: nonzero_u32(32 << 10),
            resets_max: nonzero(20),
            error_resets_max: nonzero(1024),
            requests_max: nonzero(16_384),
            requests_per_address_max: nonzero(1024),
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
            request_timeout: Duration::from_secs(10),
            watchers_max: nonzero(64),
            reads_max: nonzero(64),
            reads_per_project_max: nonzero(16),
            reads_per_key_max: nonzero(8),
            answers_bytes_max: nonzero(256 << 20),
            answers_per_key_bytes_max: nonzero(64 << 20),
            answer_bytes_max: nonzero(4 << 20),
            snapshot_timeout: Duration::from_secs(30),
            watch_heartbeat: Duration::from_secs(15),
            streaming_calls_max: nonzero(16_384),
            streaming_calls_per_address_max: nonzero(256),
            streaming_calls_per_key_max: nonzero(4096),
            stalled_streams_max: nonzero(256),
            body_memory_max: nonzero(256 << 20),
            body_memory_per_address_max: nonzero(64 << 20),
            body_memory_per_key_max: nonzero(128 << 20),
            body_bytes_max: nonzero(1 << 20),
            batch_bytes_max: nonzero(16 << 20),
            drain_wait: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            cors_origins: vec!["*".to_owned()],
        }
    }
}

impl Options {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        let default = Self::default();
        let options = Self {
            listen: fields.read("listen", SOCKET, default.listen),
            admin_listen: fields.read("admin_listen", SOCKET, default.admin_listen),
            tls: fields.section("tls", tls::Options::read),
            admin_tls: fields.section("admin_tls", tls::Options::read),
            proxy_protocol: fields.read("proxy_protocol", SWITCH, default.proxy_protocol),
            connections_max: fields.read("connections_max", count(), default.connections_max),
            admin_connections_max: fields.read(
                "admin_connections_max",
                count(),
                default.admin_connections_max,
            ),
            connections_per_address_max: fields.read(
                "connections_per_address_max",
                count(),
                default.connections_per_address_max,
            ),
            streams_max: fields.read("streams_max", count(), default.streams_max),
            header_bytes_max: fields.read("header_bytes_max", HEAD_SIZE, default.header_bytes_max),
            resets_max: fields.read("resets_max", count(), default.resets_max),
            error_resets_max: fields.read("error_resets_max", count(), default.error_resets_max),
            requests_max: fields.read("requests_max", count(), default.requests_max),
            requests_per_address_max: fields.read(
                "requests_per_address_max",
                count(),
                default.requests_per_address_max,
            ),
            header_timeout: fields.read("header_timeout", DURATION, default.header_timeout),
            keep_alive_timeout: fields.read(
                "keep_alive_timeout",
                DURATION,
                default.keep_alive_timeout,
            ),
            body_timeout: fields.read("body_timeout", DURATION, default.body_timeout),
            idle_timeout: fields.read("idle_timeout", DURATION, default.idle_timeout),
            request_timeout: fields.read("request_timeout", DURATION, default.request_timeout),
            watchers_max: fields.read("watchers_max", count(), default.watchers_max),
            reads_max: fields.read("reads_max", count(), default.reads_max),
            reads_per_project_max: fields.read(
                "reads_per_project_max",
                count(),
                default.reads_per_project_max,
            ),
            reads_per_key_max: fields.read("reads_per_key_max", count(), default.reads_per_key_max),
            answers_bytes_max: fields.read("answers_bytes_max", SIZE, default.answers_bytes_max),
            answers_per_key_bytes_max: fields.read(
                "answers_per_key_bytes_max",
                SIZE,
                default.answers_per_key_bytes_max,
            ),
            answer_bytes_max: fields.read(
                "answer_bytes_max",
                ANSWER_SIZE,
                default.answer_bytes_max,
            ),
            snapshot_timeout: fields.read("snapshot_timeout", DURATION, default.snapshot_timeout),
            watch_heartbeat: fields.read("watch_heartbeat", DURATION, default.watch_heartbeat),
            streaming_calls_max: fields.read(
                "streaming_calls_max",
                count(),
                default.streaming_calls_max,
            ),
            streaming_calls_per_address_max: fields.read(
                "streaming_calls_per_address_max",
                count(),
                default.streaming_calls_per_address_max,
            ),
            streaming_calls_per_key_max: fields.read(
                "streaming_calls_per_key_max",
                count(),
                default.streaming_calls_per_key_max,
            ),
            stalled_streams_max: fields.read(
                "stalled_streams_max",
                count(),
                default.stalled_streams_max,
            ),
            body_memory_max: fields.read("body_memory_max", SIZE, default.body_memory_max),
            body_memory_per_address_max: fields.read(
                "body_memory_per_address_max",
                SIZE,
                default.body_memory_per_address_max,
            ),
            body_memory_per_key_max: fields.read(
                "body_memory_per_key_max",
                SIZE,
                default.body_memory_per_key_max,
            ),
            body_bytes_max: fields.read("body_bytes_max", SIZE, default.body_bytes_max),
            batch_bytes_max: fields.read("batch_bytes_max", SIZE, default.batch_bytes_max),
            drain_wait: fields.read("drain_wait", WAIT, default.drain_wait),
            drain_timeout: fields.read("drain_timeout", DURATION, default.drain_timeout),
            cors_origins: fields
                .list("cors_origins", ORIGIN)
                .unwrap_or(default.cors_origins),
        };
        if options.listen == options.admin_listen && options.listen.port() != 0 {
            let problem = Value::Word(&options.listen.to_string()).to_string();
            fields.mistake(
                "admin_listen",
                format!("{problem} is server.listen too, expected another"),
            );
        }
        options
    }
}

/// Browsers send an origin in lower case, without a path; anything else would never match.
fn is_origin(text: &str) -> bool {
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#@*,\\\"".contains(&byte))
    };
    let is_lower = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let parts = text.split_once("://");
    text == "*"
        || parts.is_some_and(|(scheme, host)| !scheme.is_empty() && is_host(host)) && is_lower(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for origin in [
            "*",
            "https://example.com",
            "http://localhost:3000",
            "capacitor://localhost",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for origin in [
            "",
            "example.com",
            "https://",
            "https://a.b/",
            "https://*.a.b",
            "https://A.b",
            "://a",
        ] {
            assert!(!is_origin(origin), "{origin}");
        }
    }
}
