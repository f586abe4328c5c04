//! Loom models of handing a session over to the task of its client's new socket.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::loom_models::{self, Socket};
use crate::outbound::socket_writer::SocketWriter;
use crate::session::handover::{Handover, HandoverError};
use crate::sync::{Mutex, lock};

/// A stand-in for the session. It is not `Clone`, so only one can exist.
struct Token;

type Place = Arc<Handover<Token>>;

/// The session's entry in the server's table, under the server's lock.
#[derive(Default)]
struct Entry {
    successor: Option<Place>,
    writer: Option<Arc<SocketWriter>>,
    has_ended: bool,
}

type Table = Arc<Mutex<Entry>>;

/// Creates a writer for a task's socket. The writer is used only for wake-ups.
fn writer() -> Arc<SocketWriter> {
    loom_models::writer(&Socket::with_room(0), 10)
}

/// Registers a waiting task, as `Connection::open` does for a client that returns.
fn reconnect(table: &Table) -> Option<Place> {
    let place = Place::default();
    let mut entry = lock(table);
    if entry.has_ended {
        return None;
    }
    if let Some(before) = entry.successor.replace(place.clone()) {
        before.reject(HandoverError::Superseded);
    }
    let holder = entry.writer.clone();
    drop(entry);
    holder.into_iter().for_each(|holder| holder.supersede());
    Some(place)
}

/// Waits for a successor and hands the session over, as the task with the session does. Returns the
/// session if the successor is no longer waiting.
fn hand_over(table: &Table, writer: &SocketWriter, session: Box<Token>) -> Result<(), Box<Token>> {
    block_on(poll_fn(|cx| {
        let _ = writer.poll_status(cx);
        if writer.is_superseded() { Poll::Ready(()) } else { Poll::Pending }
    }));
    let successor = lock(table).successor.take();
    let given = match successor {
        Some(successor) => successor.give(session),
        None => Err(session),
    };
    given.inspect_err(|_| writer.keep())
}

/// Replaces the old task's writer with the new task's, as `Connection::resume` does.
fn resume(table: &Table) -> Arc<SocketWriter> {
    let writer = writer();
    let mut entry = lock(table);
    entry.writer = Some(writer.clone());
    if entry.successor.is_some() {
        writer.supersede();
    }
    writer
}

fn wait(place: &Place) -> Result<Token, HandoverError> {
    block_on(poll_fn(|cx| place.poll(cx)))
}

fn with_old_task() -> (Table, Arc<SocketWriter>) {
    let old = writer();
    let entry = Entry { writer: Some(old.clone()), ..Entry::default() };
    (Arc::new(Mutex::new(entry)), old)
}

#[test]
fn expired_session_has_one_owner() {
    model(|| {
        let (table, old) = with_old_task();
        let task = {
            let table = table.clone();
            thread::spawn(move || hand_over(&table, &old, Box::new(Token)).is_err())
        };
        let place = reconnect(&table).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let polled = place.poll(&mut cx);
        let is_new = match polled {
            Poll::Ready(session) => session.is_ok(),
            Poll::Pending => place.abandon().is_some(),
        };
        assert_ne!(task.join().unwrap(), is_new, "both have it, or neither");
    });
}

#[test]
fn second_resume_gets_session_from_any_state() {
    model(|| {
        let (table, old) = with_old_task();
        let first = reconnect(&table).unwrap();
        let holder = {
            let table = table.clone();
            thread::spawn(move || {
                // If the successor has stopped waiting in the meantime, wait for the next one.
                let mut session = Box::new(Token);
                while let Err(back) = hand_over(&table, &old, session) {
                    session = back;
                }
            })
        };
        let first = {
            let table = table.clone();
            thread::spawn(move || match wait(&first) {
                Ok(session) => {
                    let writer = resume(&table);
                    assert!(hand_over(&table, &writer, Box::new(session)).is_ok());
                }
                Err(error) => assert_eq!(error, HandoverError::Superseded),
            })
        };
        let second = reconnect(&table).unwrap();
        assert!(wait(&second).is_ok());
        first.join().unwrap();
        holder.join().unwrap();
    });
}

#[test]
fn resume_of_ending_session_is_answered() {
    model(|| {
        let (table, old) = with_old_task();
        let place = reconnect(&table).unwrap();
        let holder = {
            let table = table.clone();
            thread::spawn(move || hand_over(&table, &old, Box::new(Token)).is_err())
        };
        let end = {
            let table = table.clone();
            // End the session as `Sessions::end` does when the application closes the connection.
            thread::spawn(move || {
                let mut entry = lock(&table);
                entry.has_ended = true;
                if let Some(successor) = entry.successor.take() {
                    successor.reject(HandoverError::Ended);
                }
            })
        };
        let answer = wait(&place);
        assert!(!matches!(answer, Err(HandoverError::Superseded)));
        end.join().unwrap();
        assert_ne!(holder.join().unwrap(), answer.is_ok(), "both have it, or neither");
        assert!(reconnect(&table).is_none());
    });
}
