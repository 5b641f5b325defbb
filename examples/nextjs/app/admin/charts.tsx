import type { BackupSummary } from 'lastgood'
import { bytes, day, duration } from '@/lib/format'

const WIDTH = 520
const HEIGHT = 150
const LEFT = 62
const BOTTOM = 22
const TOP = 8

/** How large the backups are, and how long they took, oldest on the left. */
export function Charts({ backups }: { backups: readonly BackupSummary[] }) {
  const shown = backups.slice(0, 30).toReversed()
  const took = (b: BackupSummary) => b.finishedAt.getTime() - b.startedAt.getTime()
  return (
    <section className="charts" aria-label="Sizes and durations over time">
      <Chart title="Stored size" backups={shown} value={b => b.storedBytes} unit={bytes} bars />
      <Chart title="Duration" backups={shown} value={took} unit={duration} />
    </section>
  )
}

interface ChartOptions {
  title: string
  backups: readonly BackupSummary[]
  value: (backup: BackupSummary) => number
  unit: (value: number) => string
  bars?: boolean
}

function Chart({ title, backups, value, unit, bars = false }: ChartOptions) {
  const values = backups.map(value)
  const top = niceTop(Math.max(...values))
  const step = (WIDTH - LEFT) / Math.max(backups.length, 8)
  const x = (i: number) => LEFT + step * (i + 0.5)
  const y = (v: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / top)
  const points = values.map((v, i) => `${x(i).toFixed(1)},${y(v).toFixed(1)}`)
  const first = backups[0]
  const last = backups.at(-1)
  if (!first || !last) return null
  const summary = `${title} of ${backups.length} backups, from ${unit(Math.min(...values))} to ${unit(Math.max(...values))}; the newest ${unit(value(last))}.`
  return (
    <figure>
      <figcaption>
        {title} <span className="quiet">{unit(value(last))}</span>
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={summary}>
        {[0, top / 2, top].map(tick => (
          <g key={tick}>
            <line className="grid" x1={LEFT} x2={WIDTH} y1={y(tick)} y2={y(tick)} />
            <text x={LEFT - 8} y={y(tick) + 4} textAnchor="end">
              {tick === 0 ? '0' : unit(tick).replace('.0 ', ' ')}
            </text>
          </g>
        ))}
        {bars ? (
          backups.map((b, i) => {
            const width = Math.min(step * 0.64, 26)
            return (
              <rect key={b.id} className="column" x={x(i) - width / 2} y={y(value(b))} width={width} height={Math.max(y(0) - y(value(b)), 1)} rx="3">
                <title>{`${b.id}: ${unit(value(b))}`}</title>
              </rect>
            )
          })
        ) : (
          <>
            <polygon className="area" points={`${x(0)},${y(0)} ${points.join(' ')} ${x(backups.length - 1)},${y(0)}`} />
            <polyline className="line" points={points.join(' ')} />
            {backups.map((b, i) => (
              <circle key={b.id} className="dot" cx={x(i)} cy={y(value(b))} r="3.5">
                <title>{`${b.id}: ${unit(value(b))}`}</title>
              </circle>
            ))}
          </>
        )}
        <text x={x(0)} y={HEIGHT - 4} textAnchor="middle">
          {day(first.startedAt)}
        </text>
        {backups.length > 6 && (
          <text x={x(backups.length - 1)} y={HEIGHT - 4} textAnchor="middle">
            {day(last.startedAt)}
          </text>
        )}
      </svg>
    </figure>
  )
}

/** The next number whose half is as round. */
function niceTop(most: number): number {
  if (most <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(most))
  return ([1, 2, 3, 4, 5, 6, 8, 10].find(n => n * power >= most) ?? 10) * power
}
