'use client'

import type { BackupReport, BackupSummary, DrillReport, Progress, VerifyReport } from 'lastgood'
import { useRouter } from 'next/navigation'
import { useRef, useState, type ReactNode } from 'react'
import type { Failure } from '@/lib/failure'
import { age, bytes, count, duration, moment } from '@/lib/format'
import type { Line } from '@/lib/stream'
import { Problem } from './problem'

type Verb = 'backup' | 'verify' | 'drill'

type State =
  | { is: 'idle' }
  | { is: 'running'; verb: Verb; id?: string; progress?: Progress }
  | { is: 'done'; text: string }
  | { is: 'failed'; failure: Failure }

const doing: Record<Verb, string> = { backup: 'Backing up', verify: 'Verifying', drill: 'Drilling' }

const phases: Record<Progress['phase'], string> = {
  preparing: 'taking the snapshot',
  dumping: 'reading the database',
  committing: 'checking what the store holds',
  verifying: 'checking every stored byte',
  loading: 'restoring into a scratch database',
  finishing: 'building indexes',
  comparing: 'comparing every row',
  reencrypting: 'reencrypting under the newest key',
}

const done = {
  backup: (r: BackupReport) => `${r.id} holds ${count(r.rows)} rows, stored as ${bytes(r.storedBytes)} in ${duration(r.durationMs)}. Drill it to prove it.`,
  verify: (r: VerifyReport) => `Every byte of ${r.id} is as it was written: ${bytes(r.storedBytes)} checked in ${duration(r.durationMs)}.`,
  drill: (r: DrillReport) => `${r.id} is proven: restored in ${duration(r.restoreMs)}, ${count(r.rows)} rows in ${count(r.tables)} tables are the same.`,
}

/** Runs an operation of the server's and reports each line that it streams. */
async function* lines(url: string, signal: AbortSignal): AsyncGenerator<Line> {
  const response = await fetch(url, { method: 'POST', signal })
  if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`)
  let rest = ''
  for await (const text of response.body.pipeThrough(new TextDecoderStream()) as unknown as AsyncIterable<string>) {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) yield JSON.parse(part) as Line
  }
}

export function Backups({ backups, now, children }: { backups: readonly BackupSummary[]; now: Date; children: ReactNode }) {
  const router = useRouter()
  const [state, setState] = useState<State>({ is: 'idle' })
  const abort = useRef<AbortController>(null)

  async function run(verb: Verb, id?: string) {
    const controller = new AbortController()
    abort.current = controller
    setState({ is: 'running', verb, id })
    try {
      for await (const line of lines(verb === 'backup' ? '/api/backups' : `/api/backups/${id}/${verb}`, controller.signal)) {
        if ('progress' in line) setState({ is: 'running', verb, id, progress: line.progress })
        else if ('error' in line) setState({ is: 'failed', failure: line.error })
        else setState({ is: 'done', text: done[verb](line.report as never) })
      }
    } catch (error) {
      setState(
        controller.signal.aborted
          ? { is: 'done', text: 'Cancelled. Nothing of it is left in the store.' }
          : { is: 'failed', failure: { code: 'connection', message: (error as Error).message, next: 'look whether the server still runs, then try again' } },
      )
    }
    router.refresh()
  }

  const busy = state.is === 'running'
  return (
    <>
      <section className="run" aria-label="Run">
        {state.is === 'running' ? (
          <Running state={state} cancel={() => abort.current?.abort()} />
        ) : (
          <button className="primary" onClick={() => run('backup')}>
            Back up now
          </button>
        )}
        <p className={state.is === 'done' ? 'done' : 'done none'} role="status">
          {state.is === 'done' && state.text}
        </p>
        {state.is === 'failed' && <Problem {...state.failure} />}
      </section>

      {children}

      <section aria-labelledby="all">
        <h2 id="all">All backups</h2>
        {backups.length === 0 ? (
          <p className="empty">There is no backup yet.</p>
        ) : (
          <div className="scroll" role="region" aria-label="Table of backups" tabIndex={0}>
            <table>
              <thead>
                <tr>
                  <th scope="col">Backup</th>
                  <th scope="col">Proof</th>
                  <th scope="col" className="number">Rows</th>
                  <th scope="col" className="number">Data</th>
                  <th scope="col" className="number">Stored</th>
                  <th scope="col" className="number">Took</th>
                  <th scope="col"><span className="hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {backups.map(b => (
                  <tr key={b.id}>
                    <th scope="row">
                      <time dateTime={b.startedAt.toISOString()} title={moment(b.startedAt)}>{age(b.startedAt, now)}</time>
                      <code>{b.id}</code>
                      {b.tags.map(tag => <span className="tag" key={tag}>{tag}</span>)}
                    </th>
                    <td><Proof backup={b} now={now} /></td>
                    <td className="number">{count(b.rows)}</td>
                    <td className="number">{bytes(b.sourceBytes)}</td>
                    <td className="number">{bytes(b.storedBytes)}</td>
                    <td className="number">{duration(b.finishedAt.getTime() - b.startedAt.getTime())}</td>
                    <td className="actions">
                      <button disabled={busy} onClick={() => run('verify', b.id)} aria-label={`Verify ${b.id}`} title="Check every stored byte">Verify</button>
                      <button disabled={busy} onClick={() => run('drill', b.id)} aria-label={`Drill ${b.id}`} title="Restore it into a scratch database and compare">Drill</button>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    </>
  )
}

function Running({ state, cancel }: { state: State & { is: 'running' }; cancel: () => void }) {
  const { verb, id, progress } = state
  const total = progress?.bytesTotal
  const percent = progress && total ? Math.min(100, Math.floor((100 * progress.bytesDone) / total)) : undefined
  const phase = progress ? phases[progress.phase] : 'starting'
  return (
    <div className="running">
      <div className="what">
        <p aria-live="polite">
          <b>{doing[verb]}</b>{id && <> <code>{id}</code></>}: {phase}
        </p>
        <button onClick={cancel}>Cancel</button>
      </div>
      <div className={percent === undefined ? 'bar waiting' : 'bar'} role="progressbar" aria-label={doing[verb]} aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent} aria-valuetext={percent === undefined ? phase : `${percent}%, ${phase}`}>
        <i style={{ width: `${percent ?? 100}%` }} />
      </div>
      <p className="quiet">
        {progress && total ? `${bytes(progress.bytesDone)} of ${bytes(total)} · ${bytes(progress.bytesPerSecond)}/s` : ' '}
      </p>
    </div>
  )
}

function Proof({ backup, now }: { backup: BackupSummary; now: Date }) {
  if (backup.failing) return <Chip kind="down" sign="M4 4l8 8M12 4l-8 8" text="Failing" title="The newest proof failed." />
  if (backup.drilledAt) return <Chip kind="ok" sign="M3 8.5l3.5 3.5L13 4.5" text={`Drilled ${age(backup.drilledAt, now)}`} title="It was restored, and every row compared." />
  if (backup.verifiedAt) return <Chip kind="seen" sign="M3 8.5l3.5 3.5L13 4.5" text={`Verified ${age(backup.verifiedAt, now)}`} title="Every stored byte was checked." />
  return <Chip kind="none" sign="M4 8h8" text="Unproven" title="Neither verified nor drilled." />
}

function Chip({ kind, sign, text, title }: { kind: string; sign: string; text: string; title: string }) {
  return (
    <span className={`chip ${kind}`} title={title}>
      <svg viewBox="0 0 16 16" aria-hidden><path d={sign} /></svg>
      {text}
    </span>
  )
}
