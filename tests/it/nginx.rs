//! nginx in front: what callers get through it is what the service answers.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use footfall::grpc::pb;
use footfall::grpc::pb::customer_service_client::CustomerServiceClient;
use footfall::grpc::pb::tracking_service_client::TrackingServiceClient;
use futures_util::future::join_all;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::calls::{ids, violations};
use crate::harness::event_source::EventSource;
use crate::harness::first_run::Project;
use crate::harness::process::{Process, log};
use crate::harness::programs::skipped;
use crate::harness::{Answer, Request, WRITTEN, authorized, eventually, eventually_blocking};

const NGINX: &str = "/usr/sbin/nginx";

/// A service behind nginx.
struct Scene {
    nginx: Nginx,
    process: Process,
    project: Project,
    data: TempDir,
}

/// A running nginx, which buffers what it passes on, as it does by itself.
struct Nginx {
    child: Child,
    /// Passes requests on over HTTP/1.1, and takes them over HTTP/1.1 and HTTP/2.
    proxy: [SocketAddr; 2],
    /// Passes gRPC on.
    grpc: SocketAddr,
    _dir: TempDir,
}

impl Nginx {
    /// Starts it in front of a service, whose idle connections it keeps for a while.
    fn start(service: SocketAddr, keep: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // A loopback address of its own, so that no other test takes the ports.
        let [high, low] = service.port().to_be_bytes();
        let address = Ipv4Addr::new(127, high, low, 1);
        let [http1, http2, grpc] = [8001, 8002, 8003].map(|port| SocketAddr::from((address, port)));
        let configuration = format!(
            "daemon off;
             master_process off;
             pid nginx.pid;
             events {{}}
             http {{
               access_log off;
               client_body_temp_path body;
               proxy_temp_path proxy;
               fastcgi_temp_path fastcgi;
               uwsgi_temp_path uwsgi;
               scgi_temp_path scgi;
               # A connection that is kept stays with its protocol.
               upstream rest {{ server {service}; keepalive 16; keepalive_timeout {keep}; }}
               upstream grpc {{ server {service}; keepalive 16; keepalive_timeout {keep}; }}
               proxy_http_version 1.1;
               proxy_set_header Connection '';
               proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
               server {{ listen {http1}; location / {{ proxy_pass http://rest; }} }}
               server {{ listen {http2} http2; location / {{ proxy_pass http://rest; }} }}
               server {{ listen {grpc} http2; location / {{ grpc_pass grpc://grpc; }} }}
             }}"
        );
        fs::write(dir.path().join("nginx.conf"), configuration).unwrap();
        let mut nginx = Command::new(NGINX);
        nginx.args(["-e", "error.log", "-c", "nginx.conf", "-p"]);
        let mut child = nginx.arg(dir.path()).spawn().unwrap();
        eventually_blocking("nginx listens", || {
            if TcpStream::connect(grpc).is_ok() {
                return Some(());
            }
            let said = fs::read_to_string(dir.path().join("error.log"));
            assert_eq!(child.try_wait().unwrap(), None, "{said:?}");
            None
        });
        Self {
            child,
            proxy: [http1, http2],
            grpc,
            _dir: dir,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Scene {
    /// Starts both; none where there is no nginx.
    fn start(settings: &[(&str, &str)], keep: &str) -> Option<Self> {
        if !Path::new(NGINX).exists() {
            skipped("there is no nginx");
            return None;
        }
        let data = tempfile::tempdir().unwrap();
        let process = Process::start_with(data.path(), settings);
        Some(Self {
            nginx: Nginx::start(process.address, keep),
            process,
            project: Project::read(data.path()),
            data,
        })
    }

    /// Adds an event of `registered: a` over REST.
    async fn adds(&self, n: usize) -> Answer {
        let event = format!(
            r#"{{"customer_ids":{{"registered":"a"}},"event_type":"visit","timestamp":{n}}}"#
        );
        let [http1, _] = self.nginx.proxy;
        let sent = self.project.track(http1, "customers/events", &event);
        sent.send().await
    }

    /// Adds an event of `registered: a` over gRPC.
    async fn calls(&self, channel: &Channel, event_type: &str) -> Result<(), Status> {
        let event = pb::AddEventRequest {
            project_token: self.project.token.clone(),
            customer_ids: ids(&[("registered", "a")]),
            event_type: event_type.to_owned(),
            properties: None,
            timestamp: None,
        };
        let event = authorized(event, &self.project.private());
        let mut client = TrackingServiceClient::new(channel.clone());
        client.add_event(event).await.map(drop)
    }

    /// How many events `registered: a` has, asked without a proxy.
    async fn visits(&self) -> usize {
        self.project.visits(&self.process, "a").await
    }

    /// Waits until no connection to the service is open.
    async fn is_left_alone(&self) {
        let port = format!(":{:04X} ", self.process.address.port());
        let open = || {
            // Local address, remote address, state; 01 is an open connection.
            let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
            let mut lines = table.lines();
            lines.any(|line| line.contains(&port) && line.split_whitespace().nth(3) == Some("01"))
        };
        eventually("no connection to the service is open", async || {
            (!open()).then_some(())
        })
        .await;
    }

    fn ends(self) {
        drop(self.nginx);
        let ended = self.process.terminate();
        assert!(ended.success(), "{}", log(self.data.path()));
    }
}

async fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_cost_no_request_behind_nginx_whichever_side_ends_them() {
    for (service, nginx) in [("75s", "300ms"), ("1s", "60s")] {
        let settings = [("FOOTFALL_SERVER_KEEP_ALIVE_TIMEOUT", service)];
        let Some(scene) = Scene::start(&settings, nginx) else {
            return;
        };
        for round in 0..3 {
            for tens in 0..20 {
                let first = (round * 20 + tens) * 10;
                let sent = (first..first + 10).map(|n| scene.adds(n));
                for answer in join_all(sent).await {
                    assert_eq!((answer.status, answer.body.as_str()), (200, WRITTEN));
                }
            }
            scene.is_left_alone().await;
        }
        assert_eq!(scene.visits().await, 600);
        scene.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_cost_no_call_behind_grpc_pass() {
    let Some(scene) = Scene::start(&[], "300ms") else {
        return;
    };
    let channel = channel(scene.nginx.grpc).await;
    for _ in 0..3 {
        for _ in 0..20 {
            let sent = (0..10).map(|_| scene.calls(&channel, "visit"));
            for added in join_all(sent).await {
                added.unwrap();
            }
        }
        scene.is_left_alone().await;
    }
    scene.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_an_nginx_that_buffers_as_they_come() {
    let Some(scene) = Scene::start(&[], "60s") else {
        return;
    };
    let (token, private) = (&scene.project.token, scene.project.private());
    let [http1, _] = scene.nginx.proxy;
    let mut source = EventSource::open(http1, token, &private, "", "").await;
    assert_eq!(source.head.status, 200);
    let question = pb::WatchEventsRequest {
        project_token: token.clone(),
        ..pb::WatchEventsRequest::default()
    };
    let mut client = CustomerServiceClient::new(channel(scene.nginx.grpc).await);
    let watch = client.watch_events(authorized(question, &private)).await;
    let mut watch = watch.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().event, None);
    for n in 1..=3 {
        assert_eq!(scene.adds(n).await.status, 200);
        let told = async {
            assert_eq!(source.event().await.0["timestamp"], n);
            watch.message().await.unwrap().unwrap()
        };
        let message = tokio::time::timeout(Duration::from_secs(1), told).await;
        assert_eq!(message.unwrap().event.unwrap().r#type, "visit");
    }
    drop((source, watch));
    scene.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_details_of_an_error_pass_nginx_over_both_protocols() {
    let settings = [
        ("FOOTFALL_RATE_LIMIT_REQUESTS", "2"),
        ("FOOTFALL_RATE_LIMIT_PERIOD", "1h"),
    ];
    let Some(scene) = Scene::start(&settings, "60s") else {
        return;
    };
    let channel = channel(scene.nginx.grpc).await;
    let invalid = scene.calls(&channel, "").await.unwrap_err();
    let text = "Field 'event_type' is required.".to_owned();
    assert_eq!(invalid.code(), Code::InvalidArgument);
    assert_eq!(violations(&invalid), [("event_type".to_owned(), text)]);

    assert_eq!(scene.adds(1).await.status, 200);
    let refused = scene.calls(&channel, "visit").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMIT_EXCEEDED");
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!(violations[0].subject, "address:127.0.0.1");
    let delay = details.retry_info().unwrap().retry_delay.unwrap();
    let pushback = refused.metadata().get("grpc-retry-pushback-ms").unwrap();
    let pushback: u128 = pushback.to_str().unwrap().parse().unwrap();
    assert_eq!(pushback, (delay.as_nanos()).div_ceil(1_000_000));

    let answer = scene.adds(2).await;
    assert_eq!(answer.status, 429);
    let told = answer.json();
    assert_eq!(told["message"], refused.message());
    let kinds = told["details"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds
        .filter_map(|detail| detail["@type"].as_str())
        .collect();
    let expected = ["RetryInfo", "QuotaFailure", "ErrorInfo"];
    assert_eq!(
        kinds,
        expected.map(|kind| format!("type.googleapis.com/google.rpc.{kind}"))
    );
    assert!(answer.header("retry-after").is_some());
    scene.ends();
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_that_nginx_passes_on_over_http_1_is_415_and_stores_nothing() {
    let Some(scene) = Scene::start(&[], "60s") else {
        return;
    };
    let [http1, http2] = scene.nginx.proxy;
    let path = "/footfall.tracking.v2.TrackingService/AddEvent";
    let answer = Request::new(http1, "POST", path)
        .header("Content-Type", "application/grpc")
        .header("Authorization", &scene.project.private())
        .body([0; 5])
        .send()
        .await;
    assert_eq!(answer.status, 415, "{}", answer.body);

    let refused = scene.calls(&channel(http2).await, "visit").await;
    let refused = refused.unwrap_err();
    assert!(refused.message().contains("415"), "{refused:?}");
    assert_eq!(scene.visits().await, 0);
    // The right way stores.
    let channel = channel(scene.nginx.grpc).await;
    scene.calls(&channel, "visit").await.unwrap();
    assert_eq!(scene.visits().await, 1);
    scene.ends();
}
