import { resolve } from 'node:path'
import { Vault } from 'lastgood'

// One vault for the whole process: a hot reload runs this module again and finds the vault that is there.
const holder = globalThis as typeof globalThis & { lastgoodVault?: Promise<Vault> }

/** The vault of this application: SQLite in this folder, unless DATABASE_URL and BACKUP_STORE_URL say otherwise. */
export function vault(): Promise<Vault> {
  holder.lastgoodVault ??= Vault.open({
    database: process.env.DATABASE_URL ?? `sqlite:${resolve('shop.db')}`,
    store: process.env.BACKUP_STORE_URL ?? resolve('backups'),
  }).catch(error => {
    // The next request tries again.
    delete holder.lastgoodVault
    throw error
  })
  return holder.lastgoodVault
}
