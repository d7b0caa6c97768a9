//! Generates the code of the proto contract, in Rust alone: no protoc is needed. Compresses the console's files.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

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

/// The console's files, which the service has in itself, compressed.
const CONSOLE: &str = "src/admin/console/assets";

/// Compresses the files of a folder, and lists them as a Rust expression: names and contents.
fn compress(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={CONSOLE}");
    let mut list = String::from("&[");
    for folder in ["", "vendor/"] {
        let mut files =
            fs::read_dir(Path::new(CONSOLE).join(folder))?.collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files.iter().filter(|file| file.path().is_file()) {
            let name = format!("{folder}{}", file.file_name().display());
            let path = out.join(format!("{}.gz", name.replace('/', "-")));
            let mut encoder = GzEncoder::new(File::create(&path)?, Compression::best());
            encoder.write_all(&fs::read(file.path())?)?;
            encoder.finish()?;
            list.push_str(&format!("({name:?}, include_bytes!({path:?}) as &[u8]),"));
        }
    }
    list.push(']');
    fs::write(out.join("console.rs"), list)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed={LOG}");
    let descriptors = protox::compile(CONTRACT.into_iter().chain([LOG]), ["proto", "src/log"])?;
    // Reflection and the test of the routes need what the generated code drops: the annotations.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    compress(&out)?;
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
