/** Length of an envelope in UTF-16 units: at most 288 KiB as UTF-8, below NATS's limit. */
const envelopeLength = 96 * 1024

/** JSON texts joined into parts that fit into an envelope, at least one part. */
export function packed(events: readonly string[]): string[] {
  const parts: string[] = []
  let part = ''
  for (const event of events) {
    if (part !== '' && part.length + event.length > envelopeLength) {
      parts.push(part)
      part = ''
    }
    part += part === '' ? event : `,${event}`
  }
  return [...parts, part]
}
