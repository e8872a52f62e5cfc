/**
 * Permissions that the NATS server denied to a connection. It drops a message that may not be
 * published, and reports that, with the subject, only as a status of the connection. Whatever waits
 * for an answer has to look there.
 */
import type { NatsConnection, NatsError } from 'nats'

/** The cause of an error with the code FORBIDDEN. */
export class DeniedError extends Error {
  constructor(readonly operation: 'publish' | 'subscription', readonly subject: string) {
    super(operation === 'publish'
      ? `these NATS credentials may not publish to ${subject}`
      : `these NATS credentials may not subscribe to ${subject}, where answers would arrive`)
    this.name = 'DeniedError'
  }
}

type Listener = (denied: DeniedError) => void

/** One for each connection: the package never removes a reader of its status. */
const known = new WeakMap<NatsConnection, Set<Listener>>()

/** Calls the listener for every denial from now on; the returned function ends that. */
export function onDenial(connection: NatsConnection, listener: Listener): () => void {
  let listeners = known.get(connection)
  if (!listeners) {
    known.set(connection, listeners = new Set())
    void read(connection, listeners)
  }
  listeners.add(listener)
  return () => listeners.delete(listener)
}

async function read(connection: NatsConnection, listeners: ReadonlySet<Listener>): Promise<void> {
  for await (const { type, permissionContext } of connection.status()) {
    const denied = type === 'error' ? deniedError(permissionContext) : null
    if (denied) { for (const listener of listeners) listener(denied) }
  }
}

/** The denial in an error of a request or a subscription; null: another error. */
export function denialIn(error: unknown): DeniedError | null {
  return deniedError((error as Partial<NatsError> | null)?.permissionContext)
}

function deniedError(
  context: { readonly operation: string; readonly subject: string } | undefined,
): DeniedError | null {
  if (!context) return null
  const { operation, subject } = context
  return new DeniedError(operation === 'publish' ? operation : 'subscription', subject)
}
