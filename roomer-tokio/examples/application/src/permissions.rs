//! The permissions of users to join rooms, which are stored in SQLite.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
pub use rusqlite::Error;
use tokio::task::spawn_blocking;

/// A handle to the database. Since SQLite blocks, each query runs on a thread for blocking calls.
#[derive(Clone)]
pub struct Permissions(Arc<Mutex<Connection>>);

impl Permissions {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS permissions (
                 room TEXT NOT NULL,
                 user TEXT NOT NULL,
                 PRIMARY KEY (room, user)
             ) WITHOUT ROWID",
        )?;
        Ok(Permissions(Arc::new(Mutex::new(database))))
    }

    /// Returns true if a user may join a room. If the query fails, returns false.
    pub async fn has(&self, room: &str, user: &str) -> bool {
        let find = "SELECT EXISTS (SELECT 1 FROM permissions WHERE room = ?1 AND user = ?2)";
        let found = self.ask(room, user, |database, names| {
            database.prepare_cached(find)?.query_row(names, |row| row.get(0))
        });
        found.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the permissions cannot be read");
            false
        })
    }

    pub async fn allow(&self, room: &str, user: &str) -> Result<(), Error> {
        let insert = "INSERT OR IGNORE INTO permissions (room, user) VALUES (?1, ?2)";
        self.ask(room, user, |database, names| database.execute(insert, names)).await?;
        Ok(())
    }

    pub async fn forbid(&self, room: &str, user: &str) -> Result<(), Error> {
        let delete = "DELETE FROM permissions WHERE room = ?1 AND user = ?2";
        self.ask(room, user, |database, names| database.execute(delete, names)).await?;
        Ok(())
    }

    async fn ask<T: Send + 'static>(
        &self,
        room: &str,
        user: &str,
        question: impl FnOnce(&Connection, [String; 2]) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (database, names) = (self.0.clone(), [room.to_owned(), user.to_owned()]);
        let asked = spawn_blocking(move || {
            question(&database.lock().unwrap_or_else(PoisonError::into_inner), names)
        });
        // This fails if the runtime is shutting down, or if the query has panicked.
        asked.await.unwrap_or(Err(Error::InvalidQuery))
    }
}
