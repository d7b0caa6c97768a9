//! The table of REST routes, held against the annotations of the proto contract.

use std::collections::BTreeSet;

use footfall::grpc::DESCRIPTORS;
use footfall::rest::routes::{ENTRIES, Methods};
use prost_reflect::{DescriptorPool, DynamicMessage};

/// The field of `google.protobuf.MethodOptions` that `google.api.http` is.
const HTTP_FIELD: u32 = 72_295_728;

/// A way to call an rpc: method, path and rpc.
type Binding = (String, String, String);

/// What the annotations say, additional bindings included.
fn annotated() -> BTreeSet<Binding> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    assert_eq!(http.number(), HTTP_FIELD);
    let mut found = BTreeSet::new();
    for service in pool.services() {
        for rpc in service.methods() {
            let options = rpc.options();
            if options.has_extension(&http) {
                let rpc = format!("{}/{}", service.name(), rpc.name());
                let rule = options.get_extension(&http);
                bindings(rule.as_message().unwrap(), &rpc, &mut found);
            }
        }
    }
    found
}

fn bindings(rule: &DynamicMessage, rpc: &str, found: &mut BTreeSet<Binding>) {
    for method in ["get", "put", "post", "delete", "patch"] {
        if rule.has_field_by_name(method) {
            let path = rule.get_field_by_name(method).unwrap();
            let path = path.as_str().unwrap().to_owned();
            found.insert((method.to_uppercase(), path, rpc.to_owned()));
        }
    }
    assert!(!rule.has_field_by_name("custom"), "{rpc}: a custom method");
    let additional = rule.get_field_by_name("additional_bindings").unwrap();
    for rule in additional.as_list().unwrap() {
        bindings(rule.as_message().unwrap(), rpc, found);
    }
}

/// What the table says about rpcs.
fn routed() -> BTreeSet<Binding> {
    let mut found = BTreeSet::new();
    for entry in ENTRIES.iter().filter(|entry| !entry.rpc.is_empty()) {
        let methods: &[&str] = match entry.methods {
            Methods::Get => &["GET"],
            Methods::Post => &["POST"],
            Methods::GetOrPost => &["GET", "POST"],
        };
        for method in methods {
            found.insert(binding(method, entry.path, entry.rpc));
        }
    }
    found
}

fn binding(method: &str, path: &str, rpc: &str) -> Binding {
    (method.to_owned(), path.to_owned(), rpc.to_owned())
}

/// Where the two differ.
fn differences(annotated: &BTreeSet<Binding>, routed: &BTreeSet<Binding>) -> Vec<String> {
    let told = |what: &str, (method, path, rpc): &Binding| format!("{what}: {method} {path} {rpc}");
    let no_route = annotated
        .difference(routed)
        .map(|binding| told("no route", binding));
    let no_annotation = routed
        .difference(annotated)
        .map(|binding| told("no annotation", binding));
    no_route.chain(no_annotation).collect()
}

#[test]
fn every_annotation_has_its_route_and_every_route_its_annotation() {
    let annotated = annotated();
    assert!(annotated.len() >= 9, "{annotated:?}");
    assert_eq!(differences(&annotated, &routed()), [""; 0]);
}

#[test]
fn a_difference_in_path_method_or_rpc_is_found_on_either_side() {
    let both = BTreeSet::from([binding("GET", "/a", "S/A"), binding("POST", "/a", "S/A")]);
    assert_eq!(differences(&both, &both), [""; 0]);
    let one = BTreeSet::from([binding("GET", "/a", "S/A")]);
    assert_eq!(differences(&both, &one), ["no route: POST /a S/A"]);
    assert_eq!(differences(&one, &both), ["no annotation: POST /a S/A"]);
    for other in [
        binding("POST", "/a", "S/A"),
        binding("GET", "/b", "S/A"),
        binding("GET", "/a", "S/B"),
    ] {
        assert_eq!(differences(&one, &BTreeSet::from([other])).len(), 2);
    }
}

#[test]
fn the_two_forms_of_one_rpc_are_both_read_from_its_annotation() {
    let path = "/track/v2/projects/{project_token}/system/time";
    for method in ["GET", "POST"] {
        let time = binding(method, path, "TrackingService/GetSystemTime");
        assert!(annotated().contains(&time), "{method}");
    }
}
