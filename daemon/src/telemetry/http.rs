//! One exchange of HTTP/1.1: a GET comes in, an answer goes out, and the connection ends. Whoever is there is a
//! stranger: what it sends is bounded in length and time, and nothing of it is kept or shown.

use std::io;
use std::time::Duration;

use proto::limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::clock::duration;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const WAIT: Duration = duration(limits::METRICS_WAIT);
const PLAIN: &str = "text/plain; charset=utf-8";

/// What can be the matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Ok,
    Malformed,
    NotFound,
    NotGet,
    TooSlow,
    TooLong,
    Unavailable,
}

impl Status {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::Malformed => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::NotGet => "405 Method Not Allowed\r\nAllow: GET",
            Self::TooSlow => "408 Request Timeout",
            Self::TooLong => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn plain(status: Status, text: &str) -> Self {
        Self { status, content_type: PLAIN, body: format!("{text}\n") }
    }

    fn refused(status: Status) -> Self {
        let text = match status {
            Status::NotGet => "only GET is answered here",
            Status::TooSlow => "the request did not arrive in time",
            Status::TooLong => "the request is too long",
            Status::NotFound => "there are /metrics, /healthz and /readyz",
            Status::Ok | Status::Malformed | Status::Unavailable => "this is not a request of HTTP/1.1",
        };
        Self::plain(status, text)
    }

    fn head(&self) -> String {
        let (line, content_type, length) = (self.status.line(), self.content_type, self.body.len());
        format!(
            "HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    }
}

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    Metrics,
    Health,
    Ready,
}

/// Serves one connection. An error is the other side's own affair.
pub(super) async fn serve<S, A>(mut stream: S, answer: impl FnOnce(Page) -> A) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Answer>,
{
    let answer = match timeout(WAIT, read_head(&mut stream)).await {
        Ok(Ok(Some(head))) => match page(&head) {
            Ok(page) => answer(page).await,
            Err(status) => Answer::refused(status),
        },
        Ok(Ok(None)) => Answer::refused(Status::TooLong),
        Ok(Err(gone)) => return Err(gone),
        Err(_) => Answer::refused(Status::TooSlow),
    };
    let writing = async {
        stream.write_all(answer.head().as_bytes()).await?;
        stream.write_all(answer.body.as_bytes()).await?;
        stream.shutdown().await
    };
    timeout(WAIT, writing).await??;
    // What is still on its way would reset the connection, and the answer with it.
    drop(timeout(duration(limits::METRICS_LINGER), discard(&mut stream)).await);
    Ok(())
}

/// All up to the empty line; `None` if that does not come within the bound.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1 << 10);
    let mut bounded = stream.take(limits::METRICS_HEAD_BYTES as u64);
    let mut searched = 0;
    loop {
        if bounded.read_buf(&mut head).await? == 0 {
            let is_full = bounded.limit() == 0;
            return if is_full { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let rest = head.get(searched..).unwrap_or_default();
        if let Some(at) = rest.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            head.truncate(searched + at);
            return Ok(Some(head));
        }
        searched = head.len().saturating_sub(END_OF_HEAD.len() - 1);
    }
}

/// Which page a request asks for. Its headers and whatever follows it are not looked at.
fn page(head: &[u8]) -> Result<Page, Status> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| Status::Malformed)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Status::Malformed);
    };
    let is_method = !method.is_empty() && method.bytes().all(|letter| letter.is_ascii_uppercase());
    if !is_method || !target.starts_with('/') || !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(Status::Malformed);
    }
    if method != "GET" {
        return Err(Status::NotGet);
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match path {
        "/metrics" => Ok(Page::Metrics),
        "/healthz" => Ok(Page::Health),
        "/readyz" => Ok(Page::Ready),
        _ => Err(Status::NotFound),
    }
}

async fn discard(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bounded = stream.take(limits::METRICS_LINGER_BYTES);
    tokio::io::copy(&mut bounded, &mut tokio::io::sink()).await.map(drop)
}
