//! Clients in a browser, over the browser's WebSocket (feature `web`, on wasm32).
//!
//! A page can neither send headers with the handshake ([`Builder::header`](super::Builder::header)
//! has no effect) nor see the status of a rejection.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{cell::RefCell, rc::Rc};

use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, ArrayBuffer, Uint8Array};
use send_wrapper::SendWrapper;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    BinaryType, CloseEvent, Event, EventTarget, MessageEvent, VisibilityState, WebSocket,
};

use super::runtime::{ByteStream, Incoming, MessageSocket, Opening, Runtime};

/// The runtime for a client in a page or worker: `Client::<Web>::connect("wss://example.org/ws")`.
/// Its sockets, timers and watchers must stay on the thread that created them.
#[derive(Clone, Copy, Debug)]
pub enum Web {}

impl Runtime for Web {
    const HAS_WEBSOCKETS: bool = true;

    async fn connect(_: String, _: u16) -> io::Result<Box<dyn ByteStream>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open(url: String, protocols: Vec<String>) -> Opening {
        Box::pin(SendWrapper::new(async move {
            let socket =
                Socket::new(&url, &protocols).map_err(|error| io::Error::other(text_of(&error)))?;
            let socket = Box::new(SendWrapper::new(socket));
            std::future::poll_fn(|cx| socket.poll_open(cx)).await?;
            Ok(socket as Box<dyn MessageSocket>)
        }))
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        // Round up, since a timer that fires early costs another turn. A time above setTimeout's
        // maximum is reduced to that maximum, and the timer then fires early too.
        let millis = i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        SendWrapper::new(TimeoutFuture::new(millis.unsigned_abs()))
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        spawn_local(task);
    }

    fn watch(wake: Arc<dyn Fn() + Send + Sync>) -> Option<Box<dyn Send>> {
        Some(Box::new(SendWrapper::new(Watch::new(wake))))
    }
}

/// A WebSocket's state, updated by its event listeners.
#[derive(Default)]
struct State {
    is_open: bool,
    incoming: VecDeque<Incoming>,
    waker: Option<Waker>,
}

impl State {
    fn changed(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// An event listener, removed when dropped.
struct Listener {
    target: EventTarget,
    event: &'static str,
    closure: Closure<dyn FnMut(Event)>,
}

impl Listener {
    fn new(target: &EventTarget, event: &'static str, act: impl FnMut(Event) + 'static) -> Self {
        let closure = Closure::new(act);
        // This call fails only if its arguments are invalid.
        let _ = target.add_event_listener_with_callback(event, closure.as_ref().unchecked_ref());
        Listener { target: target.clone(), event, closure }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let callback = self.closure.as_ref().unchecked_ref();
        let _ = self.target.remove_event_listener_with_callback(self.event, callback);
    }
}

/// An event listener's function.
type Act = Box<dyn FnMut(&Event, &mut State)>;

struct Socket {
    socket: WebSocket,
    state: Rc<RefCell<State>>,
    /// Fields are dropped in order, so the socket closes before its listeners are removed. No
    /// listener runs in between, since events are dispatched only after the current task.
    _listeners: [Listener; 3],
}

impl Socket {
    fn new(url: &str, protocols: &[String]) -> Result<Self, JsValue> {
        let protocols: Array = protocols.iter().map(|name| JsValue::from_str(name)).collect();
        let socket = WebSocket::new_with_str_sequence(url, &protocols)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let state = Rc::new(RefCell::new(State::default()));
        let listen = |event, mut act: Act| {
            let state = state.clone();
            Listener::new(&socket, event, move |event| {
                let mut state = state.borrow_mut();
                act(&event, &mut state);
                // Waking while the state is borrowed is safe: the woken task runs later, never
                // within this call.
                state.changed();
            })
        };
        let listeners = [
            listen("open", Box::new(|_, state| state.is_open = true)),
            listen(
                "message",
                Box::new(|event, state| {
                    if let Some(event) = event.dyn_ref::<MessageEvent>() {
                        state.incoming.push_back(Incoming::Message(bytes_of(&event.data())));
                    }
                }),
            ),
            listen(
                "close",
                Box::new(|event, state| {
                    state.incoming.push_back(match event.dyn_ref::<CloseEvent>() {
                        // The browser reports 1006 if the connection was lost, and 1005 if the close
                        // frame had no code (RFC 6455 section 7.1.5).
                        Some(event) if event.code() != 1006 => Incoming::Closed {
                            code: Some(event.code()).filter(|code| *code != 1005),
                            reason: event.reason(),
                        },
                        _ => Incoming::Lost,
                    });
                }),
            ),
        ];
        Ok(Socket { socket, state, _listeners: listeners })
    }

    /// Returns `Poll::Ready` when the socket is open, or has failed to open.
    fn poll_open(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        if state.is_open {
            return Poll::Ready(Ok(()));
        }
        if !state.incoming.is_empty() {
            // Browsers hide the reason from the page.
            return Poll::Ready(Err(io::Error::other("the browser cannot connect")));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl MessageSocket for SendWrapper<Socket> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        let mut state = self.state.borrow_mut();
        if let Some(incoming) = state.incoming.pop_front() {
            return Poll::Ready(incoming);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn send(&mut self, message: &[u8]) {
        // `send` fails only before the socket is open.
        let _ = self.socket.send_with_u8_array(message);
    }

    fn close(&mut self, code: u16) {
        // Of the codes defined by RFC 6455, pages may send only 1000.
        let _ = match code {
            1000 => self.socket.close_with_code(code),
            _ => self.socket.close(),
        };
    }

    fn unsent(&self) -> usize {
        usize::try_from(self.socket.buffered_amount()).unwrap_or(usize::MAX)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = self.socket.close();
    }
}

/// Listeners for events after which the network may have changed.
struct Watch {
    _listeners: Vec<Listener>,
}

impl Watch {
    fn new(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let document = web_sys::window().and_then(|window| window.document());
        let is_hidden = {
            let document = document.clone();
            move || {
                document.as_ref().is_some_and(|it| it.visibility_state() == VisibilityState::Hidden)
            }
        };
        let listen = |target: &EventTarget, event| {
            let (wake, is_hidden) = (wake.clone(), is_hidden.clone());
            Listener::new(target, event, move |_| {
                if !is_hidden() {
                    wake();
                }
            })
        };
        let mut listeners = Vec::new();
        // The global object is a window, or the global scope of a worker.
        if let Some(target) = js_sys::global().dyn_ref::<EventTarget>() {
            listeners.extend(["online", "pageshow"].map(|event| listen(target, event)));
        }
        if let Some(document) = &document {
            listeners.push(listen(document, "visibilitychange"));
        }
        Watch { _listeners: listeners }
    }
}

/// Returns a message's bytes. A text message is treated like a binary one.
fn bytes_of(data: &JsValue) -> Vec<u8> {
    match data.dyn_ref::<ArrayBuffer>() {
        Some(buffer) => Uint8Array::new(buffer).to_vec(),
        None => data.as_string().unwrap_or_default().into_bytes(),
    }
}

fn text_of(error: &JsValue) -> String {
    let text = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    text.unwrap_or_else(|| "the browser cannot connect".into())
}
