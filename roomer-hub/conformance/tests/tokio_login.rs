//! Tests the user of a connection, as set by middleware or by the server's hook, over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use roomer_tokio::{Builder, Claims, Server, mount};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};

use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};

/// An axum application with middleware that adds values to each request.
struct TestServer {
    addr: SocketAddr,
    _runtime: Runtime,
}

impl TestServer {
    fn start(
        choose: impl FnOnce(Builder) -> Builder,
        put: impl Fn(&mut Request) + Clone + Send + Sync + 'static,
    ) -> TestServer {
        let server = choose(Server::builder()).build().unwrap();
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let introduce = from_fn(move |mut request: Request, next: Next| {
            put(&mut request);
            next.run(request)
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let addr = listener.local_addr().unwrap();
        let guard = runtime.enter();
        let app = Router::new().route_service("/ws", mount(server)).layer(introduce);
        drop(guard);
        runtime.spawn(async { axum::serve(listener, app).await });
        TestServer { addr, _runtime: runtime }
    }

    /// Returns the server's answer to a client that asks for its own user.
    fn ask(&self, ask: &HttpRequest) -> String {
        let mut client = Client::upgrade(dial(self.addr), ask);
        client.send_to_room("root", "who", b"");
        let answer = String::from_utf8(client.expect_packet().payload).unwrap();
        client.close();
        answer
    }
}

#[test]
fn plain_map_in_extensions_is_not_claims() {
    let test = TestServer::start(
        |builder| builder.on("who", |conn, _| conn.send("you", format!("{:?}", conn.claims()))),
        |request| {
            // The client chooses these values, like those in the query.
            let parameters = BTreeMap::from([("role".to_owned(), "admin".to_owned())]);
            request.extensions_mut().insert(parameters);
        },
    );
    assert_eq!(test.ask(&HttpRequest::upgrade(test.addr)), "None");
}

/// The user, as the middleware has identified them.
#[derive(Clone)]
struct Account {
    name: String,
}

#[test]
fn extensions_set_by_middleware_are_found_by_type() {
    let test = TestServer::start(
        |builder| {
            builder.on("who", |conn, message| {
                let name = conn.extension::<Account>().map_or("none", |account| &account.name);
                let user = conn.user().unwrap_or("none");
                conn.reply(message, "you", format!("{name}, {user}, {:?}", conn.claims()));
            })
        },
        |request| {
            let name = request.headers().get("x-name").map(|name| name.to_str().unwrap());
            let Some(name) = name.map(String::from) else { return };
            request.extensions_mut().insert(Claims::new().user(&name));
            request.extensions_mut().insert(Account { name });
        },
    );
    let plain = HttpRequest::upgrade(test.addr);
    assert_eq!(test.ask(&plain), "none, none, None");
    assert_eq!(test.ask(&plain.add("X-Name", "ann")), "ann, ann, Some({})");
}

#[test]
fn hook_claims_replace_middleware_claims() {
    let test = TestServer::start(
        |builder| {
            builder
                .authorize(|request| {
                    let account = request.head().extensions().get::<Account>();
                    assert_eq!(account.unwrap().name, "from middleware");
                    let name = "from the hook".to_owned();
                    Ok(Claims::new().user("bob").with(Account { name }))
                })
                .on("who", |conn, message| {
                    let account = conn.extension::<Account>().ok_or("no account")?;
                    let number = conn.extension::<u64>().ok_or("no number")?;
                    let (user, name) = (conn.user(), &account.name);
                    conn.reply(message, "you", format!("{user:?}, {name}, {number}"));
                    Ok(())
                })
        },
        |request| {
            request.extensions_mut().insert(Claims::new().user("ann").with(7_u64));
            request.extensions_mut().insert(Account { name: "from middleware".into() });
        },
    );
    assert_eq!(test.ask(&HttpRequest::upgrade(test.addr)), r#"Some("bob"), from the hook, 7"#);
}
