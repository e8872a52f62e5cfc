/** What a run found: an invariant of DESIGN section 8 by its name, or another promise by a word. */
export class SimViolation extends Error {
  readonly code = 'SIM_VIOLATION'

  constructor(readonly invariant: string, readonly details: string, readonly atMs: number) {
    super(`${invariant}: ${details} (at ${atMs.toFixed(3)} ms)`)
    this.name = 'SimViolation'
  }
}
