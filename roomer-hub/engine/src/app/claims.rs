//! A connection's claims and extensions, from the `authorize` hook and from middleware.

use std::any::Any;
use std::collections::{BTreeMap, btree_map};
use std::fmt;
use std::ops::Index;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use roomer_hub::{Info, Profile};

/// A connection's claims, from the [`authorize`](crate::Builder::authorize) hook or from middleware
/// of the framework that the server is mounted into.
///
/// Claims map names to values, which handlers, rules and hooks read with [`get`](Self::get) or
/// `claims["name"]`. They also hold the user, values of the application's own types, and how long
/// the login is valid, which the server enforces.
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

    /// Returns the value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.names.get(name).map(String::as_str)
    }

    /// Returns true if the name has a value.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Sets the value of a name, and returns its previous value.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Claims; // or roomer_smol
    ///
    /// let mut claims = Claims::new().user("ann");
    /// claims.insert("role", "host");
    /// assert_eq!(claims.get("role"), Some("host"));
    /// ```
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.names.insert(name.into(), value.into())
    }

    /// Removes a name, and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.names.remove(name)
    }

    /// Returns the number of names. The user, the info and values of application types are not
    /// counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns true if there are no names, even if there are a user, info or values of application
    /// types.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Iterates over the names and their values, sorted by name.
    pub fn iter(&self) -> ClaimsIter<'_> {
        ClaimsIter(self.names.iter())
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

/// Returns the value of a name. Panics if the name has no value; see [`Claims::get`].
impl Index<&str> for Claims {
    type Output = str;

    fn index(&self, name: &str) -> &str {
        &self.names[name]
    }
}

impl<'a> IntoIterator for &'a Claims {
    type Item = (&'a str, &'a str);
    type IntoIter = ClaimsIter<'a>;

    fn into_iter(self) -> ClaimsIter<'a> {
        self.iter()
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

impl Extend<(String, String)> for Claims {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, names: I) {
        self.names.extend(names);
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.names.fmt(f)
    }
}

/// An iterator over the names of [`Claims`] and their values, sorted by name.
#[derive(Clone, Debug)]
pub struct ClaimsIter<'a>(btree_map::Iter<'a, String, String>);

impl<'a> Iterator for ClaimsIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for ClaimsIter<'_> {}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_alone_and_in_order() {
        let mut claims = Claims::from([("role".to_owned(), "guest".to_owned())]).user("ann");
        assert_eq!(claims.insert("role", "host").as_deref(), Some("guest"));
        claims.extend([("ip".to_owned(), "::1".to_owned())]);
        assert_eq!((claims.get("role"), &claims["ip"]), (Some("host"), "::1"));
        assert!(claims.get("user").is_none() && !claims.contains_key("user"));
        assert_eq!((&claims).into_iter().collect::<Vec<_>>(), [("ip", "::1"), ("role", "host")]);
        assert_eq!((claims.len(), claims.iter().len()), (2, 2));
        assert_eq!(claims.remove("ip").as_deref(), Some("::1"));
        assert_eq!(claims.remove("ip"), None);
        assert!(!claims.is_empty() && Claims::new().user("ann").is_empty());
    }
}
