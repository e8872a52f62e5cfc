import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { messageKinds, rowsOf } from '../../model/sequence.js'
import type { Lane, Row } from '../../model/sequence.js'
import { clockText } from '../../model/words.js'
import { amend, route } from '../route.js'
import { at, recording, seek, shownMs, state } from '../store.js'
import { KindFilter, toggled } from './kindFilter.js'

const kindNames: Readonly<Record<(typeof messageKinds)[number], string>> = {
  change: 'changes of state',
  wal: 'WAL batches',
  ack: 'acks',
  heartbeat: 'heartbeats',
  ping: 'probes',
  survey: 'surveys',
  assignment: 'announcements',
}
const spans = [2, 10, 30, 60] as const
const rowsMax = 300
/** Nodes send their counts each half second. */
const drawnMs = 500
const rowHeight = 25
const laneWidthMin = 92
const laneWidthMax = 420
const gutter = 92

/** Lanes in the address: `n1,n2,n2/space.demo`. */
function lanesOf(text: string | undefined, ids: readonly string[]): Lane[] {
  const names = text === undefined || text === '' ? ids : text.split(',')
  return names.map((name) => {
    const slash = name.indexOf('/')
    return slash === -1
      ? { node: name, actor: null }
      : { node: name.slice(0, slash), actor: name.slice(slash + 1) }
  })
}

function nameOf({ node, actor }: Lane): string {
  return actor === null ? node : `${node}/${actor}`
}

export function SequenceView() {
  const { query } = route.value
  const ids = [...state.value.nodes.keys()].toSorted()
  const lanes = lanesOf(query['lanes'], ids)
  const shown = new Set((query['kinds'] ?? 'change,wal,ack,survey,assignment').split(','))
  const seconds = Number(query['seconds'] ?? 10)
  const isLive = at.value === null
  const toMs = isLive ? Math.floor(shownMs.value / drawnMs) * drawnMs : shownMs.value
  const [box, width] = useWidth()
  const laneWidth = Math.floor(
    Math.max(laneWidthMin,
      Math.min(laneWidthMax, (width - gutter - 18) / Math.max(1, lanes.length))),
  )
  const lanesText = lanes.map(nameOf).join(',')
  const diagram = useMemo(() => {
    const items = recording().between(toMs - seconds * 1_000, toMs)
    const rows = rowsOf(items, lanes, shown, rowsMax)
    if (rows.length === 0) return null
    return <Diagram rows={rows.toReversed()} lanes={lanes} laneWidth={laneWidth} />
  }, [toMs, seconds, lanesText, query['kinds'], laneWidth])
  const setLanes = (next: readonly Lane[]): void => amend({ lanes: next.map(nameOf).join(',') })
  return (
    <div class="sequence">
      <Tools lanes={lanes} setLanes={setLanes} seconds={seconds} shown={shown} />
      <div class="diagram" tabIndex={0} role="region" aria-label="Sequence diagram" ref={box}>
        <div class="lanes" style={{ paddingLeft: `${gutter}px` }}>
          {lanes.map((lane, index) => (
            <div key={nameOf(lane)} class="lane" style={{ width: `${laneWidth}px` }}>
              <span>{nameOf(lane)}</span>
              <span class="tools-of-lane">
                <button type="button" class="quiet" disabled={index === 0}
                  aria-label={`Move ${nameOf(lane)} left`} onClick={() =>
                  setLanes(moved(lanes, index))}
                >
                  ←
                </button>
                <button type="button" class="quiet" aria-label={`Remove ${nameOf(lane)}`}
                  onClick={() =>
                    setLanes(lanes.filter((one) => one !== lane))}
                >
                  ×
                </button>
              </span>
            </div>
          ))}
        </div>
        {diagram ?? <p class="empty">No messages or changes of these in the last {seconds} s.</p>}
      </div>
    </div>
  )
}

function Tools({ lanes, setLanes, seconds, shown }: {
  readonly lanes: readonly Lane[]
  readonly setLanes: (lanes: readonly Lane[]) => void
  readonly seconds: number
  readonly shown: ReadonlySet<string>
}) {
  return (
    <div class="tools">
      <AddLane lanes={lanes} onAdd={(lane) => setLanes([...lanes, lane])} />
      <label>
        Last{' '}
        <select value={String(seconds)}
          onChange={(event) => amend({ seconds: event.currentTarget.value })}
        >
          {spans.map((one) => <option key={one} value={one}>{one} s</option>)}
        </select>
      </label>
      <KindFilter kinds={messageKinds} names={kindNames} isShown={(kind) => shown.has(kind)}
        onToggle={(kind) => amend({ kinds: [...toggled(shown, kind)].join(',') })} />
    </div>
  )
}

function useWidth() {
  const box = useRef<HTMLDivElement | null>(null)
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  return [box, width] as const
}

function moved(lanes: readonly Lane[], index: number): Lane[] {
  const next = [...lanes]
  const [lane] = next.splice(index, 1)
  if (lane !== undefined) next.splice(index - 1, 0, lane)
  return next
}

function AddLane({ lanes, onAdd }: {
  readonly lanes: readonly Lane[]
  readonly onAdd: (lane: Lane) => void
}) {
  const [text, setText] = useState('')
  const known = new Set(lanes.map(nameOf))
  const options = [...state.value.nodes.values()].flatMap((node) => [
    node.id,
    ...[...node.actors.values()].filter(({ state: value }) => value !== null)
      .map(({ actor }) => `${node.id}/${actor}`),
  ]).filter((name) => !known.has(name)).toSorted()
  return (
    <form class="add" onSubmit={(event) => {
      event.preventDefault()
      const [lane] = lanesOf(text.trim(), [])
      if (lane === undefined || text.trim() === '' || known.has(text.trim())) return
      onAdd(lane)
      setText('')
    }}>
      <input list="lanes" placeholder="Add a node or actor" aria-label="Node or actor to add"
        value={text} onInput={(event) => setText(event.currentTarget.value)} />
      <datalist id="lanes">
        {options.slice(0, 400).map((name) => <option key={name} value={name} />)}
      </datalist>
      <button type="submit">Add</button>
    </form>
  )
}

/** Rows, latest first, so that the latest needs no scrolling. */
function Diagram({ rows, lanes, laneWidth }: {
  readonly rows: readonly Row[]
  readonly lanes: readonly Lane[]
  readonly laneWidth: number
}) {
  const width = gutter + lanes.length * laneWidth
  const height = rows.length * rowHeight + 8
  const middle = (index: number): number => gutter + index * laneWidth + laneWidth / 2
  return (
    <svg width={width} height={height} role="img" aria-label={`${rows.length} messages and changes`}
      data-rows={rows.length}
    >
      <defs>
        <marker id="tip" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8"
          markerUnits="userSpaceOnUse" orient="auto"
        >
          <path class="tip" d="M0,0.5 L8,4 L0,7.5 Z" />
        </marker>
      </defs>
      {lanes.map((lane, index) => (
        <line key={nameOf(lane)} class="lifeline" x1={middle(index)} x2={middle(index)} y1={0}
          y2={height} />
      ))}
      {rows.map((row, index) => (
        <RowLine key={`${row.atMs} ${row.from} ${row.to} ${row.text} ${index}`} row={row}
          y={index * rowHeight + rowHeight / 2 + 4} middle={middle} boxWidth={laneWidth - 14}
          isLater={row.atMs === rows[index - 1]?.atMs} />
      ))}
    </svg>
  )
}

function RowLine({ row, y, middle, boxWidth, isLater }: {
  readonly row: Row
  readonly y: number
  readonly middle: (index: number) => number
  readonly boxWidth: number
  readonly isLater: boolean
}) {
  const { atMs, kind, from, to, text, detail } = row
  const isSelf = from === to
  const shift = to > from ? -5 : 5
  return (
    <g class={`message ${kind}`} data-kind={kind}>
      <title>{detail}</title>
      {!isLater && (
        <text class="at" x={gutter - 8} y={y + 4} onClick={() => seek(atMs)}>
          {clockText(atMs)}
        </text>
      )}
      {isSelf
        ? (
          <foreignObject x={middle(from) - boxWidth / 2} y={y - 10} width={boxWidth} height={21}>
            <div class={`chip ${kind}`}>{text}</div>
          </foreignObject>
        )
        : (
          <>
            <line x1={middle(from)} x2={middle(to) + shift} y1={y} y2={y} marker-end="url(#tip)" />
            <text class="label" x={(middle(from) + middle(to)) / 2} y={y - 5}>{text}</text>
          </>
        )}
    </g>
  )
}
