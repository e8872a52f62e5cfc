export interface PromotionStep {
  readonly atMs: number
  readonly node: string
  readonly actor: string
  /** What happened, in words: `vacancy proven`. */
  readonly what: string
  /** State that it led to. */
  readonly state: string
  readonly reason: string | null
  /** Of a survey: what each member that answered said of itself. */
  readonly answers: readonly string[]
}
