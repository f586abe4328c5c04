//! Clients that return to a node other than their session's.
//!
//! The two nodes continue the session over a tunnel. This module contains the steps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roomer_hub::cluster::{Change, SessionProof};
use roomer_hub::{ConnId, ConnKey};
use roomer_proto::cluster::{Names, NodeId, TunnelItem, TunnelRequest};
use roomer_proto::extended::SessionToken;

use crate::app::claims::{Claims, Credentials};
use crate::core::Core;
use crate::outbound::compressed::Compression;
use crate::tunnel::due::TunnelKey;
use crate::tunnel::pipe::TunnelEnd;

/// The maximum size in bytes of a login that is sent to another node. A client with a larger login
/// gets a new session.
const MAX_LOGIN: usize = 16 * 1024;

/// A client that has returned to another node, which has proved that the client has its token.
pub(crate) struct ProvenClient {
    /// The connection of the client's session. `None` if the application has closed the session, and
    /// the close is kept for the client.
    pub(crate) conn: Option<ConnKey>,
    /// The token that the client has presented to the other node.
    pub(crate) token: SessionToken,
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// The login and the socket of a client that has returned to this node.
pub(crate) struct ReturnedClient<'a> {
    pub(crate) token: SessionToken,
    pub(crate) received: u64,
    pub(crate) credentials: Option<&'a Credentials>,
    pub(crate) compression: Compression,
    pub(crate) peer: Option<SocketAddr>,
}

impl Core {
    /// Opens a tunnel to a session's node, with a request to continue the session. Returns `None`
    /// if that node does not accept tunnels now, or if a limit is reached.
    pub(crate) fn request_session(
        &mut self,
        now: Duration,
        client: &ReturnedClient<'_>,
    ) -> Option<TunnelEnd> {
        let ReturnedClient { token, received, credentials, compression, peer } = *client;
        let Core { hub, cluster, .. } = self;
        let (tables, state, id) = (hub.tables(), cluster.as_mut()?, token.id());
        let mut nodes = tables.peers_of(id.as_str());
        // Two nodes may share a tag. A node without that session refuses the request.
        let node = nodes.find_map(|node| state.machine.tunnel_to(node))?;
        let names = credentials.and_then(|credentials| credentials.claims.as_ref());
        let pairs: Option<Vec<&str>> =
            names.map(|names| names.iter().flat_map(|(name, value)| [name, value]).collect());
        let user = credentials.and_then(Credentials::user).map(|user| &**user);
        let len = pairs.iter().flatten().copied().chain(user).map(str::len).sum::<usize>();
        if len > MAX_LOGIN {
            return None;
        }
        let end = state.tunnels.open(node)?;
        let proof = SessionProof::new(&token.secret(), &id, state.machine.node(), user);
        let expires = credentials.and_then(|credentials| credentials.expires);
        let request = TunnelRequest {
            id,
            proof: proof.0,
            received,
            sends_compressed: compression.is_agreed,
            takes_compressed: compression.is_shared,
            address: peer,
            valid_ms: expires.map(|at| at.saturating_sub(now).as_millis() as u64),
            user,
            claims: pairs.as_deref().map(Names::new),
        };
        let item = TunnelItem::Open { number: end.key().number, request };
        state.machine.record(now, tables, Change::Tunnel { to: node, item });
        Some(end)
    }

    /// Verifies another node's request for the session of its client. Returns `None` if the request
    /// does not prove the session's token, or if the login's user is not the session's user.
    pub(crate) fn requested_session(
        &mut self,
        now: Duration,
        from: NodeId,
        request: &TunnelRequest<'_>,
    ) -> Option<ProvenClient> {
        let TunnelRequest { id, proof, valid_ms, user, claims, .. } = *request;
        let conn = self.hub.tables().find_conn(id.as_str());
        let is_proven =
            |secret: &[u8; 16]| SessionProof::new(secret, &id, from, user) == SessionProof(proof);
        let found = conn.and_then(|conn| Some((conn, self.sessions.presented(conn, is_proven)?)));
        let (info, secret, of_session) = match found {
            Some((conn, secret)) => {
                let info = self.infos.get(conn)?;
                (Some(info), secret, info.user())
            }
            None => match self.sessions.presented_after_close(now, &id, is_proven) {
                Some((secret, user)) => (None, secret, user),
                None => {
                    self.sessions.refused.unknown += 1;
                    return None;
                }
            },
        };
        if of_session.map(|user| &**user) != user {
            self.sessions.refused.other_user += 1;
            return None;
        }
        let claims = claims.map(|claims| {
            let mut texts = claims.iter().map(String::from);
            let pairs = std::iter::from_fn(|| Some((texts.next()?, texts.next()?)));
            let mut claims: Claims = pairs.collect();
            if let Some(user) = user {
                claims = claims.user(user);
            }
            valid_ms.map(Duration::from_millis).into_iter().fold(claims, Claims::valid_for)
        });
        // Values of the application's own types cannot be sent to another node, so the session
        // keeps those that it has.
        let own = info.and_then(|info| info.credentials.as_ref()).map(|own| own.extensions.clone());
        let credentials = Credentials::new(claims, own.unwrap_or_default(), now).ok()?;
        let conn = info.map(|info| info.key);
        Some(ProvenClient { conn, token: SessionToken::new(id, secret), credentials })
    }

    /// Continues a session over a tunnel. `next` is the session's next token, which the payload
    /// `hello` omits.
    pub(crate) fn accept_tunnel(
        &mut self,
        now: Duration,
        key: TunnelKey,
        (presented, next): (&SessionToken, &SessionToken),
        hello: &str,
    ) {
        let Core { hub, cluster, .. } = self;
        let Some(state) = cluster else { return };
        let TunnelKey { peer, number, .. } = key;
        let secret =
            SessionProof::mask(next.secret(), &presented.secret(), &presented.id(), (peer, number));
        let item = TunnelItem::Accept { number, secret, hello };
        state.machine.record(now, hub.tables(), Change::Tunnel { to: peer, item });
        state.tunnels.due.wake();
    }

    /// Accepts a tunnel that only carries the close frame of a session that the application has
    /// closed, and the client's answer. The close itself stays on this node, since only the answer
    /// shows that the client has received it: the other node may lose the tunnel or stop before that,
    /// and the client may return to any node.
    pub(crate) fn accept_tunnel_to_close(&mut self, now: Duration, id: ConnId, key: TunnelKey) {
        let Core { hub, cluster, sessions, .. } = self;
        let Some(state) = cluster else { return };
        let TunnelKey { peer, number, .. } = key;
        let item = TunnelItem::Accept { number, secret: [0; 16], hello: "" };
        state.machine.record(now, hub.tables(), Change::Tunnel { to: peer, item });
        // The client is not counted as a connection. Its earlier sockets must not use up the tunnels
        // of other clients until their closes time out.
        if let Some(earlier) = sessions.close_sent_over(id, key) {
            state.tunnels.abandon(earlier);
        }
        state.tunnels.due.wake();
    }

    /// Refuses another node's request. The client then gets a new session on that node.
    pub(crate) fn refuse_tunnel(&mut self, key: TunnelKey) {
        if let Some(state) = &mut self.cluster {
            state.tunnels.refuse(key);
            state.tunnels.due.wake();
        }
    }

    /// Queues the tunnels' pending items in the streams to the peers.
    pub(crate) fn send_tunnels(&mut self, now: Duration) {
        let Core { hub, cluster, .. } = self;
        if let Some(state) = cluster {
            state.tunnels.send(now, hub.tables(), &mut state.machine);
        }
    }

    /// Recovers the session's next token from the masked secret that the session's node has sent to
    /// this node for the client.
    pub(crate) fn unmask(
        &self,
        presented: &SessionToken,
        key: TunnelKey,
        secret: [u8; 16],
    ) -> SessionToken {
        let me = self.cluster.as_ref().map(|state| state.machine.node()).unwrap_or(key.peer);
        let (id, own) = (presented.id(), presented.secret());
        SessionToken::new(id, SessionProof::mask(secret, &own, &id, (me, key.number)))
    }
}
