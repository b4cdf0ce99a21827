//! The versions of a handler: listed from the views and the log, and rolled back.

use weirgate_types::{Deployed, Digest, HandlerName, Manifest, Position, Record, SettingChange};

use super::{Candidate, Handle, blocking, what_ifs::VersionNumbers};
use crate::{
    Audit, HandlerItem, Refusal, StorageError, VersionItem, VersionPage, VersionRow, keys,
    replay::{Runs, WhatIf},
    statuses::Statuses,
};

/// Rows per scan step.
const SLICE: usize = 256;
/// Maximum bytes of the manifests of a page and of what changed; the version that reaches it is the last.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What a rollback does.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The version that is copied, with its changes against the one in force.
    pub to: VersionItem,
    /// The number of the one in force.
    pub from: u32,
    replaces: Position,
}

impl Handle {
    /// The versions of a handler before the one at `after`, the newest first; at most `limit`.
    ///
    /// # Errors
    /// There is no such handler; [`Refusal::TooManyQueries`].
    pub async fn versions(
        &self,
        name: HandlerName,
        after: Option<Position>,
        limit: usize,
    ) -> Result<VersionPage, Refusal> {
        let finishing = self.handler(name.clone()).await?.finishing;
        let (statuses, scan) = (self.0.statuses.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let mut page = page(&statuses, &name, after, limit)?;
            for one in &mut page.versions {
                one.is_finishing = finishing.iter().any(|(position, _)| *position == one.position);
            }
            Ok(page)
        })
        .await?
    }

    /// What a rollback to the version of this number would do. Without a number: to the version before the one in force; a
    /// rollback counts as the version that it copied.
    ///
    /// # Errors
    /// There is no such handler or version, or it is in force.
    pub async fn plan_rollback(&self, name: HandlerName, to: Option<u32>) -> Result<Rollback, Refusal> {
        let version = self.handler(name.clone()).await?.version;
        let (statuses, scan) = (self.0.statuses.clone(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            find_rollback(&statuses, &name, version, to)
        })
        .await?
    }

    /// The earlier version, checked as a deployment is.
    ///
    /// # Errors
    /// As for [`Handle::roll_back`].
    pub async fn rollback_candidate(&self, plan: &Rollback) -> Result<Candidate, Refusal> {
        let deployed = &plan.to.deployed;
        self.candidate(Manifest::from_record(&deployed.manifest)?, deployed.digest).await
    }

    /// Deploys what an earlier version was. `approve` is the digest of what it may do beyond the version in force.
    ///
    /// # Errors
    /// Its module does not exist any more, its manifest is refused, it may do more, or another version was deployed since it was planned.
    pub async fn roll_back(
        &self,
        plan: Rollback,
        approve: Option<Digest>,
        audit: Audit,
    ) -> Result<HandlerItem, Refusal> {
        let Rollback { to, replaces, .. } = plan;
        self.deploy_copy((to.position, &to.deployed), replaces, approve, audit).await
    }
}

fn page(
    statuses: &Statuses,
    name: &HandlerName,
    after: Option<Position>,
    limit: usize,
) -> Result<VersionPage, Refusal> {
    let start = after.map(|after| keys::version(name, after));
    let mut rows = statuses.views.scan(&keys::versions_of(name), start.as_deref(), limit.saturating_add(1))?;
    let has_more = rows.len() > limit;
    let oldest = rows.last().cloned();
    rows.truncate(limit);
    let (mut versions, mut bytes, mut newer) = (Vec::new(), 0, after);
    let mut rows = rows.into_iter().peekable();
    while let Some((key, value)) = rows.next() {
        let position = position(&key)?;
        let before = match rows.peek() {
            Some((key, _)) => Some(self::position(key)?),
            None => oldest.as_ref().filter(|_| has_more).map(|(key, _)| self::position(key)).transpose()?,
        };
        let item = item(statuses, name, (position, VersionRow::decode(&value)?), before, newer)?;
        bytes += item.deployed.manifest.len() + item.changes.iter().map(bytes_of).sum::<usize>();
        newer = Some(position);
        versions.push(item);
        if bytes >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let next = newer.filter(|_| has_more || rows.peek().is_some());
    Ok(VersionPage { versions, next })
}

/// Its size in an answer.
fn bytes_of(change: &SettingChange) -> usize {
    change.setting.len() + [&change.before, &change.after].into_iter().flatten().map(String::len).sum::<usize>()
}

/// `before` is the version before it, `newer` the one after it.
fn item(
    statuses: &Statuses,
    name: &HandlerName,
    (position, row): (Position, VersionRow),
    before: Option<Position>,
    newer: Option<Position>,
) -> Result<VersionItem, Refusal> {
    let deployed = deployed_at(statuses, position)?;
    let before = before.map(|before| deployed_at(statuses, before)).transpose()?;
    let copied_from = match deployed.copied_from {
        Some(from) => row_at(statuses, name, from)?.map(|row| row.number),
        None => None,
    };
    let manifest = Manifest::from_record(&deployed.manifest)?;
    let changes = match &before {
        Some(before) => Manifest::from_record(&before.manifest)?.changes(&manifest),
        None => Vec::new(),
    };
    let has_other_module = before.is_some_and(|before| before.digest != deployed.digest);
    let until = newer.map(Position::before);
    let is_finishing = false;
    Ok(VersionItem { row, position, until, deployed, copied_from, changes, has_other_module, is_finishing })
}

fn find_rollback(
    statuses: &Statuses,
    name: &HandlerName,
    version: Position,
    to: Option<u32>,
) -> Result<Rollback, Refusal> {
    let from = row_at(statuses, name, version)?.map_or(0, |row| row.number);
    let (position, row) = match to {
        Some(number) if number == from => return Err(Refusal::VersionInForce { handler: name.clone(), number }),
        Some(number) => {
            let found = find(statuses, name, |_, row| row.number <= number)?;
            let found = found.filter(|(_, row)| row.number == number);
            found.ok_or_else(|| Refusal::UnknownVersion { handler: name.clone(), number })?
        }
        None => {
            let mut origin = version;
            while let Some(earlier) = deployed_at(statuses, origin)?.copied_from.filter(|earlier| *earlier < origin) {
                origin = earlier;
            }
            let found = find(statuses, name, |position, _| position < origin)?;
            found.ok_or_else(|| Refusal::NoEarlierVersion(name.clone()))?
        }
    };
    let state_version = |at| {
        let manifest = Manifest::from_record(&deployed_at(statuses, at)?.manifest);
        Ok::<_, Refusal>(manifest?.state_version)
    };
    let (in_force, wanted) = (state_version(version)?, state_version(position)?);
    if wanted < in_force {
        return Err(Refusal::OlderState { handler: name.clone(), from: in_force, to: wanted });
    }
    // Its changes are those against the version in force.
    let to = item(statuses, name, (position, row), Some(version), None)?;
    Ok(Rollback { to, from, replaces: version })
}

/// The version of a number, with what was deployed.
pub(super) fn by_number(statuses: &Statuses, name: &HandlerName, number: u32) -> Result<(Position, Deployed), Refusal> {
    let found = find(statuses, name, |_, row| row.number <= number)?.filter(|(_, row)| row.number == number);
    let (position, _) = found.ok_or_else(|| Refusal::UnknownVersion { handler: name.clone(), number })?;
    Ok((position, deployed_at(statuses, position)?))
}

/// The numbers of the versions that a what-if is about.
pub(super) fn numbers(statuses: &Statuses, request: &WhatIf) -> Result<VersionNumbers, StorageError> {
    let number = |version: Option<Position>| {
        let row = version.map(|version| row_at(statuses, &request.handler, version)).transpose()?.flatten();
        Ok::<_, StorageError>(row.map(|row| row.number))
    };
    let candidate = match &request.runs {
        Runs::Candidate(candidate) => candidate.version,
        Runs::Without(_) => None,
    };
    Ok(VersionNumbers { candidate: number(candidate)?, handled_by: number(request.selection.version)? })
}

/// The newest version that `is` wanted.
fn find(
    statuses: &Statuses,
    name: &HandlerName,
    is: impl Fn(Position, &VersionRow) -> bool,
) -> Result<Option<(Position, VersionRow)>, Refusal> {
    let mut after = None::<Vec<u8>>;
    loop {
        let rows = statuses.views.scan(&keys::versions_of(name), after.as_deref(), SLICE)?;
        for (key, value) in &rows {
            let (position, row) = (position(key)?, VersionRow::decode(value)?);
            if is(position, &row) {
                return Ok(Some((position, row)));
            }
        }
        match rows.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(None),
        }
    }
}

fn position(key: &[u8]) -> Result<Position, StorageError> {
    keys::version_of(key).ok_or_else(|| StorageError::row("a version's position"))
}

fn row_at(statuses: &Statuses, name: &HandlerName, position: Position) -> Result<Option<VersionRow>, StorageError> {
    let row = statuses.views.get(&keys::version(name, position))?;
    row.map(|row| VersionRow::decode(&row)).transpose()
}

pub(super) fn deployed_at(statuses: &Statuses, position: Position) -> Result<Deployed, StorageError> {
    match statuses.log.read(position)? {
        Some((_, Record::Deployed(deployed))) => Ok(deployed),
        _ => Err(StorageError::Missing { what: "deployment", position }),
    }
}
