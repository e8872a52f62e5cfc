/** Units of the plots: texts of values, and the distances at which an axis may have ticks. */
import { bytesText, countText, msText } from './words.js'

export interface Unit {
  readonly text: (value: number) => string
  /** Distances of ticks, ascending, such that no two ticks of an axis read the same. */
  readonly steps: readonly number[]
}

const exponents = Array.from({ length: 15 }, (_, index) => index)
const wholeSteps = exponents.flatMap((exponent) => [1, 2, 5].map((of) => of * 10 ** exponent))

const secondMs = 1_000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const timeSteps = [
  0.05,
  0.1,
  0.2,
  0.5,
  ...wholeSteps.filter((step) => step <= 20 * secondMs),
  ...[0.5, 1, 2, 5, 10, 30].map((of) => of * minuteMs),
  ...[1, 2, 6, 12].map((of) => of * hourMs),
  ...wholeSteps.slice(0, 12).map((of) => of * dayMs),
]

export const inCounts: Unit = { text: countText, steps: wholeSteps }
export const inBytes: Unit = { text: bytesText, steps: wholeSteps }
export const inTime: Unit = { text: msText, steps: timeSteps }
