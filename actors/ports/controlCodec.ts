/** Messages between nodes, and records of the arbiter. */

import type { CheckpointAnswer, CheckpointRequest,
  InstallAnswer } from '../../machines/protocol/installMessages.js'
import type { AckMessage, Announcement, Assignment, Heartbeat, JoinAnswer, NodeIdentity, PingAnswer,
  PingRequest, PingRequestAnswer, ReconcileAnswer, SurveyAnswer,
  SurveyRequest } from '../../machines/protocol/messages.js'

export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  /** `isNewer`: a later version of the product wrote it; it need not be wrong. */
  | { readonly ok: false; readonly reason: string; readonly isNewer?: boolean }

/** Control messages between nodes (MessagePack) and arbiter records (JSON), checked fully. */
export interface ControlCodec {
  encode(message: object): Uint8Array
  encodeRecord(record: Assignment | NodeIdentity): Uint8Array
  heartbeat(bytes: Uint8Array): Decoded<Heartbeat>
  pingAnswer(bytes: Uint8Array): Decoded<PingAnswer>
  pingRequest(bytes: Uint8Array): Decoded<PingRequest>
  pingRequestAnswer(bytes: Uint8Array): Decoded<PingRequestAnswer>
  surveyRequest(bytes: Uint8Array): Decoded<SurveyRequest>
  surveyAnswer(bytes: Uint8Array): Decoded<SurveyAnswer>
  ackMessage(bytes: Uint8Array): Decoded<AckMessage>
  joinAnswer(bytes: Uint8Array): Decoded<JoinAnswer>
  reconcileAnswer(bytes: Uint8Array): Decoded<ReconcileAnswer>
  installAnswer(bytes: Uint8Array): Decoded<InstallAnswer>
  checkpointRequest(bytes: Uint8Array): Decoded<CheckpointRequest>
  checkpointAnswer(bytes: Uint8Array): Decoded<CheckpointAnswer>
  /** Bytes of a checkpoint file, as an answer. */
  chunk(id: string, offset: number, data: Uint8Array): Uint8Array
  announcement(bytes: Uint8Array): Decoded<Announcement>
  assignment(bytes: Uint8Array): Decoded<Assignment>
  nodeIdentity(bytes: Uint8Array): Decoded<NodeIdentity>
}
