//! The registry of versions: publish, aliases, metadata.

use crate::api::{AliasTarget, MetadataView, NewMetadata, NewVersion, VersionView};
use crate::app::{App, Shared};
use crate::auth::Reader;
use crate::executor::operator_name;
use crate::files::image_path;
use crate::idempotency::{Call, Outcome, once};
use crate::problem::Problem;
use crate::registry::{DIRECTOR, IMAGE, Staged, Target};
use crate::views::{Names, version_view};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sanderling_bundle::{BundleView, Manifest};
use sanderling_rollout::Requirements;
use sanderling_store::{Alias, Change, Version, ledger::NewEntry};
use sanderling_wire::Digest;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Longest name, version or alias.
const MAX_NAME: usize = 64;

/// Publishes a version: takes the metadata that the owner signed offline, and registers the image it lists.
#[utoipa::path(post, path = "/v1/versions", request_body = NewVersion,
    responses((status = 201, body = VersionView), (status = 422, body = crate::api::ProblemView)))]
pub(crate) async fn publish(State(app): State<Shared>, call: Call) -> Result<Response, Problem> {
    let asked: NewVersion = call.parse()?;
    let files = decode_files(&asked.metadata)?;
    asked
        .aliases
        .iter()
        .try_for_each(|alias| check_name("an alias", alias))?;
    // Handed from the decision to what comes after the commit.
    let adopted: Arc<Mutex<Option<Staged>>> = Arc::default();
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let mut staged = app.registry.stage_images(&files, app.now())?;
        let target = staged
            .target(&asked.target)
            .cloned()
            .ok_or_else(|| not_listed(&asked.target))?;
        let parent = match &asked.parent {
            Some(text) => Some(resolve(app, text).await?.digest),
            None => None,
        };
        let version = describe(app, &target, parent, &operator).await?;
        let mut changes = std::mem::take(&mut staged.changes);
        changes.push(Change::AddVersion(version.clone()));
        for alias in &asked.aliases {
            changes.push(set_alias_change(&version, alias, app.now()));
        }
        let body = json!({ "digest": version.digest, "name": version.name, "version": version.version,
            "target": target.name, "aliases": asked.aliases, "operator": operator });
        changes.push(Change::Ledger(entry(app, "version.published", &body)));
        let mut view = version_view(&version, &Names::read(app).await?);
        view.aliases.clone_from(&asked.aliases);
        *adopted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(staged);
        let label = format!("{} {}", version.name, version.version);
        Ok(Outcome::new(
            StatusCode::CREATED,
            &view,
            ("version.publish", label, asked.target.clone()),
        )?
        .with(changes))
    };
    let handed = Arc::clone(&adopted);
    let after = move |app: &App, _: &_| adopt(app, &handed);
    once(&app, call, decide, after).await
}

fn adopt(app: &App, staged: &Mutex<Option<Staged>>) {
    if let Some(staged) = staged
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take()
    {
        app.registry.adopt(staged);
    }
}

fn entry(app: &App, kind: &str, body: &serde_json::Value) -> NewEntry {
    NewEntry {
        rollout: None,
        at: app.now(),
        kind: kind.to_owned(),
        body: body.to_string(),
    }
}

fn not_listed(name: &str) -> Problem {
    Problem::refused(
        "not-listed",
        format!("the image repository's signed targets list no Sanderling image {name}"),
        "sign it with the offline targets key and upload the new metadata with this call",
    )
}

fn decode_files(files: &BTreeMap<String, String>) -> Result<BTreeMap<String, Vec<u8>>, Problem> {
    let decode = |(name, text): (&String, &String)| match BASE64.decode(text) {
        Ok(bytes) => Ok((name.clone(), bytes)),
        Err(_) => Err(Problem::bad_request(
            format!("the metadata file {name} is not base64"),
            "encode the file's bytes as they are in base64, with padding",
        )),
    };
    files.iter().map(decode).collect()
}

/// Checks a name that people choose.
fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Problem::bad_request(
        format!("{what} cannot be {name:?}"),
        format!("use 1 to {MAX_NAME} letters, digits, '.', '_', '-' and '+'"),
    ))
}

/// What bundle and signed metadata say of an image, checked against each other.
async fn describe(
    app: &App,
    target: &Target,
    parent: Option<Digest>,
    operator: &str,
) -> Result<Version, Problem> {
    let path = image_path(app, target.digest);
    let bytes = tokio::fs::read(&path).await.map_err(|_| {
        Problem::refused(
            "no-bytes",
            format!("the bytes of {} ({}) are not here", target.name, target.digest),
            "upload the bundle first, then publish it",
        )
    })?;
    if bytes.len() as u64 != target.length {
        let detail = format!(
            "{} has {} bytes, its signed metadata says {}",
            target.name,
            bytes.len(),
            target.length
        );
        return Err(Problem::refused(
            "wrong-length",
            detail,
            "sign the file that you upload",
        ));
    }
    let damaged = |error: sanderling_bundle::BundleError| {
        let detail = format!("{} is not a bundle this server reads: {error}", target.name);
        Problem::refused(
            "no-bundle",
            detail,
            "pack the model with `sanderling pack` and sign that file",
        )
    };
    let view = BundleView::parse(&bytes).map_err(damaged)?;
    let manifest = view.manifest().map_err(damaged)?;
    check_agreement(target, &manifest)?;
    let header = view.header();
    let arena = manifest.resources.arena_bytes.unwrap_or(0);
    let requires = Requirements {
        runtime: target.release.min_runtime,
        numerics: u16::try_from(header.numerics).unwrap_or(u16::MAX),
        bundle_format: header.major,
        operators: manifest
            .operators
            .iter()
            .map(|name| operator_name(name))
            .collect(),
        memory: arena.saturating_add(manifest.resources.constant_bytes),
    };
    let lineage = &manifest.lineage;
    let metadata = json!({
        "target": target.name,
        "description": manifest.description,
        "licence": manifest.licence.spdx,
        "release_counter": target.release.counter,
        "allowed_disagreement_ppm": target.release.allowed_disagreement_ppm,
        "requires": requires,
        "lineage": {
            "data_version": lineage.data_version, "source_commit": lineage.source_commit, "owner": lineage.owner,
            "source_sha256": lineage.source_sha256.map(hex::encode), "metrics": lineage.metrics,
        },
    });
    Ok(Version {
        digest: target.digest,
        name: target.release.name.clone(),
        version: target.release.version.clone(),
        length: target.length,
        parent: parent.or(lineage.parent.map(Digest)),
        metadata: metadata.to_string(),
        published_at: app.now(),
        published_by: operator.to_owned(),
    })
}

fn check_agreement(target: &Target, manifest: &Manifest) -> Result<(), Problem> {
    let release = &target.release;
    check_name("a model's name", &release.name)?;
    check_name("a version", &release.version)?;
    let differs = |field: &str, signed: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Problem::refused(
            "metadata-contradicts-bundle",
            format!(
                "{}: its signed {field} is {signed}, the bundle's own is {found}",
                target.name
            ),
            "sign the bundle anew, so that both say the same",
        )
    };
    if release.name != manifest.name {
        return Err(differs("name", &release.name, &manifest.name));
    }
    if release.version != manifest.version {
        return Err(differs("version", &release.version, &manifest.version));
    }
    if release.counter != manifest.release_counter {
        return Err(differs(
            "release counter",
            &release.counter,
            &manifest.release_counter,
        ));
    }
    Ok(())
}

/// A version by digest, `name@version` or `name:alias`.
pub(crate) async fn resolve(app: &App, text: &str) -> Result<Version, Problem> {
    let unknown = |detail: String| {
        Problem::not_found(
            "unknown-version",
            detail,
            "name a version by its digest, as NAME@VERSION or as NAME:ALIAS, from the list of versions",
        )
    };
    if let Ok(digest) = text.parse::<Digest>() {
        return app
            .store
            .version(digest)
            .await?
            .ok_or_else(|| unknown(format!("no version has the digest {text}")));
    }
    if let Some((name, version)) = text.split_once('@') {
        let found = app.store.version_named(name, version).await?;
        return found.ok_or_else(|| unknown(format!("{name} has no version {version}")));
    }
    if let Some((name, alias)) = text.split_once(':') {
        let aliases = app.store.aliases().await?;
        let found = aliases
            .into_iter()
            .find(|entry| entry.name == name && entry.alias == alias);
        let found = found.ok_or_else(|| unknown(format!("{name} has no alias {alias}")))?;
        return app
            .store
            .version(found.digest)
            .await?
            .ok_or_else(|| unknown(format!("{text} points at nothing")));
    }
    Err(Problem::bad_request(
        format!("{text:?} names no version"),
        "write a digest of 64 hexadecimal digits, name@version, or name:alias",
    ))
}

/// Versions, newest first.
#[utoipa::path(get, path = "/v1/versions", responses((status = 200, body = Vec<VersionView>)))]
pub(crate) async fn list(State(app): State<Shared>, _: Reader) -> Result<Json<Vec<VersionView>>, Problem> {
    let names = Names::read(&app).await?;
    Ok(Json(
        names
            .versions
            .iter()
            .map(|version| version_view(version, &names))
            .collect(),
    ))
}

/// A version by digest, `name@version` or `name:alias`.
#[utoipa::path(get, path = "/v1/versions/{ref}", params(("ref" = String, Path)),
    responses((status = 200, body = VersionView), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn show(
    State(app): State<Shared>,
    _: Reader,
    Path(text): Path<String>,
) -> Result<Json<VersionView>, Problem> {
    let version = resolve(&app, &text).await?;
    Ok(Json(version_view(&version, &Names::read(&app).await?)))
}

fn set_alias_change(version: &Version, alias: &str, now: u64) -> Change {
    let (name, alias, digest) = (version.name.clone(), alias.to_owned(), version.digest);
    Change::SetAlias(Alias {
        name,
        alias,
        digest,
        since: now,
    })
}

/// Points an alias at a version.
#[utoipa::path(put, path = "/v1/models/{name}/aliases/{alias}", params(("name" = String, Path), ("alias" = String, Path)),
    request_body = AliasTarget, responses((status = 200, body = VersionView), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn set_alias(
    State(app): State<Shared>,
    Path((name, alias)): Path<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    check_name("an alias", &alias)?;
    let asked: AliasTarget = call.parse()?;
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let version = resolve(app, &asked.version).await?;
        if version.name != name {
            let detail = format!(
                "{} is a version of {}, not of {name}",
                asked.version, version.name
            );
            return Err(Problem::refused(
                "other-model",
                detail,
                "name a version of the same model",
            ));
        }
        let body = json!({ "name": name, "alias": alias, "version": version.version, "digest": version.digest,
            "operator": operator });
        let changes = [
            set_alias_change(&version, &alias, app.now()),
            Change::Ledger(entry(app, "alias.set", &body)),
        ];
        let mut view = version_view(&version, &Names::read(app).await?);
        if !view.aliases.contains(&alias) {
            view.aliases.push(alias.clone());
        }
        let audit = ("alias.set", format!("{name}:{alias}"), version.digest.to_string());
        Ok(Outcome::new(StatusCode::OK, &view, audit)?.with(changes))
    };
    once(&app, call, decide, |_, _| {}).await
}

/// Takes an alias away.
#[utoipa::path(delete, path = "/v1/models/{name}/aliases/{alias}", params(("name" = String, Path), ("alias" = String, Path)),
    responses((status = 200), (status = 404, body = crate::api::ProblemView)))]
pub(crate) async fn remove_alias(
    State(app): State<Shared>,
    Path((name, alias)): Path<(String, String)>,
    call: Call,
) -> Result<Response, Problem> {
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let body = json!({ "name": name, "alias": alias, "operator": operator });
        let remove = Change::RemoveAlias {
            name: name.clone(),
            alias: alias.clone(),
        };
        let changes = [remove, Change::Ledger(entry(app, "alias.removed", &body))];
        let audit = ("alias.remove", format!("{name}:{alias}"), String::new());
        Ok(Outcome::new(StatusCode::OK, &json!({}), audit)?.with(changes))
    };
    once(&app, call, decide, |_, _| {}).await
}

/// Takes rotated roots or renewed metadata, signed offline.
#[utoipa::path(post, path = "/v1/metadata/{repository}", params(("repository" = String, Path, description = "`image` or `director`")),
    request_body = NewMetadata, responses((status = 200, body = MetadataView), (status = 422, body = crate::api::ProblemView)))]
pub(crate) async fn put_metadata(
    State(app): State<Shared>,
    Path(repository): Path<String>,
    call: Call,
) -> Result<Response, Problem> {
    let asked: NewMetadata = call.parse()?;
    let files = decode_files(&asked.metadata)?;
    let adopted: Arc<Mutex<Option<Staged>>> = Arc::default();
    let operator = call.operator.clone();
    let decide = async |app: &App| {
        let mut staged = match repository.as_str() {
            IMAGE => app.registry.stage_images(&files, app.now())?,
            DIRECTOR => app.registry.stage_director(&files)?,
            other => {
                let detail = format!("there is no repository {other:?}");
                return Err(Problem::not_found(
                    "no-repository",
                    detail,
                    "it is `image` or `director`",
                ));
            }
        };
        let mut changes = std::mem::take(&mut staged.changes);
        let names: Vec<_> = files.keys().collect();
        let body = json!({ "repository": repository, "files": names, "operator": operator });
        changes.push(Change::Ledger(entry(app, "metadata.updated", &body)));
        let view = staged.view(&repository);
        *adopted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(staged);
        let audit = (
            "metadata.update",
            repository.clone(),
            format!("{} files", files.len()),
        );
        Ok(Outcome::new(StatusCode::OK, &view, audit)?.with(changes))
    };
    let handed = Arc::clone(&adopted);
    let after = move |app: &App, _: &_| adopt(app, &handed);
    once(&app, call, decide, after).await
}

/// What metadata is in use.
pub(crate) async fn show_metadata(
    State(app): State<Shared>,
    _: Reader,
    Path(repository): Path<String>,
) -> Result<Json<MetadataView>, Problem> {
    if repository != IMAGE && repository != DIRECTOR {
        let detail = format!("there is no repository {repository:?}");
        return Err(Problem::not_found(
            "no-repository",
            detail,
            "it is `image` or `director`",
        ));
    }
    Ok(Json(app.registry.view(&repository)))
}
