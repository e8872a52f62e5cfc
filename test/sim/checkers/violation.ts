/** A finding of a run: an invariant by its name (I1 to I13), or another promise by a word. */
export class SimViolation extends Error {
  readonly code = 'SIM_VIOLATION'

  constructor(readonly invariant: string, readonly details: string, readonly atMs: number) {
    super(`${invariant}: ${details} (at ${atMs.toFixed(3)} ms)`)
    this.name = 'SimViolation'
  }
}
