//! Sessions of this node whose clients have returned to other nodes of the cluster.

use std::sync::Arc;

use roomer_proto::cluster::TunnelItem;

use crate::connection::{Connection, Opening, State};
use crate::core::cluster::returns::ProvenClient;
use crate::handshake::session_request::{ResumeRequest, SessionRequest};
use crate::lifecycle::admission::{Replaced, SocketKind};
use crate::outbound::compressed::Compression;
use crate::shared::Shared;
use crate::tunnel::Arrival;

impl Connection {
    /// Verifies another node's request for a session. If the limits permit it, returns a connection
    /// for the client, and counts it like a local one. Otherwise the client gets a new session on
    /// the other node. A connection that only closes the client is not counted: the client has at
    /// most one such tunnel.
    pub(crate) fn returned(shared: &Arc<Shared>, arrival: Arrival) -> Option<Connection> {
        let Arrival { end, item } = arrival;
        let Ok(Some(TunnelItem::Open { request, .. })) = TunnelItem::decode(&item) else {
            return None;
        };
        if end.is_left() {
            // The client has left again. Its session must not be detached from the socket that it
            // has now.
            return None;
        }
        let (options, key, now) = (shared.options(), end.key(), shared.now());
        let mut core = shared.core();
        let client = core.requested_session(now, key.peer, &request);
        let admitted = client.and_then(|client| {
            let Some(conn) = client.conn else { return Some((client, SocketKind::Outside)) };
            let attached = core.sessions.find_attached(core.hub.tables(), &client.token);
            let old = attached.and(core.infos.get(conn)).map(|info| info.peer.get());
            let replaced = old.map(|old| Replaced { address: options.handshake.address(old) });
            let address = options.handshake.address(request.address);
            let admission = &options.handshake.admission;
            shared.lifecycle.reserve(address, admission, replaced).ok()?;
            Some((client, SocketKind::Connection))
        });
        let Some((ProvenClient { token, credentials, .. }, kind)) = admitted else {
            core.refuse_tunnel(key);
            return None;
        };
        drop(core);
        let compression = Compression {
            is_agreed: request.sends_compressed,
            is_shared: request.takes_compressed,
        };
        let resume = ResumeRequest { token: Some(token), received: Some(request.received) };
        let opening = Opening {
            // The other node sends the response and `hello`.
            response: Vec::new(),
            compression,
            credentials,
            leftover: Vec::new(),
            session: Some(SessionRequest { resume: Some(resume) }),
            tunnel: Some(key),
        };
        let state = State::Upgraded(Box::new(opening));
        Some(Connection::begin(shared.clone(), end, request.address, (kind, state)))
    }
}
