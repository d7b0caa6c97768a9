//! `[server.tls]` and `[server.admin_tls]`: with what a listener speaks TLS.

use std::path::PathBuf;

use super::reader::Fields;
use super::units::PATH;
use super::value::Kind;

/// With what a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The certificate chain, in PEM form, the listener's own certificate first.
    pub cert: PathBuf,
    /// The private key of the first certificate, in PEM form, not encrypted.
    pub key: PathBuf,
    /// What is asked of callers. Default: nothing.
    pub client_auth: ClientAuth,
}

/// Whether callers show certificates of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody is asked.
    #[default]
    None,
    /// Who shows one must show a good one.
    Optional {
        /// Who vouches for callers: certificates in PEM form.
        client_ca: PathBuf,
    },
    /// Nobody gets in without one.
    Required {
        /// As with [`ClientAuth::Optional`].
        client_ca: PathBuf,
    },
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    None,
    Optional,
    Required,
}

const ASKED: Kind<Asked> = Kind::new("\"none\", \"optional\" or \"required\"", |value| {
    value.one_of(&[
        ("none", Asked::None),
        ("optional", Asked::Optional),
        ("required", Asked::Required),
    ])
});

impl Options {
    /// None where nothing is said of TLS, or not enough.
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Option<Self> {
        let cert = fields.optional("cert", PATH);
        let key = fields.optional("key", PATH);
        let client_ca = fields.optional("client_ca", PATH);
        let mistakes = fields.mistakes();
        let asked = fields.read("client_auth", ASKED, "none");
        let is_told = fields.mistakes() > mistakes;
        let given = ["cert", "key", "client_ca", "client_auth"];
        let is_meant = fields.is_there() || given.iter().any(|key| fields.is_given(key));
        for key in ["cert", "key"] {
            if is_meant && !fields.is_given(key) {
                fields.mistake(key, format!("missing, expected {}", PATH.expected));
            }
        }
        let client_auth = match (asked, client_ca) {
            (Asked::None, None) => ClientAuth::None,
            (Asked::None, Some(_)) => {
                if !is_told {
                    let problem = "expected \"optional\" or \"required\" beside client_ca";
                    fields.mistake("client_auth", problem);
                }
                return None;
            }
            (Asked::Optional, Some(client_ca)) => ClientAuth::Optional { client_ca },
            (Asked::Required, Some(client_ca)) => ClientAuth::Required { client_ca },
            (Asked::Optional | Asked::Required, None) => {
                if !fields.is_given("client_ca") {
                    let problem = "missing, expected who vouches for callers' certificates";
                    fields.mistake("client_ca", problem);
                }
                return None;
            }
        };
        Some(Self {
            cert: cert?,
            key: key?,
            client_auth,
        })
    }
}
