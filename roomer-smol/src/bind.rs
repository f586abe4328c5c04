//! Opens a TCP listener.

use std::fmt::Display;

use roomer_engine::BindError;
use smol::net::{AsyncToSocketAddrs, TcpListener};

/// Opens a TCP listener for [`serve_until`](crate::serve_until).
///
/// # Errors
///
/// Returns a [`BindError`]. Unlike the system's error, it contains the address, and if `main`
/// returns it, a readable sentence is printed.
pub async fn bind(address: impl AsyncToSocketAddrs + Display) -> Result<TcpListener, BindError> {
    let name = address.to_string();
    TcpListener::bind(address).await.map_err(|error| BindError::new(name, error))
}

#[cfg(test)]
mod tests {
    use super::bind;

    #[test]
    fn error_of_main_names_address() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let error = smol::block_on(bind(addr)).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.starts_with(&format!("cannot listen on {addr}: ")), "{text}");
        assert!(text.ends_with("; stop the other program, or choose another address"), "{text}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::AddrInUse);
    }
}
