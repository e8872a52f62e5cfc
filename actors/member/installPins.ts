import type { NodeId } from '../../machines/base/ids.js'

/**
 * What is kept in the journal of a primary for one member that is being installed; in that of such
 * a member (`node` is this one) while its fork is salvaged.
 */
export interface InstallPin {
  readonly node: NodeId
  /** First entry after the checkpoint that it is getting, or of the salvage. */
  readonly from: number
  /** Bytes of that checkpoint. */
  readonly bytes: number
}

/** Entries of this node's journal that members need once they are installed, by space. */
export class InstallPins {
  private readonly pins = new Map<string, Map<NodeId, InstallPin>>()

  pin(uuid: string, pin: InstallPin): void {
    const pins = this.pins.get(uuid) ?? new Map<NodeId, InstallPin>()
    pins.set(pin.node, pin)
    this.pins.set(uuid, pins)
  }

  release(uuid: string, node: NodeId): void {
    const pins = this.pins.get(uuid)
    pins?.delete(node)
    if (pins?.size === 0) this.pins.delete(uuid)
  }

  of(uuid: string): Iterable<InstallPin> {
    return this.pins.get(uuid)?.values() ?? []
  }
}
