//! Parses bodies: small ones at once, large ones on a separate thread, a few at a time. So a large body blocks no async
//! thread, and although parsed values take more memory than their bytes, only a few bodies are parsed at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::Problem;

/// Maximum number of large bodies parsed at once.
const PARSERS_MAX: usize = 2;
/// A body of at most this many bytes is parsed at once, which takes a fraction of a millisecond.
const SMALL_BYTES_MAX: usize = 32 * 1024;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Parsers(Arc<Semaphore>);

impl Default for Parsers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PARSERS_MAX)))
    }
}

impl Parsers {
    /// Parses a body of this many bytes with `parse`.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        parse: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if bytes <= SMALL_BYTES_MAX {
            return parse();
        }
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.map_err(|error| Problem::internal("internal", &error))?;
        let parsing = tokio::task::spawn_blocking(move || {
            let _held = permit;
            parse()
        });
        let failed = |error: tokio::task::JoinError| Err(Problem::internal("internal", &error));
        parsing.await.unwrap_or_else(failed)
    }
}
