//! Tests with the client of another project.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::{Bytes, Message};
use futures_util::{AsyncRead, AsyncWrite, StreamExt};

use roomer_conformance::wire::{self, Packet, PacketView};

/// Has a conversation with a new server that uses the default rules: join, message, ping, close.
pub(crate) async fn converse<S>(mut socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let welcome = packet(&mut socket).await;
    let id = welcome.src;
    let snapshot = format!("[\"{id}\"]").into_bytes();
    assert_eq!((welcome.event, welcome.payload), ("join_ack".into(), snapshot));

    let join = wire::packet([b"lobby", b"join", b"", b"", b""]);
    socket.send(Message::binary(join)).await.unwrap();
    let ack = packet(&mut socket).await;
    assert_eq!((ack.room, ack.event, ack.src), ("lobby".into(), "join_ack".into(), id.clone()));

    let payload = wire::filler(100_000);
    let note = wire::packet([b"lobby", b"note", id.as_bytes(), b"", &payload]);
    socket.send(Message::binary(note)).await.unwrap();
    let note = packet(&mut socket).await;
    assert_eq!((note.event, note.dst, note.src), ("note".into(), id.clone(), id));
    assert!(note.payload == payload, "the payload came back changed");

    socket.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"there?")));

    let goodbye = CloseFrame { code: 4000.into(), reason: "done".into() };
    socket.close(Some(goodbye)).await.unwrap();
    match socket.next().await {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 4000),
        other => panic!("no close frame: {other:?}"),
    }
    assert!(socket.next().await.is_none(), "something after the close");
}

async fn packet<S>(socket: &mut WebSocketStream<S>) -> Packet
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match socket.next().await {
        Some(Ok(Message::Binary(message))) => PacketView::decode(&message).into(),
        other => panic!("no binary message: {other:?}"),
    }
}
