/** Absence of a node, as its peers report it. */
import { activePaths, stateText } from './state.js'
import type { ActorView, PageState } from './state.js'

export interface Absence {
  /** Time at which it was last heard. A node sends something each half second. */
  readonly sinceMs: number
  /** True if it is known to be gone. Otherwise it is only not heard and may be back soon. */
  readonly isProven: boolean
  /** Reason, with `it` for the node: `NATS says that it is no longer connected`. */
  readonly text: string
}

/** Messages under way may arrive after the peers' finding, ms. */
const lateMs = 200
/** The view of a peer that has been silent for longer is ignored, ms. */
const staleMs = 3_000

const texts: readonly (readonly [state: string, isProven: boolean, text: string])[] = [
  ['dead.gone', true, 'NATS says that it is no longer connected'],
  ['dead.expired', true, 'it was not heard for the length of a lease'],
  ['left', true, 'it has left'],
  ['unreachable', false, 'it is not heard and does not answer'],
  ['probing', false, 'it is not heard and does not answer'],
  ['suspect', false, 'it is not heard'],
]

/** The absence of a node. null if no peer reports one. */
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
  // The lease of a node that was known to be gone expires later and changes the state again.
  const wasGone = paths.includes('dead') && stateText(detector.last?.from ?? null) === 'dead.gone'
  for (const [path, isProven, text] of texts) {
    if (!paths.includes(path) && !(wasGone && path === 'dead.gone')) continue
    const [top = path] = path.split('.')
    return { sinceMs: detector.enteredMs[top] ?? 0, isProven, text }
  }
  return null
}

/** Nodes that peers have lost, or that have stopped. */
export function goneNodes(state: PageState): ReadonlySet<string> {
  const ids = new Set([...state.nodes.keys(), ...state.status?.nodes.map(({ id }) => id) ?? []])
  return new Set([...ids].filter((id) => absenceOf(state, id)?.isProven))
}
