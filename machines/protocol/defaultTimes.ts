/** Times of the protocol. Their relations are checked with the options. */
export interface ProtocolTimes {
  readonly heartbeatMs: number
  readonly probeMs: number
  readonly grantMs: number
  /** Factor on grantMs that the granter waits before it takes over: clock rates within 10 %. */
  readonly grantMargin: number
  readonly surveyMs: number
  readonly standByMs: number
  readonly inSyncLagMs: number
  readonly stallMs: number
  readonly casTimeoutMs: number
}

export const defaultTimes: ProtocolTimes = {
  heartbeatMs: 100,
  probeMs: 50,
  grantMs: 2000,
  grantMargin: 1.1,
  surveyMs: 150,
  standByMs: 300,
  inSyncLagMs: 5000,
  stallMs: 500,
  casTimeoutMs: 1000,
}

/** Only these of some settings. */
export function timesOf(settings: ProtocolTimes): ProtocolTimes {
  const names = Object.keys(defaultTimes) as (keyof ProtocolTimes)[]
  return Object.fromEntries(names.map((name) => [name, settings[name]])) as unknown as ProtocolTimes
}
