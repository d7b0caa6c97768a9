//! What would stand there instead of Footfall's REST: Envoy, which turns JSON into gRPC and limits each client address,
//! in front of the bare tonic service.
//!
//! It forwards what it does not refuse; nothing is kept. Its quotas are so large that it refuses nothing.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{descriptors, server};

/// A running Envoy; it does not outlive this value.
pub(super) struct Envoy {
    child: Child,
    pub(super) address: SocketAddr,
    _dir: TempDir,
}

impl Envoy {
    /// Starts it in front of a service, and waits until it listens.
    pub(super) async fn start(program: &Path, service: SocketAddr) -> Self {
        let dir = server::folder();
        let set = dir.path().join("descriptors.bin");
        std::fs::write(&set, descriptors::for_envoy()).unwrap();
        let address = free_address();
        let file = dir.path().join("envoy.json");
        std::fs::write(&file, settings(address, service, &set).to_string()).unwrap();
        let child = Command::new(program)
            .args(["--concurrency", "2", "--disable-hot-restart"])
            .args(["--log-level", "error", "--config-path"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut envoy = Self {
            child,
            address,
            _dir: dir,
        };
        while TcpStream::connect(address).await.is_err() {
            assert_eq!(envoy.child.try_wait().unwrap(), None, "Envoy ended");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        envoy
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn settings(address: SocketAddr, service: SocketAddr, descriptors: &Path) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        // The client is whom the one trusted proxy names in x-forwarded-for.
        "use_remote_address": true,
        "xff_num_trusted_hops": 1,
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
        }]},
        "http_filters": [
            filter("local_ratelimit", rate_limit()),
            filter("grpc_json_transcoder", transcoder(descriptors)),
            filter("router", json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            })),
        ],
    });
    let listener = json!({
        "address": socket(address),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }]}],
    });
    let cluster = json!({
        "name": "service",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "service", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket(service)}}]},
        ]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
    });
    json!({"static_resources": {"listeners": [listener], "clusters": [cluster]}})
}

fn filter(name: &str, settings: Value) -> Value {
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": settings})
}

fn socket(address: SocketAddr) -> Value {
    let (address, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// A quota for each client address, made when it is first seen.
fn rate_limit() -> Value {
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    let bucket = json!({
        "max_tokens": 1_000_000_000, "tokens_per_fill": 1_000_000_000, "fill_interval": "1s",
    });
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "address",
        "token_bucket": bucket,
        "filter_enabled": always,
        "filter_enforced": always,
        "rate_limits": [{"actions": [{"remote_address": {}}]}],
        // An entry without a value stands for every value.
        "descriptors": [{"entries": [{"key": "remote_address"}], "token_bucket": bucket}],
    })
}

fn transcoder(descriptors: &Path) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": descriptors,
        "services": ["footfall.tracking.v2.TrackingService"],
        "convert_grpc_status": true,
    })
}
