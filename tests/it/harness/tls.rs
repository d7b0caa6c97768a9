//! Certificates, and callers that speak TLS.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, ClientTlsConfig};

use super::{Answer, Request};

/// Who vouches for others.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain and its key, in PEM form.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

/// The name of a caller: what begins with `uri:` or `dns:` stands where names belong, `cn:` is a common name.
fn named(params: &mut CertificateParams, name: &str) {
    let (kind, text) = name.split_once(':').unwrap();
    let ia5 = || text.try_into().unwrap();
    match kind {
        "uri" => params.subject_alt_names.push(SanType::URI(ia5())),
        "dns" => params.subject_alt_names.push(SanType::DnsName(ia5())),
        "cn" => params.distinguished_name.push(DnType::CommonName, text),
        _ => panic!("{name}"),
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Vouches for who has these names, such as `dns:localhost`.
    pub fn vouches(&self, names: &[&str]) -> Identity {
        self.vouches_until(4000, names)
    }

    /// Vouches until the end of January of a year.
    pub fn vouches_until(&self, year: i32, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(year, 1, 31);
        for name in names {
            named(&mut params, name);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A folder with the files that settings name.
pub struct Papers {
    dir: TempDir,
    pub authority: Authority,
}

impl Papers {
    /// With a certificate for `localhost`.
    pub fn new() -> Self {
        let papers = Self {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        papers.issue(&["dns:localhost"]);
        papers.write("ca.pem", &papers.authority.pem());
        papers
    }

    /// Puts another certificate in place.
    pub fn issue(&self, names: &[&str]) {
        let own = self.authority.vouches(names);
        self.write("chain.pem", &own.chain);
        self.write("key.pem", &own.key);
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A section of the settings, with further lines.
    pub fn section(&self, name: &str, more: &str) -> String {
        let (chain, key) = (self.path("chain.pem"), self.path("key.pem"));
        format!("[{name}]\ncert = {chain:?}\nkey = {key:?}\n{more}\n")
    }

    /// `[server.tls]`, with callers' certificates.
    pub fn mutual(&self, client_auth: &str) -> String {
        let more = format!(
            "client_ca = {:?}\nclient_auth = \"{client_auth}\"",
            self.path("ca.pem")
        );
        self.section("server.tls", &more)
    }

    /// Who trusts the authority of these papers.
    pub fn caller(&self) -> Caller {
        Caller {
            roots: self.authority.pem(),
            identity: None,
            protocols: Vec::new(),
        }
    }
}

/// Somebody who speaks TLS.
#[derive(Clone)]
pub struct Caller {
    roots: String,
    identity: Option<Identity>,
    protocols: Vec<Vec<u8>>,
}

impl Caller {
    /// Shows a certificate.
    pub fn showing(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Offers protocols, the best first.
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        self
    }

    pub async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.connect_over(TcpStream::connect(address).await?).await
    }

    /// Shakes hands over a connection that is there.
    pub async fn connect_over(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(self.roots.as_bytes()) {
            roots.add(root.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols.clone_from(&self.protocols);
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Sends a request over a connection of its own.
    pub async fn send(&self, address: SocketAddr, request: Request) -> io::Result<Answer> {
        request.send_over(self.connect(address).await?).await
    }

    /// A channel for generated gRPC clients.
    pub async fn channel(&self, address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
        let roots = tonic::transport::Certificate::from_pem(&self.roots);
        let tls = ClientTlsConfig::new()
            .ca_certificate(roots)
            .domain_name("localhost");
        let tls = match &self.identity {
            None => tls,
            Some(Identity { chain, key }) => {
                tls.identity(tonic::transport::Identity::from_pem(chain, key))
            }
        };
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls)?.connect().await
    }
}
