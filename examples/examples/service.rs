//! An axum service that serves the health and the metrics of its database's backups.
//!
//! `DATABASE_URL=… BACKUP_STORE_URL=… BACKUP_ENCRYPTION_KEY_FILE=… service 127.0.0.1:8080`
//!
//! `/health` answers 200, or 503 when something is down; `/metrics` is what Prometheus reads. Both ask the store and the
//! database at most every 15 seconds, however often they are called. `/live` touches neither.

#![expect(clippy::print_stdout, reason = "an example talks")]

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lastgood::{Error, METRICS_CONTENT_TYPE, Vault};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    // A wrong key is told now, not in the night. A vault is cheap to clone: one is enough for a service.
    let vault = Vault::from_env().await?;
    let routes = Router::new()
        .route("/live", get(|| async { Json(serde_json::json!({ "status": "ok" })) }))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .with_state(vault);
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, routes)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

/// The database, the store, the age of the newest backup and of the newest drill.
async fn health(State(vault): State<Vault>) -> Result<Response, Failed> {
    let report = vault.health().max_age(Duration::from_secs(26 * 3600)).await?;
    let status = StatusCode::from_u16(report.http_status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Ok((status, Json(report)).into_response())
}

/// Everything that is known, in Prometheus' text format.
async fn metrics(State(vault): State<Vault>) -> Result<Response, Failed> {
    Ok(([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], vault.metrics().await?).into_response())
}

/// An error of lastgood as an answer: code, message and next step, and no secret.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, Json(self.0)).into_response()
    }
}
