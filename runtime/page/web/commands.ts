/** Commands of the playground. */
import type { CommandAnswer, PageCommand } from '../protocol.js'

/** Sends a command. Never rejects: the answer says what went wrong. */
export async function sendCommand(command: PageCommand): Promise<CommandAnswer> {
  try {
    const response = await fetch('./api/orders', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(command),
    })
    const text = await response.text()
    const isJson = response.headers.get('Content-Type')?.includes('json') ?? false
    if (isJson) return JSON.parse(text) as CommandAnswer
    return { ok: false, message: text || `the server answered ${response.status}` }
  } catch (error) {
    const { message } = error as Error
    return { ok: false, message: `the server of this page cannot be reached: ${message}` }
  }
}
