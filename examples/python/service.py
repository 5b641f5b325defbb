"""A FastAPI service that serves the health and the metrics of its database's backups.

DATABASE_URL=… BACKUP_STORE_URL=… BACKUP_ENCRYPTION_KEY_FILE=… uvicorn service:app

`/health` answers 200, or 503 when something is down; `/metrics` is what Prometheus reads. Both ask the store and the
database at most every 15 seconds, however often they are called. `/live` touches neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from lastgood import AsyncVault, BackupSummary


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the vault when the service starts: a wrong key is told now, not in the night."""
    async with AsyncVault() as vault:
        app.state.vault = vault
        yield


app = FastAPI(lifespan=lifespan)


def vault_of(request: Request) -> AsyncVault:
    """The service's one vault."""
    vault: AsyncVault = request.app.state.vault
    return vault


TheVault = Annotated[AsyncVault, Depends(vault_of)]


@app.get("/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@app.get("/health")
async def health(vault: TheVault) -> JSONResponse:
    """The database, the store, the age of the newest backup and of the newest drill."""
    report = await vault.health(max_age=timedelta(hours=26))
    return JSONResponse(report.to_dict(), status_code=report.http_status)


@app.get("/metrics")
async def metrics(vault: TheVault) -> PlainTextResponse:
    """Everything that is known, in Prometheus' text format."""
    return PlainTextResponse(await vault.metrics(), media_type="text/plain; version=0.0.4")


@app.get("/backups")
async def backups(vault: TheVault) -> list[BackupSummary]:
    """The newest backups: reports are dataclasses, which FastAPI serves as they are."""
    return await vault.list(limit=10)
