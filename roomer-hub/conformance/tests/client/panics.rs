//! Panics in an application's functions, and the end of a client's task.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{AsyncRead, AsyncWrite};
use roomer_engine::client::{
    Client, Closing, Event, Failure, RequestError, Room, Runtime, SendError, State,
};
use tokio::sync::Notify;

use super::LIMIT;

/// Tests that a panic in the function for tokens or for streams fails only one connection attempt.
pub(super) async fn panic_fails_attempt<R: Runtime>(url: &str) {
    let calls = AtomicUsize::new(0);
    // The first attempt fails only after the subscription, so that no event is missed.
    let is_subscribed = Arc::new(Notify::new());
    let subscribed = is_subscribed.clone();
    let builder = Client::<R>::builder(url).unwrap().delays(Duration::ZERO, Duration::ZERO);
    let client = builder
        .token(move || {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            assert!(call != 1, "as intended, in the function");
            let subscribed = subscribed.clone();
            async move {
                if call == 0 {
                    subscribed.notified().await;
                    return Err(io::Error::other("no token yet"));
                }
                assert!(call > 2, "as intended, in the future");
                Ok(String::new())
            }
        })
        .connect()
        .unwrap();
    let mut events = client.events();
    is_subscribed.notify_one();
    let Some(Event::Suspended(_)) = events.next().await else { panic!() };
    for place in ["function", "future"] {
        let Some(Event::Suspended(Failure::Connect(why))) = events.next().await else { panic!() };
        assert_eq!(why, format!("a function panicked: as intended, in the {place}"));
    }
    client.opened().await.unwrap();

    let builder = Client::<R>::builder(url).unwrap().retries(0);
    let open = || async { panic!("as intended") as io::Result<PanickingStream> };
    let Closing::GaveUp(Failure::Connect(_)) =
        builder.stream(open).connect().unwrap().closed().await
    else {
        panic!()
    };
}

/// A panic of the stream ends the client's task, which closes the client.
pub(super) async fn panicking_stream_closes_client<R: Runtime>(url: &str) {
    // The stream opens, and panics, only after the request is in the queue.
    let is_queued = Arc::new(Notify::new());
    let opens = is_queued.clone();
    let open = move || {
        let opens = opens.clone();
        async move {
            opens.notified().await;
            Ok(PanickingStream)
        }
    };
    let client = Client::<R>::builder(url).unwrap().stream(open).connect().unwrap();
    let room = client.join("lobby");
    let (mut events, mut messages) = (client.events(), room.messages());
    let request = room.request("profile", "", LIMIT);
    is_queued.notify_one();
    assert_eq!(request.await, Err(RequestError::Unsent));
    assert!(messages.next().await.is_none());
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Closed(Closing::Aborted)));
    is_aborted(&client, &room).await;
}

/// Asserts that nothing waits for a client whose task has ended.
pub(crate) async fn is_aborted<R: Runtime>(client: &Client<R>, room: &Room) {
    assert_eq!((client.state(), room.is_open()), (State::Closed, false));
    assert_eq!(room.send("chat", "late"), Err(SendError::Closed));
    let request = room.request("profile", "", LIMIT).await;
    assert_eq!(request, Err(RequestError::NotSent(SendError::Closed)));
    assert_eq!(client.close().await, Closing::Aborted);
    assert_eq!(client.opened().await, Err(Closing::Aborted));
}

struct PanickingStream;

impl AsyncRead for PanickingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        panic!("as intended, in a read")
    }
}

impl AsyncWrite for PanickingStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        panic!("as intended, in a write")
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
