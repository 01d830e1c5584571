//! What happened to a rollout, as the log has it.

use super::{Log, StoreError};
use crate::rollout::Passage;

impl Log {
    /// What happened to a rollout, newest first: at most `limit` changes of it, below the version `before` if there is one.
    ///
    /// # Errors
    ///
    /// As [`Log::history`] and [`Record::contents`](super::Record::contents) have them.
    pub async fn passages(&self, rollout: &str, before: Option<u64>, limit: usize) -> Result<Vec<Passage>, StoreError> {
        let mut passages: Vec<Passage> = Vec::new();
        // It changed in the oldest entry that has it so.
        let mut newer: Option<Passage> = None;
        let mut history = self.history().await?;
        while passages.len() < limit {
            let Some(record) = history.next().await? else { break };
            let version = record.entry.version;
            if before.is_some_and(|before| version >= before) {
                continue;
            }
            let (_, mut state) = record.contents()?;
            let progress = state.rollouts.remove(rollout);
            if newer.as_ref().map(|newer| &newer.progress) != progress.as_ref() {
                passages.extend(newer.take());
            }
            newer = progress.map(|progress| Passage { version, progress });
        }
        if passages.len() < limit {
            passages.extend(newer);
        }
        Ok(passages)
    }
}
