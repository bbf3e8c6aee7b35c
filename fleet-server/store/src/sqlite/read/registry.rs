//! The registry: versions, aliases, metadata.

use super::{all, one};
use crate::sqlite::rows::Columns;
use crate::{Alias, StoreError, Version};
use sanderling_wire::Digest;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

fn parse_version(row: &SqliteRow) -> Result<Version, StoreError> {
    Ok(Version {
        digest: row.digest("digest")?,
        name: row.field("name")?,
        version: row.field("version")?,
        length: row.uint("length")?,
        parent: row.maybe_digest("parent")?,
        metadata: row.field("metadata")?,
        published_at: row.uint("published_at")?,
        published_by: row.field("published_by")?,
    })
}

/// Versions, newest first.
pub(in crate::sqlite) async fn versions(pool: &SqlitePool, limit: u32) -> Result<Vec<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version ORDER BY published_at DESC, name, version DESC LIMIT ?1");
    all(
        pool,
        "listing versions",
        query.bind(i64::from(limit)),
        parse_version,
    )
    .await
}

/// The version of these bytes.
pub(in crate::sqlite) async fn version(
    pool: &SqlitePool,
    digest: Digest,
) -> Result<Option<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version WHERE digest = ?1").bind(digest.0.to_vec());
    one(pool, "reading a version", query, parse_version).await
}

/// The version of this name.
pub(in crate::sqlite) async fn version_named(
    pool: &SqlitePool,
    name: String,
    version: String,
) -> Result<Option<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version WHERE name = ?1 AND version = ?2")
        .bind(name)
        .bind(version);
    one(pool, "reading a version", query, parse_version).await
}

/// The model of each version.
pub(in crate::sqlite) async fn models(pool: &SqlitePool) -> Result<Vec<(Digest, String)>, StoreError> {
    let query = sqlx::query("SELECT digest, name FROM version");
    let parse = |row: &SqliteRow| Ok((row.digest("digest")?, row.field("name")?));
    all(pool, "reading which version is of which model", query, parse).await
}

/// All aliases.
pub(in crate::sqlite) async fn aliases(pool: &SqlitePool) -> Result<Vec<Alias>, StoreError> {
    let query = sqlx::query("SELECT name, alias, digest, since FROM alias ORDER BY name, alias");
    let parse = |row: &SqliteRow| {
        Ok(Alias {
            name: row.field("name")?,
            alias: row.field("alias")?,
            digest: row.digest("digest")?,
            since: row.uint("since")?,
        })
    };
    all(pool, "listing aliases", query, parse).await
}

/// A TUF metadata file.
pub(in crate::sqlite) async fn tuf_file(
    pool: &SqlitePool,
    repository: String,
    name: String,
) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sqlx::query("SELECT bytes FROM tuf_file WHERE repository = ?1 AND name = ?2")
        .bind(repository)
        .bind(name);
    one(pool, "reading TUF metadata", query, |row| row.field("bytes")).await
}
