/** Messages between nodes as moving marks, from the counts that nodes send each half second. */
import type { RefObject } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { goneNodes } from '../../model/presence.js'
import type { Item } from '../../model/state.js'
import { recording, shownMs, state } from '../store.js'

/** Names of the kinds of messages that are shown. */
export const kindsOfMarks: Readonly<Record<string, string>> = {
  wal: 'WAL batch',
  ack: 'ack',
  heartbeat: 'heartbeat',
  survey: 'survey',
  ping: 'probe',
}

/** Marks shown at a time. More are left out. */
const marksMax = 80
/** Marks shown for one count at most. */
const marksPerCount = 3
const travelMs = 900
/** Period of a node's counts. */
const countedMs = 500

interface Point {
  readonly x: number
  readonly y: number
}

export function MessageMarks({ map }: { readonly map: RefObject<HTMLDivElement | null> }) {
  const layer = useRef<HTMLDivElement>(null)
  const seen = useRef({ recording: recording(), ms: shownMs.value })
  const now = shownMs.value
  useEffect(() => {
    const before = seen.current
    seen.current = { recording: recording(), ms: recording().endMs < now ? recording().endMs : now }
    if (layer.current === null || map.current === null || before.recording !== recording()) return
    const passedMs = now - before.ms
    if (passedMs <= 0 || passedMs > 2_000 || document.hidden) return
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) return
    const gone = goneNodes(state.value)
    recall(layer.current, gone)
    launch(layer.current, map.current, recording().between(before.ms, now), gone)
  }, [now])
  return <div class="marks" ref={layer} aria-hidden="true" />
}

/** Removes marks from or to nodes that are gone. */
function recall(layer: HTMLDivElement, gone: ReadonlySet<string>): void {
  if (gone.size === 0) return
  for (const mark of [...layer.children] as HTMLElement[]) {
    if ([mark.dataset['from'], mark.dataset['to']].some((id) => gone.has(id ?? ''))) mark.remove()
  }
}

function launch(
  layer: HTMLDivElement,
  map: HTMLDivElement,
  items: readonly Item[],
  gone: ReadonlySet<string>,
): void {
  const places = placesOf(map)
  const alive = [...map.querySelectorAll<HTMLElement>('[data-node]:not(.gone)')]
    .map((card) => card.dataset['node'] ?? '').filter((id) => !gone.has(id))
  for (const item of items) {
    if (item.kind !== 'event' || item.event.type !== 'messages') continue
    const { kind, to, count } = item.event
    if (kindsOfMarks[kind] === undefined || !alive.includes(item.node)) continue
    const receivers = alive.filter((id) => to === null ? id !== item.node : id === to)
    const number = to === null ? 1 : Math.min(count, marksPerCount)
    for (const receiver of receivers) {
      for (let index = 0; index < number; index += 1) {
        const delayMs = (countedMs * (index + Math.random())) / number
        send(layer, kind, { from: item.node, to: receiver }, places, delayMs)
      }
    }
  }
}

/** Ends of each node's line, at its card and at the broker. */
function placesOf(map: HTMLDivElement): Places {
  const origin = map.getBoundingClientRect()
  const broker = map.querySelector('.broker-bar')?.getBoundingClientRect()
  const places = new Map<string, readonly [Point, Point]>()
  if (broker === undefined) return places
  for (const card of map.querySelectorAll<HTMLElement>('[data-node]')) {
    const box = card.getBoundingClientRect()
    const isBelow = box.left + box.width / 2 > broker.left && box.top >= broker.bottom
      && box.left + box.width / 2 < broker.right
    const isColumn = getComputedStyle(map).getPropertyValue('--column').trim() === '1'
    const port = isBelow && !isColumn
      ? { x: box.left + box.width / 2, y: box.top }
      : { x: box.left, y: box.top + 22 }
    const stop = isColumn ? { x: broker.left + 8, y: port.y } : { x: port.x, y: broker.bottom - 4 }
    places.set(card.dataset['node'] ?? '', [relative(port, origin), relative(stop, origin)])
  }
  return places
}

function relative(point: Point, origin: DOMRect): Point {
  return { x: point.x - origin.left, y: point.y - origin.top }
}

type Places = ReadonlyMap<string, readonly [Point, Point]>

function send(
  layer: HTMLDivElement,
  kind: string,
  way: { readonly from: string; readonly to: string },
  places: Places,
  delayMs: number,
): void {
  const [from, to] = [places.get(way.from), places.get(way.to)]
  if (from === undefined || to === undefined || layer.childElementCount >= marksMax) return
  const mark = document.createElement('i')
  mark.className = `dot ${kind}`
  Object.assign(mark.dataset, way)
  layer.append(mark)
  const frames = [from[0], from[1], to[1], to[0]].map(({ x, y }, index) => ({
    transform: `translate(${x - 4}px, ${y - 4}px)`,
    opacity: index === 0 || index === 3 ? 0.3 : 1,
  }))
  const animation = mark.animate(frames, { duration: travelMs, delay: delayMs, fill: 'backwards' })
  for (const end of ['finish', 'cancel']) animation.addEventListener(end, () => mark.remove())
}
