import type { NodeId } from '../base/ids.js'

/** Writer of a record, and the nonce by which it recognises its own write. */
export interface Signature {
  readonly writer: NodeId
  readonly nonce: string
}
