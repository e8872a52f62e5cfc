import type { MsgHdrs } from 'nats'

/**
 * Headers as bytes. The nats package builds them in a map and joins that for each message, 2 us of
 * the 6 that a write may take. It calls only `encode` of headers that it publishes. Names and
 * values must be visible ASCII; the caller has checked them.
 */
export function encodedHeaders(pairs: readonly (readonly [string, string])[]): MsgHdrs | undefined {
  if (pairs.length === 0) return undefined
  let text = 'NATS/1.0\r\n'
  for (const [name, value] of pairs) text += `${name}: ${value}\r\n`
  const bytes = Buffer.from(`${text}\r\n`, 'latin1')
  return { encode: () => bytes } as unknown as MsgHdrs
}
