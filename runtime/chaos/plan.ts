/** The choice of the next fault. Pure, except for the random numbers that it is given. */
import type { FaultCommand } from './faultCommands.js'

/** Values of `--faults`. */
export const faultKinds = ['actor', 'kill', 'pause', 'broker', 'network', 'disk'] as const
export type FaultKind = (typeof faultKinds)[number]

/** The space as it is now. */
export interface Scene {
  readonly space: string
  readonly primary: string | null
  /** Members that answer. */
  readonly members: readonly string[]
  readonly inSync: readonly string[]
  /** Running actors by node, without nodes that refuse to kill actors. */
  readonly actors: ReadonlyMap<string, readonly string[]>
  /** Nodes whose disk can be filled. */
  readonly fillable: readonly string[]
  /** Nodes whose connection can be cut. */
  readonly linked: readonly string[]
}

export type Fault =
  | { readonly kind: 'actor'; readonly node: string; readonly actor: string }
  | { readonly kind: Exclude<FaultKind, 'actor'>; readonly command: FaultCommand }

/** The node that the fault hits. null for the broker. */
export function victimOf(fault: Fault): string | null {
  if (fault.kind === 'actor') return fault.node
  return 'node' in fault.command ? fault.command.node : null
}

/** "actor space.demo.primary on n1", "cut n2 for 800 ms". */
export function describeFault(fault: Fault): string {
  if (fault.kind === 'actor') return `actor ${fault.actor} on ${fault.node}`
  const { command } = fault
  const what = command.type === 'fill' ? 'disk full' : command.type
  return `${what}${'node' in command ? ` ${command.node}` : ''} for ${command.forMs} ms`
}

type Who = 'primary' | 'replica'

/** A way to do harm. Its target is chosen when its turn comes. */
type Card =
  | { readonly type: 'actor'; readonly who: Who; readonly role: ActorRole }
  | { readonly type: 'kill' | 'pause' | 'cut' | 'stall'; readonly who: Who }
  | { readonly type: 'fill' | 'broker' }

const actorRoles = ['primary', 'replica', 'space', 'detector', 'stream', 'lag'] as const
type ActorRole = (typeof actorRoles)[number]

const decks: Readonly<Record<FaultKind, readonly Card[]>> = {
  actor: [
    { type: 'actor', who: 'primary', role: 'primary' },
    { type: 'actor', who: 'replica', role: 'replica' },
    { type: 'actor', who: 'replica', role: 'detector' },
    { type: 'actor', who: 'primary', role: 'stream' },
    { type: 'actor', who: 'primary', role: 'space' },
    { type: 'actor', who: 'primary', role: 'lag' },
    { type: 'actor', who: 'replica', role: 'space' },
    { type: 'actor', who: 'primary', role: 'detector' },
  ],
  kill: [{ type: 'kill', who: 'primary' }, { type: 'kill', who: 'replica' }],
  pause: [{ type: 'pause', who: 'primary' }, { type: 'pause', who: 'replica' }],
  broker: [{ type: 'broker' }],
  network: [
    { type: 'cut', who: 'primary' },
    { type: 'stall', who: 'primary' },
    { type: 'cut', who: 'replica' },
    { type: 'stall', who: 'replica' },
  ],
  disk: [{ type: 'fill' }],
}

type Range = readonly [shortestMs: number, longestMs: number]

/** Silence shorter or longer than a lease, which expires after 2 s (2.2 s for candidates). */
const silence: readonly Range[] = [[300, 1800], [2500, 4000]]

const lasts: Readonly<Record<FaultCommand['type'], readonly Range[]>> = {
  kill: [[200, 2500]],
  cut: [[300, 3500]],
  pause: silence,
  stall: silence,
  fill: [[1500, 4000]],
  broker: [[200, 2000]],
}

/** The longest fault, ms. */
export const faultLongestMs = Math.max(
  ...Object.values(lasts).flatMap((ranges) => ranges.map(([, longestMs]) => longestMs)),
)

/**
 * Deals faults: each kind once, in a random order, before any comes again (single actors twice,
 * since they cost little), and within a kind each of its ways before any comes again.
 */
export class Dealer {
  #round: FaultKind[] = []
  readonly #decks = new Map<FaultKind, Card[]>()

  /** @param random in [0, 1) */
  constructor(
    private readonly kinds: readonly FaultKind[],
    private readonly random: () => number,
  ) {}

  /**
   * Returns the next fault. null if the one that is due can do no harm now, or too much: a node is
   * hit only while another in-sync member answers.
   */
  next(scene: Scene): Fault | null {
    if (this.#round.length === 0) {
      const twice = this.kinds.filter((kind) => kind === 'actor')
      this.#round = this.#shuffled([...this.kinds, ...twice])
    }
    const kind = this.#round[0]
    if (kind === undefined) return null
    const deck = this.#deckOf(kind)
    for (const [n, card] of deck.entries()) {
      const fault = this.#played(kind, card, scene)
      if (!fault) continue
      deck.splice(n, 1)
      this.#round.shift()
      return fault
    }
    return null
  }

  /** Gives up the kind that is due, if it could not be injected for too long. */
  skip(): FaultKind | null {
    return this.#round.shift() ?? null
  }

  #deckOf(kind: FaultKind): Card[] {
    const held = this.#decks.get(kind)
    if (held && held.length > 0) return held
    // The first deck of actors keeps its order: a short run kills the roles that matter most.
    const fresh = held || kind !== 'actor' ? this.#shuffled(decks[kind]) : [...decks[kind]]
    this.#decks.set(kind, fresh)
    return fresh
  }

  #played(kind: FaultKind, card: Card, scene: Scene): Fault | null {
    if (card.type === 'actor') return this.#actorFault(card.who, card.role, scene)
    if (kind === 'actor') return null
    const forMs = this.#within(lasts[card.type])
    if (card.type === 'broker') return { kind, command: { type: 'broker', forMs } }
    const able = { fill: scene.fillable, cut: scene.linked, stall: scene.linked }
    const from = card.type === 'kill' || card.type === 'pause' ? scene.members : able[card.type]
    const node = this.#pick(candidates(scene, 'who' in card ? card.who : null)
      .filter((id) => from.includes(id)))
    return node === null ? null : { kind, command: { type: card.type, node, forMs } }
  }

  #actorFault(who: Who, role: ActorRole, scene: Scene): Fault | null {
    const node = this.#pick(candidates(scene, who).filter((id) => scene.actors.has(id)))
    if (node === null) return null
    const actor = this.#pick((scene.actors.get(node) ?? []).filter(actorRule(scene.space, role)))
    return actor === null ? null : { kind: 'actor', node, actor }
  }

  #pick<T>(list: readonly T[]): T | null {
    return list[Math.floor(this.random() * list.length)] ?? null
  }

  #within(ranges: readonly Range[]): number {
    const [shortestMs, longestMs] = this.#pick(ranges) ?? [0, 0]
    return Math.round(shortestMs + this.random() * (longestMs - shortestMs))
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const left = [...list]
    const mixed: T[] = []
    while (left.length > 0) mixed.push(...left.splice(Math.floor(this.random() * left.length), 1))
    return mixed
  }
}

/** Members that may be hit, since another in-sync one answers. @param who null for any role */
function candidates(scene: Scene, who: Who | null): string[] {
  const { primary, members, inSync } = scene
  return members.filter((id) => {
    if (who === 'primary' && id !== primary) return false
    if (who === 'replica' && id === primary) return false
    return inSync.some((other) => other !== id && members.includes(other))
  })
}

function actorRule(space: string, role: ActorRole): (actor: string) => boolean {
  const own = `space.${space}`
  switch (role) {
    case 'space':
      return (actor) => actor === own
    case 'detector':
      return (actor) => actor.startsWith('detector.')
    case 'stream':
    case 'lag':
      return (actor) => actor.startsWith(`${own}.${role}.`)
    default:
      return (actor) => actor === `${own}.${role}`
  }
}

const roleActors = ['primary', 'replica', 'promotion']

/**
 * True if the killed actor, or its replacement, runs. If the role has changed meanwhile, the space
 * runs one of the three role actors. Streams and lag monitors end with the primary.
 */
export function isReplaced(space: string, killed: string, running: readonly string[]): boolean {
  if (killed.startsWith('detector.') || killed === `space.${space}`) {
    return running.includes(killed)
  }
  const role = (name: string): boolean => running.includes(`space.${space}.${name}`)
  if (killed.startsWith(`space.${space}.stream.`) || killed.startsWith(`space.${space}.lag.`)) {
    return running.includes(killed) || (!role('primary') && roleActors.some(role))
  }
  return roleActors.some(role)
}
