//! Enrolment: a token is redeemed once, by one key; that key may repeat itself, because a reply can be lost.

use super::rows::{Columns, int};
use crate::{Enrolled, Enrolment, StoreError};
use sanderling_wire::DeviceId;
use sqlx::SqliteConnection;

/// Redeems the token and registers the device.
pub(super) async fn enrol(
    connection: &mut SqliteConnection,
    enrolment: &Enrolment,
) -> Result<Enrolled, StoreError> {
    let label = redeem(connection, enrolment).await?;
    let device = DeviceId::of_public_key(&enrolment.public_key);
    let known = sqlx::query("SELECT decommissioned_at FROM device WHERE id = ?1")
        .bind(&device.0[..])
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::database("reading a device"))?;
    if let Some(row) = known {
        if row.maybe_uint("decommissioned_at")?.is_some() {
            return Err(StoreError::Decommissioned(device));
        }
        // A newer string's label is what the operator calls it now.
        sqlx::query("UPDATE device SET label = ?2 WHERE id = ?1 AND ?2 <> ''")
            .bind(&device.0[..])
            .bind(label)
            .execute(connection)
            .await
            .map_err(StoreError::database("labelling a device"))?;
        return Ok(Enrolled { device, new: false });
    }
    sqlx::query(
        "INSERT INTO device (id, public_key, label, hardware, enrolled_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(&device.0[..])
    .bind(&enrolment.public_key[..])
    .bind(label)
    .bind(enrolment.hardware.as_str())
    .bind(int(enrolment.now))
    .execute(connection)
    .await
    .map_err(StoreError::database("registering a device"))?;
    Ok(Enrolled { device, new: true })
}

/// Redeems the token; gives its label.
async fn redeem(connection: &mut SqliteConnection, enrolment: &Enrolment) -> Result<String, StoreError> {
    let token = sqlx::query("SELECT label, expires_at, public_key FROM enrolment_token WHERE hash = ?1")
        .bind(&enrolment.token.0[..])
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::database("reading an enrolment token"))?
        .ok_or(StoreError::TokenInvalid)?;
    match token.field::<Option<&[u8]>>("public_key")? {
        Some(key) if key == enrolment.public_key => token.field("label"),
        Some(_) => Err(StoreError::TokenUsed),
        None if token.uint("expires_at")? <= enrolment.now => Err(StoreError::TokenInvalid),
        None => sqlx::query("UPDATE enrolment_token SET public_key = ?2, used_at = ?3 WHERE hash = ?1")
            .bind(&enrolment.token.0[..])
            .bind(&enrolment.public_key[..])
            .bind(int(enrolment.now))
            .execute(connection)
            .await
            .map_err(StoreError::database("redeeming an enrolment token"))
            .and_then(|_| token.field("label")),
    }
}
