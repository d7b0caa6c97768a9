//! What an HTTP/2 connection sends, read for the guards that h2 keeps to itself: it tells the caller alone, by
//! RST_STREAM of a stream that is one too many, and by GOAWAY of a flood, with a text that names the bound.

use h2::Reason;

use crate::middleware::Guard;

/// What each frame begins with (RFC 9113, 4.1): the payload's length, the kind, flags, the stream.
const HEAD_BYTES: usize = 9;
/// As much of a payload as is looked at: GOAWAY's last stream and its code, and more than h2's longest text.
const PAYLOAD_BYTES_MAX: usize = 4 + 4 + 32;

const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

/// The frames that a connection sends, of which no more is kept than tells of a guard.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The frame in flight: its head, and the beginning of its payload where that is looked at.
    kept: [u8; HEAD_BYTES + PAYLOAD_BYTES_MAX],
    filled: usize,
    /// As many bytes are kept before they are looked at.
    wanted: usize,
    /// What is still to come of the frame before, and tells nothing.
    rest: usize,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            kept: [0; HEAD_BYTES + PAYLOAD_BYTES_MAX],
            filled: 0,
            wanted: HEAD_BYTES,
            rest: 0,
        }
    }
}

impl Outgoing {
    /// Follows what was sent next, and tells each guard that shows in it.
    pub(super) fn follow(&mut self, mut sent: &[u8], mut tell: impl FnMut(Guard)) {
        loop {
            let (skipped, after) = sent.split_at(self.rest.min(sent.len()));
            self.rest -= skipped.len();
            if after.is_empty() {
                return;
            }
            sent = self.keep(after);
            if self.filled == self.wanted
                && let Some(guard) = self.look()
            {
                tell(guard);
            }
        }
    }

    /// Keeps as much as is wanted, and gives what is left.
    fn keep<'a>(&mut self, sent: &'a [u8]) -> &'a [u8] {
        let room = self.kept.get_mut(self.filled..self.wanted);
        let room = room.unwrap_or_default();
        let count = room.len().min(sent.len());
        let (room, _) = room.split_at_mut(count);
        let (new, after) = sent.split_at(count);
        room.copy_from_slice(new);
        self.filled += count;
        after
    }

    /// Looks at what is kept. A head says whether the payload is wanted too.
    fn look(&mut self) -> Option<Guard> {
        let [a, b, c, kind, ..] = self.kept;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.kept.get(HEAD_BYTES..self.filled)?;
        let tells = matches!(kind, RST_STREAM | GOAWAY);
        if tells && payload.is_empty() && length > 0 {
            self.wanted += length.min(PAYLOAD_BYTES_MAX);
            return None;
        }
        let guard = guard(kind, payload);
        self.rest = length - payload.len();
        self.filled = 0;
        self.wanted = HEAD_BYTES;
        guard
    }
}

/// The guard that a frame tells of, if it tells of one.
fn guard(kind: u8, payload: &[u8]) -> Option<Guard> {
    match kind {
        RST_STREAM => {
            let (reason, _) = reason(payload)?;
            (reason == Reason::REFUSED_STREAM).then_some(Guard::Streams)
        }
        GOAWAY => match reason(payload.get(4..)?)? {
            (Reason::ENHANCE_YOUR_CALM, text) => Some(match text {
                b"too_many_resets" => Guard::Resets,
                b"too_many_internal_resets" => Guard::ErrorResets,
                b"header_list_way_too_large" => Guard::HeaderBytes,
                _ => Guard::Http2Flood,
            }),
            // A header that does not end, behind others that were too many already: h2 says so of nothing else.
            (Reason::COMPRESSION_ERROR, _) => Some(Guard::HeaderBytes),
            _ => None,
        },
        _ => None,
    }
}

/// The code at the beginning, and what is behind it.
fn reason(bytes: &[u8]) -> Option<(Reason, &[u8])> {
    let (code, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*code).into(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATA: u8 = 0;
    const HEADERS: u8 = 1;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, 0, 0, 0, 0, 1];
        [&head, payload].concat()
    }

    fn reset(reason: Reason) -> Vec<u8> {
        frame(RST_STREAM, &u32::from(reason).to_be_bytes())
    }

    fn goaway(reason: Reason, text: &str) -> Vec<u8> {
        let code = u32::from(reason).to_be_bytes();
        frame(GOAWAY, &[&[0, 0, 0, 1], &code, text.as_bytes()].concat())
    }

    /// What is told of pieces that are sent one after the other.
    fn told<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Guard> {
        let mut outgoing = Outgoing::default();
        let mut told = Vec::new();
        for piece in pieces {
            outgoing.follow(piece, |guard| told.push(guard));
        }
        told
    }

    #[test]
    fn a_stream_that_is_refused_tells_of_streams_max_and_other_resets_of_nothing() {
        let sent = [
            reset(Reason::REFUSED_STREAM),
            reset(Reason::CANCEL),
            reset(Reason::REFUSED_STREAM),
        ];
        assert_eq!(told([&*sent.concat()]), [Guard::Streams, Guard::Streams]);
    }

    #[test]
    fn a_goaway_tells_of_the_guard_that_its_text_names() {
        for (text, guard) in [
            ("too_many_resets", Guard::Resets),
            ("too_many_internal_resets", Guard::ErrorResets),
            ("header_list_way_too_large", Guard::HeaderBytes),
            ("too_many_continuations", Guard::Http2Flood),
            ("too_many_data_frames", Guard::Http2Flood),
            ("", Guard::Http2Flood),
            (
                "too_many_resets_of_a_kind_that_nobody_knows_yet",
                Guard::Http2Flood,
            ),
        ] {
            let sent = goaway(Reason::ENHANCE_YOUR_CALM, text);
            assert_eq!(told([&*sent]), [guard], "{text}");
        }
        let compression = goaway(Reason::COMPRESSION_ERROR, "");
        assert_eq!(told([&*compression]), [Guard::HeaderBytes]);
        for reason in [Reason::NO_ERROR, Reason::PROTOCOL_ERROR] {
            assert_eq!(told([&*goaway(reason, "too_many_resets")]), []);
        }
    }

    #[test]
    fn a_payload_that_looks_like_frames_tells_of_nothing() {
        let inside = reset(Reason::REFUSED_STREAM).repeat(3);
        let long = "x".repeat(100) + std::str::from_utf8(&inside).unwrap();
        let sent = [
            frame(DATA, &inside),
            frame(HEADERS, &inside),
            goaway(Reason::NO_ERROR, &long),
        ];
        assert_eq!(told([&*sent.concat()]), []);
    }

    #[test]
    fn frames_that_are_too_short_tell_of_nothing_and_hide_nothing() {
        let mut sent = Vec::new();
        for bytes in 0..8 {
            sent.extend(frame(GOAWAY, &vec![0; bytes]));
            sent.extend(frame(RST_STREAM, &vec![0; bytes.min(3)]));
            sent.extend(frame(DATA, b""));
        }
        sent.extend(reset(Reason::REFUSED_STREAM));
        assert_eq!(told([&*sent]), [Guard::Streams]);
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let code = prop_oneof![Just(7_u32), Just(9), Just(11), any::<u32>()];
        let text = prop_oneof![
            Just("too_many_resets".to_owned()),
            Just("header_list_way_too_large".to_owned()),
            "[a-z_]{0,80}",
        ];
        let payload = proptest::collection::vec(any::<u8>(), 0..600);
        prop_oneof![
            code.clone().prop_map(|code| reset(code.into())),
            (code, text).prop_map(|(code, text)| goaway(code.into(), &text)),
            (0..10_u8, payload).prop_map(|(kind, payload)| frame(kind, &payload)),
        ]
    }

    proptest! {
        #[test]
        fn however_frames_are_split_they_tell_the_same(
            frames in proptest::collection::vec(any_frame(), 0..12),
            lengths in proptest::collection::vec(1..40_usize, 1..40),
        ) {
            // Frame by frame, none can be taken for a part of another.
            let each = frames.iter().flat_map(|frame| told([frame.as_slice()]));
            let each: Vec<_> = each.collect();
            let sent = frames.concat();
            prop_assert_eq!(&told([&*sent]), &each);
            prop_assert_eq!(&told(sent.chunks(1)), &each);
            let mut rest = sent.as_slice();
            let pieces = lengths.iter().cycle().map_while(|length| {
                let (piece, after) = rest.split_at((*length).min(rest.len()));
                rest = after;
                (!piece.is_empty()).then_some(piece)
            });
            prop_assert_eq!(&told(pieces), &each);
        }
    }
}
