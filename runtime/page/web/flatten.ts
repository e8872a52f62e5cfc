import type { ChartState } from '../../charts/chart.js'

/** The state and all within it, outermost first. */
export function flatten(state: ChartState): ChartState[] {
  return [state, ...state.states.flatMap(flatten)]
}
