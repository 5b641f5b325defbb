import type { BackupSummary, HealthReport } from 'lastgood'
import { failure, type Failure } from '@/lib/failure'
import { age, bytes, moment } from '@/lib/format'
import { vault } from '@/lib/vault'
import { Backups } from './backups'
import { Charts } from './charts'
import { Problem } from './problem'

export const dynamic = 'force-dynamic'

interface State {
  backups: readonly BackupSummary[]
  health: HealthReport | null
  problem: Failure | null
}

async function look(): Promise<State> {
  try {
    const lastgood = await vault()
    const [list, health] = await Promise.allSettled([lastgood.list(), lastgood.health({ cacheSeconds: 0 })])
    return {
      backups: list.status === 'fulfilled' ? list.value : [],
      health: health.status === 'fulfilled' ? health.value : null,
      problem: list.status === 'rejected' ? failure(list.reason) : null,
    }
  } catch (error) {
    return { backups: [], health: null, problem: failure(error) }
  }
}

export default async function Page() {
  const { backups, health, problem } = await look()
  const now = new Date()
  const newest = backups[0]
  const drilled = backups.filter(b => b.drilledAt && !b.failing)
  const lastDrill = backups.map(b => b.drilledAt).filter(at => at !== null).sort((a, b) => b.getTime() - a.getTime())[0]
  const stored = backups.reduce((sum, b) => sum + b.storedBytes, 0)
  return (
    <main>
      <header className="top">
        <div>
          <h1>Backups</h1>
          <p className="quiet">{newest ? `${newest.database} · ${newest.engine} ${newest.serverVersion}` : 'A backup is good when it has been restored.'}</p>
        </div>
        {health && (
          <span className={`health ${health.status}`} role="status">
            <i aria-hidden />
            {{ ok: 'Healthy', degraded: 'Degraded', down: 'Down' }[health.status]}
          </span>
        )}
      </header>

      {problem && <Problem {...problem} />}

      <dl className="facts">
        <Fact name="Last backup" value={newest ? age(newest.startedAt, now) : 'never'} more={newest ? moment(newest.startedAt) : 'make the first one below'} />
        <Fact name="Proven by restoring" value={`${drilled.length} of ${backups.length}`} more={lastDrill ? `last drill ${age(lastDrill, now)}` : 'no drill yet'} />
        <Fact name="In the store" value={bytes(stored)} more={newest ? `${bytes(newest.sourceBytes)} of data in the newest` : 'nothing yet'} />
      </dl>

      <Backups backups={backups} now={now}>
        {backups.length > 0 && <Charts backups={backups} />}
      </Backups>

      {health && health.status !== 'ok' && (
        <section aria-labelledby="checks">
          <h2 id="checks">What to look at</h2>
          <ul className="checks">
            {health.checks.filter(c => c.status !== 'ok').map(c => (
              <li key={c.name} className={c.status}>
                <b>{c.name}</b> {c.message}
              </li>
            ))}
          </ul>
        </section>
      )}
    </main>
  )
}

function Fact({ name, value, more }: { name: string; value: string; more: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <strong>{value}</strong>
        <span className="quiet">{more}</span>
      </dd>
    </div>
  )
}
