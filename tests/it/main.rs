//! The service from outside: real servers on ports of their own, real sockets, real clients.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test binary has no callers, and fails by panicking"
)]

mod addresses;
mod anonymize;
mod backup;
mod bounded_reads;
mod clashes;
mod classes;
mod clients;
mod clocks;
mod config_command;
mod console;
mod crash;
mod customer_ids;
mod damage;
mod defects;
mod dev;
mod documents;
mod drain;
mod duplicates;
mod erase;
mod export;
mod floods;
mod floors;
mod folder;
mod foreign_headers;
mod format;
mod grpc_access;
mod grpc_batch;
mod grpc_calls;
mod grpc_limits;
mod grpc_reads;
mod grpc_watch;
mod grpc_writes;
mod guards;
mod half_close;
mod harness;
mod health;
mod identity;
mod keep;
mod keys;
mod lifecycle;
mod limit_headers;
mod limit_summary;
mod limits;
mod machine;
mod mutations;
mod nginx;
mod outage;
mod panics;
mod paused;
mod peak;
mod power;
mod promises;
mod purge;
mod quotas;
mod real_clients;
mod reasons;
mod reflection;
mod refusals;
mod reload;
mod rest_access;
mod rest_batch;
mod rest_bodies;
mod rest_compression;
mod rest_connections;
mod rest_cors;
mod rest_limits;
mod rest_reads;
mod rest_times;
mod rest_transport;
mod rest_values;
mod rest_watch;
mod rest_writes;
mod room;
mod routes;
mod sdk_calls;
mod tenants;
mod tls;
mod track_stream;
mod tracking;
mod updates;
