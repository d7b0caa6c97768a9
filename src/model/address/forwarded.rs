//! The `forwarded` field (RFC 7239): where its elements are, and which of their values is the hop's address.
//!
//! Commas inside quotes are no separators, so unlike `x-forwarded-for` this list can only be split from the left: one
//! scan, which keeps the last [`HOPS_MAX`] elements. For the same reason a fault anywhere makes the whole field
//! unusable: a client's stray quote changes the apparent content of a proxy's element to the right of it.
//!
//! Strict on structure, as two parsers must find the same elements: an unclosed quote (a quoted string ends on its own
//! line, though lines join), text after a value, a parameter without `=`, or white space around `=` is a fault. Lenient
//! on values, where there is no ambiguity: unquoted ones may have any visible character without a special meaning
//! (`for=2001:db8::1`, `host=example.com:8080`) or be empty. White space around `,` and `;` and empty parameters are
//! dropped.
//!
//! Sound but unusable, so that only the walk stops: an element without `for` or with two, `unknown`, `_obfuscated`.

use std::net::IpAddr;

use super::node::{self, ELEMENT_BYTES_MAX, is_ows};
use super::{HOPS_MAX, Header};

/// The elements nearest to the service, at most [`HOPS_MAX`].
pub(super) struct Nearest<'a> {
    /// A ring: element number `n` from the left is in slot `n % HOPS_MAX`.
    ring: [For<'a>; HOPS_MAX as usize],
    seen: usize,
}

/// The `for` parameter of an element; its value without the quotes, escapes still in it.
#[derive(Clone, Copy)]
enum For<'a> {
    Missing,
    Once(&'a [u8]),
    Repeated,
}

/// The rest of one line. Reading yields nothing where the structure is at fault.
struct Reader<'a> {
    rest: &'a [u8],
}

/// The last elements of the field that `lines` make up, or nothing if its structure is at fault.
pub(super) fn nearest<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Nearest<'a>> {
    let mut nearest = Nearest {
        ring: [For::Missing; HOPS_MAX as usize],
        seen: 0,
    };
    for line in lines {
        let mut reader = Reader { rest: line };
        loop {
            reader.skip_ows();
            match reader.peek() {
                None => break,
                Some(b',') => reader.skip(),
                Some(_) => nearest.push(reader.element()?),
            }
        }
    }
    Some(nearest)
}

impl<'a> Nearest<'a> {
    /// The addresses of the elements, nearest hop first, up to the first unusable element.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let slots = self.ring.len();
        let newest_first = (0..self.seen).rev().take(slots);
        newest_first.map_while(move |number| self.ring.get(number % slots)?.address())
    }

    fn push(&mut self, element: For<'a>) {
        let slot = self.seen % self.ring.len();
        if let Some(oldest) = self.ring.get_mut(slot) {
            *oldest = element;
        }
        self.seen += 1;
    }
}

impl<'a> For<'a> {
    fn and(self, value: &'a [u8]) -> Self {
        match self {
            Self::Missing => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Once(value) => unescaped_address(value),
            Self::Missing | Self::Repeated => None,
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads up to the comma after the element, or to the line's end.
    fn element(&mut self) -> Option<For<'a>> {
        let mut found = For::Missing;
        loop {
            self.skip_ows();
            match self.peek() {
                None | Some(b',') => return Some(found),
                Some(b';') => self.skip(),
                Some(_) => {
                    let (name, value) = self.pair()?;
                    if name.eq_ignore_ascii_case(b"for") {
                        found = found.and(value);
                    }
                }
            }
        }
    }

    /// Reads a parameter up to the separator after it.
    fn pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.take_while(is_token);
        if name.is_empty() || self.peek() != Some(b'=') {
            return None;
        }
        self.skip();
        let value = if self.peek() == Some(b'"') {
            self.quoted()?
        } else {
            self.take_while(is_bare)
        };
        self.skip_ows();
        matches!(self.peek(), None | Some(b',' | b';')).then_some((name, value))
    }

    fn quoted(&mut self) -> Option<&'a [u8]> {
        self.skip();
        let mut escaped = false;
        let mut closes = |byte: u8| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        };
        let value = self.take_while(|byte| is_quotable(byte) && !closes(byte));
        if self.peek() != Some(b'"') {
            return None;
        }
        self.skip();
        Some(value)
    }

    fn take_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> &'a [u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn skip_ows(&mut self) {
        self.take_while(is_ows);
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }
}

fn unescaped_address(value: &[u8]) -> Option<IpAddr> {
    let mut text = [0; ELEMENT_BYTES_MAX];
    let mut length = 0;
    let mut escaped = false;
    for &byte in value {
        escaped = byte == b'\\' && !escaped;
        if !escaped {
            *text.get_mut(length)? = byte;
            length += 1;
        }
    }
    node::address(text.get(..length)?, Header::Forwarded)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;=\\".contains(&byte)
}

/// Whether `byte` may be in a quoted string: all but control characters.
fn is_quotable(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
