/** The value of JSON in bytes; null also where it is none. */
export function jsonOrNull(data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'))
  } catch {
    return null
  }
}
