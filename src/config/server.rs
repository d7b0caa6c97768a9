//! `[server]`: the listeners, and what guards them.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::reader::Fields;
use super::table::settings;
use super::tls;
use super::units::{ANSWER_SIZE, DURATION, HEAD_SIZE, SIZE, SOCKET, WAIT, count};
use super::value::{Kind, SWITCH, Value};
use crate::model::excerpt::Excerpts;

settings! {
    /// The listeners, and what guards them.
    "server", no_address_twice {
        /// Where gRPC and REST are served.
        listen: SocketAddr = read(SOCKET, "127.0.0.1:8080"), restart;
        /// Where metrics and health are served.
        admin_listen: SocketAddr = read(SOCKET, "127.0.0.1:9090"), restart;
        /// Whether the console is served there.
        console: bool = read(SWITCH, "true"), restart;
        /// Names, beside addresses and `localhost`, under which callers may ask there for data of customers.
        admin_hosts: Vec<String> = list(HOST, ""), restart;
        /// What is kept of refused commands, for operators and for keys that may see refusals.
        refusals_excerpt: Excerpts = read(EXCERPTS, "value"), restart;
        /// With what [`Options::listen`] speaks TLS: `[server.tls]`. Default: plain text.
        tls: Option<tls::Options> = section(tls::Options::read), files;
        /// The same for [`Options::admin_listen`]: `[server.admin_tls]`.
        admin_tls: Option<tls::Options> = section(tls::Options::read), files;
        /// Whether each connection to [`Options::listen`] begins with a head of the PROXY protocol, which names its
        /// client.
        proxy_protocol: bool = read(SWITCH, "false"), restart;
        /// Open connections beyond which no more are accepted.
        connections_max: NonZeroUsize = read(count(), "10000"), restart;
        /// Open connections of [`Options::admin_listen`].
        admin_connections_max: NonZeroUsize = read(count(), "256"), restart;
        /// Open connections of one address (IPv6: of a /64) beyond which further ones are closed at once; proxies that
        /// are believed may have any number.
        connections_per_address_max: NonZeroUsize = read(count(), "512"), restart;
        /// Concurrent HTTP/2 streams of one connection.
        streams_max: NonZeroU32 = read(count(), "256"), restart;
        /// Head of an HTTP/1.1 request, and list of headers of an HTTP/2 one, in bytes, with 32 for each header.
        header_bytes_max: NonZeroU32 = read(HEAD_SIZE, "32KiB"), restart;
        /// HTTP/2 streams of one connection that their caller has reset before they were looked at.
        resets_max: NonZeroUsize = read(count(), "20"), restart;
        /// HTTP/2 streams of one connection, in all its time, that were reset for what their caller did wrong.
        error_resets_max: NonZeroUsize = read(count(), "1024"), restart;
        /// Calls in flight, from their headers until their answers begin.
        requests_max: NonZeroUsize = read(count(), "16384"), restart;
        /// Calls in flight of one client address (IPv6: of a /64), until it has taken its answers over HTTP/2.
        requests_per_address_max: NonZeroUsize = read(count(), "1024"), restart;
        /// Longest an HTTP/1.1 connection waits for the head of its next request, and any connection for its first
        /// bytes and for the end of a TLS handshake.
        header_timeout: Duration = read(DURATION, "10s"), restart;
        /// Longest that a kept HTTP/1.1 connection waits for the first byte of its next request.
        keep_alive_timeout: Duration = read(DURATION, "75s"), restart;
        /// Longest a caller may take to send a request's body, over both protocols, or the first message of a stream of
        /// commands.
        body_timeout: Duration = read(DURATION, "30s"), restart;
        /// How long an HTTP/2 connection is silent before the caller is asked whether it is still there; without an
        /// answer it is closed.
        idle_timeout: Duration = read(DURATION, "5m"), restart;
        /// Longest a read waits for the view, and an append for the disk.
        request_timeout: Duration = read(DURATION, "10s"), restart;
        /// Watches and exports that one key may have in flight.
        watchers_max: NonZeroUsize = read(count(), "64"), restart;
        /// Reads that run at once, in all.
        reads_max: NonZeroUsize = read(count(), "64"), restart;
        /// Reads that run at once of a project.
        reads_per_project_max: NonZeroUsize = read(count(), "16"), restart;
        /// Reads that run at once of a key.
        reads_per_key_max: NonZeroUsize = read(count(), "8"), restart;
        /// Bytes of answers to reads that are not taken yet, in all.
        answers_bytes_max: NonZeroUsize = read(SIZE, "256MiB"), restart;
        /// Bytes of answers of one key that are not taken yet.
        answers_per_key_bytes_max: NonZeroUsize = read(SIZE, "64MiB"), restart;
        /// Largest message of gRPC that is answered, with its framing, in bytes.
        answer_bytes_max: NonZeroUsize = read(ANSWER_SIZE, "4MiB"), restart;
        /// Longest that an export stays with one moment.
        snapshot_timeout: Duration = read(DURATION, "30s"), restart;
        /// Longest silence of a watch before it tells its cursor.
        watch_heartbeat: Duration = read(DURATION, "15s"), restart;
        /// Watches, exports, streams of commands, watches of health and reflections in flight, over all protocols.
        streaming_calls_max: NonZeroUsize = read(count(), "16384"), restart;
        /// The same of one client address (IPv6: of a /64).
        streaming_calls_per_address_max: NonZeroUsize = read(count(), "256"), restart;
        /// Streams of commands of one key.
        streaming_calls_per_key_max: NonZeroUsize = read(count(), "4096"), restart;
        /// Streams that send, commands or questions to reflection, and whose callers do not take what they are
        /// answered.
        stalled_streams_max: NonZeroUsize = read(count(), "256"), restart;
        /// What the bodies and messages that are received, decompressed or not yet handled may take of the memory, in
        /// bytes. The first 4 KiB of each call are not counted.
        body_memory_max: NonZeroUsize = read(SIZE, "256MiB"), restart;
        /// The same of one client address (IPv6: of a /64).
        body_memory_per_address_max: NonZeroUsize = read(SIZE, "64MiB"), restart;
        /// The same of one key.
        body_memory_per_key_max: NonZeroUsize = read(SIZE, "128MiB"), restart;
        /// Largest body of a single route, decompressed, in bytes.
        body_bytes_max: NonZeroUsize = read(SIZE, "1MiB"), restart;
        /// Largest body of a batch, decompressed, in bytes.
        batch_bytes_max: NonZeroUsize = read(SIZE, "16MiB"), restart;
        /// How long a stopping server still accepts connections after it stopped being ready.
        drain_wait: Duration = read(WAIT, "0s"), restart;
        /// Longest a stopping server waits for the requests in flight.
        drain_timeout: Duration = read(DURATION, "30s"), restart;
        /// Origins whose pages may call: `*`, or such as `https://example.com`; none: none may.
        cors_origins: Vec<String> = list(ORIGIN, "*"), restart;
    }
}

const EXCERPTS: Kind<Excerpts> = Kind::new("\"value\", \"names\" or \"none\"", |value| match value
    .text(
)? {
    "value" => Some(Excerpts::Value),
    "names" => Some(Excerpts::Names),
    "none" => Some(Excerpts::None),
    _ => None,
});

const HOST: Kind<String> = Kind::new(
    "a host name such as \"ops.example\", without a port",
    |value| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let text = value
            .text()
            .filter(|text| (1..=253).contains(&text.len()))?;
        text.bytes().all(is_part).then(|| text.to_owned())
    },
);

const ORIGIN: Kind<String> = Kind::new(
    "\"*\" or an origin such as \"https://example.com\", without a path",
    |value| {
        value
            .text()
            .filter(|text| is_origin(text))
            .map(str::to_owned)
    },
);

fn no_address_twice(options: &Options, fields: &mut Fields<'_, '_>) {
    if options.listen == options.admin_listen && options.listen.port() != 0 {
        let address = options.listen.to_string();
        let problem = format!(
            "{} is server.listen too, expected another",
            Value::Word(&address)
        );
        fields.mistake("admin_listen", problem);
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
