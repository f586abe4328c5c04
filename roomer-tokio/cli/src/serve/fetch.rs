//! HTTP requests to other services. Every wait and every size is limited.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// The time limit for a request, including the whole response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time for which an idle connection is kept for further requests. Servers close idle
/// connections after a few seconds, and a request that is sent at that moment must be repeated.
const IDLE: Duration = Duration::from_secs(2);

/// The size of the buffer for the head of a response, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// An HTTP client with a connection pool.
pub(crate) struct Fetcher {
    pooled: HttpClient,
    /// Opens a new connection for each request.
    unpooled: HttpClient,
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Checks the URL of a service. The documents from it are trusted, so they must be protected in
/// transit.
pub(crate) fn check_address(address: &str) -> Result<Uri, String> {
    match parse_address(address)? {
        (uri, true) => Ok(uri),
        (_, false) => Err(format!("{address:?} can be changed in transit: write https://")),
    }
}

/// Parses the URL of a service. Also returns true if requests to it are protected in transit: by
/// TLS, or because they do not leave this machine.
pub(crate) fn parse_address(address: &str) -> Result<(Uri, bool), String> {
    let wrong = || format!("{address:?} is not an address: write https://HOST/PATH");
    let uri: Uri = address.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    // Check the port, since a request with an invalid one would go to the default port.
    let has_port = uri.authority().is_some_and(|it| it.as_str().rsplit('@').next() != Some(host));
    if has_port && uri.port_u16().is_none() {
        return Err(format!(
            "{address:?} has a port that is not a number up to 65535: write a valid one, or none"
        ));
    }
    // In a URL, IPv6 addresses are in brackets.
    let name = host.trim_matches(['[', ']']);
    let is_here = name == "localhost"
        || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok((uri, true)),
        Some("http") => Ok((uri, is_here)),
        _ => Err(wrong()),
    }
}

impl Fetcher {
    pub(crate) fn new() -> Result<Fetcher, String> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|error| format!("the authorities of the system cannot be read: {error}"))?
            // The scheme was checked when the URL was parsed. For some services, plain `http` is
            // permitted.
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(IDLE).http1_max_buf_size(MAX_HEAD);
        let pooled = client.build(connector.clone());
        Ok(Fetcher { pooled, unpooled: client.pool_max_idle_per_host(0).build(connector) })
    }

    /// Requests a document. A redirect is an error, because [`check_address`] has not checked its
    /// target.
    pub(crate) async fn get(&self, address: &Uri, max: usize) -> Result<Bytes, String> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = address.clone();
        let read = async {
            let response = self.send(request).await?;
            if response.status() != StatusCode::OK {
                return Err(format!("the response is {}", response.status()));
            }
            read(response, max).await
        };
        timeout(TIMEOUT, read).await.map_err(|_| "no response in time".to_owned())?
    }

    /// Sends a request. Returns the response, whatever its status is. The caller must limit the
    /// time.
    ///
    /// If the server closes the connection without a response, the request is repeated once, on a new
    /// connection: the server may have closed an idle connection when the request was on its way.
    /// All requests can be repeated, since they ask for decisions, or carry events that have numbers
    /// (RFC 9110, section 9.2.2).
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let response = match self.pooled.request(request.clone()).await {
            Err(error) if is_closed(&error) => self.unpooled.request(request).await,
            response => response,
        };
        response.map_err(|error| describe(&error))
    }
}

/// Returns true if a request failed because the server closed the connection.
fn is_closed(error: &hyper_util::client::legacy::Error) -> bool {
    // If the connection could not be opened, another one cannot either.
    !error.is_connect()
        && causes(error).any(|cause| match cause.downcast_ref::<hyper::Error>() {
            Some(cause) => cause.is_incomplete_message() || cause.is_closed(),
            None => cause.downcast_ref::<io::Error>().is_some_and(|cause| {
                // TLS reports the last kind if the server did not announce the end.
                matches!(
                    cause.kind(),
                    ErrorKind::ConnectionReset
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::BrokenPipe
                        | ErrorKind::UnexpectedEof
                )
            }),
        })
}

/// Reads the body of a response, which may have at most `max` bytes.
pub(crate) async fn read(response: Response<Incoming>, max: usize) -> Result<Bytes, String> {
    let body = Limited::new(response.into_body(), max).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

/// Returns the texts of an error and of its causes, since the text of the error itself contains no
/// details.
fn describe(error: &hyper_util::client::legacy::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns the cause of an error, the cause of that cause, and so on.
fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_no_port_or_valid_one() {
        for address in
            ["https://a.example/x", "https://a.example:8443/x", "http://[::1]:1/", "http://[::1]/"]
        {
            assert!(check_address(address).is_ok(), "{address}");
        }
        for port in ["99999", "x", "*", ""] {
            for host in ["127.0.0.1", "[::1]", "localhost"] {
                let address = format!("http://{host}:{port}/x");
                let error = check_address(&address).unwrap_err();
                assert!(error.contains("write"), "{error}");
            }
        }
    }
}
