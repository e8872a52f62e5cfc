export interface PromotionStep {
  readonly atMs: number
  readonly node: string
  readonly actor: string
  /** Event in words: `vacancy proven`. */
  readonly what: string
  /** State that it led to. */
  readonly state: string
  readonly reason: string | null
  /** Answers of members to a survey. */
  readonly answers: readonly string[]
}
