//! `[server.tls]`, `[server.admin_tls]`, and keys that are certificates.

use std::path::PathBuf;

use super::*;
use crate::config::tls::{ClientAuth, Options};
use crate::model::certificate::CertificateName;

#[test]
fn each_listener_has_a_section_of_its_own() {
    let text = "[server.tls]\ncert = 'c'\nkey = 'k'\n[server.admin_tls]\ncert = 'd'\nkey = 'l'\nclient_ca = 'ca'\nclient_auth = 'optional'";
    let config = file(text).unwrap();
    let tls = Options {
        cert: "c".into(),
        key: "k".into(),
        client_auth: ClientAuth::None,
    };
    assert_eq!(config.server.tls, Some(tls));
    let client_auth = ClientAuth::Optional {
        client_ca: "ca".into(),
    };
    assert_eq!(config.server.admin_tls.unwrap().client_auth, client_auth);
}

#[test]
fn the_keys_within_a_section_of_a_section_are_variables_too() {
    let config = variables(&[
        ("FOOTFALL_SERVER_TLS_CERT", "c"),
        ("FOOTFALL_SERVER_TLS_KEY", "k"),
        ("FOOTFALL_SERVER_TLS_CLIENT_CA", "ca"),
        ("FOOTFALL_SERVER_TLS_CLIENT_AUTH", "required"),
    ]);
    let server = config.unwrap().server;
    let client_ca = PathBuf::from("ca");
    assert_eq!(
        server.tls.unwrap().client_auth,
        ClientAuth::Required { client_ca }
    );
    assert_eq!(server.admin_tls, None);
    has(
        variables(&[("FOOTFALL_SERVER_TLS_CERTS", "c")]),
        "FOOTFALL_SERVER_TLS_CERTS: unknown variable, did you mean \"FOOTFALL_SERVER_TLS_CERT\"?",
    );
}

#[test]
fn half_of_tls_is_a_mistake() {
    for (lines_of_section, mistake) in [
        ("", "server.tls.cert (line 1): missing, expected a path"),
        ("", "server.tls.key (line 1): missing, expected a path"),
        ("cert = 'c'", "server.tls.key (line 1): missing"),
        (
            "cert = ''\nkey = 'k'",
            "server.tls.cert (line 2): \"\" is not a path",
        ),
        (
            "cert = 'c'\nkey = 'k'\nclient_auth = 'optional'",
            "server.tls.client_ca (line 1): missing",
        ),
        (
            "cert = 'c'\nkey = 'k'\nclient_ca = 'ca'",
            "server.tls.client_auth (line 1): expected \"optional\" or \"required\"",
        ),
        (
            "cert = 'c'\nkey = 'k'\nclient_ca = 'ca'\nclient_auth = 'some'",
            "server.tls.client_auth (line 5): \"some\" is not \"none\"",
        ),
        ("certs = 'c'", "server.tls.certs (line 2): unknown key"),
    ] {
        has(file(&format!("[server.tls]\n{lines_of_section}")), mistake);
    }
    has(
        file("[server]\ntls = true"),
        "server.tls (line 2): not a section, expected [server.tls]",
    );
    has(
        variables(&[("FOOTFALL_SERVER_ADMIN_TLS_KEY", "k")]),
        "server.admin_tls.cert: missing",
    );
}

#[test]
fn a_certificate_is_a_key_by_itself_or_beside_a_secret() {
    let key = |rest: &str| {
        file(&format!(
            "[[project]]\ntoken = 'a'\n[[project.key]]\npermissions = []\n{rest}"
        ))
    };
    let config = key("client_cert = 'spiffe://a/b'").unwrap();
    let read = &config.projects[0].keys[0].key;
    let name = CertificateName::Uri("spiffe://a/b".into());
    assert_eq!(read.client_cert, Some(name));
    let access = |id: &str, secrets| KeyAccess::Private {
        id: id.into(),
        secrets,
    };
    assert_eq!(read.access, access("spiffe://a/b", vec![]));
    let config = key("client_cert = 'a.b'\nid = 'k'\nsecrets = ['s']").unwrap();
    let secrets = vec![SecretHash::of("s")];
    assert_eq!(config.projects[0].keys[0].key.access, access("k", secrets));

    let place = "project[1].key[1]";
    has(
        key("client_cert = '*.a.b'"),
        &format!("{place}.client_cert (line 5): \"*.a.b\" is not a URI such as"),
    );
    has(
        key("client_cert = 'a.b'\npublic = 'p'"),
        &format!("{place}.client_cert (line 5): given beside public"),
    );
    has(
        key("client_cert = 'a.b'\nsecrets = ['a', 'b', 'c']"),
        &format!("{place}.secrets (line 6): 3 in secrets"),
    );
    has(
        key(
            "client_cert = 'a.b'\nid = 'k'\n[[project.key]]\nclient_cert = 'a.b'\nid = 'l'\npermissions = []",
        ),
        "project[1].key[2].client_cert (line 8): another key of the project has it already",
    );
}
