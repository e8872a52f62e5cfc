import { setTimeout as pause } from 'node:timers/promises'
import { headers } from 'nats'

/** Writes over plain NATS that survive the primary and its disk. One at a time, all awaited. */
export class PlainWriter {
  epoch = 0
  kept = [] // acknowledged and not yet safe, in order

  constructor(nc, space) {
    Object.assign(this, { nc, space })
  }

  async write(key, operation) {
    const write = { key, body: JSON.stringify(operation) }
    do await this.sendAgain()
    while (!await this.attempt(write))
  }

  /** Resolves once everything is safe. */
  async flush() {
    while (this.kept.length > 0) {
      const answer = await this.ask('read', '{"type":"GetHistory"}')
      if (answer) this.noteSafe(answer.epoch, answer.value.safeSequence)
      await this.sendAgain()
      await pause(20)
    }
  }

  async attempt(write) {
    const options = headers()
    options.set('Nats-Msg-Id', write.key) // rule 1
    if (this.kept.length > 0) options.set('Engram-Epoch', String(this.epoch)) // rule 2
    if (write.origin) options.set('Engram-Origin', write.origin)
    const answer = await this.ask('write', write.body, options)
    if (!answer) return false
    const { epoch, sequence, safeSequence } = answer
    if (!write.origin) this.kept.push(write)
    write.origin ??= `${epoch}/${sequence}`
    Object.assign(write, { epoch, sequence })
    this.noteSafe(epoch, safeSequence)
    return true
  }

  /** Rule 3: a higher epoch is known, so what is kept goes again, in order, before anything new. */
  async sendAgain() {
    for (;;) {
      const write = this.kept.find(({ epoch }) => epoch < this.epoch)
      if (!write) return
      await this.attempt(write)
    }
  }

  noteSafe(epoch, safeSequence) {
    this.kept = this.kept.filter((w) => w.epoch !== epoch || w.sequence > safeSequence)
  }

  /** null: refused for now, or no answer. The same key may be sent again. */
  async ask(what, body, options) {
    let answer = null
    try {
      const subject = `engram.v1.${what}.${this.space}`
      const message = await this.nc.request(subject, body, { timeout: 1000, headers: options })
      answer = message.json()
    } catch (error) {
      if (!['503', 'TIMEOUT'].includes(error.code)) throw error
    }
    if (answer && !answer.ok && !answer.retryable) throw new Error(answer.message)
    const isCurrent = answer?.ok && answer.epoch >= this.epoch
    this.epoch = Math.max(this.epoch, answer?.epoch ?? 0)
    if (isCurrent) return answer
    await pause(20)
    return null
  }
}
