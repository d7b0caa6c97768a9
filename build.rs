//! Generates the code of the proto contract, in Rust alone: no protoc is needed.

use std::error::Error;
use std::path::PathBuf;

/// What callers use.
const CONTRACT: [&str; 3] = [
    "footfall/tracking/v2/tracking.proto",
    "footfall/tracking/v2/customers.proto",
    "grpc/health/v1/health.proto",
];
/// What the details of errors are made of. Their code is tonic-types', which names the files otherwise than Google
/// does.
const DETAILS: &str = "google/rpc/error_details.proto";
/// The log's format, which is no caller's; beside the code that uses it.
const LOG: &str = "src/log/record.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed={LOG}");
    let descriptors = protox::compile(CONTRACT.into_iter().chain([LOG]), ["proto", "src/log"])?;
    // Reflection and the test of the routes need what the generated code drops: the annotations.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    let told = CONTRACT.into_iter().chain([DETAILS]);
    compiler.include_imports(true).open_files(told)?;
    std::fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .extern_path(
            ".footfall.tracking.v2.Object",
            "crate::model::properties::Object",
        )
        .extern_path(
            ".footfall.tracking.v2.Value",
            "crate::model::properties::Value",
        )
        .extern_path(".google.rpc", "::tonic_types")
        // tonic-health's service has no `List`; its messages are the same.
        .extern_path(
            ".grpc.health.v1.HealthCheckRequest",
            "::tonic_health::pb::HealthCheckRequest",
        )
        .extern_path(
            ".grpc.health.v1.HealthCheckResponse",
            "::tonic_health::pb::HealthCheckResponse",
        )
        .build_transport(false)
        .codec_path("crate::grpc::codec::Codec")
        .btree_map(".")
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
