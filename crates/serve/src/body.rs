//! The bodies of responses.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use crate::held::Lease;

/// Number of bytes of a file that are read at a time.
pub(crate) const CHUNK: u64 = 128 << 10;

/// The body of a response.
pub(crate) enum Body {
    Empty,
    /// Bytes in memory.
    Full(Bytes),
    /// A part of a file.
    File(Reading),
    /// Bytes as they come.
    Stream(Receiver<Bytes>),
}

/// A file that is being sent. The lease keeps it.
pub(crate) struct Reading {
    pub(crate) file: File,
    pub(crate) at: u64,
    pub(crate) end: u64,
    pub(crate) _lease: Arc<Lease>,
}

impl Reading {
    fn next(&mut self) -> io::Result<Bytes> {
        let mut bytes = vec![0; (self.end - self.at).min(CHUNK) as usize];
        // A file that is shorter than its record ends the connection: the length was promised.
        self.file.read_exact_at(&mut bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.into())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let body = self.get_mut();
        match body {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *body = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::File(reading) if reading.at >= reading.end => Poll::Ready(None),
            Body::File(reading) => Poll::Ready(Some(reading.next().map(Frame::data))),
            Body::Stream(receiver) => {
                receiver.poll_recv(context).map(|bytes| bytes.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::File(reading) => reading.at >= reading.end,
            Body::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::File(reading) => SizeHint::with_exact(reading.end - reading.at),
            Body::Stream(_) => SizeHint::default(),
        }
    }
}
