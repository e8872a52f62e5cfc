/** Whether a node is there, as its peers have it. */
import { activePaths, stateText } from './state.js'
import type { ActorView, PageState } from './state.js'

export interface Absence {
  /** When it was last heard; a node says something each half second. */
  readonly sinceMs: number
  /** It is known to be gone; else it is not heard, and may come back. */
  readonly isProven: boolean
  /** Why, of a node that is named before: `NATS says that it is no longer connected`. */
  readonly text: string
}

/** What was under way when its peers lost it may come after. ms */
const lateMs = 200
/** A peer that is silent so long has no present view. ms */
const staleMs = 3_000

const texts: readonly (readonly [state: string, isProven: boolean, text: string])[] = [
  ['dead.gone', true, 'NATS says that it is no longer connected'],
  ['dead.expired', true, 'it was not heard for the length of a lease'],
  ['left', true, 'it has left'],
  ['unreachable', false, 'it is not heard and does not answer'],
  ['probing', false, 'it is not heard and does not answer'],
  ['suspect', false, 'it is not heard'],
]

/** null: it is there, or nobody says that it is not. */
export function absenceOf(state: PageState, node: string): Absence | null {
  const heardMs = state.nodes.get(node)?.heardAtMs ?? -Infinity
  const views = [...state.nodes.values()].flatMap((witness): Absence[] => {
    if (witness.id === node || state.atMs - witness.heardAtMs > staleMs) return []
    const view = viewOf(witness.actors.get(`detector.${node}`))
    return view === null || heardMs > view.sinceMs + lateMs ? [] : [view]
  })
  if (views.length === 0) return null
  const view = views.find(({ isProven }) => isProven) ?? views[0]!
  const noticedMs = Math.min(...views.map(({ sinceMs }) => sinceMs))
  const isHeard = heardMs > noticedMs - staleMs && heardMs < noticedMs
  return { ...view, sinceMs: isHeard ? heardMs : noticedMs }
}

function viewOf(detector: ActorView | undefined): Absence | null {
  if (detector === undefined || detector.exit !== null) return null
  const paths = activePaths(detector.state)
  // Its lease runs out later, whatever was known before.
  const wasGone = paths.includes('dead') && stateText(detector.last?.from ?? null) === 'dead.gone'
  for (const [path, isProven, text] of texts) {
    if (!paths.includes(path) && !(wasGone && path === 'dead.gone')) continue
    const [top = path] = path.split('.')
    return { sinceMs: detector.enteredMs[top] ?? 0, isProven, text }
  }
  return null
}

/** Nodes of which nothing comes any more: those that peers have lost, and those that stopped. */
export function goneNodes(state: PageState): ReadonlySet<string> {
  const ids = new Set([...state.nodes.keys(), ...state.status?.nodes.map(({ id }) => id) ?? []])
  return new Set([...ids].filter((id) => absenceOf(state, id)?.isProven))
}
