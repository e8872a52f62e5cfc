/** Names of the things that a request changes: requests without a common one need no order. */

interface Op {
  readonly type?: unknown
  readonly node?: { readonly id?: unknown }
  readonly nodeId?: unknown
  readonly edge?: { readonly source?: unknown; readonly target?: unknown; readonly kind?: unknown }
}

/** `request`: decoded, an operation or a batch; it was accepted before, so it is valid. */
export function touchedBy(request: unknown): readonly string[] {
  const { operations } = request as { operations?: readonly Op[] }
  return operations ? [...new Set(operations.map(nameOf))] : [nameOf(request as Op)]
}

function nameOf(operation: Op): string {
  const { edge, node, nodeId } = operation
  if (edge) return JSON.stringify([edge.source, edge.target, edge.kind])
  return JSON.stringify(node ? node.id : nodeId)
}
