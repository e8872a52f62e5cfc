export interface PromotionStep {
  readonly atMs: number
  readonly node: string
  readonly actor: string
  /** Event in words: `vacancy proven`. */
  readonly what: string
  /** State that it led to. */
  readonly state: string
  readonly reason: string | null
  /** Answers of members to a survey, `n3 is at (1, 601)`. */
  readonly answers: readonly string[]
}

/** The answers of which the reason, `n3 at (1, 601)`, does not already speak. */
export function answersUnsaid({ answers, reason }: PromotionStep): string[] {
  return answers.filter((answer) =>
    ![answer, answer.replace(' is at ', ' at ')].some((said) => reason?.includes(said))
  )
}

/** `this member is at (1, 601)`, as the winner says it, becomes `n2 is at (1, 601).` */
export function surveyText(survey: string | null, winner: string): string {
  if (survey === null) return 'It was the only member that answered.'
  return `${survey.replaceAll('this member', winner)}.`
}
