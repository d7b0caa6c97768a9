//! The names that a caller's own certificate gives it.

use std::sync::Arc;

/// Longest name that a key can have, in bytes: that of a SPIFFE ID.
pub const NAME_BYTES_MAX: usize = 2_048;

/// A name among a certificate's subject alternative names. Names are compared byte by byte: a wildcard matches nothing
/// else, and a URI is never taken for a DNS name. Other fields of a certificate, such as its common name, are ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// A URI, such as `spiffe://example.org/shop`.
    Uri(String),
    /// A DNS name, such as `shop.example.org`.
    Dns(String),
}

/// The names of a connection's verified certificate: an extension of each of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames(Arc<[CertificateName]>);

impl CertificateName {
    /// Parses a name: one with a colon is a URI, any other a DNS name. None if it is not valid.
    pub fn parse(text: &str) -> Option<Self> {
        let in_uri = |byte: u8| byte.is_ascii_graphic();
        let in_dns = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        match text.split_once(':') {
            Some((scheme, rest)) => {
                let is_uri = !scheme.is_empty() && !rest.is_empty() && text.bytes().all(in_uri);
                (is_uri && text.len() <= NAME_BYTES_MAX).then(|| Self::Uri(text.to_owned()))
            }
            None => {
                let is_dns = (1..=253).contains(&text.len()) && text.bytes().all(in_dns);
                is_dns.then(|| Self::Dns(text.to_owned()))
            }
        }
    }

    /// The name without its kind.
    pub fn text(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Dns(text) => text,
        }
    }
}

impl CertificateNames {
    /// The names of one certificate, whose size the handshake bounds.
    pub fn new(names: impl IntoIterator<Item = CertificateName>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether this is one of them.
    pub fn has(&self, name: &CertificateName) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_colon_is_a_uri() {
        for uri in ["spiffe://example.org/shop", "urn:uuid:1", "https://a"] {
            let parsed = CertificateName::parse(uri);
            assert_eq!(parsed, Some(CertificateName::Uri(uri.into())));
        }
        for dns in ["shop.example.org", "shop", "a-b_c.d"] {
            let parsed = CertificateName::parse(dns);
            assert_eq!(parsed, Some(CertificateName::Dns(dns.into())));
        }
        for neither in ["", ":", "a:", ":b", "*.example.org", "a b", "é", "a:b c"] {
            assert_eq!(CertificateName::parse(neither), None, "{neither}");
        }
        let long = format!("a:{}", "b".repeat(NAME_BYTES_MAX - 1));
        assert_eq!(CertificateName::parse(&long), None);
        assert!(CertificateName::parse(&long[1..]).is_none());
        assert!(CertificateName::parse(&long[..NAME_BYTES_MAX]).is_some());
    }

    #[test]
    fn a_name_is_the_same_letter_by_letter_and_kind_by_kind() {
        let name = |text| CertificateName::parse(text).unwrap();
        let names = CertificateNames::new([name("spiffe://a/b"), name("shop.a")]);
        assert!(names.has(&name("spiffe://a/b")) && names.has(&name("shop.a")));
        for other in ["spiffe://a/b/", "spiffe://A/b", "Shop.a", "shop.a.", "a"] {
            assert!(!names.has(&name(other)), "{other}");
        }
        assert!(!names.has(&CertificateName::Uri("shop.a".into())));
    }
}
