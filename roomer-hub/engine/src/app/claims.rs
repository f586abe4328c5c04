//! A connection's claims and extensions, from the `authorize` hook and from middleware.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use roomer_hub::{Info, Profile};

/// A connection's claims, from the [`authorize`](crate::Builder::authorize) hook or from middleware
/// of the framework that the server is mounted into.
///
/// Claims map names to values. They also hold the user, values of the application's own types, and
/// how long the login is valid, which the server enforces.
///
/// ```
/// # use roomer_engine as roomer_tokio;
/// use roomer_tokio::{Claims, Rejection, Server}; // or roomer_smol
/// use std::time::Duration;
///
/// #[derive(Clone)]
/// struct User {
///     name: String,
///     may_write: bool,
/// }
///
/// # fn check(_: &str) -> Option<(User, Duration)> { None }
/// let server = Server::builder()
///     .authorize(|request| {
///         let token = request.query("token").unwrap_or_default();
///         let Some((user, rest)) = check(&token) else {
///             return Err(Rejection::unauthorized("a token, please"));
///         };
///         Ok(Claims::new().user(&user.name).valid_for(rest).with(user))
///     })
///     .may_publish(|conn, _| conn.extension::<User>().is_some_and(|user| user.may_write))
///     .build()?;
/// // Send to all of ann's connections, from any thread:
/// server.user("ann").send("mail", "from bob");
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
///
/// `Claims` is a separate type so that a map left in a request's extensions by middleware for
/// another purpose is never mistaken for a client's claims.
#[derive(Clone, Default)]
pub struct Claims {
    names: BTreeMap<String, String>,
    pub(crate) extensions: Extensions,
    user: Option<Arc<str>>,
    info: Option<Info>,
    valid_for: Option<Duration>,
}

impl Claims {
    /// Creates empty claims.
    #[must_use]
    pub fn new() -> Self {
        Claims::default()
    }

    /// Adds a value of an application type, which handlers, rules and hooks read with
    /// [`Conn::extension`](crate::Conn::extension). A later value replaces an earlier one of the
    /// same type.
    #[must_use]
    pub fn with<T: Any + Clone + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Sets the user that the connection belongs to. [`Server::user`](crate::Server::user),
    /// [`Conn::user`](crate::Conn::user) and
    /// [`max_connections_per_user`](crate::Builder::max_connections_per_user) refer to this user.
    #[must_use]
    pub fn user(mut self, name: impl AsRef<str>) -> Self {
        self.user = Some(name.as_ref().into());
        self
    }

    /// Sets the info that extended members of the connection's rooms receive together with the
    /// connection's id, such as a display name: one JSON value of at most
    /// [`max_info`](crate::Builder::max_info) bytes. Without info, those members receive only the
    /// id and the user. [`Conn::set_info`](crate::Conn::set_info) changes the info later. A client
    /// that resumes its session keeps its current info.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::{Claims, Info}; // or roomer_smol
    ///
    /// let claims = Claims::new().user("ann").info(Info::string("Ann Smith"));
    /// ```
    #[must_use]
    pub fn info(mut self, info: Info) -> Self {
        self.info = Some(info);
        self
    }

    /// Limits how long the login is valid. After `time`, the connection is closed with 1008 `login
    /// expired`, unless the login is [renewed](crate::Builder::renew_login). The client then
    /// reconnects only if it has a function that returns tokens. With a time of zero, the handshake
    /// is rejected with 401. Default: the login does not expire.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    /// Merges `other` into these claims. If both contain the same name, a value of the same type, a
    /// user or info, `other` takes precedence. The login is valid for the shorter of the two times.
    pub(crate) fn merge(&mut self, other: Claims) {
        let Claims { names, extensions, user, info, valid_for } = other;
        self.names.extend(names);
        self.extensions.extend(extensions);
        self.user = user.or(self.user.take());
        self.info = info.or(self.info.take());
        // Use the minimum of both times: a hook must not extend a limit set by the framework in
        // front of it.
        self.valid_for = self.valid_for.into_iter().chain(valid_for).min();
    }
}

impl Deref for Claims {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.names
    }
}

impl DerefMut for Claims {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.names
    }
}

impl<const N: usize> From<[(String, String); N]> for Claims {
    fn from(names: [(String, String); N]) -> Self {
        Claims { names: names.into(), ..Claims::default() }
    }
}

impl From<BTreeMap<String, String>> for Claims {
    fn from(names: BTreeMap<String, String>) -> Self {
        Claims { names, ..Claims::default() }
    }
}

impl FromIterator<(String, String)> for Claims {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(names: I) -> Self {
        Claims { names: names.into_iter().collect(), ..Claims::default() }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

/// A connection's claims and extensions.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// `None` if neither middleware nor a hook has provided claims.
    pub(crate) claims: Option<Claims>,
    /// The extensions from the request and from the claims.
    pub(crate) extensions: Extensions,
    /// The time at which the login expires, on the environment's clock.
    pub(crate) expires: Option<Duration>,
}

impl Credentials {
    /// Combines the claims with the request's extensions. Returns `None` if both are empty, so that a
    /// connection without credentials allocates nothing.
    ///
    /// # Errors
    ///
    /// Returns [`Expired`] if the login has already expired.
    pub(crate) fn new(
        mut claims: Option<Claims>,
        mut extensions: Extensions,
        now: Duration,
    ) -> Result<Option<Arc<Self>>, Expired> {
        // Remove the middleware's claims, which have been merged into `claims`: handlers must not
        // find the unmerged version.
        extensions.remove::<Claims>();
        let mut expires = None;
        if let Some(claims) = &mut claims {
            extensions.extend(std::mem::take(&mut claims.extensions));
            // Saturate, since `valid_for` may be `Duration::MAX`, which stands for no limit.
            expires = claims.valid_for.map(|time| now.saturating_add(time));
        }
        if expires.is_some_and(|at| at <= now) {
            return Err(Expired);
        }
        let is_empty = claims.is_none() && extensions.is_empty();
        Ok((!is_empty).then(|| Arc::new(Credentials { claims, extensions, expires })))
    }

    /// Returns the user's name.
    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        self.claims.as_ref()?.user.as_ref()
    }

    /// Returns the profile sent to members of the connection's rooms, or `None` if it is empty.
    pub(crate) fn profile(&self) -> Option<Profile> {
        let Claims { info, user, .. } = self.claims.as_ref()?;
        let profile = Profile::new(info.clone(), user.as_deref());
        (!profile.is_empty()).then_some(profile)
    }
}

/// The error for a login that expired before the connection was established.
pub(crate) struct Expired;
