//! Streams for a client that a test can cut.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{AsyncRead, AsyncWrite};
use roomer_engine::client::{Address, Client, Runtime};

/// Controls the sockets of all connections that a client opens.
#[derive(Clone, Default)]
pub(super) struct Cuts(Arc<CutState>);

#[derive(Default)]
struct CutState {
    /// The number of the first connection that was not cut.
    first: AtomicUsize,
    dials: AtomicUsize,
    /// The number, plus one, of the connection on which written bytes are dropped.
    swallowing: AtomicUsize,
    swallowed: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Cuts {
    pub(super) fn client<R: Runtime>(&self, url: &str, extended: bool) -> Client<R> {
        self.client_of(&[url], extended)
    }

    /// Returns a client that connects to these servers, one after another.
    pub(super) fn client_of<R: Runtime>(&self, urls: &[&str], extended: bool) -> Client<R> {
        let addresses: Vec<Address> = urls.iter().map(|url| url.parse().unwrap()).collect();
        let (cuts, url) = (self.clone(), urls[0]);
        let open = move || {
            let cuts = cuts.clone();
            let number = cuts.0.dials.fetch_add(1, Ordering::SeqCst);
            let address = addresses[number % addresses.len()].clone();
            async move {
                let stream = R::connect(address.host().into(), address.port()).await?;
                Ok::<_, io::Error>(CutStream { stream, number, cuts })
            }
        };
        let builder = Client::<R>::builder(url).unwrap().stream(open).extended(extended);
        builder.delays(Duration::ZERO, Duration::from_millis(20)).connect().unwrap()
    }

    pub(super) fn cut(&self) {
        self.0.first.store(self.dials(), Ordering::SeqCst);
        std::mem::take(&mut *self.0.wakers.lock().unwrap()).into_iter().for_each(Waker::wake);
    }

    pub(super) fn swallow(&self) {
        self.0.swallowing.store(self.dials(), Ordering::SeqCst);
    }

    pub(super) fn swallowed(&self) -> usize {
        self.0.swallowed.load(Ordering::SeqCst)
    }

    pub(super) fn dials(&self) -> usize {
        self.0.dials.load(Ordering::SeqCst)
    }
}

struct CutStream<S> {
    stream: S,
    number: usize,
    cuts: Cuts,
}

impl<S> CutStream<S> {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.cuts.0.wakers.lock().unwrap().push(cx.waker().clone());
        match self.number < self.cuts.0.first.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        if self.cuts.0.swallowing.load(Ordering::SeqCst) == self.number + 1 {
            self.cuts.0.swallowed.fetch_add(bytes.len(), Ordering::SeqCst);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
