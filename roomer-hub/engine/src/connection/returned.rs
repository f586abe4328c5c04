//! Sessions of this node whose clients have returned to other nodes of the cluster.

use std::sync::Arc;

use roomer_proto::cluster::TunnelItem;

use crate::connection::{Connection, Opening};
use crate::handshake::session_request::{ResumeRequest, SessionRequest};
use crate::lifecycle::admission::Replaced;
use crate::outbound::compressed::Compression;
use crate::shared::Shared;
use crate::tunnel::Arrival;

impl Connection {
    /// Verifies another node's request for a session. If the limits permit it, returns a connection
    /// for the client, and counts it like a local one. Otherwise the client gets a new session on
    /// the other node.
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
        let session = core.requested_session(now, key.peer, &request);
        let admitted = session.and_then(|(conn, token, credentials)| {
            let attached = core.sessions.find_attached(core.hub.tables(), &token);
            let old = attached.and(core.infos.get(conn)).map(|info| info.peer.get());
            let replaced = old.map(|old| Replaced { address: options.handshake.address(old) });
            let address = options.handshake.address(request.address);
            let admission = &options.handshake.admission;
            shared.lifecycle.reserve(address, admission, replaced).ok()?;
            Some((token, credentials))
        });
        let Some((token, credentials)) = admitted else {
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
        Some(Connection::upgraded(shared.clone(), end, request.address, opening))
    }
}
