//! Decompresses requests.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Status;

use super::super::guard::Guard;
use super::super::message_body::{Limits, MessageMemory, Verdict};
use super::super::with_reason;
use super::{HEAD_BYTES, MessageCoding, first, head};
use crate::model::reason::Reason;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that are decompressed at a time.
const BUFFER_BYTES: usize = 8 * 1024;
/// The largest window that a zstd frame may ask for, as a power of two, as over REST.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

pin_project! {
    /// A body of messages, none of which is compressed any more.
    #[derive(Debug)]
    pub struct Decoded<B> {
        #[pin]
        inner: B,
        // None: nothing is compressed, and all passes unchanged.
        work: Option<Work>,
        verdict: Verdict,
        is_over: bool,
    }
}

/// The state of the decompression.
#[derive(Debug)]
struct Work {
    coding: MessageCoding,
    memory: MessageMemory,
    is_single: bool,
    decoders: Arc<Semaphore>,
    came: BytesMut,
    in_flight: Option<JoinHandle<Result<Vec<u8>, Status>>>,
}

impl<B> Decoded<B> {
    /// The messages of `inner`, which `limits` bound after decompression too. At most as many are decompressed at once
    /// as `decoders` has permits. `is_single`: the call has one message. `verdict` is that of `inner`.
    pub fn new(
        inner: B,
        coding: Option<MessageCoding>,
        is_single: bool,
        limits: &Limits,
        verdict: Verdict,
        decoders: &Arc<Semaphore>,
    ) -> Self {
        let work = coding.map(|coding| Work {
            coding,
            memory: limits.memory(),
            is_single,
            decoders: decoders.clone(),
            came: BytesMut::new(),
            in_flight: None,
        });
        Self {
            inner,
            work,
            verdict,
            is_over: false,
        }
    }

    /// Will say why the body ended early.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }
}

impl Work {
    /// The next received message, partial or complete.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            if let Some(in_flight) = &mut self.in_flight {
                let done = ready!(Pin::new(in_flight).poll(context));
                self.in_flight = None;
                let done = done.unwrap_or_else(|_| Err(Status::internal("decompression panicked")));
                return Poll::Ready(Some(done.map(Bytes::from)));
            }
            let Some((is_compressed, length)) = first(&self.came) else {
                return Poll::Ready(None);
            };
            let mut message = self.came.split_to(length);
            if !is_compressed {
                return Poll::Ready(Some(Ok(message.freeze())));
            }
            message.advance(HEAD_BYTES);
            let (coding, memory) = (self.coding, self.memory.clone());
            let (decoders, is_single) = (self.decoders.clone(), self.is_single);
            // A bomb may take a while to be detected, and must not block other calls.
            self.in_flight = Some(tokio::spawn(async move {
                let permit = decoders.acquire_owned().await;
                let work = move || {
                    let decoded = decode(coding, &message, &memory, is_single);
                    drop(permit);
                    decoded
                };
                let done = tokio::task::spawn_blocking(work).await;
                done.unwrap_or_else(|_| Err(Status::internal("decompression panicked")))
            }));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.abort();
        }
    }
}

/// A message with its head, decompressed.
fn decode(
    coding: MessageCoding,
    bytes: &[u8],
    memory: &MessageMemory,
    is_single: bool,
) -> Result<Vec<u8>, Status> {
    let mut out = vec![0; HEAD_BYTES];
    match coding {
        MessageCoding::Gzip => read(MultiGzDecoder::new(bytes), &mut out, memory, is_single)?,
        MessageCoding::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(bytes).and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|_| Status::internal("no zstd decoder can be made"))?;
            read(decoder, &mut out, memory, is_single)?;
        }
    }
    let length = out.len() - HEAD_BYTES;
    if let Some(begin) = out.first_chunk_mut() {
        *begin = head(false, length);
    }
    memory.largest(length);
    Ok(out)
}

fn read(
    mut reader: impl Read,
    out: &mut Vec<u8>,
    memory: &MessageMemory,
    is_single: bool,
) -> Result<(), Status> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => {
                let text = "malformed message: it is not compressed as grpc-encoding says";
                let status = Status::invalid_argument(text);
                return Err(with_reason(Reason::CodingInvalid, status));
            }
        };
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok(());
        }
        let length = out.len() - HEAD_BYTES + piece.len();
        if length > memory.bytes_max {
            let limit = memory.bytes_max;
            let text =
                format!("message length too large: decompressed it has more than {limit} bytes");
            return Err(memory.refuse(is_single, Guard::MessageBytes, Status::out_of_range(text)));
        }
        memory.take(is_single, piece.len())?;
        out.extend_from_slice(piece);
    }
}

impl<B> Body for Decoded<B>
where
    B: Body<Data = Bytes, Error = Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        let Some(work) = this.work else {
            return this.inner.poll_frame(context);
        };
        if *this.is_over {
            return Poll::Ready(None);
        }
        loop {
            if let Some(message) = ready!(work.poll_next(context)) {
                if let Err(status) = &message {
                    *this.is_over = true;
                    this.verdict.set(status);
                }
                return Poll::Ready(Some(message.map(Frame::data).map_err(Into::into)));
            }
            match ready!(this.inner.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => work.came.extend_from_slice(&data),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                ended => return Poll::Ready(ended),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.work {
            None => self.inner.is_end_stream(),
            Some(work) => {
                let is_empty = work.came.is_empty() && work.in_flight.is_none();
                self.is_over || is_empty && self.inner.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.work {
            None => self.inner.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
