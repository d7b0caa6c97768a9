//! Go, by the code that its own plugins make of the contract as it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::first_run::Project;
use crate::harness::process::Process;
use crate::harness::programs::{has, skipped};

use super::{REPOSITORY, python, succeed};

/// Where Debian keeps the libraries of Go.
const LIBRARIES: &str = "/usr/share/gocode";

#[test]
fn a_go_program_tracks_by_the_code_that_is_made_of_the_contract() {
    if !has(&["go", "protoc-gen-go", "protoc-gen-go-grpc"]) {
        return;
    }
    let libraries = Path::new(LIBRARIES).join("src");
    let grpc = libraries.join("google.golang.org/grpc/clientconn.go");
    // Of Debian's two versions of it, the one that gRPC and the plugins can share.
    let protobuf = libraries.join("github.com/golang/protobuf/proto/wire.go");
    if !grpc.exists() || !protobuf.exists() {
        return skipped(
            "golang-google-grpc-dev and golang-github-golang-protobuf-1-5-dev are not installed",
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let mut buf = Command::new(python().with_file_name("buf"));
    buf.current_dir(REPOSITORY)
        .args(["generate", "--output"])
        .arg(dir.path());
    succeed(&mut buf);
    fs::rename(dir.path().join("gen/go"), dir.path().join("src")).unwrap();

    let program = dir.path().join("program");
    let path = format!("{}:{LIBRARIES}", dir.path().display());
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(&program)
        .arg(Path::new(REPOSITORY).join("tests/clients/go/main.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", path)
        // What was compiled is used again.
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    succeed(&mut go);

    let data = tempfile::tempdir().unwrap();
    let process = Process::start(data.path());
    let project = Project::read(data.path());
    let mut program = Command::new(program);
    program
        .arg(process.address.to_string())
        .args([&project.token, &project.id, &project.secret]);
    assert_eq!(
        succeed(&mut program),
        "event: page_visit /pricing\n\
         refused: InvalidArgument Field 'event_type' is required.\n\
         field: event_type\n"
    );
    process.terminate();
}
