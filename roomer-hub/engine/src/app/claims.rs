//! What is known of a connection from its request: by the authorize hook, by middleware.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;

/// The claims that a connection comes in with, from the hook
/// [`authorize`](crate::Builder::authorize) or from the middleware of a framework that the server
/// is mounted into.
///
/// They are names with values, as in a map, and what the server acts on by itself: values of the
/// application's own types, the user, and how long the login is good.
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
///         Ok(Claims::new().user(&user.name).good_for(rest).with(user))
///     })
///     .may_publish(|conn, _| conn.extension::<User>().is_some_and(|user| user.may_write))
///     .build()?;
/// // From anywhere, all of ann's connections:
/// server.user("ann").send("mail", "from bob");
/// # Ok::<(), roomer_engine::BuildError>(())
/// ```
///
/// A type of its own, so that a map which middleware leaves in a request for another purpose is
/// never taken for what a client has proved.
#[derive(Clone, Default)]
pub struct Claims {
    names: BTreeMap<String, String>,
    pub(crate) extensions: Extensions,
    user: Option<Arc<str>>,
    good_for: Option<Duration>,
}

impl Claims {
    /// Makes claims of nothing.
    #[must_use]
    pub fn new() -> Self {
        Claims::default()
    }

    /// Adds a value of the application's, one for each type, which handlers, rules and hooks read
    /// with [`Conn::extension`](crate::Conn::extension).
    #[must_use]
    pub fn with<T: Any + Clone + Send + Sync>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Names the user that the connection belongs to, for [`Server::user`](crate::Server::user),
    /// [`Conn::user`](crate::Conn::user) and
    /// [`max_connections_per_user`](crate::Builder::max_connections_per_user).
    #[must_use]
    pub fn user(mut self, name: impl AsRef<str>) -> Self {
        self.user = Some(name.as_ref().into());
        self
    }

    /// Limits the login: the connection is closed with 1008 `login expired` once it has been open
    /// for this long, which its client takes as final. With nothing left the answer to the
    /// handshake is 401. Default: a login does not expire.
    #[must_use]
    pub fn good_for(mut self, rest: Duration) -> Self {
        self.good_for = Some(rest);
        self
    }

    /// Adds the claims of a second party, whose own win where both have a name, a type or a user.
    /// A login is good for the shorter of the two times.
    pub(crate) fn merge(&mut self, other: Claims) {
        let Claims { names, extensions, user, good_for } = other;
        self.names.extend(names);
        self.extensions.extend(extensions);
        self.user = user.or(self.user.take());
        self.good_for = self.good_for.into_iter().chain(good_for).min();
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

/// All that a connection has come in with.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// `None` when neither middleware nor a hook has given any.
    pub(crate) claims: Option<Claims>,
    /// The request's, with those of the claims.
    pub(crate) extensions: Extensions,
    /// The end of the login, on the environment's clock.
    pub(crate) expires: Option<Duration>,
}

impl Credentials {
    /// Puts together what the request and the claims have. `None` for nothing, which costs a
    /// connection no memory. An error when the login is over already.
    pub(crate) fn new(
        mut claims: Option<Claims>,
        mut extensions: Extensions,
        now: Duration,
    ) -> Result<Option<Arc<Self>>, Expired> {
        extensions.remove::<Claims>();
        let mut expires = None;
        if let Some(claims) = &mut claims {
            extensions.extend(std::mem::take(&mut claims.extensions));
            expires = claims.good_for.map(|rest| now.saturating_add(rest));
        }
        if expires.is_some_and(|at| at <= now) {
            return Err(Expired);
        }
        let is_empty = claims.is_none() && extensions.is_empty();
        Ok((!is_empty).then(|| Arc::new(Credentials { claims, extensions, expires })))
    }

    pub(crate) fn user(&self) -> Option<&Arc<str>> {
        self.claims.as_ref()?.user.as_ref()
    }
}

/// The login was over before the connection was open.
pub(crate) struct Expired;
