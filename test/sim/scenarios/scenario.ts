import type { Stage, StageOptions } from './stage.js'

/** Sets a stage; a scenario of the journal alone needs none. */
export type Begin = (options?: StageOptions) => Promise<Stage>

/**
 * A situation of the protocol, step by step, against the code of production in virtual time. It
 * rejects with what went wrong; the judge of its stage looks on at every step.
 */
export interface Scenario {
  /** Kebab case, unique; `late-open` to `hole-8` are those that a model of the protocol found. */
  readonly name: string
  /** One sentence on what happens. */
  readonly title: string
  /** The danger it shows: written for a reader who wants to learn the protocol. */
  readonly lesson: string
  readonly run: (begin: Begin) => Promise<void>
}
