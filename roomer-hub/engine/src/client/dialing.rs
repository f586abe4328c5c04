//! Opening a client's connections.

use std::io;

use roomer_proto::client::Address;

use super::builder::{BoxStream, Target};
use super::runtime::{MessageSocket, Runtime};
use crate::app::call::BoxFuture;

pub(super) type Dialing = BoxFuture<Result<Dialed, String>>;

/// A newly opened connection.
pub(super) enum Dialed {
    Bytes(Address, BoxStream),
    Platform(Box<dyn MessageSocket>),
}

/// Opens a connection. `full` is the target's URL with the query that the machine adds.
pub(super) fn dialing<R: Runtime>(target: Target, full: Address) -> Dialing {
    Box::pin(async move {
        let token = match &target.token {
            Some(token) => Some(token().await?),
            None => None,
        };
        let with_token = |address: Address| match &token {
            Some(token) if target.has_token_protocol => address.token_protocol(token),
            Some(token) => address.query("token", token),
            None => address,
        };
        let failed = |error: io::Error| error.to_string();
        let address = with_token(target.address);
        if let Some(dial) = &target.dial {
            return Ok(Dialed::Bytes(address, dial().await.map_err(failed)?));
        }
        // The platform performs the handshake, so the URL must contain the whole query.
        if R::HAS_WEBSOCKETS {
            let full = with_token(full);
            let protocols = full.protocols().map(str::to_owned).collect();
            let opening = R::open(full.to_url(), protocols);
            return Ok(Dialed::Platform(opening.await.map_err(failed)?));
        }
        let (host, port) = (address.host().to_owned(), address.port());
        let stream = R::connect(host, port).await.map_err(failed)?;
        #[cfg(feature = "tls")]
        if address.is_tls() {
            let stream = super::tls::secure(target.tls, address.host(), stream).await?;
            return Ok(Dialed::Bytes(address, stream));
        }
        Ok(Dialed::Bytes(address, stream))
    })
}
