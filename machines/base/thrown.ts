/** Returns a thrown error with its stack, for the log: it is a bug. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error)
}

/** The message of whatever was thrown, for people. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
