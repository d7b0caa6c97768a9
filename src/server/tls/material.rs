//! What TLS is made of: certificates and a key from files, checked as a whole.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::config::Mistake;
use crate::config::tls::{ClientAuth, Options};

/// A file beyond this size is refused unread, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is spoken inside, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Certificates and a key that go together.
pub(crate) struct Material {
    config: Arc<ServerConfig>,
    /// Of all that it was made of.
    digest: [u8; 32],
}

/// The files of one section while they are read.
struct Files {
    section: &'static str,
    digest: Sha256,
    mistakes: Vec<Mistake>,
}

/// The service's clock, as certificates are judged by it.
#[derive(Debug)]
struct Wall(Arc<dyn Clock>);

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

impl Material {
    /// Reads the files, and makes of them what the listener speaks TLS with.
    pub(super) fn load(
        section: &'static str,
        options: &Options,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut files = Files {
            section,
            digest: Sha256::new(),
            mistakes: Vec::new(),
        };
        let provider = Arc::new(ring::default_provider());
        let chain = files.certificates("cert", &options.cert);
        let key = files.key("key", &options.key);
        let callers = files.callers(&options.client_auth, &provider);
        if let (Some(chain), Some(key), Some(callers)) = (chain, key, callers)
            && let Some(config) = files.assemble(options, chain, key, callers, provider, clock)
        {
            return Ok(Self {
                config: Arc::new(config),
                digest: files.digest.finalize().into(),
            });
        }
        Err(files.mistakes)
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Shows nothing of the key.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(..)")
    }
}

impl Files {
    fn assemble(
        &mut self,
        options: &Options,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        callers: Arc<dyn ClientCertVerifier>,
        provider: Arc<CryptoProvider>,
        clock: &Arc<dyn Clock>,
    ) -> Option<ServerConfig> {
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Wall(clock.clone())))
            .with_safe_default_protocol_versions()
            .map_err(|error| self.mistake("cert", &options.cert, &error.to_string()))
            .ok()?;
        let asks = callers.offer_client_auth();
        let config = builder
            .with_client_cert_verifier(callers)
            .with_single_cert(chain, key);
        let mut config = config
            .map_err(|error| {
                let problem = match matches!(error, rustls::Error::InconsistentKeys(_)) {
                    true => format!("is not the key of {:?}", options.cert),
                    false => format!("does not go with {:?}: {error}", options.cert),
                };
                self.mistake("key", &options.key, &problem);
            })
            .ok()?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        if asks {
            // A resumed session would let in a caller whose certificate's time has gone by since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Some(config)
    }

    fn callers(
        &mut self,
        client_auth: &ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let (path, is_optional) = match client_auth {
            ClientAuth::None => return Some(Arc::new(NoClientAuth)),
            ClientAuth::Optional { client_ca } => (client_ca, true),
            ClientAuth::Required { client_ca } => (client_ca, false),
        };
        self.digest.update([u8::from(is_optional)]);
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self
            .certificates("client_ca", path)?
            .into_iter()
            .enumerate()
        {
            if let Err(error) = roots.add(certificate) {
                let problem = format!("certificate {} in it is no good: {error}", index + 1);
                self.mistake("client_ca", path, &problem);
                return None;
            }
        }
        let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let builder = match is_optional {
            true => builder.allow_unauthenticated(),
            false => builder,
        };
        let built = builder.build().map_err(|error| error.to_string());
        built
            .map_err(|error| self.mistake("client_ca", path, &error))
            .ok()
    }

    fn certificates(
        &mut self,
        key: &'static str,
        path: &Path,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.read(key, path)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let problem = match found {
            Ok(found) if !found.is_empty() => return Some(found),
            Ok(_) => "has no certificate in PEM form".to_owned(),
            Err(error) => broken(&error),
        };
        self.mistake(key, path, &problem);
        None
    }

    fn key(&mut self, key: &'static str, path: &Path) -> Option<PrivateKeyDer<'static>> {
        let text = self.read(key, path)?;
        let problem = match PrivateKeyDer::from_pem_slice(&text) {
            Ok(found) => return Some(found),
            Err(pem::Error::NoItemsFound) => {
                "has no private key in PEM form; an encrypted one cannot be used".to_owned()
            }
            Err(error) => broken(&error),
        };
        self.mistake(key, path, &problem);
        None
    }

    fn read(&mut self, key: &'static str, path: &Path) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let file = File::open(path);
        let read = file.and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text));
        let problem = match read {
            Ok(bytes) if bytes as u64 <= FILE_BYTES_MAX => {
                // With its length, so that no two sequences of files look alike.
                self.digest.update((bytes as u64).to_be_bytes());
                self.digest.update(&text);
                return Some(text);
            }
            Ok(_) => format!("is larger than {FILE_BYTES_MAX} bytes"),
            Err(error) => format!("cannot be read: {error}"),
        };
        self.mistake(key, path, &problem);
        None
    }

    fn mistake(&mut self, key: &'static str, path: &Path, problem: &str) {
        let place = format!("{}.{key}", self.section);
        self.mistakes
            .push(Mistake::new(place, format!("{path:?} {problem}")));
    }
}

/// In words that repeat nothing of the file, for that may be a key.
fn broken(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::MissingSectionEnd { .. } => "breaks off in the middle of PEM".to_owned(),
        pem::Error::IllegalSectionStart { .. }
        | pem::Error::Base64Decode(_)
        | pem::Error::NoItemsFound
        | pem::Error::SectionTooLarge
        | _ => "is broken PEM".to_owned(),
    }
}
