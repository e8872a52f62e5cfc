/** What the primaries tell everybody: alerts and announcements. */
import type { NatsConnection } from 'nats'
import type { Announcement } from '../../machines/protocol.js'
import { spaceOf, subjects } from '../../machines/subjects.js'
import { controlCodec } from '../codec/control.js'

export interface Hearing {
  /** Bytes of `engram.v1.alert.<space>`, as they came. */
  readonly onAlert: (space: string, data: Uint8Array) => void
  readonly onAnnouncement: (announcement: Announcement) => void
}

/** Subscribes to those of all spaces; what is no announcement is passed over. */
export function hear(connection: NatsConnection, { onAlert, onAnnouncement }: Hearing): void {
  const codec = controlCodec()
  connection.subscribe(subjects.alert('*'), {
    callback: (_, message) => onAlert(spaceOf(message.subject), message.data),
  })
  connection.subscribe(subjects.assignment('*'), {
    callback: (_, message) => {
      const decoded = codec.announcement(message.data)
      if (decoded.ok) onAnnouncement(decoded.value)
    },
  })
}
